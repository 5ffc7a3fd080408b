"""The Parquet schemas boxbeam reads and writes, and the rows it builds for them.

`DETECTIONS` is version 1 of the detections format, published for people in docs/detections-format.md: one row per
image or video frame, its boxes in a list. `GROUND_TRUTH` has the same shape with annotation flags instead of scores,
so that evaluation and drawing join like with like.

Strings that repeat (kind, status, label) are plain `string` here and dictionary-encoded by Parquet on disk: Arrow's own
dictionary type inside a list of structs is refused by several of the readers the format is meant for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from od_core.detections import Detections

DETECTIONS_VERSION = "boxbeam.detections/1"

KINDS = ("image", "video", "record")
STATUSES = ("done", "failed")

ERROR = pa.struct(
    [
        pa.field("stage", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("last_frame_index", pa.int64()),
    ]
)

KEYPOINT = pa.struct([pa.field("x", pa.float32()), pa.field("y", pa.float32()), pa.field("score", pa.float32())])

_BOX_EDGES = [pa.field(edge, pa.float32(), nullable=False) for edge in ("ymin", "xmin", "ymax", "xmax")]
_SHAPE_PARTS = [pa.field("mask", pa.binary()), pa.field("keypoints", pa.list_(KEYPOINT))]

DETECTION = pa.struct(
    [
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32(), nullable=False),
        *_BOX_EDGES,
        *_SHAPE_PARTS,
    ]
)

OBJECT = pa.struct(
    [
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        *_BOX_EDGES,
        pa.field("is_crowd", pa.bool_(), nullable=False),
        pa.field("difficult", pa.bool_(), nullable=False),
        pa.field("group_of", pa.bool_(), nullable=False),
        pa.field("area", pa.float32()),
        *_SHAPE_PARTS,
    ]
)

_FRAME = [
    pa.field("key", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("frame_index", pa.int64()),
    pa.field("record_index", pa.int64()),
    pa.field("timestamp_us", pa.int64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error", ERROR),
]

DETECTIONS = pa.schema([*_FRAME, pa.field("detections", pa.list_(pa.field("element", DETECTION, nullable=False)))])
GROUND_TRUTH = pa.schema([*_FRAME, pa.field("objects", pa.list_(pa.field("element", OBJECT, nullable=False)))])


class FrameError(NamedTuple):
    """Why a row failed.

    stage: plan, read, decode, detect or item; type: the error's class; message: a sentence for a person;
    last_frame_index: see docs/detections-format.md.
    """

    stage: str
    type: str
    message: str
    last_frame_index: int | None = None


class FrameRow(NamedTuple):
    """One image or frame, before it becomes a row of `DETECTIONS`; columns as in docs/detections-format.md."""

    key: str
    source: str
    kind: str
    frame_index: int | None = None
    record_index: int | None = None
    timestamp_us: int | None = None
    width: int | None = None
    height: int | None = None
    detections: Detections | None = None
    error: FrameError | None = None

    @property
    def status(self) -> str:
        """done, or failed where there is an error."""
        return "failed" if self.error else "done"


def detections_table(rows: Sequence[FrameRow], labels: Mapping[int, str]) -> pa.Table:
    """Rows as a table of schema `DETECTIONS`; a class id that `labels` lacks gets a null label."""
    frame_columns = {
        field.name: pa.array([getattr(row, field.name) for row in rows], field.type)
        for field in _FRAME
        if field.name != "error"
    }
    errors = pa.array([row.error and row.error._asdict() for row in rows], ERROR)
    # A failed row has no detections at all (null); an empty list would say "looked, and found nothing".
    found = [row.detections if row.detections is not None else _NOTHING for row in rows]
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(d) for d in found], out=offsets[1:])
    lists = pa.ListArray.from_arrays(
        pa.array(offsets),
        _detection_structs(found, labels),
        type=DETECTIONS.field("detections").type,
        mask=pa.array([row.detections is None for row in rows], pa.bool_()),
    )
    return pa.table({**frame_columns, "error": errors, "detections": lists}, DETECTIONS)


_NOTHING = Detections.empty()


def _detection_structs(found: Sequence[Detections], labels: Mapping[int, str]) -> pa.StructArray:
    boxes = np.concatenate([d.boxes for d in found]) if found else _NOTHING.boxes
    class_ids = np.concatenate([d.classes for d in found]) if found else _NOTHING.classes
    scores = np.concatenate([d.scores for d in found]) if found else _NOTHING.scores
    values: dict[str, pa.Array] = {
        "class_id": pa.array(class_ids),
        "label": _label_column(class_ids, labels),
        "score": pa.array(scores),
        "mask": pa.array([mask for d in found for mask in (d.masks or [None] * len(d))], pa.binary()),
        "keypoints": pa.array([points for d in found for points in _keypoint_lists(d)], pa.list_(KEYPOINT)),
    }
    for column, edge in enumerate(("ymin", "xmin", "ymax", "xmax")):
        values[edge] = pa.array(np.ascontiguousarray(boxes[:, column]))
    return pa.StructArray.from_arrays([values[field.name] for field in DETECTION], fields=list(DETECTION))


def _label_column(class_ids: np.ndarray[Any, Any], labels: Mapping[int, str]) -> pa.Array:
    known, inverse = np.unique(class_ids, return_inverse=True)
    names = pa.array([labels.get(int(class_id)) for class_id in known], pa.string())
    return names.take(pa.array(inverse.reshape(-1)))


def _keypoint_lists(found: Detections) -> list[list[dict[str, float]] | None]:
    if found.keypoints is None:
        return [None] * len(found)
    return [
        [{"x": float(x), "y": float(y), "score": float(score)} for y, x, score in points] for points in found.keypoints
    ]


def detections_of(table: pa.Table) -> list[Detections | None]:
    """The detections of every row of a table with a `detections` column; None for failed rows.

    Only boxes, scores and classes are read; unknown columns are ignored.
    """
    column = table.column("detections").combine_chunks()
    flat = column.flatten()
    boxes = np.stack([flat.field(edge).to_numpy() for edge in ("ymin", "xmin", "ymax", "xmax")], axis=1)
    scores, classes = flat.field("score").to_numpy(), flat.field("class_id").to_numpy()
    lengths = np.array([0 if n is None else n for n in column.value_lengths().to_pylist()], np.int64)
    stops = np.cumsum(lengths)
    return [
        Detections(boxes[stop - n : stop], scores[stop - n : stop], classes[stop - n : stop]) if valid else None
        for n, stop, valid in zip(lengths, stops, column.is_valid().to_pylist(), strict=True)
    ]
