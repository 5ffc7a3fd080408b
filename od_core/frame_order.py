"""The rows of detections' data files in the order of where they were found, without holding them all.

That order is by source, then by record or frame; a row without either, a stretch of a video that failed, stays behind
the one before it. Data files are in it for the most part: infer sorts the inputs of a run by their keys. So rows fall
into a few piles that are sorted in themselves, as in patience sorting: one for each folder that was an input, and for
each run that added files in between. The piles are then merged. Held in memory are 24 bytes for every stretch of rows
that follow each other in a pile, and a few thousand rows of each pile.

Rows that are in no order at all, as another program may have written them, are sorted in memory: some 300 bytes a row.
"""

import array
import bisect
import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_PILES = 32

_ROWS_LOOKED_AT = 1 << 16
_ROWS_MERGED = 1 << 12
_COLUMNS = ("source", "record_index", "frame_index")
_NO_NUMBER = pa.scalar(-1, pa.int64())

Key = tuple[str, int]
"""Source, and number of the record or frame."""

Opened = Callable[[str], AbstractContextManager[pq.ParquetFile]]
Places = npt.NDArray[np.int64]


class Segment(NamedTuple):
    """Rows `start` to `stop` of a file, by its number."""

    file: int
    start: int
    stop: int


def in_order(files: Sequence[str], opened: Opened) -> Iterator[Segment]:
    """All rows of all files.

    Args:
        opened: opens one of them.
    """
    piles = _Piles()
    for number, path in enumerate(files):
        for batch in _read(path, opened, _ROWS_LOOKED_AT):
            if not piles.add(number, batch):
                yield from _sorted_in_memory(files, opened)
                return
    if len(piles.segments) == 1:
        yield from piles.segments[0]
    else:
        yield from _merged([_Cursor(segments, files, opened) for segments in piles.segments])


