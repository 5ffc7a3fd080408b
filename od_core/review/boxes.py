"""The boxes of one frame as pages have them: lists of numbers, with the verdicts on them.

A detection is [class, score, ymin, xmin, ymax, xmax, verdict, reason, iou], and where it has a mask or keypoints,
outline and keypoints behind them (see `od_core.review.shapes`); an annotated object is [class, ymin, xmin, ymax, xmax,
verdict, score of its finder, name]; edges are in units of the image. Below a threshold chosen on the page,
an object counts as missed if its finder scores less: the verdicts stay right at every threshold (see `verdicts_of`).
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Reason, Verdict, verdicts_of
from od_core.review.chunks import rounded
from od_core.review.shapes import shapes_of


class Mark(enum.IntEnum):
    """What a box is: the verdicts, and FOUND where there is no ground truth to judge by."""

    TP = Verdict.TP
    FP = Verdict.FP
    FN = Verdict.FN
    IGNORED = Verdict.IGNORED
    FOUND = 4


class MarkedFrame(NamedTuple):
    """One frame.

    Attributes:
        found: detections, see the module.
        truth: annotated objects, see the module; None where nobody has annotated.
        marks: class, mark and score of every box that counts; an object that is to be found is FN with the score of its
            finder, or 0.
    """

    found: list[list[object]]
    truth: list[list[object]] | None
    marks: Sequence[tuple[int, Mark, float]]


def mark(frame: DetectedFrame, found: Detections, truth: GroundTruth | None) -> MarkedFrame:
    """A frame's boxes with the verdicts on them.

    Args:
        truth: with the class ids of the detections; None: there is none.
    """
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    boxes: list[list[object]] = [[c, rounded(s), *map(rounded, box)] for c, s, box in rows]
    scores = [rounded(score) for score in found.scores.tolist()]
    classes = found.classes.tolist()
    if truth is None or frame.height is None or frame.width is None:
        plain = _with_shapes([[*box, Mark.FOUND.value, 0, 0] for box in boxes], frame, found)
        return MarkedFrame(plain, None, [(c, Mark.FOUND, s) for c, s in zip(classes, scores, strict=True)])
    verdicts = verdicts_of(EvaluatedFrame(frame.name, frame.height, frame.width, truth, found))
    judged = zip(verdicts.found.tolist(), verdicts.reasons.tolist(), verdicts.ious.tolist(), strict=True)
    told = [[*box, verdict, reason, rounded(iou)] for box, (verdict, reason, iou) in zip(boxes, judged, strict=True)]
    told = _with_shapes(told, frame, found)
    marks = [(c, Mark(v), s) for c, v, s in zip(classes, verdicts.found.tolist(), scores, strict=True)]
    objects, missed = _objects(truth, verdicts.truth.tolist(), verdicts.finders.tolist(), scores)
    return MarkedFrame(told, objects, [*marks, *missed])


def _with_shapes(told: list[list[object]], frame: DetectedFrame, found: Detections) -> list[list[object]]:
    if (found.masks is None and found.keypoints is None) or not frame.height or not frame.width:
        return told
    shapes = shapes_of(found, frame.height, frame.width)
    return [[*one, *shape] if any(shape) else one for one, shape in zip(told, shapes, strict=True)]


def _objects(
    truth: GroundTruth, verdicts: Sequence[int], finders: Sequence[int], scores: Sequence[float]
) -> tuple[list[list[object]], list[tuple[int, Mark, float]]]:
    names = truth.labels or [None] * len(truth)
    objects: list[list[object]] = []
    missed = []
    columns = (truth.classes.tolist(), truth.boxes.tolist(), verdicts, finders, names)
    for class_id, box, verdict, finder, name in zip(*columns, strict=True):
        by = 0 if finder == NONE else scores[finder]
        objects.append([class_id, *map(rounded, box), verdict, by, name if class_id < 0 else ""])
        if verdict != Verdict.IGNORED:
            missed.append((class_id, Mark.FN, by))
    return objects, missed


REASONS = [reason.word for reason in Reason]
"""By number, as pages say them."""
