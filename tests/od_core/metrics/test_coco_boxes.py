import pathlib

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from tests.od_core.metrics import evaluation_problems as problems


def value_of(problem: problems.Problem) -> dict[str, float]:
    metric = CocoBoxes(problem.categories)
    metric.update(problem.frames)
    return metric.value()


@pytest.mark.shared
@pytest.mark.parametrize("number", range(1, 16))
def test_the_twelve_numbers_are_those_of_the_api(shared: pathlib.Path, number: int) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="id")
    wanted = problems.read_case(shared, number, "metrics")["CocoDetectionEvaluator()"]
    assert len(wanted) == 12
    numbers = value_of(problem)
    assert {name: numbers[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize("number", [n for n in range(1, 16) if n != 13])  # 13, no detections: pycocotools raises
def test_every_class_has_the_precision_pycocotools_gives_it(shared: pathlib.Path, number: int) -> None:
    problem = problems.oracle_problem(problems.read_case(shared, number), ordered_by="id")
    wanted = problems.read_case(shared, number, "pycocotools")["per_category"]
    numbers = value_of(problem)
    prefix = "DetectionBoxes_PerformanceByCategory/mAP/"
    found = {name.removeprefix(prefix): number for name, number in numbers.items() if name.startswith(prefix)}
    assert found == pytest.approx({name: wanted[name]["Precision/mAP"] for name in found}, abs=1e-12)
    assert found.keys() == wanted.keys()


@pytest.mark.parametrize("crowded", [False, True])
def test_made_problems_get_the_numbers_of_pycocotools(crowded: bool) -> None:
    seen = set()
    for seed in range(12):
        problem = problems.random_problem(seed, crowded=crowded)
        wanted = problems.pycocotools_numbers(problem)
        numbers = value_of(problem)
        assert list(numbers) == list(wanted)
        assert numbers == pytest.approx(wanted, abs=1e-12)
        seen.add(tuple(numbers.values()))
    assert len(seen) == 12  # problems that tell something


def test_boxes_are_measured_in_pixels() -> None:
    """A box of half the frame is small in a frame of 64 by 64 pixels (32²), and large in one of 1,000 by 1,000."""
    truth = GroundTruth.of([[0, 0, 0.5, 0.5]], [1])
    found = Detections.best_first([[0, 0, 0.5, 0.5]], [0.9], [1])
    small, large = CocoBoxes({1: "cat"}), CocoBoxes({1: "cat"})
    small.update([EvaluatedFrame("a", 64, 64, truth, found)])
    large.update([EvaluatedFrame("a", 1000, 1000, truth, found)])
    sizes = [f"DetectionBoxes_Precision/mAP ({size})" for size in ("small", "medium", "large")]
    ones = pytest.approx(1.0)
    assert [small.value()[name] for name in sizes] == [ones, ones, -1.0]  # 32² is small and medium
    assert [large.value()[name] for name in sizes] == [-1.0, -1.0, ones]


def test_a_given_area_counts_before_that_of_the_box() -> None:
    truth = GroundTruth.of([[0, 0, 1, 1]], [1], area=[100])
    metric = CocoBoxes({1: "cat"})
    metric.update([EvaluatedFrame("a", 500, 500, truth, Detections.best_first([[0, 0, 1, 1]], [0.9], [1]))])
    numbers = metric.value()
    assert numbers["DetectionBoxes_Recall/AR@100 (small)"] == 1.0
    assert numbers["DetectionBoxes_Recall/AR@100 (large)"] == -1.0


@pytest.mark.parametrize("with_truth", [True, False])
def test_nothing_found_is_0_and_nothing_to_find_is_undefined(with_truth: bool) -> None:
    truth = GroundTruth.of([[0, 0, 1, 1]], [1]) if with_truth else GroundTruth.empty()
    found = Detections.empty() if with_truth else Detections.best_first([[0, 0, 1, 1]], [0.9], [1])
    metric = CocoBoxes({1: "cat", 2: "dog"})
    metric.update([EvaluatedFrame("a", 10, 10, truth, found)])
    numbers = metric.value()
    assert numbers["DetectionBoxes_Precision/mAP"] == (0.0 if with_truth else -1.0)
    assert numbers["DetectionBoxes_PerformanceByCategory/mAP/dog"] == -1.0


def test_no_frames_at_all() -> None:
    assert set(CocoBoxes({1: "cat"}).value().values()) == {-1.0}


def test_equal_scores_rank_by_the_names_of_their_frames() -> None:
    """One right and one wrong detection of equal score: whose frame comes first by name decides."""
    box, elsewhere = [[0, 0, 1, 1]], [[0.0, 0.0, 0.1, 0.1]]
    truth = GroundTruth.of(box, [1])

    def precision(right: str, wrong: str) -> float:
        metric = CocoBoxes({1: "cat"})
        for name, found in ((right, box), (wrong, elsewhere)):
            metric.update([EvaluatedFrame(name, 1, 1, truth, Detections.best_first(found, [0.5], [1]))])
        return metric.value()["DetectionBoxes_Precision/mAP"]

    assert precision(right="a", wrong="b") == pytest.approx(51 / 101)
    assert precision(right="b", wrong="a") == pytest.approx(51 / 101 / 2)


def test_numbers_are_plain_floats() -> None:
    assert {type(number) for number in value_of(problems.random_problem(1)).values()} == {float}
    assert not np.isnan(list(value_of(problems.random_problem(1)).values())).any()
