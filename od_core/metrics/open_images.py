"""Open Images' average precision at one IoU, by the rules of the TF Object Detection API's evaluators."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.ranked import (
    GROUP_HIT,
    BestObject,
    Ranked,
    RankedBoxes,
    first_finders,
    ranked,
)

_RULES = (
    "a detection is held against the object of its class that it overlaps most; if it is wrong but at least that share"
    " of its own area lies in the box of a group of its class, it does not count"
)
_EXPANDED = "; objects count for the classes above theirs too, as the hierarchy has them"


class OpenImagesBoxes(RankedBoxes):
    """`od_core.metrics.metric.Metric`: Open Images V2's average precision of boxes in pixels.

    Numbers are those of the API's OpenImagesDetectionEvaluator, with a stable sort where its own sort leaves the order
    of equal scores to chance. NaN where a class has no ground truth but groups, which keeps it out of the mean.
    Difficult objects and crowds are objects like others.

    Args:
        categories: class id, counted from 1 -> name.
        iou: least overlap of a detection that counts as right.
        ancestors: class id -> ids of the classes above it; an object counts for each of them too. Detections are taken
            as they are: a model is expected to say them for all of these classes.
    """

    name = "open_images"
    prefix = "OpenImagesV2"

    def __init__(
        self,
        categories: Mapping[int, str],
        iou: float = 0.5,
        ancestors: Mapping[int, tuple[int, ...]] | None = None,
    ):
        super().__init__(categories, iou)
        self._ancestors = dict(ancestors or {})

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"Open Images V2: average precision at IoU {self._iou} is the area under precision made monotone; {_RULES};"
            f" groups need not be found; the mean is over the classes with ground truth{self._expanded_words}"
        )

    @property
    def _expanded_words(self) -> str:
        return _EXPANDED if self._ancestors else ""

    def _matched(self, frame: EvaluatedFrame) -> Ranked:
        truth = _expanded(frame.truth, self._ancestors)
        found = self._evaluated(frame, truth)
        order = ranked(found, self._last_class)
        scores, classes = found.scores[order], found.classes[order]
        found_boxes = boxes.measured(found.boxes[order], frame.height, frame.width)
        truth_boxes = boxes.measured(truth.boxes, frame.height, frame.width)
        same_class = classes[:, None] == truth.classes[None, :]
        single, group = np.flatnonzero(~truth.group_of), np.flatnonzero(truth.group_of)
        best = BestObject.of(boxes.pairwise_iou(found_boxes, truth_boxes[single]), same_class[:, single], self._iou)
        hits = first_finders(best.object, best.passes)
        inside = BestObject.of(boxes.pairwise_ioa(found_boxes, truth_boxes[group]), same_class[:, group], self._iou)
        in_group = inside.passes & ~hits
        group_scores = np.zeros(len(group), np.float32)
        np.maximum.at(group_scores, inside.object[in_group], scores[in_group])
        found_groups = np.flatnonzero(group_scores > 0) if self.group_weight else np.zeros(0, np.intp)
        in_range = (truth.classes >= 1) & (truth.classes <= self._last_class)
        return Ranked(
            np.concatenate([scores[~in_group], group_scores[found_groups]]),
            np.concatenate([classes[~in_group], truth.classes[group][found_groups]]),
            np.concatenate([hits[~in_group], np.full(len(found_groups), GROUP_HIT)]).astype(np.uint8),
            truth.classes[in_range & ~truth.group_of],
            truth.classes[in_range & truth.group_of],
        )

    def _evaluated(self, frame: EvaluatedFrame, truth: GroundTruth) -> Detections:
        """The detections that take part."""
        return frame.found


class OpenImagesChallengeBoxes(OpenImagesBoxes):
    """`od_core.metrics.metric.Metric`: the Open Images Challenge's average precision of boxes in pixels.

    Numbers are those of the API's OpenImagesDetectionChallengeEvaluator as it is constructed (after `clear()` it
    forgets that groups count), with a stable sort. As `OpenImagesBoxes`, and: a group counts as one object, and the
    best detection in it as a right one; detections of a class that is neither annotated in the image nor among its
    image-level labels are left out.
    """

    name = "open_images_challenge"
    prefix = "OpenImagesDetectionChallenge"
    group_weight = 1.0

    @property
    def definition(self) -> str:
        """See Metric."""
        return (
            f"Open Images Challenge 2018: average precision at IoU {self._iou} is the area under precision made"
            f" monotone; {_RULES}; but a group is one object, found by the best of these; detections of classes that"
            " nobody has looked for in the image (no object, no image-level label) are left out; the mean is over the"
            f" classes with ground truth{self._expanded_words}"
        )

    def _evaluated(self, frame: EvaluatedFrame, truth: GroundTruth) -> Detections:
        looked_for = truth.classes if frame.verified is None else np.concatenate([truth.classes, frame.verified])
        return frame.found.where(np.isin(frame.found.classes, looked_for))


def _expanded(truth: GroundTruth, ancestors: Mapping[int, tuple[int, ...]]) -> GroundTruth:
    """Every object, and again for each class above its own."""
    classes = truth.classes.tolist()
    if not any(class_id in ancestors for class_id in classes):
        return truth
    repeats = [(class_id, *ancestors.get(class_id, ())) for class_id in classes]
    rows: npt.NDArray[np.intp] = np.repeat(np.arange(len(truth)), [len(ids) for ids in repeats])
    return GroundTruth(
        truth.boxes[rows],
        np.array([class_id for ids in repeats for class_id in ids], np.int32),
        truth.is_crowd[rows],
        truth.difficult[rows],
        truth.group_of[rows],
    )
