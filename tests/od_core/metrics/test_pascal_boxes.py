import json
import math
import pathlib
import unicodedata
from typing import Any

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.voc import PascalBoxes, average_precision
from tests.od_core.metrics import evaluation_problems as problems

MEAN = "PascalBoxes_Precision/mAP@0.5IOU"
BOX, HALF, ELSEWHERE = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0], [2.0, 2.0, 3.0, 3.0]


def value_of(problem: problems.Problem, iou: float = 0.5) -> dict[str, float]:
    metric = PascalBoxes(problem.categories, iou)
    metric.update(problem.frames)
    return metric.value()


def one_frame(truth: GroundTruth, boxes: list[list[float]], scores: list[float], classes: list[int]) -> float:
    frame = EvaluatedFrame("a", 1, 1, truth, Detections.best_first(boxes, scores, classes))
    return value_of(problems.Problem({1: "cat"}, [frame]))[MEAN]


def answers(shared: pathlib.Path, number: int, iou: float) -> dict[str, Any]:
    """What the API's evaluator says with a stable sort; NaN is null in the files."""
    evaluator = f"PascalDetectionEvaluator(matching_iou_threshold={iou})"
    sensitivity = json.loads((shared / "oracles/eval_random/sensitivity.json").read_text())
    changed = sensitivity.get(f"case_{number:02d}", {}).get("a stable sort gives other values", {}).get(evaluator, {})
    numbers = problems.read_case(shared, number, "metrics")[evaluator]
    return numbers | {name: stable for name, (_, stable) in changed.items()}


@pytest.mark.shared
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("number", range(1, 15))
def test_the_numbers_are_those_of_the_api(shared: pathlib.Path, number: int, iou: float) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="added")
    wanted = {name: math.nan if x is None else x for name, x in answers(shared, number, iou).items()}
    assert value_of(problem, iou) == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.shared
def test_ties_do_matter_in_the_oracles(shared: pathlib.Path) -> None:
    """Else the test above would not tell a stable sort from another."""
    assert (
        answers(shared, 9, 0.5)
        != problems.read_case(shared, 9, "metrics")["PascalDetectionEvaluator(matching_iou_threshold=0.5)"]
    )


def test_a_class_id_of_0_is_refused_as_in_the_api() -> None:
    with pytest.raises(ValueError, match="counted from 1, got 0"):
        PascalBoxes({0: "cat", 1: "dog"})


def test_the_area_is_taken_at_every_recall_under_a_monotone_envelope() -> None:
    """Right, wrong, right of 4: recall 1/4 at precision 1, 2/4 at 2/3."""
    assert average_precision(np.array([True, False, True]), 4) == pytest.approx(1 / 4 + 2 / 3 / 4)
    # Wrong first: precision 1/2 then 2/3; the envelope lifts the first.
    assert average_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert average_precision(np.array([], np.bool_), 3) == 0.0


def test_an_overlap_of_exactly_the_threshold_is_enough() -> None:
    assert one_frame(GroundTruth.of([BOX], [1]), [HALF], [0.9], [1]) == 1.0


def test_a_second_detection_of_an_object_is_wrong_even_if_another_object_is_free() -> None:
    """Unlike COCO: only the object of largest overlap is looked at."""
    truth = GroundTruth.of([BOX, HALF], [1, 1])
    assert one_frame(truth, [BOX, [0, 0, 0.9, 1.0]], [0.9, 0.8], [1, 1]) == pytest.approx(0.5)


def test_difficult_objects_are_neither_right_nor_wrong_to_find() -> None:
    truth = GroundTruth.of([BOX, ELSEWHERE], [1, 1], difficult=[True, False])
    assert one_frame(truth, [BOX, BOX, ELSEWHERE], [0.9, 0.8, 0.7], [1, 1, 1]) == 1.0
    assert math.isnan(one_frame(GroundTruth.of([BOX], [1], difficult=[True]), [BOX], [0.9], [1]))


