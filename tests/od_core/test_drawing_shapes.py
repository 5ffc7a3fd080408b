"""Masks and keypoints on a picture."""

import numpy as np

from od_core.annotations.shapes import encode_runs
from od_core.detections import Detections
from od_core.drawing import draw_shapes

RED, BLUE = (200, 0, 0), (0, 0, 200)
GREY = np.full((40, 60, 3), 100, np.uint8)


def with_shapes(masks: list[np.ndarray] | None, keypoints: list[list[list[float]]] | None) -> Detections:
    count = len(masks or keypoints or [])
    return Detections(
        np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1)),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.ones(count, np.int32),
        None if masks is None else tuple(encode_runs(mask) if mask.any() else b"" for mask in masks),
        None if keypoints is None else np.array(keypoints, np.float32),
    )


def boxed(top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_what_a_mask_covers_is_tinted_and_the_best_lies_on_top() -> None:
    found = with_shapes([boxed(5, 10, 20, 30), boxed(10, 20, 40, 60), np.zeros((40, 60), np.uint8)], None)
    drawn = draw_shapes(GREY, found, [RED, BLUE, BLUE], (40, 60))
    expected = GREY.astype(float)
    for colour, place in ((BLUE, np.s_[10:40, 20:60]), (RED, np.s_[5:20, 10:30])):
        expected[place] = np.rint(expected[place] * 0.55 + np.array(colour) * 0.45)
    np.testing.assert_array_equal(drawn, expected)
    assert (GREY == 100).all()


def test_masks_are_scaled_with_the_picture() -> None:
    found = with_shapes([boxed(10, 20, 30, 60, (80, 120))], None)
    drawn = draw_shapes(GREY, found, [RED], (80, 120))
    tinted = np.argwhere((drawn != GREY).any(axis=2))
    assert (*tinted.min(axis=0), *tinted.max(axis=0) + 1) == (5, 10, 15, 30)


def test_keypoints_are_dots_where_they_are_known() -> None:
    unknown, outside = [np.nan, np.nan, np.nan], [1.2, 0.5, 0.9]
    drawn = draw_shapes(GREY, with_shapes(None, [[[0.5, 0.25, 0.9], unknown, outside]]), [RED], (40, 60))
    changed = np.argwhere((drawn != GREY).any(axis=2))
    np.testing.assert_array_equal(changed.mean(axis=0), [20, 15])
    assert tuple(drawn[20, 15]) == RED
    assert len(changed) < 200


def test_without_shapes_nothing_is_copied() -> None:
    assert draw_shapes(GREY, Detections.empty(), [], (40, 60)) is GREY
