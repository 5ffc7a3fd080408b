import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image, ImageOps

from od_core import boxes

SIDE = 12  # of the small grid on which overlaps are counted cell by cell

coordinates = st.floats(-2, 3, width=32)
any_boxes = npst.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4)), elements=coordinates)


def _ordered(rows):
    """Rows with the smaller of two opposite edges first."""
    return np.concatenate([np.minimum(rows[:, :2], rows[:, 2:]), np.maximum(rows[:, :2], rows[:, 2:])], axis=1)


ordered_boxes = any_boxes.map(_ordered)
grid_boxes = npst.arrays(np.int64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.integers(0, SIDE)).map(
    _ordered
)


def _cells(box):
    """The grid cells a box of whole numbers covers, as a bool image."""
    ymin, xmin, ymax, xmax = box
    cells = np.zeros((SIDE, SIDE), bool)
    cells[ymin:ymax, xmin:xmax] = True
    return cells


@settings(deadline=None)
@given(grid_boxes, grid_boxes)
def test_overlaps_equal_counting_cells(a, b):
    np.testing.assert_array_equal(boxes.area(a), [_cells(box).sum() for box in a])
    shared = np.array([[(_cells(p) & _cells(q)).sum() for q in b] for p in a]).reshape(len(a), len(b))
    union = np.array([[(_cells(p) | _cells(q)).sum() for q in b] for p in a]).reshape(len(a), len(b))
    np.testing.assert_array_equal(boxes.pairwise_intersection(a, b), shared)
    np.testing.assert_array_equal(boxes.pairwise_iou(a, b), np.where(union > 0, shared / np.maximum(union, 1), 0))
    sizes = np.array([_cells(p).sum() for p in a])[:, None]
    np.testing.assert_array_equal(boxes.pairwise_ioa(a, b), np.where(sizes > 0, shared / np.maximum(sizes, 1), 0))


@settings(deadline=None)
@given(any_boxes, any_boxes)
def test_iou_is_symmetric_and_bounded_for_any_edges(a, b):
    iou, ioa = boxes.pairwise_iou(a, b), boxes.pairwise_ioa(a, b)
    assert iou.shape == ioa.shape == (len(a), len(b))
    assert iou.dtype == ioa.dtype == np.float64
    assert ((iou >= 0) & (iou <= 1)).all()
    assert ((ioa >= 0) & (ioa <= 1)).all()
    assert (iou <= ioa + 1e-12).all()
    np.testing.assert_array_equal(iou, boxes.pairwise_iou(b, a).T)


@settings(deadline=None)
@given(any_boxes)
def test_a_box_overlaps_itself_wholly_exactly_if_it_has_an_area(rows):
    np.testing.assert_array_equal(np.diagonal(boxes.pairwise_iou(rows, rows)), boxes.area(rows) > 0)
    np.testing.assert_array_equal(np.diagonal(boxes.pairwise_ioa(rows, rows)), boxes.area(rows) > 0)


@settings(deadline=None)
@given(ordered_boxes, st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
def test_clipping_keeps_to_the_image_and_changes_nothing_the_second_time(rows, size):
    clipped = boxes.clip(rows, *size)
    assert boxes.is_valid(clipped).sum() <= boxes.is_valid(rows).sum()
    assert (clipped >= 0).all()
    assert (clipped <= [*size, *size]).all()
    np.testing.assert_array_equal(boxes.clip(clipped, *size), clipped)
    window = [[0, 0, *size]]
    np.testing.assert_array_equal(boxes.area(clipped), boxes.pairwise_intersection(rows, window)[:, 0])


@settings(deadline=None)
@given(ordered_boxes, st.integers(1, 10_000), st.integers(1, 10_000))
def test_conversions_come_back(rows, height, width):
    # float32 boxes are exact in float64 through a multiplication by a size in pixels and back.
    np.testing.assert_array_equal(boxes.to_normalised(boxes.to_pixels(rows, height, width), height, width), rows)
    np.testing.assert_allclose(boxes.of_coco_bbox(boxes.coco_bbox(rows)), rows, atol=1e-15)


def test_units_and_order_of_the_conversions():
    rows = [[0.25, 0.5, 0.75, 1.0]]
    np.testing.assert_array_equal(boxes.to_pixels(rows, 100, 200), [[25, 100, 75, 200]])
    np.testing.assert_array_equal(boxes.coco_bbox([[25, 100, 75, 200]]), [[100, 25, 100, 50]])


def test_validity_needs_finite_edges_in_order():
    rows = [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0.5, 1, 0.5], [1, 0, 0, 1], [0, 0, np.inf, 1], [np.nan, 0, 1, 1]]
    assert boxes.is_valid(rows).tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_boxes_lie_where_pillow_puts_the_pixels(orientation):
    height, width, box = 16, 24, (2, 5, 7, 20)
    stored = np.zeros((height, width), np.uint8)
    stored[box[0] : box[2], box[1] : box[3]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(file := io.BytesIO(), "PNG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    rows, columns = np.nonzero(shown)
    expected = [[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]]

    upright = boxes.upright(boxes.to_normalised([box], height, width), orientation)
    np.testing.assert_allclose(boxes.to_pixels(upright, *shown.shape), expected, atol=1e-9)


@settings(deadline=None)
@given(ordered_boxes, st.integers(1, 8))
def test_orientation_applied_and_inverted_is_the_identity(rows, orientation):
    there = boxes.upright(rows, orientation)
    np.testing.assert_allclose(boxes.as_stored(there, orientation), rows, atol=1e-15)
    np.testing.assert_allclose(boxes.upright(boxes.as_stored(rows, orientation), orientation), rows, atol=1e-15)


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 4), np.float32)])
def test_no_boxes_are_no_special_case(nothing):
    some = [[0, 0, 1, 1]] * 3
    assert boxes.area(nothing).shape == boxes.is_valid(nothing).shape == (0,)
    assert boxes.pairwise_iou(nothing, some).shape == (0, 3)
    assert boxes.pairwise_ioa(some, nothing).shape == (3, 0)
    for convert in (
        boxes.clip(nothing),
        boxes.to_pixels(nothing, 2, 3),
        boxes.to_normalised(nothing, 2, 3),
        boxes.coco_bbox(nothing),
        boxes.of_coco_bbox(nothing),
        boxes.upright(nothing, 6),
        boxes.as_stored(nothing, 6),
    ):
        assert convert.shape == (0, 4)


def test_the_callers_array_is_never_changed_or_shared():
    rows = np.array([[-0.5, 0.0, 0.5, 2.0]])
    before = rows.copy()
    for changed in (boxes.clip(rows), boxes.to_pixels(rows, 1, 1), boxes.upright(rows, 1), boxes.as_stored(rows, 5)):
        changed[:] = 7
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("wrong", [[0, 0, 1, 1], [[0, 0, 1]], np.zeros((1, 2, 4))])
def test_another_shape_is_refused(wrong):
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), got"):
        boxes.area(wrong)
