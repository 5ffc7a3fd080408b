"""The Parquet schemas boxbeam reads and writes, and the rows it builds for them.

`DETECTIONS` is version 1 of the detections format, published for people in docs/detections-format.md: one row per
image or video frame, its boxes in a list. `GROUND_TRUTH` has the same shape with annotation flags instead of scores,
so that evaluation and drawing join like with like; its `source_id` is what the data set itself calls an image (COCO's
image id), which is the key of detections that were made from TFRecord files.

Strings that repeat (kind, status, label) are plain `string` here and dictionary-encoded by Parquet on disk: Arrow's own
dictionary type inside a list of structs is refused by several of the readers the format is meant for.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from od_core.detections import Detections, FloatArray, IntArray
from od_core.ground_truth import GroundTruth

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
GROUND_TRUTH = pa.schema(
    [
        *_FRAME,
        pa.field("source_id", pa.string()),
        pa.field("objects", pa.list_(pa.field("element", OBJECT, nullable=False))),
    ]
)


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
    """One image or frame, before it becomes a row of `DETECTIONS` or, with `objects` instead, of `GROUND_TRUTH`.

    Columns as in docs/detections-format.md; `source_id`, what the data set itself calls the image, is a column of
    `GROUND_TRUTH` only.
    """

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
    objects: GroundTruth | None = None
    source_id: str | None = None

    @property
    def status(self) -> str:
        """done, or failed where there is an error."""
        return "failed" if self.error else "done"


def detections_table(rows: Sequence[FrameRow], labels: Mapping[int, str]) -> pa.Table:
    """Rows as a table of schema `DETECTIONS`; a class id that `labels` lacks gets a null label.

    Raises:
        ValueError: a row has neither detections (which may be none) nor an error.
    """
    for row in rows:
        if row.detections is None and row.error is None:
            raise ValueError(f"{row.key}: a row that did not fail must have detections, empty if nothing was found")
    found = [row.detections if row.detections is not None else _NO_DETECTIONS for row in rows]
    boxes, scores, classes = (
        np.concatenate([getattr(d, name) for d in [*found, _NO_DETECTIONS]]) for name in ("boxes", "scores", "classes")
    )
    structs = _structs(
        DETECTION,
        boxes,
        class_id=pa.array(classes),
        label=_label_column(classes, labels),
        score=pa.array(scores),
        mask=pa.array([mask for d in found for mask in (d.masks or [None] * len(d))], pa.binary()),
        keypoints=_keypoint_column(found),
    )
    # A failed row has no detections at all (null); an empty list would say "looked, and found nothing".
    lists = _list_column([None if row.detections is None else len(row.detections) for row in rows], structs)
    return _table(DETECTIONS, rows, lists)


class FrameObjects(NamedTuple):
    """The objects of many rows, end to end: a few large arrays instead of many small ones.

    truth: all objects, in the order of the rows; counts: how many each row has, None for one that failed.
    """

    truth: GroundTruth
    counts: Sequence[int | None]


def ground_truth_table(
    rows: Sequence[FrameRow], labels: Mapping[int, str], objects: FrameObjects | None = None
) -> pa.Table:
    """Rows as a table of schema `GROUND_TRUTH`.

    An object without a label of its own gets that of its class id; a class id that `labels` lacks gets a null label.

    Args:
        rows: of images or frames.
        labels: names by class id.
        objects: those of all rows, whose own are then not looked at; None takes the rows' own.
    """
    if objects is None:
        truths = [row.objects for row in rows]
        counts = [None if truth is None else len(truth) for truth in truths]
        objects = FrameObjects(GroundTruth.joined([truth for truth in truths if truth is not None]), counts)
    truth, classes = objects.truth, objects.truth.classes
    nothing = [None] * len(classes)
    own_labels = pa.array(truth.labels or nothing, pa.string())
    structs = _structs(
        OBJECT,
        truth.boxes,
        class_id=pa.array(classes),
        label=own_labels.fill_null(_label_column(classes, labels)) if len(classes) else own_labels,
        is_crowd=pa.array(truth.is_crowd),
        difficult=pa.array(truth.difficult),
        group_of=pa.array(truth.group_of),
        area=pa.array(nothing if truth.area is None else truth.area, pa.float32(), from_pandas=True),  # NaN: null
        mask=pa.array(truth.masks or nothing, pa.binary()),
        keypoints=pa.nulls(len(classes), pa.list_(KEYPOINT)),
    )
    return _table(GROUND_TRUTH, rows, _list_column(objects.counts, structs))


_NO_DETECTIONS = Detections.empty()


def _table(schema: pa.Schema, rows: Sequence[FrameRow], lists: pa.ListArray) -> pa.Table:
    """The columns of the schema from the rows, `lists` as the last one."""
    # Quicker than to ask every row for every field. Of no rows there are no columns.
    values: dict[str, Sequence[Any]] = dict(zip(FrameRow._fields, zip(*rows, strict=True), strict=False))
    values["status"] = [row.status for row in rows]
    values["error"] = [row.error and row.error._asdict() for row in rows]
    columns = [pa.array(values.get(field.name, ()), field.type) for field in list(schema)[:-1]]
    return pa.table([*columns, lists], schema=schema)


def _list_column(
    lengths: Sequence[int | None], structs: pa.StructArray, list_type: pa.ListType | None = None
) -> pa.ListArray:
    """Structs dealt to rows by length, in order; a length of None makes a null."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum([length or 0 for length in lengths], out=offsets[1:])
    return pa.ListArray.from_arrays(
        pa.array(offsets),
        structs,
        type=list_type or pa.list_(pa.field("element", structs.type, nullable=False)),
        mask=pa.array([length is None for length in lengths], pa.bool_()),
    )


