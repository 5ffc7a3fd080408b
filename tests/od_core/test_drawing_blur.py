"""Blurring: nothing but a few means is left of what was in a box, and the rest of the picture stays."""

import numpy as np
import pytest

from od_core.drawing import blur

NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_what_is_outside_of_a_box_and_its_margin_stays() -> None:
    hidden = blur(NOISE, boxes((0.25, 0.25, 0.75, 0.75)))
    touched = (hidden != NOISE).any(axis=-1)
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (48, 192, 64, 256)  # a tenth of 120 and 160 around it
    assert touched[49:192, 65:256].mean() > 0.99
    assert not np.shares_memory(hidden, NOISE)


@pytest.mark.parametrize("side", [12, 40, 200])
def test_all_detail_within_a_cell_is_lost(side: int) -> None:
    """Pictures that differ in every pixel, but not in the means of cells, are the same afterwards."""
    cells = max(1, min(6, side // 8))
    cell = side // cells // 2 * 2
    chess = np.indices((side, side)).sum(axis=0) % 2
    one, other = (np.repeat((values * 200)[..., None], 3, axis=2).astype(np.uint8) for values in (chess, 1 - chess))
    assert (one != other).all()
    whole = boxes((0, 0, 1, 1))
    hidden = blur(one, whole).astype(int)
    if cells * cell == side:
        np.testing.assert_array_equal(hidden, blur(other, whole))
    assert np.abs(hidden - 100).max() <= 20


@pytest.mark.parametrize("size", [(9, 7), (64, 48), (1080, 1920)])
def test_no_more_than_thirty_six_colours_are_kept(size: tuple[int, int]) -> None:
    """The same means on a grid of 6 by 6 give the same picture, whatever was in it."""
    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    hidden = blur(noise, boxes((0, 0, 1, 1))).astype(int)
    steps = np.abs(np.diff(hidden, axis=0)).max(initial=0), np.abs(np.diff(hidden, axis=1)).max(initial=0)
    assert max(steps) <= 40  # no edge is left
    assert hidden.std() < noise.std() / 4


def test_boxes_beyond_the_picture_without_area_and_with_swapped_edges() -> None:
    outside = boxes((-0.5, 0.2, -0.2, 0.5), (1.3, 0, 1.6, 1))
    np.testing.assert_array_equal(blur(NOISE, outside), NOISE)
    np.testing.assert_array_equal(blur(NOISE, boxes()), NOISE)
    swapped = blur(NOISE, boxes((0.8, 0.9, 0.2, 0.3)))
    np.testing.assert_array_equal(swapped, blur(NOISE, boxes((0.2, 0.3, 0.8, 0.9))))
    assert blur(NOISE, boxes((0.5, 0.5, 0.5, 0.5), (-1, -1, 2, 2))).shape == NOISE.shape
