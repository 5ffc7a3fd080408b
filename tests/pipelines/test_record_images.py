"""The records of ranges of a file: together those of the whole file, and none lost without a word."""

import io

import pytest

from od_core.errors import RecordError
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from pipelines.items import Piece, Source
from pipelines.record_images import record_images

COUNT = 20


def written(damaged: int | None = None) -> tuple[bytes, list[int]]:
    """The bytes of COUNT records, one of which may have a damaged header, and where each begins."""
    file = io.BytesIO()
    offsets = []
    for number in range(COUNT):
        offsets.append(file.tell())
        write_record(file, encode_example({"image/encoded": b"pixels", "image/source_id": f"name {number}"}))
    content = bytearray(file.getvalue())
    if damaged is not None:
        content[offsets[damaged]] ^= 0xFF
    return bytes(content), offsets


def told(content: bytes, start: int, stop: int) -> list[tuple[int | None, str, bool]]:
    """Number, key, and whether it failed, of every record that begins in a range."""
    piece = Piece(Source("a.tfrecord", "/in/a.tfrecord", "record", len(content), 1), start, stop, len(content))
    rows = [record.row for record in record_images(piece, io.BytesIO(content))]
    return [(row.record_index, row.key, row.error is not None) for row in rows]


@pytest.mark.parametrize("step", [40, 100, 333, 10_000])
def test_ranges_have_together_what_the_file_has(step: int) -> None:
    content, _ = written()
    starts = range(0, len(content), step)
    together = [one for at in starts for one in told(content, at, min(at + step, len(content)))]
    assert together == told(content, 0, len(content)) == [(n, f"name {n}", False) for n in range(COUNT)]


def test_damage_has_its_row_where_it_lies_and_ranges_that_are_not_reached_say_so() -> None:
    content, offsets = written(damaged=3)
    good, lost = [(n, f"name {n}", False) for n in range(3)], [(3, "a.tfrecord#3", True)]
    assert told(content, 0, len(content)) == good + lost
    assert told(content, 0, offsets[8]) == good + lost
    assert told(content, offsets[3], offsets[8]) == lost
    for start, stop in ((offsets[8], offsets[12]), (offsets[12], len(content)), (offsets[3] + 1, offsets[8])):
        with pytest.raises(RecordError, match="record 3 is in the way: no TFRecord header"):
            told(content, start, stop)