def _structs(struct: pa.StructType, boxes: FloatArray, **columns: pa.Array) -> pa.StructArray:
    for index, edge in enumerate(_BOX_EDGES):
        columns[edge.name] = pa.array(np.ascontiguousarray(boxes[:, index]))
    return pa.StructArray.from_arrays([columns[field.name] for field in struct], fields=list(struct))


def _label_column(class_ids: IntArray, labels: Mapping[int, str]) -> pa.Array:
    known, inverse = np.unique(class_ids, return_inverse=True)
    names = pa.array([labels.get(int(class_id)) for class_id in known], pa.string())
    return names.take(pa.array(inverse.reshape(-1)))


def _keypoint_column(found: Sequence[Detections]) -> pa.ListArray:
    """The keypoints of all detections of all rows; NaN, which is what is not known, becomes null."""
    if all(one.keypoints is None for one in found):
        return pa.nulls(sum(map(len, found)), pa.list_(KEYPOINT))
    points = [one.keypoints.reshape(-1, 3) for one in found if one.keypoints is not None]
    y, x, score = (pa.array(np.ascontiguousarray(column), from_pandas=True) for column in np.concatenate(points).T)
    structs = pa.StructArray.from_arrays([x, y, score], fields=list(KEYPOINT))
    lengths = [None if one.keypoints is None else one.keypoints.shape[1] for one in found for _ in range(len(one))]
    return _list_column(lengths, structs, pa.list_(KEYPOINT))


def detections_of(table: pa.Table, *, with_shapes: bool = False) -> list[Detections | None]:
    """The detections of every row of a table with a `detections` column; None for failed rows.

    Boxes, scores and classes are read, and `with_shapes` masks and keypoints; unknown columns are ignored.
    """
    structs, parts = _flattened(table.column("detections"))
    boxes = _box_rows(structs)
    scores, classes = _numbers(structs, "score", np.float32), _numbers(structs, "class_id", np.int32)
    found = [part and Detections(boxes[part], scores[part], classes[part]) for part in parts]
    names = {field.name for field in structs.type}
    if not with_shapes or not {"mask", "keypoints"} <= names:
        return found
    masks, points = structs.field("mask"), structs.field("keypoints")
    if masks.null_count == len(masks) and points.null_count == len(points):
        return found
    return [
        one and dataclasses.replace(one, masks=_masks(masks[part]), keypoints=_keypoints(points[part]))
        for one, part in zip(found, parts, strict=True)
    ]


def _masks(column: pa.BinaryArray) -> tuple[bytes, ...] | None:
    """The masks of one row, those that are null empty; None if all are."""
    return tuple(mask or b"" for mask in column.to_pylist()) if column.null_count < len(column) else None


def _keypoints(column: pa.ListArray) -> FloatArray | None:
    """float32 (N, K, 3), rows [y, x, score], of one row; None where not every detection has K of them."""
    lengths = set(column.value_lengths().to_pylist())
    if len(lengths) != 1 or None in lengths:
        return None
    structs = column.flatten()
    points = np.stack([_numbers(structs, name, np.float32) for name in ("y", "x", "score")], axis=1)
    return points.reshape(len(column), -1, 3)


def ground_truths_of(table: pa.Table) -> list[GroundTruth | None]:
    """The ground truth of every row of a table with an `objects` column; None for failed rows.

    Masks and keypoints are not read; unknown columns are ignored.
    """
    structs, parts = _flattened(table.column("objects"))
    boxes, classes = _box_rows(structs), _numbers(structs, "class_id", np.int32)
    flags = {name: _numbers(structs, name, np.bool_) for name in ("is_crowd", "difficult", "group_of")}
    labels, areas = structs.field("label").to_pylist(), _numbers(structs, "area", np.float32)  # a null area is NaN
    return [
        part
        and GroundTruth(
            boxes[part],
            classes[part],
            flags["is_crowd"][part],
            flags["difficult"][part],
            flags["group_of"][part],
            labels=tuple(labels[part]) if any(labels[part]) else None,
            area=None if np.isnan(areas[part]).all() else areas[part],
        )
        for part in parts
    ]


def _flattened(column: pa.ChunkedArray) -> tuple[pa.StructArray, list[slice | None]]:
    """The structs of all rows end to end, and which of them are a row's; None for a row that is null."""
    lists = column.combine_chunks()
    stops = np.cumsum(lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)).tolist()
    parts = [
        slice(start, stop) if valid else None
        for start, stop, valid in zip([0, *stops], stops, lists.is_valid().to_pylist(), strict=False)
    ]
    return lists.flatten(), parts


def _box_rows(structs: pa.StructArray) -> FloatArray:
    return np.stack([_numbers(structs, edge.name, np.float32) for edge in _BOX_EDGES], axis=1)


def _numbers(structs: pa.StructArray, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = structs.field(name).to_numpy(zero_copy_only=False)
    return array.astype(dtype, copy=False)
