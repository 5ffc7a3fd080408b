import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from od_core.detections import Detections


def _detections(scores, **fields):
    count = len(scores)
    return Detections(
        np.linspace(0, 1, 4 * count, dtype=np.float32).reshape(count, 4),
        np.array(scores, np.float32),
        np.arange(count, dtype=np.int32),
        **fields,
    )


THREE = _detections(
    [0.9, 0.5, 0.5], masks=(b"a", b"b", b"c"), keypoints=np.arange(18, dtype=np.float32).reshape(3, 2, 3)
)

score_lists = npst.arrays(np.float32, st.integers(0, 8), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))


@settings(deadline=None)
@given(score_lists)
def test_best_first_sorts_by_score_and_keeps_the_order_of_equals(scores):
    boxes = np.arange(4 * len(scores)).reshape(-1, 4)
    found = Detections.best_first(boxes, scores, np.arange(len(scores), dtype=np.float32))
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    assert found.classes.tolist() == order
    assert found.scores.tolist() == [scores[index] for index in order]
    assert found.boxes.tolist() == [boxes[index].tolist() for index in order]
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int32)


@settings(deadline=None)
@given(score_lists, st.sampled_from([0.0, 0.25, 0.3, 1.0, 2.0]), st.none() | st.integers(0, 9))
def test_best_keeps_scores_of_at_least_min_score_up_to_the_limit(scores, min_score, limit):
    found = Detections.best_first(np.zeros((len(scores), 4)), scores, np.arange(len(scores)))
    expected = [pair for pair in zip(found.scores, found.classes, strict=True) if pair[0] >= min_score][:limit]
    best = found.best(min_score=min_score, limit=limit)
    assert list(zip(best.scores, best.classes, strict=True)) == expected


def test_a_score_equal_to_min_score_in_float32_is_kept():
    assert len(_detections([0.3]).best(min_score=0.3)) == 1


def test_best_cuts_masks_and_keypoints_too():
    best = THREE.best(limit=1)
    assert best.masks == (b"a",)
    np.testing.assert_array_equal(best.keypoints, THREE.keypoints[:1])
    assert THREE.best() is THREE


def test_nothing_found():
    assert len(Detections.empty()) == 0
    assert Detections.empty() == Detections.best_first([], [], [])
    assert len(Detections.empty().best(min_score=0.5, limit=3)) == 0


def test_equality_looks_at_every_field():
    assert dataclasses.replace(THREE, boxes=THREE.boxes.copy()) == THREE
    for change in (
        {"boxes": THREE.boxes / 2},
        {"scores": THREE.scores / 2},
        {"classes": THREE.classes + 1},
        {"masks": (b"a", b"b", b"d")},
        {"masks": None},
        {"keypoints": THREE.keypoints / 2},
        {"keypoints": None},
    ):
        assert dataclasses.replace(THREE, **change) != THREE
        assert dataclasses.replace(THREE, **change) != THREE
    assert THREE != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(THREE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"boxes": np.zeros((3, 5), np.float32)},
            r"boxes must be float32 of shape \(3, 4\), got float32 of shape \(3, 5\)",
        ),
        ({"boxes": np.zeros((3, 4))}, "got float64"),
        ({"classes": np.zeros(3, np.float32)}, "classes must be int32"),
        ({"scores": np.zeros((3, 1), np.float32)}, "scores must be float32"),
        ({"scores": np.array([0.1, 0.2, 0.3], np.float32)}, "scores must not increase"),
        ({"scores": np.array([np.nan, 0.2, 0.1], np.float32)}, "scores must be finite"),
        ({"boxes": np.full((3, 4), np.inf, np.float32)}, "boxes must be finite"),
        ({"masks": (b"a",)}, r"masks must have one entry per score \(3\), got 1"),
        ({"keypoints": np.zeros((3, 2, 2), np.float32)}, r"keypoints must have shape \(3, K, 3\), got \(3, 2, 2\)"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(THREE, **change)
