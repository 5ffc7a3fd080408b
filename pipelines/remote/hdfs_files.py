"""hdfs:// behind od_core.storage: a thin layer on the package hdfs, which speaks WebHDFS; one client per process.

Apache Beam's own file system for it takes folders for files, cannot list a folder that is not there, and renames only
into folders that are. The options are Beam's (`--hdfs_host` and so on).
"""

import contextlib
import errno
import importlib
import io
import pathlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NoReturn, cast

from od_core.errors import BoxbeamError, StorageError, UsageError
from od_core.storage import FileInfo
from pipelines.digest_version import digest_version, read_by_digest
from pipelines.option_values import option_values
from pipelines.remote.errors import writing
from pipelines.remote.range_reader import Fetched, RangeReader

_TEMPORARY = ".boxbeam-"
_WORK = "_work"
_MISSING = ("FileNotFoundException", "ParentNotDirectoryException")


class HdfsFiles:
    """Paths `hdfs://FOLDER/NAME`, with `--hdfs_full_urls` `hdfs://SERVER/FOLDER/NAME`; see storage.RemoteFiles.

    Args:
        options: the run's pipeline options, of which those that begin with --hdfs_ count.
    """

    def __init__(self, options: Sequence[str]):
        found = option_values(options, "--hdfs_")
        self._server = tuple(found.get(name, "") for name in ("host", "port", "user"))
        self._names_server = "full_urls" in found
        self._opened: Any = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                host, port, user = self._server
                if not (host and port and user):
                    raise UsageError("hdfs:// needs --hdfs_host, --hdfs_port (of WebHDFS) and --hdfs_user")
                self._opened = importlib.import_module("hdfs").InsecureClient(f"http://{host}:{port}", user=user)
            return self._opened

    def _place(self, path: str) -> str:
        """A path as the server has it."""
        rest = path.partition("://")[2]
        return "/" + (rest.partition("/")[2] if self._names_server else rest).strip("/")

    def _status(self, place: str) -> Any:
        """What the server tells of a file or folder, None where there is none.

        Not the client's own `strict=False`: that takes a refusal and a failure for an answer, too.
        """
        try:
            return self._client.status(place)
        except Exception as error:
            if getattr(error, "exception", None) in _MISSING:
                return None
            raise

    def stat(self, path: str) -> FileInfo | None:
        """See storage.RemoteFiles."""
        try:
            status = self._status(self._place(path))
        except Exception as error:
            _refuse(path, "read", error)
        return _info(path, status) if status is not None and status["type"] == "FILE" else None

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """See storage.RemoteFiles."""
        place, prefix = self._place(folder), folder.rstrip("/")
        try:
            if self._status(place) is None:
                return
            for (here, _), _, files in self._client.walk(place, status=True):
                for name, status in files:
                    if not name.startswith(_TEMPORARY):
                        yield _info(f"{prefix}{here[len(place.rstrip('/')) :].rstrip('/')}/{name}", status)
        except Exception as error:
            _refuse(folder, "listed", error)

    def open(self, path: str) -> BinaryIO:
        """See storage.RemoteFiles: read by ranges, a few large ones where it is read from end to end.

        Raises:
            OSError: missing, or a folder.
        """
        info = self.stat(path)
        if info is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        size, place = info.size, self._place(path)

        def fetch(start: int, count: int) -> Fetched:
            if start >= size:
                return Fetched(b"", start, size)
            try:
                with self._client.read(place, offset=start, length=min(count, size - start)) as reader:
                    return Fetched(reader.read(), start, size)
            except Exception as error:
                raise OSError(errno.EIO, str(error), path) from error

        return cast(BinaryIO, io.BufferedReader(RangeReader(fetch, path), 64 << 10))

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles: written under another name, then renamed, which replaces in one step."""
        place = self._place(path)
        folder, _, name = place.rpartition("/")
        temporary = f"{folder}/{_TEMPORARY}{uuid.uuid4().hex}-{name}"
        with writing(path):
            try:
                with open(local, "rb") as content:
                    self._client.write(temporary, data=content)  # makes folders, too
                self._rename(temporary, place)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._client.delete(temporary)
                raise

    def _rename(self, source: str, target: str) -> None:
        self._client._rename(source, destination=target, renameoptions="OVERWRITE")

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles."""
        with writing(target):
            self._client.makedirs(self._place(target).rpartition("/")[0])
            self._rename(self._place(source), self._place(target))

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles; folders for work in progress go with the last file in them."""
        for path in paths:
            place = self._place(path)
            with writing(path, "removed"):
                self._client.delete(place)
            with contextlib.suppress(Exception):  # the server refuses to delete one that is not empty
                while f"/{_WORK}/" in f"{(place := place.rpartition('/')[0])}/" and self._client.delete(place):
                    pass

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """See storage.RemoteFiles."""
        return read_by_digest(self, path)

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """See storage.RemoteFiles: one of many makes it; to replace it is two steps."""
        found = self.read_versioned(path)
        if (found[1] if found else None) != version:
            return None
        with writing(path):
            try:
                self._client.write(self._place(path), data=content, overwrite=version is not None)
            except Exception as error:
                if version is None and "exist" in str(error):
                    return None
                raise
        return digest_version(content)

    def remove_leftovers(self, folder: str) -> None:
        """See storage.RemoteFiles: what was being written when a process was killed."""
        place = self._place(folder)
        with writing(folder, "cleaned up"):
            if self._status(place) is None:
                return
            for (here, _), _, files in self._client.walk(place, status=True):
                for name, _ in files:
                    if name.startswith(_TEMPORARY) and name != _TEMPORARY + "lock":
                        self._client.delete(f"{here}/{name}")


def _info(path: str, status: Any) -> FileInfo:
    return FileInfo(path, int(status["length"]), int(status["modificationTime"]))


def _refuse(path: str, what: str, error: Exception) -> NoReturn:
    if isinstance(error, BoxbeamError):
        raise error
    raise StorageError(f"{path}: cannot be {what} ({error})") from error
