"""Remote files as local ones, for what needs a real file, as a video decoder does.

Each process copies a file once and keeps the copies used last, up to `KEPT_BYTES`: the ranges of a long video, which
are items of their own, share one. Processes share the disk without knowing of each other, so each keeps no more than it
leaves free, and what several of them keep does not take the room that another one's next copy needs. A copy has no name
in any folder, only this process's descriptor: the kernel frees its room when the process ends, however it ends.
"""

import contextlib
import dataclasses
import errno
import shutil
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

from od_core import storage
from od_core.storage import FileInfo

KEPT_BYTES = 8 << 30
_CHUNK_BYTES = 4 << 20


@dataclasses.dataclass
class _Copy:
    file: BinaryIO
    users: int = 0


class LocalCopies:
    """Copies that are kept for a while; for all threads of a process.

    Args:
        kept_bytes: when all copies together are larger, those that nobody uses are dropped, the one used least recently
            first.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES):
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._copies: dict[FileInfo, _Copy] = {}  # in order of use

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[str]:
        """A path that has the file's bytes, in this process, for as long as the block lasts.

        Raises:
            OSError: the file is not there or cannot be read, or there is no room for a copy.
        """
        info = storage.stat(path)
        if info is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        with self._lock:
            copy = self._copies.pop(info, None)
            if copy is None:
                self._drop_unused(self._kept_bytes - info.size)
                copy = _Copy(self._copied(info))
            self._copies[info] = copy
            copy.users += 1
        try:
            yield f"/proc/self/fd/{copy.file.fileno()}"
        finally:
            with self._lock:
                copy.users -= 1
                self._drop_unused(min(self._kept_bytes, shutil.disk_usage(tempfile.gettempdir()).free))

    def close(self) -> None:
        """Drop all copies that nobody uses."""
        with self._lock:
            self._drop_unused(-1)

    def _drop_unused(self, limit: int) -> None:
        """Drop copies until those that are left have `limit` bytes together, or are all in use."""
        held = sum(info.size for info in self._copies)
        for info in [info for info, copy in self._copies.items() if not copy.users]:
            if held <= limit:
                return
            self._copies.pop(info).file.close()
            held -= info.size

    def _copied(self, info: FileInfo) -> BinaryIO:
        folder = tempfile.gettempdir()
        if shutil.disk_usage(folder).free < info.size:
            self._drop_unused(-1)
        if (free := shutil.disk_usage(folder).free) < info.size:
            raise OSError(
                errno.ENOSPC,
                f"a copy of it needs {info.size:,} bytes, and {folder} has {free:,}; set TMPDIR to a larger disk",
                info.path,
            )
        copy: BinaryIO = tempfile.TemporaryFile(prefix="boxbeam-")  # noqa: SIM115  # closed when it is dropped
        try:
            with storage.open_input(info.path) as file:
                shutil.copyfileobj(file, copy, _CHUNK_BYTES)
            copy.flush()
            if copy.tell() != info.size:  # a video cut short can pass for a whole one
                raise OSError(errno.EIO, f"of its {info.size:,} bytes {copy.tell():,} came", info.path)
        except BaseException:
            copy.close()
            raise
        return copy


_copies = LocalCopies()


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A local path with these bytes, for this process: the file's own, or that of a copy; see `LocalCopies.open`."""
    if not storage.is_remote(path):
        yield storage.local_path(path)
        return
    with _copies.open(path) as copy:
        yield copy
