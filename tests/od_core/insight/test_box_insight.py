"""Insight as a whole: what is in it, against hotcoco, and that only the frames count."""

import collections
import math
import pickle
from typing import Any

import hotcoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.insight.insight import CURVES, BoxInsight, Insight
from od_core.metrics.frame import EvaluatedFrame
from tests.od_core.metrics import evaluation_problems as problems

NAMES = {1: "cat", 2: "dog", 3: "ox"}
WHOLE, HALF, FAR = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [2.0, 2.0, 3.0, 3.0]


def insight_of(frames: list[EvaluatedFrame], categories: dict[int, str] | None = None, **options: Any) -> Insight:
    made = BoxInsight(categories or NAMES, **options)
    made.update(frames)
    return made.value()


def plain_problem(seed: int) -> problems.Problem:
    """Without crowds and the like, scores that do not tie, overlaps at no threshold: where definitions agree."""
    rng = np.random.default_rng(seed)
    frames = []
    for frame in problems.random_problem(seed, frames=12).frames:
        truths, finds = frame.truth.classes <= 3, frame.found.classes <= 3
        truth, found = frame.truth.where(truths), frame.found.where(finds)
        classes = np.where(rng.random(len(found)) < 0.3, rng.integers(1, 4, len(found)), found.classes)
        boxes = found.boxes + rng.uniform(-0.1, 0.1, found.boxes.shape)
        frames.append(
            frame._replace(
                truth=GroundTruth.of(truth.boxes, truth.classes),
                found=Detections.best_first(boxes, rng.random(len(found)), classes),
            )
        )
    return problems.Problem(NAMES, frames)


SEEDS = range(8)


