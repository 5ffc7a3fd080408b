"""Pascal VOC's average precision at one IoU, by the rules of the TF Object Detection API's evaluator."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import Detections, FloatArray, IntArray
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import FrameRecords

_PREFIX = "PascalBoxes_"
_LIMIT = 10_000  # detections per image and class, the API's


class _Verdicts(NamedTuple):
    """One frame, matched: the detections that count, ranked as they were matched; the class of every box to find."""

    scores: FloatArray
    classes: IntArray
    hits: npt.NDArray[np.bool_]
    to_find: IntArray


_NOTHING = _Verdicts(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.int32))


class PascalBoxes:
    """`od_core.metrics.metric.Metric`: Pascal VOC (2010 and later) average precision of boxes in pixels.

    Numbers are those of the API's PascalDetectionEvaluator, with a stable sort where its own sort leaves the order of
    equal scores to chance. NaN where a class has no ground truth, which keeps it out of the mean.

    A detection is held against the box of its class that it overlaps most, even if a better one has taken that
    already. If that box is difficult, the detection does not count. Crowds and groups are boxes like others.
    Detections without area are dropped; ground truth without area counts, and cannot be found.

    Args:
        categories: class id, counted from 1 -> name. Ids up to the largest count, as in the API, also those missing.
        iou: least overlap of a detection that counts as right.

    Raises:
        ValueError: a class id below 1.
    """

    name = "voc"

    def __init__(self, categories: Mapping[int, str], iou: float = 0.5):
        if any(class_id < 1 for class_id in categories):
            raise ValueError(f"class ids are counted from 1, got {min(categories)}")
        self._categories = dict(sorted(categories.items()))
        self._iou = iou
        self._frames = FrameRecords(_Verdicts)

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"Pascal VOC 2010 and later: average precision at IoU {self._iou} is the area under precision made"
            " monotone, at every recall (not at 11 points); difficult objects are neither right nor wrong to find; at"
            " most 10,000 detections per image and class; the mean is over the classes with ground truth"
        )

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """See Metric. Matches at once, and keeps verdicts only."""
        last = max(self._categories, default=0)
        for frame in frames:
            self._frames.add(frame.name, _verdicts(frame, last, self._iou))

    def merge(self, other: "PascalBoxes") -> None:
        """See Metric."""
        self._frames.merge(other._frames)

    def value(self) -> dict[str, float]:
        """See Metric."""
        precisions = _class_precisions(list(self._frames.in_order()), max(self._categories, default=0))
        defined = [precision for precision in precisions.values() if not np.isnan(precision)]
        values = {f"{_PREFIX}Precision/mAP@{self._iou}IOU": float(np.mean(defined)) if defined else float("nan")}
        for class_id, name in self._categories.items():
            shown = unicodedata.normalize("NFKD", name)  # as the API writes it
            values[f"{_PREFIX}PerformanceByCategory/AP@{self._iou}IOU/{shown}"] = precisions[class_id]
        return values


def average_precision(hits: npt.NDArray[np.bool_], to_find: int) -> float:
    """Area under the precision envelope (VOC development kit 2010) of detections ranked best first.

    Args:
        hits: bool (N,), whether each detection is a true positive.
        to_find: number of objects, at least 1.
    """
    true_positives = np.cumsum(hits)
    recall = true_positives / to_find
    precision = true_positives / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _verdicts(frame: EvaluatedFrame, last_class: int, iou: float) -> _Verdicts:
    truth, found = frame.truth, frame.found
    ranked = _ranked(found, last_class)
    truth_classes = truth.classes
    overlaps = boxes.pairwise_iou(
        boxes.to_pixels(found.boxes[ranked], frame.height, frame.width),
        boxes.to_pixels(truth.boxes, frame.height, frame.width),
    )
    overlaps[found.classes[ranked][:, None] != truth_classes[None, :]] = -1.0
    if len(truth):
        best = overlaps.argmax(axis=1)
        passes = overlaps[np.arange(len(ranked)), best] >= iou
        difficult = passes & truth.difficult[best]
    else:
        best, passes, difficult = (np.zeros(len(ranked), dtype) for dtype in (np.intp, np.bool_, np.bool_))
    right = np.flatnonzero(passes & ~difficult)
    _, first = np.unique(best[right], return_index=True)
    hits = np.zeros(len(ranked), np.bool_)
    hits[right[first]] = True
    counted = ~difficult
    in_range = (truth_classes >= 1) & (truth_classes <= last_class)
    return _Verdicts(
        found.scores[ranked][counted],
        found.classes[ranked][counted],
        hits[counted],
        truth_classes[in_range & ~truth.difficult],
    )


def _ranked(found: Detections, last_class: int) -> npt.NDArray[np.intp]:
    """Indices of the detections that take part, in the order in which they are matched: of equal scores the last first.

    That is how the API's reversed ascending sort ranks them within an image.
    """
    order = np.argsort(found.scores, kind="stable")[::-1]
    classes = found.classes[order]
    order = order[boxes.is_valid(found.boxes[order]) & (classes >= 1) & (classes <= last_class)]
    if len(order) <= _LIMIT:
        return order
    classes = found.classes[order]
    keep = np.zeros(len(order), np.bool_)
    for class_id in np.unique(classes):
        keep[np.flatnonzero(classes == class_id)[:_LIMIT]] = True
    return order[keep]


def _class_precisions(frames: Sequence[_Verdicts], last_class: int) -> dict[int, float]:
    """Average precision of every class from 1 to the last; NaN for one without ground truth.

    Of equal scores those of the last frame come first, and within it those matched last.
    """
    scores, classes, hits, to_find = (np.concatenate(column) for column in zip(_NOTHING, *frames, strict=True))
    best_first = np.argsort(scores, kind="stable")[::-1]
    by_class = best_first[np.argsort(classes[best_first], kind="stable")]
    bounds = np.searchsorted(classes[by_class], np.arange(1, last_class + 2))
    counts = np.bincount(to_find, minlength=last_class + 1)
    return {
        class_id: average_precision(hits[by_class[start:stop]], count) if count else float("nan")
        for class_id, start, stop, count in zip(
            range(1, last_class + 1), bounds[:-1], bounds[1:], counts[1:].tolist(), strict=True
        )
    }
