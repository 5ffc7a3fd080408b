"""Rows of data files come in the order of sources and frames, however they lie, and without being held."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from unittest import mock

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from od_core import frame_order
from od_core.frame_order import Segment, in_order

Row = tuple[str, int | None]

ROWS = st.lists(st.lists(st.tuples(st.sampled_from("aéb"), st.none() | st.integers(0, 5)), max_size=12), max_size=4)


def written(files: Sequence[Sequence[Row]], row_group: int = 4) -> dict[str, bytes]:
    made = {}
    for number, rows in enumerate(files):
        sources, numbers = zip(*rows, strict=True) if rows else ((), ())
        columns = {
            "source": pa.array(sources, pa.string()),
            "record_index": pa.nulls(len(rows), pa.int64()),
            "frame_index": pa.array(numbers, pa.int64()),
        }
        pq.write_table(pa.table(columns), file := io.BytesIO(), row_group_size=row_group)
        made[str(number)] = file.getvalue()
    return made


def ordered(files: Sequence[Sequence[Row]]) -> list[Segment]:
    contents = written(files)

    @contextlib.contextmanager
    def opened(path: str) -> Iterator[pq.ParquetFile]:
        with pq.ParquetFile(io.BytesIO(contents[path])) as file:
            yield file

    return list(in_order(list(contents), opened))


def expected(files: Sequence[Sequence[Row]]) -> list[tuple[int, int]]:
    """File and row of all of them; one without a number is where the row before it is, in its file and source."""
    keyed = []
    for number, rows in enumerate(files):
        before: Row = ("", -1)
        for row, (source, frame) in enumerate(rows):
            place = frame if frame is not None else before[1] if before[0] == source else -1
            before = (source, place)
            keyed.append((source, place, number, row))
    return [(number, row) for _, _, number, row in sorted(keyed)]


@pytest.mark.parametrize("piles", [1, 32])
@hypothesis.given(ROWS)
@hypothesis.settings(max_examples=100, deadline=None)
def test_the_order_is_that_of_a_sort(piles: int, files: list[list[Row]]) -> None:
    """With few piles allowed rows out of order are sorted in memory; with many they are merged, some at a time."""
    with (
        mock.patch.object(frame_order, "MAX_PILES", piles),
        mock.patch.object(frame_order, "_ROWS_LOOKED_AT", 5),
        mock.patch.object(frame_order, "_ROWS_MERGED", 3),
    ):
        segments = ordered(files)
    assert [(file, row) for file, start, stop in segments for row in range(start, stop)] == expected(files)


def test_rows_in_order_are_one_segment_a_file() -> None:
    files = [[("a", n) for n in range(10)], [("b", n) for n in range(10)]]
    assert ordered(files) == [Segment(0, 0, 10), Segment(1, 0, 10)]


def test_two_folders_in_turns_are_two_piles() -> None:
    """As in a dataset of two inputs, whose rows lie in the order of keys that both have."""
    rows = [(folder, n) for n in range(50) for folder in ("in1", "in2")]
    with mock.patch.object(frame_order, "_sorted_in_memory", side_effect=AssertionError("not needed")):
        segments = ordered([rows])
    assert [segment.start for segment in segments] == [*range(0, 100, 2), *range(1, 100, 2)]