def theirs(problem: problems.Problem) -> Any:
    evaluation = hotcoco.COCOeval(*problems.hotcoco_data(problem), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("seed", SEEDS)
def test_kinds_of_errors_cost_what_tide_says(seed: int) -> None:
    names = {"Cls": "class", "Loc": "localisation", "Both": "both", "Dupe": "duplicate", "Bkg": "background"}
    names["Miss"] = "missed"
    problem = plain_problem(seed)
    wanted = theirs(problem).tide_errors(pos_thr=0.5, bg_thr=0.1)
    report = insight_of(problem.frames).report
    assert report["overall"]["average_precision"] == pytest.approx(wanted["ap_base"], abs=1e-12)
    ours = {one["kind"]: (one["count"], one["cost"]) for one in report["errors"]}
    assert list(ours) == list(names.values())
    for name, kind in names.items():
        assert ours[kind][0] == wanted["counts"][name], kind
        assert ours[kind][1] == pytest.approx(wanted["delta_ap"][name], abs=1e-12), kind


@pytest.mark.parametrize("seed", SEEDS)
def test_confusions_are_those_of_hotcoco(seed: int) -> None:
    problem = plain_problem(seed)
    report = insight_of(problem.frames).report["confusion"]
    wanted = theirs(problem).confusion_matrix(iou_thr=0.5, max_det=10_000, min_score=report["min_score"])
    names = [*wanted["cat_names"], None]
    cells = {
        (names[row], names[column]): int(count) for (row, column), count in np.ndenumerate(wanted["matrix"]) if count
    }
    assert {(cell["truth"], cell["found"]): cell["count"] for cell in report["cells"]} == cells
    assert len(cells) > 8


@pytest.mark.parametrize("seed", SEEDS)
def test_calibration_is_that_of_hotcoco(seed: int) -> None:
    problem = plain_problem(seed)
    wanted = theirs(problem).calibration(n_bins=10, iou_threshold=0.5)
    report = insight_of(problem.frames).report["calibration"]
    assert report["expected_error"] == pytest.approx(wanted["ece"], abs=1e-12)
    assert report["largest_error"] == pytest.approx(wanted["mce"], abs=1e-12)
    assert [one["detections"] for one in report["bins"]] == [one["count"] for one in wanted["bins"]]


def test_average_precision_of_every_class_is_that_of_pycocotools() -> None:
    for seed in range(6):
        problem = problems.random_problem(seed)
        frames = [
            frame._replace(truth=GroundTruth.of(frame.truth.boxes, frame.truth.classes, is_crowd=frame.truth.is_crowd))
            for frame in problem.frames
        ]
        evaluation = problems.pycocotools_evaluation(problem._replace(frames=frames))
        report = insight_of(frames).report
        for index, one in enumerate(report["classes"]):
            wanted = evaluation.eval["precision"][0, :, index, 0, 2].mean()
            assert (-1 if math.isnan(one["average_precision"]) else one["average_precision"]) == pytest.approx(wanted)


def test_best_f1_by_trying_every_score() -> None:
    for seed in (1, 4):
        frames = problems.random_problem(seed).frames
        report = insight_of(frames).report
        scores = sorted({float(score) for frame in frames for score in frame.found.scores})
        tried = {}
        for score in scores:
            cut = [frame._replace(found=frame.found.best(min_score=score)) for frame in frames]
            insight = insight_of(cut)
            counts = insight.report["overall"]
            last = insight.curves.filter(insight.curves.column("class_id").is_null()).to_pylist()[-1]
            tried[score] = 2 * last["tp"] / (counts["detections"] + counts["objects"])
        best = report["overall"]["best_f1"]
        assert best["f1"] == pytest.approx(max(tried.values()))
        assert best["score"] == max(score for score, f1 in tried.items() if f1 == pytest.approx(best["f1"]))


class TestReport:
    """Two cats and a dog in a.jpg, a small ox in b.jpg; one cat found twice, the dog called a cat, the ox missed."""

    FRAMES = (
        EvaluatedFrame(
            "a.jpg",
            100,
            100,
            GroundTruth.of([WHOLE, FAR, [5, 5, 6, 6], HALF], [1, 1, 2, 2], difficult=[False, False, False, True]),
            Detections.best_first(
                [WHOLE, WHOLE, [5, 5, 6, 6], HALF, [8, 8, 9, 9]], [0.9, 0.8, 0.7, 0.6, 0.1], [1, 1, 1, 2, 3]
            ),
            slices=("day", "1"),
        ),
        EvaluatedFrame("b.jpg", 20, 20, GroundTruth.of([WHOLE], [3]), Detections.empty(), slices=("night", "1")),
    )

    @pytest.fixture
    def insight(self) -> Insight:
        return insight_of(list(self.FRAMES), slice_kinds=["light", "n"])

    def test_overall(self, insight: Insight) -> None:
        assert insight.report["overall"] == {
            "frames": 2,
            "objects": 4,
            "detections": 4,
            "ignored_detections": 1,
            "average_precision": pytest.approx(51 / 101 / 3),
            "best_f1": point(0.9, 1, 0, 3),
        }

    def test_classes(self, insight: Insight) -> None:
        cat, dog, ox = insight.report["classes"]
        assert (cat["name"], cat["objects"], cat["detections"], cat["best_f1"]) == ("cat", 2, 3, point(0.9, 1, 0, 1))
        assert (dog["objects"], dog["detections"]) == (1, 0)
        assert dog["best_f1"] == point(None, 0, 0, 1) | {"precision": pytest.approx(math.nan, nan_ok=True)}
        assert ox["best_f1"] == point(float(np.float32(0.1)), 0, 1, 1)

    def test_confusions(self, insight: Insight) -> None:
        confusion = insight.report["confusion"]
        assert confusion["min_score"] == pytest.approx(0.9)
        cells = {(cell["truth"], cell["found"]): cell["count"] for cell in confusion["cells"]}
        assert cells == {("cat", "cat"): 1, ("cat", None): 1, ("dog", None): 1, ("ox", None): 1}

    def test_errors(self, insight: Insight) -> None:
        counts = {one["kind"]: one["count"] for one in insight.report["errors"]}
        assert counts == {
            "class": 1, "localisation": 0, "both": 0, "duplicate": 1, "background": 1, "missed": 2,
        }  # fmt: skip

    def test_sizes(self, insight: Insight) -> None:
        small, medium, large = insight.report["sizes"]["buckets"]
        assert (small["name"], small["tp"], small["fn"]) == ("small", 0, 1)
        assert (medium["tp"], medium["fn"]) == (0, 0)
        assert math.isnan(medium["recall"])
        assert (large["name"], large["tp"], large["fp"], large["fn"]) == ("large", 1, 0, 2)

    def test_slices(self, insight: Insight) -> None:
        light, n = insight.report["slices"]["by"]
        assert (light["kind"], n["kind"]) == ("light", "n")
        day, night = light["slices"]
        assert (day["name"], day["frames"], day["objects"], day["tp"], day["fn"]) == ("day", 1, 3, 1, 2)
        assert day["average_precision"] == pytest.approx(51 / 101 / 2)
        assert (night["name"], night["tp"], night["fn"], night["recall"]) == ("night", 0, 1, 0.0)
        assert [(one["name"], one["frames"], one["fn"]) for one in n["slices"]] == [("1", 2, 3)]

    def test_numbers_to_watch(self, insight: Insight) -> None:
        assert insight.numbers["Insight_F1"] == pytest.approx(0.4)
        assert insight.numbers["Insight_Precision"] == 1.0
        assert insight.numbers["Insight_Recall"] == 0.25
        assert insight.numbers["Insight_PerformanceByCategory/F1/cat"] == pytest.approx(2 / 3)
        assert set(insight.numbers) == set(BoxInsight(NAMES).value().numbers)

    def test_curves(self, insight: Insight) -> None:
        assert insight.curves.schema.equals(CURVES, check_metadata=True)
        rows = [row for row in insight.curves.to_pylist() if row["label"] == "cat"]
        assert [(row["tp"], row["fp"], row["fn"]) for row in rows] == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]
        assert [row["score"] for row in rows] == pytest.approx([0.9, 0.8, 0.7])
        assert (rows[1]["precision"], rows[1]["recall"], rows[1]["f1"]) == (0.5, 0.5, 0.5)
        assert len([row for row in insight.curves.to_pylist() if row["class_id"] is None]) == 4


