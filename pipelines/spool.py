"""A sorted collection of any size: what is too much for memory lies in a temporary file, which no kill leaves."""

import heapq
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Generic, TypeVar

from od_core.errors import StorageError

Entry = TypeVar("Entry")

# What is sorted in memory at once, and what is read back at once, of each sorted run.
_RUN_SIZE = 1 << 16
_CHUNK_SIZE = 1 << 9


class SortedSpool(Collection[Entry], Generic[Entry]):
    """Entries in order, to be gone through any number of times; equal ones keep the order in which they came.

    Small collections stay in memory. Larger ones are sorted in runs, which are merged whenever they are read: memory
    holds one run while writing, and a chunk of each while reading.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        key: Callable[[Entry], Any] | None = None,
        size: Callable[[Entry], int] | None = None,
    ):
        """Take all entries.

        Args:
            entries: picklable; what iterating raises is raised here.
            key: what they are sorted by, as for `sorted`.
            size: how much of memory an entry takes, an input being 1.

        Raises:
            StorageError: the temporary folder is full.
        """
        self._key = key
        self._size = size
        self._length = 0
        self._file: Any = None
        self._runs: list[list[tuple[int, int]]] = []  # of each the chunks: offset and length in the file
        self._rest: list[Entry] = []
        filled = 0
        for entry in entries:
            self._rest.append(entry)
            filled += size(entry) if size else 1
            if filled >= _RUN_SIZE:
                self._write_run()
                filled = 0
        self._length += len(self._rest)
        self._rest.sort(key=key)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        if not self._runs:
            return iter(self._rest)
        return heapq.merge(*map(self._read_run, self._runs), self._rest, key=self._key)  # type: ignore[arg-type]

    def __contains__(self, entry: object) -> bool:
        return any(one == entry for one in self)

    def _write_run(self) -> None:
        entries, self._rest = self._rest, []
        entries.sort(key=self._key)
        self._length += len(entries)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="boxbeam-")  # noqa: SIM115  # see finalize
                weakref.finalize(self, self._file.close)
            self._runs.append([self._write_chunk(chunk) for chunk in self._chunks(entries)])
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()}: a plan of this size needs some room there ({error.strerror}); free some, or"
                " name another folder in the environment variable TMPDIR"
            ) from error

    def _chunks(self, entries: list[Entry]) -> Iterator[list[Entry]]:
        chunk: list[Entry] = []
        filled = 0
        for entry in entries:
            chunk.append(entry)
            filled += self._size(entry) if self._size else 1
            if filled >= _CHUNK_SIZE:
                yield chunk
                chunk, filled = [], 0
        yield chunk

    def _write_chunk(self, chunk: list[Entry]) -> tuple[int, int]:
        pickled = pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL)
        offset = self._file.tell()
        self._file.write(pickled)
        self._file.flush()
        return offset, len(pickled)

    def _read_run(self, chunks: list[tuple[int, int]]) -> Iterator[Entry]:
        """Reads by place, so that several can be at it at a time."""
        for offset, length in chunks:
            yield from pickle.loads(os.pread(self._file.fileno(), length, offset))
