"""Reading an object of an object store as a file: by ranges, a few large ones where it is read from end to end."""

import errno
import io
from collections.abc import Callable
from typing import Any, NamedTuple

_FIRST_BYTES = 256 << 10
_MOST_BYTES = 16 << 20
_TRIES = 3


class Fetched(NamedTuple):
    """Bytes of an object: those from `start` on; `size` is that of the whole."""

    block: bytes
    start: int
    size: int


Fetch = Callable[[int, int], Fetched]
"""Given where to start and how many bytes are wanted: these at least, where there are so many. Raises OSError."""


class RangeReader(io.RawIOBase):
    """An object's bytes, fetched in ranges that double for as long as they are read in order.

    Args:
        fetch: gets bytes. It is asked at once: a missing object is noticed here, and a small one is then there.
        path: for error messages.
    """

    def __init__(self, fetch: Fetch, path: str):
        super().__init__()
        self._fetch, self._path = fetch, path
        self._position = 0
        self._step = _FIRST_BYTES
        self._have(0, _FIRST_BYTES)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "negative position", self._path)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer).cast("B") as target:
            wanted = min(len(target), self._size - self._position)
            if wanted <= 0:
                return 0
            if not self._start <= self._position < self._start + len(self._block):
                in_order = self._position == self._start + len(self._block)
                self._step = min(2 * self._step, _MOST_BYTES) if in_order else _FIRST_BYTES
                self._have(self._position, max(wanted, self._step))
            at = self._position - self._start
            found = self._block[at : at + wanted]
            target[: len(found)] = found
            self._position += len(found)
            return len(found)

    def readall(self) -> bytes:
        """The rest, with one request for what is not there yet."""
        end = self._start + len(self._block)
        if self._position < self._size and not (self._start <= self._position and self._size <= end):
            self._have(self._position, self._size - self._position)
        at = self._position - self._start
        self._position = max(self._position, self._size)
        return bytes(self._block[at:]) if at >= 0 else b""

    def _have(self, start: int, count: int) -> None:
        """Fetch; again, where a connection that broke goes for the answer's end: else it would be that of the file.

        Raises:
            OSError: fewer bytes come than there are, each time.
        """
        for _ in range(_TRIES):
            fetched = self._fetch(start, count)
            self._block, self._start, self._size = memoryview(fetched.block), fetched.start, fetched.size
            came, there = self._start + len(self._block), min(start + count, self._size)
            if came >= there:
                return
        raise OSError(errno.EIO, f"of its {self._size:,} bytes only those up to {came:,} came", self._path)
