"""Verdicts on one frame: which detections are right, which are wrong and why, which objects were missed."""

import dataclasses
import enum

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.metrics.frame import EvaluatedFrame

BACKGROUND_IOU = 0.1
"""A detection that overlaps no object by more than this found nothing at all (TIDE's background threshold)."""

NONE = -1
"""In the place of an index: there is none."""

_EXACT = 1 - 1e-10  # pycocotools' greatest threshold: a box equal to the object passes 1.0 in spite of rounding


class Verdict(enum.IntEnum):
    """True positive, false positive, false negative (a missed object), or neither right nor wrong."""

    TP = 0
    FP = 1
    FN = 2
    IGNORED = 3

    @property
    def word(self) -> str:
        """As files have it: tp, fp, fn, ignored."""
        return self.name.lower()


class Reason(enum.IntEnum):
    """Why a detection is a false positive; see `verdicts_of`."""

    NONE = 0
    LOCALISATION = 1
    CLASS = 2
    DUPLICATE = 3
    BACKGROUND = 4
    BOTH = 5

    @property
    def word(self) -> str:
        """As files have it: localisation, class, duplicate, background, both."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True, eq=False)
class Verdicts:
    """What became of the detections and the objects of one frame, in their order.

    Attributes:
        found: int8 (N,), the `Verdict` on every detection: TP, FP or IGNORED.
        reasons: int8 (N,), the `Reason` of every false positive, NONE for others.
        objects: int64 (N,), the object that the verdict is about: the one found (TP), the one that makes it not count
            (IGNORED), the one that the reason speaks of (FP); `NONE` for what is only background.
        ious: float64 (N,), overlap with that object: intersection over union, but over the detection's own area for
            the box of a crowd or group; 0 where there is none.
        truth: int8 (M,), the `Verdict` on every object: TP (found), FN (missed) or IGNORED (need not be found).
        finders: int64 (M,), the detection that found the object; `NONE` for others.
    """

    found: npt.NDArray[np.int8]
    reasons: npt.NDArray[np.int8]
    objects: npt.NDArray[np.int64]
    ious: npt.NDArray[np.float64]
    truth: npt.NDArray[np.int8]
    finders: npt.NDArray[np.int64]


def verdicts_of(frame: EvaluatedFrame, iou: float = 0.5) -> Verdicts:
    """Match the detections of a frame with its objects.

    COCO's greedy matching, one IoU threshold, all detections: from the best score down, each takes the object of its
    class that is still free and overlaps it most, if that is at least `iou` (of equal overlaps the last object). It is
    then a true positive. Difficult objects, crowds and groups need not be found: what overlaps none but these by `iou`
    is ignored, any number of detections per object. Objects of no class (-1) play no part.

    Every other detection is a false positive, for the first of these reasons that holds (the error types of TIDE, Bolya
    et al. 2020, in the order of its authors' code; objects that need not be found do not take part):

    1. localisation: it overlaps objects of its class by at least 0.1, but less than `iou`;
    2. class: it overlaps an object of another class by at least `iou`;
    3. duplicate: it overlaps an object of its class by at least `iou`, which a better detection has taken;
    4. background: it overlaps no object by more than 0.1;
    5. both: what is left overlaps objects of other classes by more than 0.1 and less than `iou`.

    Detections below a score change nothing above it: the verdicts on `found.best(min_score=x)` are the first ones of
    those on all, and the objects missed are then those whose finder scores less than x, and those without one.

    Args:
        frame: its classes are compared as they are.
        iou: above 0.1, at most 1.

    Raises:
        ValueError: another `iou`.
    """
    if not BACKGROUND_IOU < iou <= 1:
        raise ValueError(f"iou must be above {BACKGROUND_IOU} and at most 1, got {iou}")
    truth, found = frame.truth, frame.found
    threshold = min(iou, _EXACT)
    overlaps = overlaps_of(frame)
    own_class = found.classes[:, None] == truth.classes[None, :]
    needed = ~(truth.is_crowd | truth.group_of | truth.difficult) & (truth.classes >= 0)
    passes = own_class & (overlaps >= threshold)
    finders = np.full(len(truth), NONE, np.int64)
    objects = np.full(len(found), NONE, np.int64)
    verdicts = np.full(len(found), Verdict.FP, np.int8)
    candidates = passes & needed
    for detection in np.flatnonzero(candidates.any(axis=1)).tolist():
        free = np.flatnonzero(candidates[detection] & (finders == NONE))
        if len(free):
            taken = free[len(free) - 1 - overlaps[detection, free[::-1]].argmax()]  # of equals the last
            finders[taken], objects[detection] = detection, taken
            verdicts[detection] = Verdict.TP
    excused = passes & ~needed
    ignored = (verdicts == Verdict.FP) & excused.any(axis=1)
    verdicts[ignored] = Verdict.IGNORED
    objects[ignored] = np.where(excused[ignored], overlaps[ignored], -1.0).argmax(axis=1) if ignored.any() else NONE
    wrong = np.flatnonzero(verdicts == Verdict.FP)
    reasons = np.full(len(found), Reason.NONE, np.int8)
    reasons[wrong], objects[wrong] = _reasons(overlaps[wrong], own_class[wrong], needed, threshold)
    ious = np.zeros(len(found))
    about = np.flatnonzero(objects != NONE)
    ious[about] = overlaps[about, objects[about]]
    judged = np.where(needed, np.where(finders == NONE, Verdict.FN, Verdict.TP), Verdict.IGNORED).astype(np.int8)
    return Verdicts(verdicts, reasons, objects, ious, judged, finders)


def overlaps_of(frame: EvaluatedFrame) -> npt.NDArray[np.float64]:
    """Of every detection with every object, (N, M), see `Verdicts.ious`."""
    truth = boxes.measured(frame.truth.boxes, frame.height, frame.width)
    found = boxes.measured(frame.found.boxes, frame.height, frame.width)
    overlaps = boxes.pairwise_iou(found, truth)
    many = frame.truth.is_crowd | frame.truth.group_of
    if many.any():
        overlaps[:, many] = boxes.pairwise_ioa(found, truth[many])
    return overlaps


def _reasons(
    overlaps: npt.NDArray[np.float64], own_class: npt.NDArray[np.bool_], needed: npt.NDArray[np.bool_], threshold: float
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """The reason of every false positive, and the object that it speaks of."""
    if not needed.any():
        count = len(overlaps)
        return np.full(count, Reason.BACKGROUND, np.int8), np.full(count, NONE, np.int64)
    own = np.where(own_class & needed, overlaps, 0.0)
    other = np.where(~own_class & needed, overlaps, 0.0)
    best_own, best_other = own.max(axis=1), other.max(axis=1)
    reasons = np.select(
        [
            (best_own >= BACKGROUND_IOU) & (best_own < threshold),
            best_other >= threshold,
            best_own >= threshold,
            best_other <= BACKGROUND_IOU,
        ],
        [Reason.LOCALISATION, Reason.CLASS, Reason.DUPLICATE, Reason.BACKGROUND],
        Reason.BOTH,
    ).astype(np.int8)
    of_other = (reasons == Reason.CLASS) | (reasons == Reason.BOTH)
    objects = np.where(of_other, other.argmax(axis=1), own.argmax(axis=1))
    return reasons, np.where(reasons == Reason.BACKGROUND, NONE, objects)
