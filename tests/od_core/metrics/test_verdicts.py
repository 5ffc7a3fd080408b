import collections
from typing import Any

import hotcoco
import numpy as np
import pycocotools.cocoeval
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Reason, Verdict, Verdicts, verdicts_of
from tests.od_core.metrics import evaluation_problems as problems

BOX, HALF, THIRD = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.3]
FAR, EDGE = [2.0, 2.0, 3.0, 3.0], [0.0, 0.9, 1.0, 1.9]
ALL_DETECTIONS = 10_000


def judged(
    truth: GroundTruth, found: list[tuple[int, list[float]]], iou: float = 0.5, size: tuple[int, int] = (1, 1)
) -> Verdicts:
    """Verdicts on detections (class, box), best first."""
    classes, boxes = zip(*found, strict=True) if found else ((), ())
    detections = Detections.best_first(boxes, np.linspace(0.9, 0.1, len(found)), classes)
    return verdicts_of(EvaluatedFrame("a", *size, truth, detections), iou)


def words(verdicts: Verdicts) -> list[str]:
    return [
        Reason(reason).word if reason else Verdict(verdict).word
        for verdict, reason in zip(verdicts.found.tolist(), verdicts.reasons.tolist(), strict=True)
    ]


def without_difficult(frame: EvaluatedFrame) -> EvaluatedFrame:
    """COCO knows no difficult objects; and what is out of the list is not evaluated."""
    kept = frame.truth.classes <= 3
    truth, found = frame.truth, frame.found
    known = found.classes <= 3
    return frame._replace(
        truth=GroundTruth.of(truth.boxes[kept], truth.classes[kept], is_crowd=truth.is_crowd[kept]),
        found=Detections(found.boxes[known], found.scores[known], found.classes[known]),
    )


@pytest.mark.parametrize("iou", [0.5, 0.75, 0.95])
def test_what_is_right_wrong_missed_and_ignored_is_as_pycocotools_matches(iou: float) -> None:
    seen: collections.Counter[str] = collections.Counter()
    for seed in range(12):
        frames = [without_difficult(frame) for frame in problems.random_problem(seed, crowded=seed % 3 == 0).frames]
        problem = problems.Problem({1: "a", 2: "b", 3: "c"}, frames)
        if not sum(len(frame.found) for frame in frames):
            continue
        evaluation = evaluated(problem, iou)
        for image_id, frame in enumerate(sorted(frames, key=lambda frame: frame.name), 1):
            verdicts = verdicts_of(frame, iou)
            for class_id in problem.categories:
                wanted, missed = theirs(evaluation, image_id, class_id)
                of_class = frame.found.classes == class_id
                ours = [Verdict(verdict).word for verdict in verdicts.found[of_class].tolist()]
                assert ours == wanted
                assert int((verdicts.truth[frame.truth.classes == class_id] == Verdict.FN).sum()) == missed
                seen.update(ours)
    assert min(seen[word] for word in ("tp", "fp", "ignored")) > 10


def evaluated(problem: problems.Problem, iou: float) -> Any:
    truth, found = problems.pycocotools_data(problem)
    evaluation = pycocotools.cocoeval.COCOeval(truth, found, "bbox")
    evaluation.params.iouThrs = np.array([iou])
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [ALL_DETECTIONS]
    with problems.silence():
        evaluation.evaluate()
    return evaluation


def theirs(evaluation: Any, image_id: int, class_id: int) -> tuple[list[str], int]:
    """What pycocotools makes of each detection of a class, and how many objects it misses."""
    (image,) = [
        one for one in evaluation.evalImgs if one and (one["image_id"], one["category_id"]) == (image_id, class_id)
    ] or [None]
    if image is None:
        return [], 0
    verdicts = [
        "ignored" if ignored else "tp" if match else "fp"
        for match, ignored in zip(image["dtMatches"][0], image["dtIgnore"][0], strict=True)
    ]
    missed = (image["gtMatches"][0] == 0) & (np.array(image["gtIgnore"]) == 0)
    return verdicts, int(missed.sum())


