"""The index of a record dataset: one row per image, with its ground truth and where its record lies."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from od_core.schemas import GROUND_TRUTH, FrameObjects, FrameRow, ground_truth_table

RECORDS_VERSION = "boxbeam.records/1"

REMARK = pa.struct([pa.field("kind", pa.string(), nullable=False), pa.field("text", pa.string(), nullable=False)])

_PLACE = [
    pa.field("split", pa.string(), nullable=False),
    pa.field("shard", pa.string()),
    pa.field("offset", pa.int64()),
    pa.field("length", pa.int64()),
    pa.field("format", pa.string()),
    pa.field("remarks", pa.list_(pa.field("element", REMARK, nullable=False)), nullable=False),
]

RECORD_INDEX = pa.schema([*GROUND_TRUTH, *_PLACE])
"""`GROUND_TRUTH`, and: split; shard, the TFRecord file; offset and length of the record in it, in bytes with framing
(record_index counts from 0 within the shard); format of the stored image; remarks on its annotation. A failed image has
no record: its place is null."""


class RecordPlace(NamedTuple):
    """Where the record of an image lies; columns as in `RECORD_INDEX`."""

    split: str
    shard: str | None = None
    offset: int | None = None
    length: int | None = None
    format: str | None = None
    remarks: tuple[Mapping[str, str], ...] = ()


def record_index_table(
    rows: Sequence[FrameRow],
    places: Sequence[RecordPlace],
    labels: Mapping[int, str],
    objects: FrameObjects | None = None,
) -> pa.Table:
    """Rows of an index, from their ground truth (see `ground_truth_table`) and their places."""
    table = ground_truth_table(rows, labels, objects)
    values = dict(zip(RecordPlace._fields, zip(*places, strict=True), strict=False))  # of no places there are none
    columns = [pa.array(values.get(field.name, ()), field.type) for field in _PLACE]
    return pa.table([*table.columns, *columns], schema=RECORD_INDEX)