class _Batch(NamedTuple):
    """Rows of a file from `start` on, by what orders them."""

    start: int
    sources: pa.StringArray
    places: Places

    def key(self, row: int) -> Key:
        return self.sources[row].as_py(), int(self.places[row])

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Neighbours that are in order."""
        before, after = self.sources.slice(0, len(self.sources) - 1), self.sources.slice(1)
        is_less = pc.less(after, before).to_numpy(zero_copy_only=False)
        is_equal = pc.equal(after, before).to_numpy(zero_copy_only=False)
        breaks = np.flatnonzero(is_less | (is_equal & (self.places[1:] < self.places[:-1]))) + 1
        stops = [*breaks.tolist(), len(self.sources)]
        yield from zip([0, *stops], stops, strict=False)

    def first_from(self, key: Key, low: int, high: int) -> int:
        """The first of the rows `low` to `high`, which are in order, that is not before a key."""
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low


def _read(path: str, opened: Opened, rows: int) -> Iterator[_Batch]:
    """What orders the rows of a file, so many at a time."""
    start = 0
    carried: Key = ("", -1)
    with opened(path) as file:
        for batch in file.iter_batches(rows, columns=list(_COLUMNS)):
            if not batch.num_rows:
                continue
            sources = batch.column("source").cast(pa.string())
            numbers = pc.coalesce(batch.column("record_index"), batch.column("frame_index"), _NO_NUMBER)
            made = _Batch(start, sources, _filled(numbers.to_numpy(zero_copy_only=False), sources, carried))
            carried = made.key(len(sources) - 1)
            yield made
            start += batch.num_rows


def _filled(numbers: Places, sources: pa.StringArray, carried: Key) -> Places:
    """A row without a number of its own has that of the row before it, if that is of the same source."""
    if (numbers >= 0).all():
        return numbers
    before = np.maximum.accumulate(np.where(numbers >= 0, np.arange(len(numbers)), -1))
    codes = sources.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    runs = np.cumsum(np.append(0, codes[1:] != codes[:-1]))
    filled = np.where((before >= 0) & (runs == runs[before]), numbers[before], -1)
    if sources[0].as_py() == carried[0]:
        filled[(before < 0) & (runs == 0)] = carried[1]
    return filled


class _Segments:
    """Segments one behind the other; neighbours in a file become one."""

    def __init__(self) -> None:
        self._numbers = array.array("q")

    def append(self, file: int, start: int, stop: int) -> None:
        numbers = self._numbers
        if numbers and numbers[-3] == file and numbers[-1] == start:
            numbers[-1] = stop
        else:
            numbers.extend((file, start, stop))

    def __iter__(self) -> Iterator[Segment]:
        for place in range(0, len(self._numbers), 3):
            yield Segment(*self._numbers[place : place + 3])


class _Piles:
    """Rows dealt to piles: each goes on the one whose last row is the nearest before it."""

    def __init__(self) -> None:
        self._tops: list[Key] = []  # ascending
        self.segments: list[_Segments] = []

    def add(self, file: int, batch: _Batch) -> bool:
        """Deal the rows of a batch; False if there are too many piles."""
        for start, stop in batch.stretches():
            while start < stop:
                key = batch.key(start)
                pile = bisect.bisect_right(self._tops, key) - 1
                if pile < 0:
                    pile = 0
                    self._tops.insert(0, key)
                    self.segments.insert(0, _Segments())
                end = stop
                if pile + 1 < len(self._tops):
                    end = max(start + 1, batch.first_from(self._tops[pile + 1], start, stop))
                self.segments[pile].append(file, batch.start + start, batch.start + end)
                self._tops[pile] = batch.key(end - 1)
                start = end
            if len(self._tops) > MAX_PILES:
                return False
        return True


class _Cursor:
    """Goes through a pile: the keys of some rows that follow each other, `keys[place:]`, and where these rows are."""

    def __init__(self, segments: _Segments, files: Sequence[str], opened: Opened):
        self._parts = self._read(segments, files, opened)
        self.keys: list[Key] = []
        self.place = 0
        self.file = self.start = 0

    def advance(self) -> bool:
        """Read on if all is passed; False at the end."""
        while self.place == len(self.keys):
            part = next(self._parts, None)
            if part is None:
                return False
            self.file, self.start, self.keys = part
            self.place = 0
        return True

    def head(self) -> tuple[Key, int, int]:
        """The next row: its key, file, and number there."""
        return self.keys[self.place], self.file, self.start + self.place

    @staticmethod
    def _read(segments: _Segments, files: Sequence[str], opened: Opened) -> Iterator[tuple[int, int, list[Key]]]:
        file = -1
        batches: Iterator[_Batch] = iter(())
        batch: _Batch | None = None
        for segment in segments:
            if segment.file != file:
                file, batches, batch = segment.file, _read(files[segment.file], opened, _ROWS_MERGED), None
            start = segment.start
            while start < segment.stop:
                while batch is None or batch.start + len(batch.sources) <= start:
                    batch = next(batches)
                stop = min(segment.stop, batch.start + len(batch.sources))
                low, count = start - batch.start, stop - start
                keys = zip(batch.sources.slice(low, count).to_pylist(), batch.places[low:].tolist(), strict=False)
                yield file, start, list(keys)
                start = stop


def _merged(cursors: Sequence[_Cursor]) -> Iterator[Segment]:
    heap = [(cursor.head(), number) for number, cursor in enumerate(cursors) if cursor.advance()]
    heapq.heapify(heap)
    while heap:
        (_, file, row), number = heapq.heappop(heap)
        cursor = cursors[number]
        stop = len(cursor.keys)
        if heap:
            limit, other_file, other_row = heap[0][0]
            side = bisect.bisect_right if (file, row) < (other_file, other_row) else bisect.bisect_left
            stop = max(cursor.place + 1, side(cursor.keys, limit, cursor.place))
        yield Segment(cursor.file, row, row + stop - cursor.place)
        cursor.place = stop
        if cursor.advance():
            heapq.heappush(heap, (cursor.head(), number))


def _sorted_in_memory(files: Sequence[str], opened: Opened) -> Iterator[Segment]:
    sources: list[pa.DictionaryArray] = []
    places: list[Places] = []
    counts: list[int] = []
    for path in files:
        counts.append(0)
        for batch in _read(path, opened, _ROWS_LOOKED_AT):
            sources.append(batch.sources.dictionary_encode())
            places.append(batch.places)
            counts[-1] += len(batch.sources)
    codes = _ranks(sources)
    file_numbers = np.repeat(np.arange(len(files)), counts)
    rows = np.concatenate([np.arange(count) for count in counts])
    order = np.lexsort((np.concatenate(places), codes))
    file_numbers, rows = file_numbers[order], rows[order]
    is_new = np.append(True, (file_numbers[1:] != file_numbers[:-1]) | (rows[1:] != rows[:-1] + 1))
    firsts = np.flatnonzero(is_new)
    lasts = np.append(firsts[1:], len(rows)) - 1
    for first, last in zip(firsts, lasts, strict=True):
        yield Segment(int(file_numbers[first]), int(rows[first]), int(rows[last]) + 1)


def _ranks(sources: Sequence[pa.DictionaryArray]) -> Places:
    """Numbers that order as the texts do, for all arrays end to end."""
    chunks = pa.chunked_array(sources).unify_dictionaries().chunks
    values = chunks[0].dictionary
    ranks = np.empty(len(values), np.int64)
    ranks[pc.sort_indices(values).to_numpy()] = np.arange(len(values))
    codes: Places = ranks[np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in chunks])]
    return codes