def test_reasons_are_counted_as_tide_counts_them() -> None:
    """By hotcoco. Boxes are moved a little: of an overlap at exactly 0.5 TIDE says both that it is right and wrong."""
    names = {"Loc": "localisation", "Cls": "class", "Dupe": "duplicate", "Bkg": "background", "Both": "both"}
    total: collections.Counter[str] = collections.Counter()
    for seed in range(12):
        frames = [without_difficult(frame) for frame in problems.random_problem(seed).frames]
        frames = [moved(frame, np.random.default_rng(seed)) for frame in frames]
        problem = problems.Problem({1: "a", 2: "b", 3: "c"}, frames)
        if not sum(len(frame.found) for frame in frames):
            continue
        ours = collections.Counter(word for frame in frames for word in words(verdicts_of(frame)))
        counts = hotcoco_tide(problem)
        assert {word: ours[word] for word in names.values()} == {word: counts[name] for name, word in names.items()}
        total += ours
    assert min(total[word] for word in names.values()) > 3


def moved(frame: EvaluatedFrame, rng: np.random.Generator) -> EvaluatedFrame:
    """The frame with its detections off by up to a tenth of a pixel, many in a wrong class, and without crowds."""
    found = frame.found
    classes = np.where(rng.random(len(found)) < 0.5, rng.integers(1, 4, len(found)), found.classes).astype(np.int32)
    shifted = (found.boxes + rng.uniform(-0.1, 0.1, found.boxes.shape)).astype(np.float32)
    return frame._replace(
        truth=GroundTruth.of(frame.truth.boxes, frame.truth.classes),
        found=Detections(shifted, found.scores, classes),
    )


def hotcoco_tide(problem: problems.Problem) -> dict[str, int]:
    truth, found = problems.hotcoco_data(problem)
    evaluation = hotcoco.COCOeval(truth, found, "bbox")
    evaluation.evaluate()
    counts: dict[str, int] = evaluation.tide_errors(pos_thr=0.5, bg_thr=0.1)["counts"]
    return counts


