"""What is kept of a frame for insight, and the frames of an evaluation pooled."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import FloatArray, IntArray
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Verdict, overlaps_of, verdicts_of

EXCUSED = -2
"""In the place of a confused object: the detection overlaps only what need not be found."""

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]


class TalliedFrame(NamedTuple):
    """One frame: its detections, its objects, and what became of them; 22 bytes a detection, 13 an object.

    Attributes:
        scores, classes, verdicts, reasons, objects: of its detections, see `Verdicts`.
        areas: square pixels of their boxes.
        confused: the object that each detection takes where classes do not matter; `NONE` for none, or `EXCUSED`.
        truth_classes, truth_verdicts, finders: of its objects, see `Verdicts`.
        truth_areas: as annotated, else of their boxes.
        slices: UTF-8, the slices that it belongs to, with a zero byte after each.
    """

    scores: FloatArray
    classes: IntArray
    verdicts: Codes
    reasons: Codes
    objects: IntArray
    areas: FloatArray
    confused: IntArray
    truth_classes: IntArray
    truth_verdicts: Codes
    finders: IntArray
    truth_areas: FloatArray
    slices: npt.NDArray[np.uint8]


def tally_of(frame: EvaluatedFrame, class_ids: npt.NDArray[np.int32], iou: float) -> TalliedFrame:
    """Judge a frame; detections and objects of other classes than `class_ids` are left out."""
    frame = _known(frame, class_ids)
    verdicts = verdicts_of(frame, iou)
    truth, found = frame.truth, frame.found
    areas = boxes.area(boxes.measured(truth.boxes, frame.height, frame.width)).astype(np.float32)
    if truth.area is not None:
        areas = np.where(truth.area > 0, truth.area, areas)
    return TalliedFrame(
        found.scores,
        found.classes,
        verdicts.found,
        verdicts.reasons,
        verdicts.objects.astype(np.int32),
        boxes.area(boxes.measured(found.boxes, frame.height, frame.width)).astype(np.float32),
        confusions_of(overlaps_of(frame), verdicts.truth != Verdict.IGNORED, iou),
        truth.classes,
        verdicts.truth,
        verdicts.finders.astype(np.int32),
        areas,
        np.frombuffer(b"".join(name.encode() + b"\0" for name in frame.slices), np.uint8),
    )


def confusions_of(overlaps: npt.NDArray[np.float64], needed: Flags, iou: float) -> IntArray:
    """Match detections, best first, with objects of whatever class.

    From the best score down, each takes the object that is still free and overlaps it most, of equal ones the first.

    Args:
        overlaps: (N, M), detections best first.
        needed: bool (M,), whether an object needs to be found.
        iou: least overlap.

    Returns:
        int32 (N,), the object taken, `EXCUSED` for a detection that overlaps only what need not be found, or `NONE`.
    """
    passes = overlaps >= iou
    taken = np.full(len(overlaps), NONE, np.int32)
    free = needed.copy()
    for detection in np.flatnonzero((passes & needed).any(axis=1)).tolist():
        candidates = np.flatnonzero(passes[detection] & free)
        if len(candidates):
            object = candidates[overlaps[detection, candidates].argmax()]
            taken[detection], free[object] = object, False
    taken[(taken == NONE) & (passes & ~needed).any(axis=1)] = EXCUSED
    return taken


def _known(frame: EvaluatedFrame, class_ids: npt.NDArray[np.int32]) -> EvaluatedFrame:
    truths, finds = np.isin(frame.truth.classes, class_ids), np.isin(frame.found.classes, class_ids)
    return frame._replace(
        truth=frame.truth if truths.all() else frame.truth.where(truths),
        found=frame.found if finds.all() else frame.found.where(finds),
    )


class Pool(NamedTuple):
    """The detections and objects of many frames, frames in the order of their names.

    Attributes:
        frames: number of frames.
        scores, classes, verdicts, reasons, areas: of detections, as in `TalliedFrame`.
        objects, confused: likewise, objects numbered through all frames.
        truth_classes, truth_verdicts, truth_areas: of objects.
        is_found: bool, whether a detection has taken the object.
        needed: bool, whether an object needs to be found.
    """

    frames: int
    scores: FloatArray
    classes: IntArray
    verdicts: Codes
    reasons: Codes
    areas: FloatArray
    objects: Indices
    confused: Indices
    truth_classes: IntArray
    truth_areas: FloatArray
    is_found: Flags
    needed: Flags

    @classmethod
    def of(cls, tallied: Iterable[TalliedFrame]) -> "Pool":
        """Frames in this order."""
        frames = list(tallied)
        objects = [len(frame.truth_classes) for frame in frames]
        detections = [len(frame.scores) for frame in frames]
        first = np.repeat(np.cumsum([0, *objects])[:-1], detections)

        def column(name: str, dtype: Any) -> npt.NDArray[Any]:
            return np.concatenate([np.zeros(0, dtype), *(getattr(frame, name) for frame in frames)])

        def numbered(name: str) -> Indices:
            local = column(name, np.int64)
            return np.where(local >= 0, local + first, local)

        judged = column("truth_verdicts", np.int8)
        return cls(
            len(frames),
            column("scores", np.float32),
            column("classes", np.int32),
            column("verdicts", np.int8),
            column("reasons", np.int8),
            column("areas", np.float32),
            numbered("objects"),
            numbered("confused"),
            column("truth_classes", np.int32),
            column("truth_areas", np.float32),
            judged == Verdict.TP,
            judged != Verdict.IGNORED,
        )

    @property
    def is_right(self) -> Flags:
        """Whether a detection is a true positive."""
        return np.asarray(self.verdicts == Verdict.TP)

    @property
    def counts(self) -> Flags:
        """Whether a detection is right or wrong."""
        return np.asarray(self.verdicts != Verdict.IGNORED)

    def objects_of(self, class_ids: Sequence[int]) -> list[int]:
        """How many objects of each class need to be found."""
        there = dict(zip(*np.unique(self.truth_classes[self.needed], return_counts=True), strict=True))
        return [int(there.get(class_id, 0)) for class_id in class_ids]


def slices_of(frame: TalliedFrame) -> list[str]:
    """The slices that a frame belongs to."""
    return [name.decode() for name in frame.slices.tobytes().split(b"\0")[:-1]]