def point(score: float | None, right: int, wrong: int, missed: int) -> dict[str, Any]:
    return {
        "score": score if score is None else pytest.approx(score),
        "f1": pytest.approx(2 * right / (2 * right + wrong + missed)),
        "precision": pytest.approx(right / (right + wrong)) if right + wrong else math.nan,
        "recall": pytest.approx(right / (right + missed)),
        "tp": right,
        "fp": wrong,
        "fn": missed,
    }


def test_nothing_at_all_is_undefined() -> None:
    insight = BoxInsight(NAMES).value()
    assert all(math.isnan(x) for x in insight.numbers.values())
    assert insight.curves.num_rows == 0
    assert insight.report["confusion"] == {"min_score": None, "cells": []}


def test_a_class_out_of_the_list_does_not_count() -> None:
    frame = EvaluatedFrame(
        "a", 9, 9, GroundTruth.of([WHOLE, WHOLE], [7, -1]), Detections.best_first([WHOLE], [0.5], [7])
    )
    assert insight_of([frame]).report["overall"]["objects"] == 0
    assert insight_of([frame]).report["confusion"]["cells"] == []


def test_a_curve_of_many_scores_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.linspace(1, 0, 5000)
    found = Detections.best_first(np.tile(FAR, (5000, 1)), scores, np.ones(5000))
    curves = insight_of([EvaluatedFrame("a", 9, 9, GroundTruth.of([WHOLE], [1]), found)]).curves
    counts = collections.Counter(curves.column("label").to_pylist())
    assert counts == {None: 1000, "cat": 1000}
    kept = curves.filter(curves.column("label").is_null()).column("score").to_pylist()
    assert (kept[0], kept[-1]) == (1.0, 0.0)


FRAMES = [
    frame._replace(slices=(str(int(frame.name[-1]) % 2),)) for frame in problems.random_problem(7, frames=10).frames
]


@settings(max_examples=15)
@given(data=st.data())
def test_no_split_order_or_merge_tree_changes_a_digit(data: st.DataObject) -> None:
    whole = insight_of(FRAMES, slice_kinds=["n"])
    order = data.draw(st.permutations(range(10)))
    cut = data.draw(st.integers(0, 10))
    first, second = (BoxInsight(NAMES, slice_kinds=["n"]) for _ in range(2))
    first.update([FRAMES[number] for number in order[:cut]])
    second.update([FRAMES[number] for number in order[cut:]])
    second.merge(pickle.loads(pickle.dumps(first)))
    merged = second.value()
    assert repr((merged.numbers, merged.report)) == repr((whole.numbers, whole.report))
    assert merged.curves.equals(whole.curves)


def test_a_right_detection_is_of_the_size_of_its_object_and_a_wrong_one_of_its_own() -> None:
    truth = GroundTruth.of([WHOLE], [1], area=[100])
    found = Detections.best_first([WHOLE, [0.9, 0.9, 0.91, 0.91]], [0.9, 0.8], [1, 1])
    report = insight_of([EvaluatedFrame("a", 500, 500, truth, found)]).report
    small, _, large = report["sizes"]["buckets"]
    assert (report["sizes"]["min_score"], small["tp"], small["fn"]) == (pytest.approx(0.9), 1, 0)
    assert (large["tp"], large["fp"], large["fn"]) == (0, 0, 0)