def test_crowds_and_groups_are_objects_like_others() -> None:
    truth = GroundTruth.of([BOX, ELSEWHERE], [1, 1], is_crowd=[True, False], group_of=[False, True])
    assert one_frame(truth, [BOX], [0.9], [1]) == pytest.approx(0.5)


def test_detections_without_area_are_dropped_and_such_ground_truth_counts() -> None:
    flat = [0.0, 0.0, 0.0, 1.0]
    assert one_frame(GroundTruth.of([BOX], [1]), [flat, BOX], [0.9, 0.8], [1, 1]) == 1.0
    assert one_frame(GroundTruth.of([BOX, flat], [1, 1]), [flat, BOX], [0.9, 0.8], [1, 1]) == pytest.approx(0.5)


def test_a_class_missing_from_the_list_counts_in_the_mean_below_the_largest_id_only() -> None:
    truth = GroundTruth.of([BOX, BOX, BOX, BOX], [1, 2, 3, 4])
    frame = EvaluatedFrame("a", 1, 1, truth, Detections.best_first([BOX, BOX], [0.9, 0.8], [1, 3]))
    metric = PascalBoxes({1: "cat", 3: "dog"})
    metric.update([frame])
    assert metric.value() == {
        MEAN: pytest.approx(2 / 3),
        "PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat": 1.0,
        "PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog": 1.0,
    }


def test_at_most_10_000_detections_of_a_class_in_an_image_count() -> None:
    """The best ones: a right one at rank 10,001 is too late; other classes do not count towards it."""
    count = 10_000
    truth = GroundTruth.of([BOX], [1])
    scores = np.linspace(1, 0.1, count + 1)
    boxes, classes = np.tile(ELSEWHERE, (count + 1, 1)), np.ones(count + 1)
    boxes[-1] = BOX
    assert one_frame(truth, boxes, scores, classes) == 0.0  # type: ignore[arg-type]
    classes[0] = 2
    frame = EvaluatedFrame("a", 1, 1, truth, Detections.best_first(boxes, scores, classes))
    assert value_of(problems.Problem({1: "cat", 2: "dog"}, [frame]))[MEAN] == pytest.approx(1 / count)


def test_equal_scores_rank_by_the_names_of_their_frames_the_last_first() -> None:
    truth = GroundTruth.of([BOX], [1])

    def precision(right: str, wrong: str) -> float:
        metric = PascalBoxes({1: "cat"})
        for name, found in ((right, BOX), (wrong, ELSEWHERE)):
            metric.update([EvaluatedFrame(name, 1, 1, truth, Detections.best_first([found], [0.5], [1]))])
        return metric.value()[MEAN]

    assert precision(right="b", wrong="a") == pytest.approx(1 / 2)
    assert precision(right="a", wrong="b") == pytest.approx(1 / 4)


def test_equal_scores_of_an_image_rank_as_they_are_given() -> None:
    truth = GroundTruth.of([BOX], [1])
    assert one_frame(truth, [BOX, ELSEWHERE], [0.5, 0.5], [1, 1]) == 1.0
    assert one_frame(truth, [ELSEWHERE, BOX], [0.5, 0.5], [1, 1]) == pytest.approx(1 / 2)


def test_equal_scores_of_an_image_are_matched_the_last_first() -> None:
    """Which of two takes an object decides which of their ranks is right: that of the one given last."""
    truth = GroundTruth.of([BOX], [1])
    assert one_frame(truth, [BOX, [0, 0, 0.9, 1.0]], [0.5, 0.5], [1, 1]) == pytest.approx(1 / 2)


def test_names_are_decomposed_as_the_api_writes_them() -> None:
    composed = unicodedata.normalize("NFC", "caf\u00e9")
    (_, name) = PascalBoxes({1: composed}).value()
    assert name == "PascalBoxes_PerformanceByCategory/AP@0.5IOU/cafe\u0301"


def test_no_frames_at_all() -> None:
    values = PascalBoxes({1: "cat"}).value()
    assert len(values) == 2
    assert all(math.isnan(x) for x in values.values())
