import math
import pathlib
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.open_images import OpenImagesBoxes
from od_core.metrics.ranked import average_precision, eleven_point_precision
from od_core.metrics.voc import PascalBoxes, PascalBoxes07, WeightedPascalBoxes
from tests.od_core.metrics import evaluation_problems as problems

MEAN = "PascalBoxes_Precision/mAP@0.5IOU"
BOX, HALF, ELSEWHERE = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0], [2.0, 2.0, 3.0, 3.0]


def value_of(problem: problems.Problem, iou: float = 0.5, metric: type[PascalBoxes] = PascalBoxes) -> dict[str, float]:
    made = metric(problem.categories, iou)
    made.update(problem.frames)
    return made.value()


def one_frame(truth: GroundTruth, boxes: list[list[float]], scores: list[float], classes: list[int]) -> float:
    frame = EvaluatedFrame("a", 1, 1, truth, Detections.best_first(boxes, scores, classes))
    return value_of(problems.Problem({1: "cat"}, [frame]))[MEAN]


@pytest.mark.shared
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("number", range(1, 15))
@pytest.mark.parametrize("metric", [PascalBoxes, WeightedPascalBoxes])
def test_the_numbers_are_those_of_the_api(
    shared: pathlib.Path, metric: type[PascalBoxes], number: int, iou: float
) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="added")
    name = metric.__name__.replace("Boxes", "DetectionEvaluator")
    wanted = problems.oracle_numbers(shared, number, f"{name}(matching_iou_threshold={iou})")
    values = value_of(problem, iou, metric)
    if "exception" in wanted:  # weighted, and no ground truth
        assert number == 14
        assert np.isnan(list(values.values())).all()
    else:
        assert values == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.shared
@pytest.mark.parametrize("metric", [PascalBoxes, PascalBoxes07, WeightedPascalBoxes, OpenImagesBoxes])
def test_a_category_of_id_0_is_refused_as_by_the_api(shared: pathlib.Path, metric: type[PascalBoxes]) -> None:
    answer = problems.oracle_numbers(shared, 15, "PascalDetectionEvaluator(matching_iou_threshold=0.5)")
    assert answer == {"exception": "ValueError: Classes should be 1-indexed."}
    with pytest.raises(ValueError, match="counted from 1, got 0"):
        metric(problems.oracle_problem(problems.read_case(shared, 15), ordered_by="added").categories)


@pytest.mark.shared
def test_ties_do_matter_in_the_oracles(shared: pathlib.Path) -> None:
    """Else the tests above would not tell a stable sort from another."""
    evaluator = "PascalDetectionEvaluator(matching_iou_threshold=0.5)"
    assert problems.oracle_numbers(shared, 9, evaluator) != problems.read_case(shared, 9, "metrics")[evaluator]


def test_11_points_by_hand() -> None:
    """Right, wrong, right of 4: recall to .25 at precision 1, to .5 at 2/3; points 0, .1, .2 and .3, .4, .5."""
    assert eleven_point_precision(np.array([1.0, 0.0, 1.0]), 4) == pytest.approx((3 + 3 * 2 / 3) / 11)
    assert eleven_point_precision(np.array([1.0]), 10) == pytest.approx(2 / 11)  # a recall of exactly .1 counts
    assert eleven_point_precision(np.array([]), 3) == 0.0


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 30))
def test_11_points_are_as_the_development_kit_computes_them(hits: list[bool], missed: int) -> None:
    to_find = sum(hits) + missed
    if to_find:
        right = np.cumsum(hits)
        points = [
            max((right[i] / (i + 1) for i in range(len(hits)) if 10 * right[i] >= point * to_find), default=0.0)
            for point in range(11)
        ]
        found = eleven_point_precision(np.array(hits, np.float64), to_find)
        assert found == pytest.approx(sum(points) / 11, abs=1e-12)


def test_of_2007_are_the_numbers_of_2010_but_for_the_points() -> None:
    problem = problems.random_problem(4, frames=20)
    old, new = (value_of(problem, metric=metric) for metric in (PascalBoxes07, PascalBoxes))
    assert [name.replace("Pascal07", "Pascal") for name in old] == list(new)
    assert all(abs(x - y) < 0.1 for x, y in zip(old.values(), new.values(), strict=True))
    assert list(old.values()) != list(new.values())


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