@given(seed=st.integers(0, 1000), min_score=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
def test_detections_below_a_score_change_nothing_above_it(seed: int, min_score: float) -> None:
    for frame in problems.random_problem(seed, frames=3).frames:
        whole = verdicts_of(frame)
        part = verdicts_of(frame._replace(found=frame.found.best(min_score=min_score)))
        count = len(part.found)
        for name in ("found", "reasons", "objects", "ious"):
            assert np.array_equal(getattr(whole, name)[:count], getattr(part, name))
        scores = np.append(frame.found.scores, -1)[whole.finders]
        missed = (whole.truth != Verdict.IGNORED) & (scores < np.float32(min_score))
        assert np.array_equal(part.truth == Verdict.FN, missed | (whole.truth == Verdict.FN))


@given(seed=st.integers(0, 1000))
def test_every_object_has_one_finder_and_every_right_detection_one_object(seed: int) -> None:
    for frame in problems.random_problem(seed, frames=3).frames:
        verdicts = verdicts_of(frame)
        right = np.flatnonzero(verdicts.found == Verdict.TP)
        assert sorted(verdicts.finders[verdicts.truth == Verdict.TP].tolist()) == right.tolist()
        assert np.array_equal(verdicts.finders[verdicts.objects[right]], right)
        assert (verdicts.ious[right] >= 0.5).all()
        assert (verdicts.finders[verdicts.truth != Verdict.TP] == NONE).all()
        assert ((verdicts.found == Verdict.FP) == (verdicts.reasons != Reason.NONE)).all()


class TestReasons:
    """One object of class 1, or two, and one detection that is wrong."""

    def test_localisation(self) -> None:
        verdicts = judged(GroundTruth.of([FAR, BOX], [1, 1]), [(1, THIRD)])
        assert words(verdicts) == ["localisation"]
        assert (verdicts.objects.tolist(), verdicts.ious.tolist()) == ([1], [pytest.approx(0.3)])
        assert verdicts.truth.tolist() == [Verdict.FN, Verdict.FN]

    def test_class(self) -> None:
        verdicts = judged(GroundTruth.of([FAR, BOX], [2, 1]), [(2, BOX)])
        assert words(verdicts) == ["class"]
        assert (verdicts.objects.tolist(), verdicts.ious.tolist()) == ([1], [1.0])

    def test_duplicate(self) -> None:
        verdicts = judged(GroundTruth.of([BOX], [1]), [(1, BOX), (1, HALF)])
        assert words(verdicts) == ["tp", "duplicate"]
        assert (verdicts.objects.tolist(), verdicts.finders.tolist()) == ([0, 0], [0])

    def test_background(self) -> None:
        verdicts = judged(GroundTruth.of([BOX], [1]), [(1, FAR), (1, [0.0, 0.95, 1.0, 1.95])])
        assert words(verdicts) == ["background", "background"]
        assert (verdicts.objects.tolist(), verdicts.ious.tolist()) == ([NONE, NONE], [0.0, 0.0])
        assert words(judged(GroundTruth.empty(), [(1, FAR)])) == ["background"]

    def test_both(self) -> None:
        verdicts = judged(GroundTruth.of([BOX], [1]), [(2, THIRD)])
        assert (words(verdicts), verdicts.objects.tolist()) == (["both"], [0])

    def test_the_first_that_holds(self) -> None:
        two = GroundTruth.of([BOX, HALF], [1, 2])
        assert words(judged(two, [(1, HALF), (1, THIRD)])) == ["tp", "localisation"]
        assert words(judged(two, [(1, HALF), (1, HALF)])) == ["tp", "class"]


class TestMatching:
    def test_the_free_object_of_most_overlap_is_taken_and_of_equal_ones_the_last(self) -> None:
        verdicts = judged(GroundTruth.of([HALF, BOX, HALF], [1, 1, 1]), [(1, HALF), (1, HALF), (1, HALF), (1, HALF)])
        assert verdicts.objects.tolist() == [2, 0, 1, 0]
        assert words(verdicts) == ["tp", "tp", "tp", "duplicate"]

    @pytest.mark.parametrize("flag", ["is_crowd", "group_of", "difficult"])
    def test_what_need_not_be_found_is_neither_missed_nor_makes_a_detection_wrong(self, flag: str) -> None:
        truth = GroundTruth.of([BOX, FAR], [1, 1], **{flag: [True, False]})  # type: ignore[arg-type]
        verdicts = judged(truth, [(1, BOX), (1, HALF), (1, FAR)])
        assert words(verdicts) == ["ignored", "ignored", "tp"]
        assert verdicts.truth.tolist() == [Verdict.IGNORED, Verdict.TP]
        assert verdicts.objects.tolist() == [0, 0, 1]
        assert words(judged(truth, [(2, BOX)])) == ["background"]  # it does not take part in reasons

    def test_in_a_crowd_the_share_of_the_detection_counts_and_not_for_a_difficult_object(self) -> None:
        assert words(judged(GroundTruth.of([BOX], [1], is_crowd=[True]), [(1, THIRD)])) == ["ignored"]
        assert words(judged(GroundTruth.of([BOX], [1], group_of=[True]), [(1, THIRD)])) == ["ignored"]
        assert words(judged(GroundTruth.of([BOX], [1], difficult=[True]), [(1, THIRD)])) == ["background"]

    def test_an_object_comes_before_a_crowd_that_overlaps_more(self) -> None:
        truth = GroundTruth.of([BOX, HALF], [1, 1], is_crowd=[True, False])
        verdicts = judged(truth, [(1, [0, 0, 1, 0.6])])
        assert (words(verdicts), verdicts.objects.tolist()) == (["tp"], [1])

    def test_an_object_of_no_class_plays_no_part(self) -> None:
        verdicts = judged(GroundTruth.of([BOX], [-1]), [(1, BOX)])
        assert (words(verdicts), verdicts.truth.tolist()) == (["background"], [Verdict.IGNORED])

    def test_overlaps_are_of_pixels_and_the_threshold_is_enough(self) -> None:
        truth = GroundTruth.of([BOX], [1])
        assert words(judged(truth, [(1, HALF)], size=(37, 91))) == ["tp"]
        assert words(judged(truth, [(1, HALF)], iou=0.51)) == ["localisation"]
        assert words(judged(truth, [(1, BOX)], iou=1.0)) == ["tp"]

    def test_nothing_found_and_nothing_there(self) -> None:
        assert judged(GroundTruth.of([BOX], [1]), []).truth.tolist() == [Verdict.FN]
        nothing = judged(GroundTruth.empty(), [])
        assert (len(nothing.found), len(nothing.truth)) == (0, 0)

    @pytest.mark.parametrize("iou", [0.1, 0.0, 1.01, float("nan")])
    def test_a_threshold_that_makes_no_sense(self, iou: float) -> None:
        with pytest.raises(ValueError, match=r"above 0\.1 and at most 1"):
            judged(GroundTruth.empty(), [], iou)
