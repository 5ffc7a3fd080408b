"""Frames to evaluate: the rows of a row group of detections, each with its ground truth."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from od_core.detections import Detections, FloatArray
from od_core.errors import StorageError
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdict_rows import FrameOrigin
from pipelines.evaluate.classes import NO_CLASS, ClassCodes, ClassPair
from pipelines.evaluate.detections import IDENTITY, RowGroup, is_looked_at, read_boxes, read_columns
from pipelines.evaluate.slices import SliceBy, row_slices
from pipelines.evaluate.truth import EDGES, MASK, WorkerTruth

_ROWS = 1000


class DetectionClasses:
    """The evaluation's class ids for the classes in detections, as the launcher found them: pairs of class and id."""

    def __init__(self, ids: Sequence[tuple[ClassPair, int]]) -> None:
        self._codes = ClassCodes([pair for pair, _ in ids])
        self._ids = [class_id for _, class_id in ids]

    def of(self, structs: pa.StructArray) -> npt.NDArray[np.int32]:
        """The class id of every detection, int32 (N,); `NO_CLASS` for one of no class of the evaluation."""
        codes = self._codes.codes(structs)
        self._ids += [NO_CLASS] * (len(self._codes.pairs) - len(self._ids))  # classes of frames that are left out
        return np.array([*self._ids, NO_CLASS], np.int32)[codes]


class RowFrame(NamedTuple):
    """A frame to evaluate, and the row of detections that it comes from."""

    frame: EvaluatedFrame
    origin: FrameOrigin


def row_frames(
    group: RowGroup, truth: WorkerTruth, classes: DetectionClasses, slicing: Sequence[SliceBy] = ()
) -> Iterator[list[RowFrame]]:
    """The frames of a row group that the ground truth knows, some at a time, with the slices they belong to.

    Raises:
        StorageError: a row that is not what docs/detections-format.md promises.
    """
    more = dict.fromkeys(["record_index", *(way.column for way in slicing if way.column)])
    rows = read_columns(group, more=[name for name in more if name not in IDENTITY])
    places = found_places(rows, truth)
    slices = list(row_slices(rows, slicing, places, truth))
    sizes = np.column_stack([rows.column(name).fill_null(0).to_numpy() for name in ("height", "width")])
    start = 0
    for lists in read_boxes(group, _ROWS, [MASK] if truth.has_masks else []):
        part = slice(start, start + len(lists))
        start = part.stop
        try:
            some = rows.slice(part.start, len(lists))
            looked_at = is_looked_at(some.column("status").combine_chunks(), lists)
            frames = _frames(some, lists, np.where(looked_at, places[part], -1), sizes[part], truth, classes)
            yield [one._replace(frame=one.frame._replace(slices=slices[part.start + row])) for row, one in frames]
        except ValueError as error:
            raise StorageError(
                f"{group.path}: rows {part.start} to {part.stop - 1} of row group {group.number}: {error};"
                " boxbeam inspect says more"
            ) from error


def found_places(rows: pa.Table, truth: WorkerTruth) -> npt.NDArray[np.int64]:
    """Where the ground truth has the frame of every row; -1 for a frame it lacks."""
    indices = rows.column("frame_index").combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
    return truth.index.find(rows.column("key").combine_chunks(), indices)


def _frames(
    rows: pa.Table,
    lists: pa.ListArray,
    places: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    truth: WorkerTruth,
    classes: DetectionClasses,
) -> Iterator[tuple[int, RowFrame]]:
    structs = lists.flatten()
    class_ids = classes.of(structs)
    kept = class_ids != NO_CLASS
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    stops = np.concatenate([[0], np.cumsum(lengths)])
    indices = (np.arange(stops[-1]) - np.repeat(stops[:-1], lengths)).astype(np.int32)[kept]
    stops = np.concatenate([[0], np.cumsum(kept)])[stops]  # as they are when only the kept ones are left
    boxes = np.stack([_floats(structs.field(edge)) for edge in EDGES], axis=1)[kept]
    scores = _floats(structs.field("score"))[kept]
    class_ids = class_ids[kept]
    masks = structs.field(MASK).filter(pa.array(kept)) if truth.has_masks else None
    identity = [rows.column(name).combine_chunks() for name in ("key", "frame_index", "record_index")]
    for row in np.flatnonzero(places >= 0).tolist():
        place, part = int(places[row]), slice(stops[row], stops[row + 1])
        height, width = (truth.sizes[place] if truth.sizes[place].all() else sizes[row]).tolist()
        best_first = np.argsort(-scores[part], kind="stable")
        found = Detections(boxes[part][best_first], scores[part][best_first], class_ids[part][best_first])
        if masks is not None:
            found = dataclasses.replace(found, masks=_masks(masks[part].take(pa.array(best_first))))
        frame = EvaluatedFrame(
            truth.names[place].as_py(),
            height,
            width,
            truth.truth_at(place),
            found,
            truth.verified_at(place),
        )
        key, frame_index, record_index = (column[row].as_py() for column in identity)
        yield row, RowFrame(frame, FrameOrigin(key, frame_index, record_index, indices[part][best_first]))


def _floats(column: pa.Array) -> FloatArray:
    """As float32: pandas, for one, makes doubles of them when it writes rows that it has read."""
    numbers: FloatArray = column.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return numbers


def _masks(masks: pa.Array) -> tuple[bytes, ...]:
    if masks.null_count:
        raise ValueError("a detection without a mask")
    return tuple(masks.to_pylist())
