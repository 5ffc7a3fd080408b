"""Apache Beam's file systems (azfs://, and what plugins add) behind od_core.storage."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, cast

from od_core.errors import StorageError, UsageError
from od_core.storage import FileInfo
from pipelines.digest_version import digest_version, read_by_digest
from pipelines.remote.errors import writing

_COPY_BYTES = 8 << 20


class BeamFiles:
    """Every path through Beam's FileSystems, with the given pipeline options. Picklable; imports Beam at first use."""

    def __init__(self, options: Sequence[str]):
        self._options = list(options)
        self._opened: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_options": self._options, "_opened": None}

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
                if not self._files.exists(path):
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

        return cast(BinaryIO, self._files.open(path, compression_type=CompressionTypes.UNCOMPRESSED))

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles: an object appears when its upload is closed."""
        from apache_beam.io.filesystem import CompressionTypes

        with writing(path):
            with open(local, "rb") as source:
                target = self._files.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
                shutil.copyfileobj(source, target, _COPY_BYTES)
                target.close()
            arrived = self.stat(path)
            if arrived is None or arrived.size != local.stat().st_size:
                raise OSError(f"{arrived.size if arrived else 'no'} bytes arrived of {local.stat().st_size}")

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles: object stores copy, and then remove."""
        with writing(target):
            self._files.rename([source], [target])

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles."""
        if paths:
            self._files.delete(paths)

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """See storage.RemoteFiles."""
        return read_by_digest(self, path)

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """See storage.RemoteFiles: Beam's file systems look and write in two steps."""
        found = self.read_versioned(path)
        if (found[1] if found else None) != version:
            return None
        with tempfile.TemporaryDirectory(prefix="boxbeam-") as scratch:
            local = pathlib.Path(scratch, "content")
            local.write_bytes(content)
            self.upload(local, path)
        return digest_version(content)

    def remove_leftovers(self, folder: str) -> None:
        """See storage.RemoteFiles: what Beam does not finish to upload, its clients give up themselves."""

    def _match(self, pattern: str) -> list[FileInfo]:
        with _explained(pattern):
            (result,) = self._files.match([pattern])
        return [_info(metadata) for metadata in result.metadata_list]


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
            f"{path}: Apache Beam has no file system for it here, or its options are missing ({error})"
        ) from error
    except Exception as error:  # Beam's file systems raise whatever their client libraries raise
        raise StorageError(f"{path}: cannot be listed ({error})") from error
