"""What the API's evaluators have in common: detections ranked by score, and average precision of the ranking.

Classes are those from 1 to the largest id, also ids that have no name. Detections without area are dropped; ground
truth without area counts, and cannot be found. At most 10,000 detections per image and class count.
"""

import abc
import unicodedata
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import Detections, FloatArray, IntArray
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import FrameRecords

_LIMIT = 10_000  # detections per image and class, the API's

MISS, HIT, GROUP_HIT = 0, 1, 2
"""A detection that is wrong, right, or stands for a group of objects that was found."""


class Ranked(NamedTuple):
    """One frame, matched: the detections that count, in the order of matching; the classes of what is to find."""

    scores: FloatArray
    classes: IntArray
    hits: npt.NDArray[np.uint8]
    to_find: IntArray
    groups: IntArray


NOTHING = Ranked(
    np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros(0, np.int32)
)


class Ranking(NamedTuple):
    """All detections of a class, best first.

    Attributes:
        scores: float32 (N,), not increasing.
        amounts: float64 (N,), 0 for a false positive, else how much of a true positive it is.
        to_find: how much there is to find.
    """

    scores: FloatArray
    amounts: npt.NDArray[np.float64]
    to_find: float


class RankedBoxes(abc.ABC):
    """The part of a `Metric` that turns ranked detections into numbers, named as the API names them.

    Of equal scores those of the last frame by name come first, and within a frame those matched last: the API's own
    order with a stable sort, where its own sort leaves it to chance.

    Args:
        categories: class id, counted from 1 -> name. Ids up to the largest count, as in the API, also those missing.
        iou: least overlap of a detection that counts as right.

    Raises:
        ValueError: a class id below 1.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    group_weight: ClassVar[float] = 0.0

    def __init__(self, categories: Mapping[int, str], iou: float = 0.5):
        if any(class_id < 1 for class_id in categories):
            raise ValueError(f"class ids are counted from 1, got {min(categories)}")
        self._categories = dict(sorted(categories.items()))
        self._iou = iou
        self._last_class = max(self._categories, default=0)
        self._frames = FrameRecords(Ranked)

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """See Metric. Matches at once, and keeps what came of it only: 9 bytes a detection."""
        for frame in frames:
            self._frames.add(frame.name, self._matched(frame))

    def merge(self, other: Self) -> None:
        """See Metric."""
        self._frames.merge(other._frames)

    def value(self) -> dict[str, float]:
        """See Metric. NaN where a class has nothing to find, which keeps it out of the mean."""
        rankings = self._rankings()
        precisions = {id: self._precision(one) if one.to_find else float("nan") for id, one in rankings.items()}
        at = f"@{self._iou}IOU"
        values = {f"{self.prefix}_Precision/mAP{at}": self._mean(rankings, precisions)}
        for class_id, name in self._categories.items():
            shown = unicodedata.normalize("NFKD", name)  # as the API writes it
            values[f"{self.prefix}_PerformanceByCategory/AP{at}/{shown}"] = precisions[class_id]
        return values

    @abc.abstractmethod
    def _matched(self, frame: EvaluatedFrame) -> Ranked:
        """The frame's detections, ranked and matched as this metric does."""

    def _precision(self, ranking: Ranking) -> float:
        return average_precision(ranking.amounts, ranking.to_find)

    def _mean(self, rankings: Mapping[int, Ranking], precisions: Mapping[int, float]) -> float:
        defined = [precision for precision in precisions.values() if not np.isnan(precision)]
        return float(np.mean(defined)) if defined else float("nan")

    def _rankings(self) -> dict[int, Ranking]:
        """The ranking of every class that has a name or something to find, in the order of their ids."""
        columns = (np.concatenate(column) for column in zip(NOTHING, *self._frames.in_order(), strict=True))
        scores, classes, hits, to_find, groups = columns
        best_first = np.argsort(scores, kind="stable")[::-1]
        by_class = best_first[np.argsort(classes[best_first], kind="stable")]
        # Not all from 1 on: a file's largest id can be in the billions.
        class_ids = np.unique(np.concatenate([np.array(list(self._categories), np.int32), to_find, groups]))
        starts, stops = _bounds(classes[by_class], class_ids)
        amounts = np.array([0.0, 1.0, self.group_weight])[hits]
        singles, several = (np.diff(_bounds(np.sort(ids), class_ids), axis=0)[0] for ids in (to_find, groups))
        totals = (singles + self.group_weight * several).tolist()
        return {
            class_id: Ranking(scores[by_class[start:stop]], amounts[by_class[start:stop]], total)
            for class_id, start, stop, total in zip(
                class_ids.tolist(), starts.tolist(), stops.tolist(), totals, strict=True
            )
        }


def _bounds(ordered: IntArray, class_ids: IntArray) -> npt.NDArray[np.intp]:
    """Where each class begins and where it ends in ordered classes, (2, N)."""
    return np.stack([np.searchsorted(ordered, class_ids, side) for side in ("left", "right")])


def precision_recall(
    amounts: npt.NDArray[np.float64], to_find: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision and recall after each detection of a ranking, best first.

    Args:
        amounts: (N,), 0 for a false positive, else how much of a true positive it is.
        to_find: how much there is to find, above 0.
    """
    found = np.cumsum(amounts)
    wrong = np.cumsum(amounts <= 0)
    return found / (found + wrong), found / to_find


def average_precision(amounts: npt.NDArray[np.float64], to_find: float) -> float:
    """Area under the precision envelope (VOC development kit 2010) of a ranking; arguments as `precision_recall`."""
    precision, recall = precision_recall(np.asarray(amounts, np.float64), to_find)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_point_precision(amounts: npt.NDArray[np.float64], to_find: float) -> float:
    """Mean of the greatest precision at a recall of at least 0, .1, ... 1 (VOC development kit 2007); 0 beyond."""
    precision, recall = precision_recall(np.asarray(amounts, np.float64), to_find)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(envelope[np.searchsorted(recall, np.arange(11) / 10)].mean())


def ranked(found: Detections, last_class: int) -> npt.NDArray[np.intp]:
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


class BestObject(NamedTuple):
    """For each of some detections the object of its class that it overlaps most, the first of equals.

    Attributes:
        object: intp (N,); meaningless where `passes` is false.
        passes: bool (N,), whether there is one that it overlaps enough.
    """

    object: npt.NDArray[np.intp]
    passes: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, overlaps: npt.NDArray[np.float64], same_class: npt.NDArray[np.bool_], least: float) -> "BestObject":
        """From overlaps (N, M) and whether the classes are the same (N, M)."""
        if not overlaps.shape[1]:
            return cls(np.zeros(len(overlaps), np.intp), np.zeros(len(overlaps), np.bool_))
        of_class = np.where(same_class, overlaps, -1.0)
        index = of_class.argmax(axis=1)
        return cls(index, of_class[np.arange(len(index)), index] >= least)


def first_finders(index: npt.NDArray[np.intp], finds: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Of all detections that find an object the first one each, bool (N,)."""
    finders = np.flatnonzero(finds)
    _, first = np.unique(index[finders], return_index=True)
    hits = np.zeros(len(index), np.bool_)
    hits[finders[first]] = True
    return hits
