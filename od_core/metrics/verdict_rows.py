"""Verdicts as rows of Parquet: one row per detection, and one per missed object. docs/metrics.md describes them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Reason, Verdict, Verdicts

VERDICTS_VERSION = "boxbeam.verdicts/1"

_EDGES = ("ymin", "xmin", "ymax", "xmax")

VERDICTS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("frame_index", pa.int64()),
        pa.field("record_index", pa.int64()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("class_id", pa.int32(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("score", pa.float32()),
        pa.field("iou", pa.float32()),
        *(pa.field(edge, pa.float32(), nullable=False) for edge in _EDGES),
        pa.field("detection_index", pa.int32()),
        pa.field("object_index", pa.int32()),
        pa.field("object_class_id", pa.int32()),
        pa.field("object_label", pa.string()),
    ],
    {"boxbeam.schema": VERDICTS_VERSION},
)

_VERDICT_WORDS = pa.array([verdict.word for verdict in Verdict])
_REASON_WORDS = pa.array([reason.word if reason else None for reason in Reason])


class FrameOrigin(NamedTuple):
    """The row of detections that an evaluated frame comes from.

    Attributes:
        key, frame_index, record_index: as in docs/detections-format.md.
        indices: int32 (N,), the place of every detection of the frame in that row's list.
    """

    key: str
    frame_index: int | None
    record_index: int | None
    indices: npt.NDArray[np.int32]


class JudgedFrame(NamedTuple):
    """A frame with the verdicts on it."""

    frame: EvaluatedFrame
    origin: FrameOrigin
    verdicts: Verdicts


def verdict_table(judged: Sequence[JudgedFrame], categories: Mapping[int, str]) -> pa.Table:
    """Rows of schema `VERDICTS`: frame by frame, its detections best first, then the objects that were missed.

    Args:
        judged: the frames.
        categories: class id -> name; has every class of the detections and objects, but -1.
    """
    parts = [_columns(row, one) for row, one in enumerate(judged)]
    columns = _Columns(*(np.concatenate(column) for column in zip(_NO_ROWS, *parts, strict=True)))
    origins = [one.origin for one in judged]
    arrays = {
        "key": pa.array([origin.key for origin in origins], pa.string()).take(columns.row),
        "frame_index": pa.array([origin.frame_index for origin in origins], pa.int64()).take(columns.row),
        "record_index": pa.array([origin.record_index for origin in origins], pa.int64()).take(columns.row),
        "width": pa.array([one.frame.width for one in judged], pa.int32()).take(columns.row),
        "height": pa.array([one.frame.height for one in judged], pa.int32()).take(columns.row),
        "verdict": _VERDICT_WORDS.take(columns.verdict),
        "reason": _REASON_WORDS.take(columns.reason),
        "class_id": pa.array(columns.class_id),
        "label": _labels(columns.class_id, categories),
        "score": pa.array(columns.score, from_pandas=True),
        "iou": pa.array(columns.iou, pa.float32(), mask=columns.object_class_id == NONE),
        **{edge: pa.array(np.ascontiguousarray(columns.box[:, index])) for index, edge in enumerate(_EDGES)},
        "detection_index": _or_null(columns.detection_index),
        "object_index": _or_null(columns.object_index),
        "object_class_id": _or_null(columns.object_class_id),
        "object_label": _labels(columns.object_class_id, categories),
    }
    missed = pa.array(columns.verdict == Verdict.FN)
    arrays["iou"] = pc.if_else(missed, pa.scalar(None, pa.float32()), arrays["iou"])
    return pa.table([arrays[name] for name in VERDICTS.names], schema=VERDICTS)


class _Columns(NamedTuple):
    """What differs between the rows of a frame; NONE and NaN for null."""

    row: npt.NDArray[np.int64]
    verdict: npt.NDArray[np.int8]
    reason: npt.NDArray[np.int8]
    class_id: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    iou: npt.NDArray[np.float64]
    box: npt.NDArray[np.float32]
    detection_index: npt.NDArray[np.int32]
    object_index: npt.NDArray[np.int32]
    object_class_id: npt.NDArray[np.int32]


_NO_INTS = np.zeros(0, np.int32)
_NO_ROWS = _Columns(
    np.zeros(0, np.int64),
    np.zeros(0, np.int8),
    np.zeros(0, np.int8),
    _NO_INTS,
    np.zeros(0, np.float32),
    np.zeros(0),
    np.zeros((0, 4), np.float32),
    _NO_INTS,
    _NO_INTS,
    _NO_INTS,
)


def _columns(row: int, one: JudgedFrame) -> _Columns:
    verdicts, truth, found = one.verdicts, one.frame.truth, one.frame.found
    missed = np.flatnonzero(verdicts.truth == Verdict.FN).astype(np.int32)
    nothing = np.full(len(missed), NONE, np.int32)
    about = verdicts.objects
    classes = np.append(truth.classes, np.int32(NONE))  # the last is that of no object
    return _Columns(
        np.full(len(found) + len(missed), row),
        np.concatenate([verdicts.found, np.full(len(missed), Verdict.FN, np.int8)]),
        np.concatenate([verdicts.reasons, np.zeros(len(missed), np.int8)]),
        np.concatenate([found.classes, truth.classes[missed]]),
        np.concatenate([found.scores, np.full(len(missed), np.nan, np.float32)]),
        np.concatenate([verdicts.ious, np.zeros(len(missed))]),
        np.concatenate([found.boxes, truth.boxes[missed]]),
        np.concatenate([one.origin.indices, nothing]),
        np.concatenate([about.astype(np.int32), missed]),
        np.concatenate([classes[about], truth.classes[missed]]),
    )


def _or_null(numbers: npt.NDArray[np.int32]) -> pa.Array:
    return pa.array(numbers, mask=numbers == NONE)


def _labels(class_ids: npt.NDArray[np.int32], categories: Mapping[int, str]) -> pa.Array:
    known, inverse = np.unique(class_ids, return_inverse=True)
    return pa.array([categories.get(class_id) for class_id in known.tolist()], pa.string()).take(pa.array(inverse))
