"""Precision and recall at every score, and the score at which F1 is best."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.detections import FloatArray
from od_core.insight.tally import Flags, Indices

_POINTS = np.linspace(0, 1, 101)


class OperatingPoint(NamedTuple):
    """What is found by taking all detections of at least a score; NaN where undefined.

    Attributes:
        score: the least score; None where there is no detection at all.
        precision: right / (right + wrong).
        recall: right / objects.
        f1: their harmonic mean, 2 right / (right + wrong + objects).
        right, wrong, missed: true positives, false positives, false negatives.
    """

    score: float | None
    precision: float
    recall: float
    f1: float
    right: int
    wrong: int
    missed: int


class Curve(NamedTuple):
    """Counts at every score that occurs. Equal scores are one point, so that their order plays no part.

    Attributes:
        scores: float32 (N,), falling, each once.
        right, wrong: int64 (N,), true and false positives of at least that score.
        objects: how many objects there are to find.
    """

    scores: FloatArray
    right: Indices
    wrong: Indices
    objects: int

    @classmethod
    def of(cls, scores: FloatArray, is_right: Flags, objects: int) -> "Curve":
        """From the detections that count, in any order."""
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))[: len(ranked)]
        right = np.cumsum(is_right[order], dtype=np.int64)[last]
        return cls(ranked[last], right, last + 1 - right, objects)

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """At every score."""
        return self.right / (self.right + self.wrong)

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """At every score; NaN where there is nothing to find."""
        return self.right / (self.objects or math.nan)

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """At every score; NaN where there is nothing to find."""
        return 2 * self.right / (self.right + self.wrong + (self.objects or math.nan))

    def best(self) -> OperatingPoint:
        """Where F1 is greatest; of several scores the highest."""
        if not len(self.scores) or not self.objects:
            return self._point(len(self.scores) - 1)
        return self._point(int(self.f1.argmax()))

    def at(self, score: float | None) -> OperatingPoint:
        """By taking all detections of at least this score; None takes all."""
        if score is None:
            return self._point(len(self.scores) - 1)
        return self._point(int(np.searchsorted(-self.scores, -np.float32(score), side="right")) - 1)

    def thinned(self, limit: int) -> "Curve":
        """At most `limit` of the points, evenly spread, the first and the last among them."""
        if len(self.scores) <= limit:
            return self
        kept = np.unique(np.linspace(0, len(self.scores) - 1, limit).round().astype(np.int64))
        return Curve(self.scores[kept], self.right[kept], self.wrong[kept], self.objects)

    def _point(self, index: int) -> OperatingPoint:
        right, wrong = (int(self.right[index]), int(self.wrong[index])) if index >= 0 else (0, 0)
        return OperatingPoint(
            float(self.scores[index]) if index >= 0 else None,
            right / (right + wrong) if right + wrong else math.nan,
            right / self.objects if self.objects else math.nan,
            2 * right / (right + wrong + self.objects) if self.objects else math.nan,
            right,
            wrong,
            self.objects - right,
        )


def interpolated_precision(is_right: Flags, objects: int) -> float:
    """COCO's average precision at one IoU of ranked detections, at 101 points of recall; NaN without objects."""
    if not objects:
        return math.nan
    right = np.cumsum(is_right)
    precision = right / np.arange(1, len(right) + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(right / objects, _POINTS)].mean())
