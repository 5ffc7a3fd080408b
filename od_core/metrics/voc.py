"""Pascal VOC's average precision at one IoU, by the rules of the TF Object Detection API's evaluators."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.ranked import (
    BestObject,
    Ranked,
    RankedBoxes,
    Ranking,
    average_precision,
    eleven_point_precision,
    first_finders,
    ranked,
)

_RULES = (
    "a detection is held against the object of its class that it overlaps most; difficult objects are neither right nor"
    " wrong to find; at most 10,000 detections per image and class"
)
_MEAN = "the mean is over the classes with ground truth"


class PascalBoxes(RankedBoxes):
    """`od_core.metrics.metric.Metric`: Pascal VOC (2010 and later) average precision of boxes in pixels.

    Numbers are those of the API's PascalDetectionEvaluator, with a stable sort where its own sort leaves the order of
    equal scores to chance. NaN where a class has no ground truth, which keeps it out of the mean.

    A detection is held against the box of its class that it overlaps most, even if a better one has taken that
    already. If that box is difficult, the detection does not count. Crowds and groups are boxes like others.
    Detections without area are dropped; ground truth without area counts, and cannot be found.
    """

    name = "voc10"
    prefix = "PascalBoxes"

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"Pascal VOC 2010 and later: average precision at IoU {self._iou} is the area under precision made"
            f" monotone, at every recall (not at 11 points); {_RULES}; {_MEAN}"
        )

    def _matched(self, frame: EvaluatedFrame) -> Ranked:
        truth, found = frame.truth, frame.found
        order = ranked(found, self._last_class)
        classes = found.classes[order]
        overlaps = boxes.pairwise_iou(
            boxes.measured(found.boxes[order], frame.height, frame.width),
            boxes.measured(truth.boxes, frame.height, frame.width),
        )
        best = BestObject.of(overlaps, classes[:, None] == truth.classes[None, :], self._iou)
        difficult = np.append(truth.difficult, False)[np.where(best.passes, best.object, len(truth))]
        hits = first_finders(best.object, best.passes & ~difficult)
        counted = ~difficult
        in_range = (truth.classes >= 1) & (truth.classes <= self._last_class)
        return Ranked(
            found.scores[order][counted],
            classes[counted],
            hits[counted].astype(np.uint8),
            truth.classes[in_range & ~truth.difficult],
            truth.classes[:0],
        )


class PascalBoxes07(PascalBoxes):
    """`od_core.metrics.metric.Metric`: as `PascalBoxes`, with the average precision of Pascal VOC 2007, at 11 points.

    The API has no evaluator for it; names are of its fashion. Boxes are matched by the API's rules: the development
    kit of 2007 adds a pixel to sides of boxes, which are whole numbers there.
    """

    name = "voc07"
    prefix = "Pascal07Boxes"

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"Pascal VOC 2007: average precision at IoU {self._iou} is the mean of the greatest precision at a recall"
            f" of at least 0, .1, ... 1 (11 points); {_RULES}; {_MEAN}"
        )

    def _precision(self, ranking: Ranking) -> float:
        return eleven_point_precision(ranking.amounts, ranking.to_find)


class WeightedPascalBoxes(PascalBoxes):
    """`od_core.metrics.metric.Metric`: as `PascalBoxes`, but the mean weighs classes by their objects.

    It is one average precision over the detections of all classes that have ground truth, as the API's
    WeightedPascalDetectionEvaluator has it; without any ground truth NaN, where that one raises an error.
    """

    name = "weighted_voc"
    prefix = "WeightedPascalBoxes"

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"weighted Pascal VOC: at IoU {self._iou}, as voc10, but the mean is one average precision over the"
            f" detections of all classes with ground truth together; {_RULES}"
        )

    def _mean(self, rankings: Mapping[int, Ranking], precisions: Mapping[int, float]) -> float:
        counted = [one for _, one in sorted(rankings.items()) if one.to_find]
        if not counted:
            return float("nan")
        scores, amounts = (np.concatenate([one[column] for one in counted]) for column in (0, 1))
        # Of equal scores those of the last class come first, and within a class those that are ranked first.
        best_first = np.lexsort((np.arange(len(scores)), -_class_numbers(counted), -scores))
        return average_precision(amounts[best_first], sum(one.to_find for one in counted))


def _class_numbers(rankings: list[Ranking]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(rankings)), [len(one.scores) for one in rankings])
