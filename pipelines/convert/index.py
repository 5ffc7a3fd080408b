"""The index rows of one shard: gathered in the order of its records, given out in the order of an item's pieces."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from od_core.ground_truth import GroundTruth
from od_core.records.index import RecordPlace, record_index_table
from od_core.schemas import FrameObjects, FrameRow
from pipelines.convert.record import Converted, RecordObjects
from pipelines.convert.shards import RecordSpot, split_of
from pipelines.items import Outcome, Piece
from pipelines.parts import RowWriter

_ROWS_PER_TABLE = 1000


class _Ending(NamedTuple):
    """How one image ended, and where its row is."""

    row: int
    status: str
    counts: Mapping[str, int]
    error: str | None


class ShardIndex:
    """Gathers rows as Arrow tables: a shard can have many thousands of them."""

    def __init__(self, shard: str, labels: Mapping[int, str]):
        """`labels`: names of class ids, for objects that have none of their own."""
        self._shard = shard
        self._split = split_of(shard)
        self._labels = labels
        self._tables: list[pa.Table] = []
        self._rows: list[FrameRow] = []
        self._places: list[RecordPlace] = []
        self._objects: list[RecordObjects | None] = []
        self._endings: dict[str, _Ending] = {}

    def add(self, made: Converted, spot: RecordSpot | None) -> None:
        """The next image of the shard, and where its record is, if it has one."""
        row, objects = made.row, made.objects
        status = "failed" if objects is None else "done" if objects.class_ids else "empty"
        self._endings[row.key] = _Ending(len(self._endings), status, made.counts, row.error and row.error.message)
        self._objects.append(objects)
        self._rows.append(row)
        remarks = tuple([remark._asdict() for remark in made.remarks])
        if spot is None:
            self._places.append(RecordPlace(self._split, remarks=remarks))
        else:
            self._places.append(RecordPlace(self._split, self._shard, *spot, made.format, remarks))
        if len(self._rows) == _ROWS_PER_TABLE:
            self._pack()

    def write(self, pieces: Sequence[Piece], rows: RowWriter) -> None:
        """Write the rows of these pieces, which are all that were added, in this order, and finish each piece."""
        self._pack()
        order = [self._endings[piece.source.key].row for piece in pieces]
        table = pa.concat_tables(self._tables).combine_chunks().take(pa.array(order, pa.int64()))
        for start in range(0, len(order), _ROWS_PER_TABLE):
            rows.write(table.slice(start, _ROWS_PER_TABLE))
        for piece in pieces:
            ending = self._endings[piece.source.key]
            rows.finish(Outcome(piece, ending.status, 1, ending.counts, ending.error))

    def _pack(self) -> None:
        table = record_index_table(self._rows, self._places, self._labels, _end_to_end(self._objects, self._labels))
        self._tables.append(table)
        self._rows, self._places, self._objects = [], [], []


def _end_to_end(objects: Sequence[RecordObjects | None], labels: Mapping[int, str]) -> FrameObjects:
    """The objects of many images as one ground truth: to make and check one for each would take longer than its row."""
    found = [one for one in objects if one is not None]
    class_ids = list(itertools.chain.from_iterable(one.class_ids for one in found))

    def column(name: str) -> list[Any]:
        return list(itertools.chain.from_iterable(getattr(one.annotated, name) for one in found))

    truth = GroundTruth.of(
        np.concatenate([one.boxes for one in found]) if found else [],
        class_ids,
        is_crowd=column("is_crowd"),
        difficult=column("difficult"),
        group_of=column("group_of"),
        labels=[labels.get(class_id, label) for class_id, label in zip(class_ids, column("label"), strict=True)],
        area=[math.nan if area is None else area for area in column("area")],
    )
    return FrameObjects(truth, [None if one is None else len(one.class_ids) for one in objects])
