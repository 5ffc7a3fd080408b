import math
import pathlib

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.open_images import OpenImagesBoxes, OpenImagesChallengeBoxes
from tests.od_core.metrics import evaluation_problems as problems

BOX, HALF, THIRD, ELSEWHERE = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.3, 1.0], [2.0, 2.0, 3.0, 3.0]
EVALUATORS = {
    "OpenImagesDetectionEvaluator": OpenImagesBoxes,
    "OpenImagesDetectionChallengeEvaluator": OpenImagesChallengeBoxes,
}


def value_of(metric: OpenImagesBoxes, frames: list[EvaluatedFrame]) -> dict[str, float]:
    metric.update(frames)
    return metric.value()


def one_class(
    metric: type[OpenImagesBoxes], truth: GroundTruth, boxes: list[list[float]], scores: list[float]
) -> float:
    found = Detections.best_first(boxes, scores, [1] * len(boxes))
    (mean, _) = value_of(metric({1: "cat"}), [EvaluatedFrame("a", 1, 1, truth, found)]).values()
    return mean


@pytest.mark.shared
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("number", range(1, 15))
@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_the_numbers_are_those_of_the_api(shared: pathlib.Path, evaluator: str, number: int, iou: float) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="added")
    wanted = problems.oracle_numbers(shared, number, f"{evaluator}(matching_iou_threshold={iou})")
    values = value_of(EVALUATORS[evaluator](problem.categories, iou), problem.frames)
    assert values == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.shared
@pytest.mark.parametrize("number", range(1, 15))
def test_without_image_level_labels_only_annotated_classes_count(shared: pathlib.Path, number: int) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="added")
    evaluator = "OpenImagesDetectionChallengeEvaluator(matching_iou_threshold=0.5), verified labels not given"
    wanted = problems.oracle_numbers(shared, number, evaluator)
    frames = [frame._replace(verified=None) for frame in problem.frames]
    values = value_of(OpenImagesChallengeBoxes(problem.categories), frames)
    assert values == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("weight", "suffix", "metric"),
    [
        (0.3, "OpenImagesDetectionEvaluator(group_of_weight=0.3)", OpenImagesBoxes),
        (
            0.0,
            "OpenImagesDetectionChallengeEvaluator(matching_iou_threshold=0.5), after clear()",
            OpenImagesChallengeBoxes,
        ),
    ],
)
@pytest.mark.parametrize("number", [5, 11])
def test_groups_of_any_weight(
    shared: pathlib.Path, number: int, weight: float, suffix: str, metric: type[OpenImagesBoxes]
) -> None:
    class Weighted(metric):  # type: ignore[misc, valid-type]
        group_weight = weight

    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="added")
    values = value_of(Weighted(problem.categories), problem.frames)
    assert values == pytest.approx(problems.oracle_numbers(shared, number, suffix), abs=1e-12, nan_ok=True)


def test_what_lies_in_a_group_is_not_wrong() -> None:
    truth = GroundTruth.of([BOX, ELSEWHERE], [1, 1], group_of=[True, False])
    boxes, scores = [THIRD, HALF, ELSEWHERE], [0.9, 0.8, 0.7]
    assert one_class(OpenImagesBoxes, truth, boxes, scores) == 1.0
    assert one_class(OpenImagesChallengeBoxes, truth, boxes, scores) == 1.0
    # In the challenge the group is found by the best of those in it, at its score: right 0.9, right 0.7.
    assert one_class(OpenImagesChallengeBoxes, truth, [ELSEWHERE], [0.7]) == 0.5


def test_a_class_with_nothing_but_groups_counts_in_the_challenge_only() -> None:
    truth = GroundTruth.of([BOX], [1], group_of=[True])
    assert math.isnan(one_class(OpenImagesBoxes, truth, [HALF], [0.9]))
    assert one_class(OpenImagesChallengeBoxes, truth, [HALF], [0.9]) == 1.0


def test_a_class_that_nobody_has_looked_for_is_left_out_of_the_challenge() -> None:
    truth = GroundTruth.of([BOX], [2])
    found = Detections.best_first([BOX, BOX], [0.9, 0.8], [1, 2])
    other = EvaluatedFrame("b", 1, 1, GroundTruth.of([BOX], [1]), Detections.best_first([BOX], [0.5], [1]))
    for verified, precision in ((None, 1.0), ([], 1.0), ([2], 1.0), ([1], 0.5)):
        labels = None if verified is None else np.array(verified, np.int32)
        frame = EvaluatedFrame("a", 1, 1, truth, found, labels)
        values = value_of(OpenImagesChallengeBoxes({1: "cat", 2: "dog"}), [frame, other])
        assert values["OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU/cat"] == precision


class TestHierarchy:
    """1 cat, 2 dog; both below 3 pet, which is below 4 animal."""

    ANCESTORS = {1: (3, 4), 2: (3, 4), 3: (4,)}  # noqa: RUF012
    NAMES = {1: "cat", 2: "dog", 3: "pet", 4: "animal"}  # noqa: RUF012

    def values(self, metric: type[OpenImagesBoxes], truth: GroundTruth, classes: list[int]) -> list[float]:
        found = Detections.best_first([BOX] * len(classes), np.linspace(0.9, 0.5, len(classes)), classes)
        frame = EvaluatedFrame("a", 1, 1, truth, found)
        return list(value_of(metric(self.NAMES, ancestors=self.ANCESTORS), [frame]).values())

    def test_an_object_is_one_of_every_class_above_its_own(self) -> None:
        truth = GroundTruth.of([BOX], [1])
        mean, cat, dog, pet, animal = self.values(OpenImagesBoxes, truth, [1, 4])
        assert (cat, pet, animal) == (1.0, 0.0, 1.0)
        assert math.isnan(dog)
        assert mean == pytest.approx(2 / 3)

    def test_detections_are_taken_as_they_are(self) -> None:
        assert self.values(OpenImagesBoxes, GroundTruth.of([BOX], [3]), [1])[3] == 0.0

    def test_a_group_stays_one_and_the_classes_above_count_as_looked_for(self) -> None:
        truth = GroundTruth.of([BOX], [2], group_of=[True])
        _, cat, dog, pet, animal = self.values(OpenImagesChallengeBoxes, truth, [1, 2, 4])
        assert math.isnan(cat)
        assert (dog, pet, animal) == (1.0, 0.0, 1.0)

    def test_the_definition_says_so(self) -> None:
        assert "hierarchy" in OpenImagesBoxes(self.NAMES, ancestors=self.ANCESTORS).definition
        assert "hierarchy" not in OpenImagesBoxes(self.NAMES).definition


def test_groups_and_objects_rank_by_score_alone() -> None:
    """Of equal scores in an image a found group comes before the detections: it was added after them."""
    truth = GroundTruth.of([BOX], [1], group_of=[True])
    assert one_class(OpenImagesChallengeBoxes, truth, [ELSEWHERE, HALF], [0.5, 0.5]) == 1.0
