"""Apache Beam's file systems (s3://, gs://, hdfs:// and others) behind od_core.storage."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from od_core.errors import StorageError, UsageError
from od_core.storage import FileInfo

_COPY_BYTES = 8 << 20


class BeamFiles:
    """Every path through Beam's FileSystems, with the given pipeline options. Picklable; imports Beam at first use."""

    def __init__(self, options: list[str]):
        self._options = list(options)
        self._opened: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options, "_opened": None}

    def _files_for(self, path: str) -> Any:
        """Beam's FileSystems; refuses what would otherwise be tried again and again for minutes."""
        if self._opened is None and path.startswith("s3://") and not _has_s3_credentials(self._options):
            raise UsageError(
                f"{path}: no credentials for S3 were found (looked at --s3_access_key_id, the environment, ~/.aws and"
                " the machine's role). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the options"
            )
        return self._files

    @property
    def _files(self) -> Any:
        if self._opened is None:
            from apache_beam.io.filesystems import FileSystems
            from apache_beam.options.pipeline_options import PipelineOptions

            # Workers get the options from the runner; the launcher and item processes have to set them themselves.
            FileSystems.set_options(PipelineOptions(self._options))
            self._opened = FileSystems
        return self._opened

    def stat(self, path: str) -> FileInfo | None:
        """See storage.RemoteFiles."""
        from apache_beam.io.filesystem import BeamIOError

        with _explained(path):
            try:
                if not self._files_for(path).exists(path):
                    return None
                # metadata() rather than match(): a name may hold brackets, which match() takes for a pattern.
                return _info(self._files.get_filesystem(path).metadata(path))
            except BeamIOError as error:
                raise StorageError(f"{path}: cannot be read ({error})") from error

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """See storage.RemoteFiles."""
        yield from self._match(folder.rstrip("/") + "/**")

    def open(self, path: str) -> BinaryIO:
        """See storage.RemoteFiles."""
        from apache_beam.io.filesystem import CompressionTypes

        return cast(BinaryIO, self._files_for(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED))

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles: an object appears when its upload is closed."""
        from apache_beam.io.filesystem import CompressionTypes

        try:
            with open(local, "rb") as source:
                target = self._files_for(path).create(path, compression_type=CompressionTypes.UNCOMPRESSED)
                shutil.copyfileobj(source, target, _COPY_BYTES)
                target.close()
            arrived = self.stat(path)
            if arrived is None or arrived.size != local.stat().st_size:
                raise OSError(f"{arrived.size if arrived else 'no'} bytes arrived of {local.stat().st_size}")
        except Exception as error:  # Beam's file systems raise what their client libraries raise
            raise StorageError(
                f"{path}: cannot be written ({error}); repeat the command when this is mended: finished work is kept"
            ) from error

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles: object stores copy, and then remove."""
        try:
            self._files_for(target).rename([source], [target])
        except Exception as error:  # Beam's file systems raise what their client libraries raise
            raise StorageError(
                f"{target}: cannot be written ({error}); repeat the command when this is mended: finished work is kept"
            ) from error

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles."""
        if paths:
            self._files_for(paths[0]).delete(paths)

    def _match(self, pattern: str) -> list[FileInfo]:
        with _explained(pattern):
            (result,) = self._files_for(pattern).match([pattern])
        return [_info(metadata) for metadata in result.metadata_list]


def _has_s3_credentials(options: list[str]) -> bool:
    if any(option.startswith("--s3_access_key_id") for option in options):
        return True
    try:
        import boto3
    except ImportError:
        return True  # Beam will say what is missing
    return boto3.Session().get_credentials() is not None


def _info(metadata: Any) -> FileInfo:
    return FileInfo(metadata.path, metadata.size_in_bytes, round(1000 * (metadata.last_updated_in_seconds or 0)))


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except (StorageError, UsageError):
        raise
    except (ValueError, ImportError) as error:  # Beam's words for: no such file system here
        raise UsageError(
            f"{path}: Beam has no file system for it here ({error}). Install it: pip install 'apache-beam[aws]' for"
            " s3://, 'apache-beam[gcp]' for gs://, 'hdfs' for hdfs://"
        ) from error
    except Exception as error:  # Beam's file systems raise whatever their client libraries raise
        raise StorageError(f"{path}: cannot be listed ({error})") from error
