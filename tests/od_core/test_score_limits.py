"""ScoreLimits: which detections count, for all classes and for some apart."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.score_limits import ScoreLimits


def found(scores: list[float], classes: list[int], **more: object) -> Detections:
    plain = Detections.best_first(np.arange(4 * len(scores)).reshape(-1, 4), scores, classes)
    return Detections(plain.boxes, plain.scores, plain.classes, **more)  # type: ignore[arg-type]


def test_a_class_has_its_own_limit_and_the_others_the_common_one() -> None:
    three = found([0.9, 0.6, 0.4, 0.3], [1, 2, 2, 3])
    kept = ScoreLimits(0.7, {2: 0.5, 3: 0.3}).kept(three)
    assert kept.classes.tolist() == [1, 2, 3]
    assert kept.boxes[:, 0].tolist() == [0, 4, 12]
    assert ScoreLimits(0.7, {2: 0.95}).kept(three).classes.tolist() == [1]
    assert ScoreLimits(0, {9: 0.5}).kept(three) is three


def test_masks_and_keypoints_go_with_their_detections() -> None:
    points = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    both = found([0.9, 0.8], [1, 2], masks=(b"one", b"two"), keypoints=points)
    kept = ScoreLimits(0.5, {1: 1.0}).kept(both)
    assert (kept.masks, kept.keypoints.tolist()) == ((b"two",), [[[3, 4, 5]]])  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(1, 3)), max_size=8), st.floats(0, 1))
def test_equal_limits_are_one_limit(pairs: list[tuple[float, int]], limit: float) -> None:
    some = Detections.best_first(np.zeros((len(pairs), 4)), [s for s, _ in pairs], [c for _, c in pairs])
    assert ScoreLimits(limit, dict.fromkeys((1, 2, 3), limit)).kept(some) == ScoreLimits(limit).kept(some)
