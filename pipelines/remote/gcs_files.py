"""gs:// behind od_core.storage: a thin layer on google-cloud-storage, with one client per process.

Apache Beam's own file system for it takes names for patterns where it removes files (`[1].png` is `1.png` to it), asks
for the bucket again with every call, and has to be imported with Beam; item processes do without.
"""

import errno
import importlib
import io
import pathlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NoReturn, cast

from od_core.errors import BoxbeamError, StorageError, UsageError
from od_core.storage import FileInfo
from pipelines.remote.errors import writing
from pipelines.remote.range_reader import Fetched, RangeReader

_REMOVED_AT_ONCE = 16
_LISTED = "items(name,size,updated),nextPageToken"
_FORBIDDEN = (401, 403)


class GcsFiles:
    """Paths `gs://BUCKET/NAME`; see storage.RemoteFiles for what the methods promise. For all threads of a process.

    Credentials are Google's application default ones; with `--no_auth` none are looked for. `STORAGE_EMULATOR_HOST`
    names another server than Google's, as with every client of theirs.

    Args:
        options: the run's pipeline options.
    """

    def __init__(self, options: Sequence[str]):
        self._is_anonymous = any(option.partition("=")[0] == "--no_auth" for option in options)
        self._opened: Any = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _client(is_anonymous=self._is_anonymous)
            return self._opened

    def _blob(self, path: str) -> Any:
        bucket, name = _place(path)
        return self._client.bucket(bucket).blob(name)

    def stat(self, path: str) -> FileInfo | None:
        """See storage.RemoteFiles."""
        if not _place(path)[1]:
            return None
        blob = self._blob(path)
        try:
            blob.reload()
        except Exception as error:
            if _status(error) == 404:
                return None
            _refuse(path, "read", error)
        return _info(path, blob)

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """See storage.RemoteFiles."""
        bucket, name = _place(folder)
        prefix = name.rstrip("/") + "/" if name.rstrip("/") else ""
        try:
            for blob in self._client.list_blobs(bucket, prefix=prefix, fields=_LISTED):
                if not blob.name.endswith("/"):  # what some tools leave in place of a folder
                    yield _info(f"gs://{bucket}/{blob.name}", blob)
        except Exception as error:
            _refuse(folder, "listed", error)

    def open(self, path: str) -> BinaryIO:
        """See storage.RemoteFiles: read by ranges, a few large ones where it is read from end to end.

        Raises:
            OSError: missing, or not permitted.
        """
        return cast(BinaryIO, io.BufferedReader(RangeReader(_Ranges(self._blob(path), path), path), 64 << 10))

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles: an object appears when its upload is complete, its checksum checked."""
        with writing(path):
            self._blob(path).upload_from_filename(str(local), checksum="crc32c")

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles: copied by the server, then removed."""
        with writing(target):
            blob, token = self._blob(source), None
            while True:
                token, *_ = self._blob(target).rewrite(blob, token=token)
                if token is None:
                    break
            blob.delete()

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles."""
        with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
            list(threads.map(self._remove, paths))

    def _remove(self, path: str) -> None:
        with writing(path, "removed"):
            try:
                self._blob(path).delete()
            except Exception as error:
                if _status(error) != 404:
                    raise

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """See storage.RemoteFiles."""
        blob = self._blob(path)
        try:
            blob.reload()
            return blob.download_as_bytes(if_generation_match=blob.generation), str(blob.generation)
        except Exception as error:
            if _status(error) == 404:
                return None
            _refuse(path, "read", error)

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """See storage.RemoteFiles: the server compares."""
        blob = self._blob(path)
        with writing(path):
            try:
                blob.upload_from_string(content, if_generation_match=int(version or 0))
            except Exception as error:
                if _status(error) in (404, 412):
                    return None
                raise
        return str(blob.generation)

    def remove_leftovers(self, folder: str) -> None:
        """See storage.RemoteFiles: what was not uploaded to its end shows nowhere, and is gone after a week."""


class _Ranges:
    """Fetches ranges of an object, all of them of the same version of it; see `RangeReader`."""

    def __init__(self, blob: Any, path: str):
        self._blob, self._path = blob, path

    def __call__(self, start: int, count: int) -> Fetched:
        try:
            if self._blob.generation is None:
                self._blob.reload()
            size = int(self._blob.size)
            if start >= size:
                return Fetched(b"", start, size)
            block = self._blob.download_as_bytes(
                start=start, end=start + count - 1, if_generation_match=self._blob.generation, raw_download=True
            )
        except Exception as error:
            raise self._as_os_error(error) from error
        return Fetched(block, start, size)

    def _as_os_error(self, error: Exception) -> Exception:
        status = _status(error)
        if isinstance(error, BoxbeamError):
            return error
        if status in _FORBIDDEN:
            return PermissionError(errno.EACCES, "Google does not permit it with these credentials", self._path)
        if status in (404, 412) and self._blob.generation is not None:
            return OSError(errno.ESTALE, "it was replaced while it was read", self._path)
        if status == 404:
            return FileNotFoundError(errno.ENOENT, "no such object", self._path)
        return OSError(errno.EIO, str(error), self._path)


def _client(*, is_anonymous: bool) -> Any:
    """A client; a run without credentials is refused."""
    storage = importlib.import_module("google.cloud.storage")  # which has no types, and is not there for all
    refused = importlib.import_module("google.auth.exceptions").DefaultCredentialsError

    if is_anonymous:
        return storage.Client.create_anonymous_client()
    try:
        return storage.Client(project=None)
    except refused as error:
        raise UsageError(
            "gs://: no credentials for Google Cloud were found: run `gcloud auth application-default login`, or name a"
            " file with them in GOOGLE_APPLICATION_CREDENTIALS; for public buckets give --no_auth"
        ) from error


def _place(path: str) -> tuple[str, str]:
    """Bucket and name."""
    bucket, _, name = path.partition("://")[2].partition("/")
    return bucket, name


def _info(path: str, blob: Any) -> FileInfo:
    return FileInfo(path, int(blob.size), int(1000 * blob.updated.timestamp()))


def _status(error: Exception) -> int:
    """The HTTP status that an error of the client is about; 0 for other errors."""
    return int(getattr(error, "code", None) or 0) if type(error).__module__.startswith("google.") else 0


def _refuse(path: str, what: str, error: Exception) -> NoReturn:
    """Raise what stops a run for an answer, or silence, of the server."""
    if isinstance(error, BoxbeamError):
        raise error
    status = _status(error)
    if status == 404:
        raise UsageError(f"{path}: there is no bucket {_place(path)[0]!r}") from error
    if status in _FORBIDDEN:
        raise UsageError(
            f"{path}: cannot be {what}: Google does not permit it with these credentials ({error})"
        ) from error
    raise StorageError(f"{path}: cannot be {what} ({error})") from error
