"""Boxes as float arrays of rows [ymin, xmin, ymax, xmax]: area, overlap, clipping, units, orientation.

Every function takes anything array-like of shape (N, 4), N = 0 included, computes in float64 and returns a new array.
Coordinates are edges, not pixel indices: a box over the whole of an image of height H ends at ymax = H (or 1.0 where
the unit is the image), and its height is ymax - ymin, without a "+ 1".
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# In units of the image float32 tells at least so many places of an edge apart, errors of both ways included.
_FLOAT32_STEPS = 2.0**23

# How an image as stored becomes upright, by EXIF orientation (tag 0x0112, CIPA DC-008 4.6.4): whether rows and columns
# change places, and whether then the vertical and the horizontal axis are turned round.
_TO_UPRIGHT = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def area(boxes: npt.ArrayLike) -> Array:
    """Height times width of every box, (N,), in the boxes' own units squared; 0 where opposite edges are swapped."""
    rows = _rows(boxes)
    return np.asarray(np.clip(rows[:, 2:] - rows[:, :2], 0, None).prod(axis=1))


def is_valid(boxes: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether a box is finite and wider and higher than nothing, (N,)."""
    rows = _rows(boxes)
    return np.asarray(np.isfinite(rows).all(axis=1) & (rows[:, :2] < rows[:, 2:]).all(axis=1))


def pairwise_intersection(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """Area shared by each of the (N, 4) boxes with each of the (M, 4) boxes, (N, M)."""
    a, b = _rows(a), _rows(b)
    shared = np.ones((len(a), len(b)))
    for low, high in ((0, 2), (1, 3)):
        start = np.maximum(a[:, None, low], b[None, :, low])
        shared *= np.clip(np.minimum(a[:, None, high], b[None, :, high]) - start, 0, None)
    return shared


def pairwise_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """Intersection over union of (N, 4) boxes with (M, 4) boxes, (N, M) in [0, 1]; 0 where the union is empty."""
    shared = pairwise_intersection(a, b)
    return _ratio(shared, area(a)[:, None] + area(b)[None, :] - shared)


def pairwise_ioa(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """Intersection over the area of the first, (N, M) in [0, 1]: how much of each box of `a` lies in each box of `b`.

    Detections go first where ground truth is a crowd or a group; 0 where the box of `a` is empty.
    """
    shared = pairwise_intersection(a, b)
    return _ratio(shared, np.broadcast_to(area(a)[:, None], shared.shape))


def clip(boxes: npt.ArrayLike, height: float = 1.0, width: float = 1.0) -> Array:
    """The part of every box that lies in the image, (N, 4); a box wholly outside collapses onto the border."""
    return np.clip(_rows(boxes), 0.0, _scale(height, width))


def to_pixels(boxes: npt.ArrayLike, height: npt.ArrayLike, width: npt.ArrayLike) -> Array:
    """Boxes in units of the image as boxes in pixels, (N, 4), not rounded.

    Args:
        height, width: of the image, or (N,) of the images that the boxes are in.
    """
    return _rows(boxes) * _scale(height, width)


def measured(boxes: npt.ArrayLike, height: npt.ArrayLike, width: npt.ArrayLike) -> Array:
    """Float32 boxes in units of the image as boxes in pixels, (N, 4), to the decimals of a pixel that float32 can tell.

    An edge that was annotated at pixel 20 is at 20 again, and not at 19.999998: what overlaps by just a threshold does
    so still. It is four decimals in an image of 1,000 pixels.

    Args:
        height, width: as for `to_pixels`.
    """
    scale = _scale(height, width)
    steps = 10.0 ** np.floor(np.log10(_FLOAT32_STEPS / scale))
    return np.asarray(np.rint(_rows(boxes) * scale * steps) / steps)


def to_normalised(boxes: npt.ArrayLike, height: int, width: int) -> Array:
    """Boxes in pixels as boxes in units of the image, (N, 4)."""
    return _rows(boxes) / _scale(height, width)


def coco_bbox(boxes: npt.ArrayLike) -> Array:
    """Boxes in pixels as COCO writes them, (N, 4): [x, y, width, height]."""
    ymin, xmin, ymax, xmax = _rows(boxes).T
    return np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1)


def of_coco_bbox(bboxes: npt.ArrayLike) -> Array:
    """COCO's [x, y, width, height] as boxes in pixels, (N, 4)."""
    x, y, width, height = _rows(bboxes).T
    return np.stack([y, x, y + height, x + width], axis=1)


def upright(boxes: npt.ArrayLike, orientation: int) -> Array:
    """Boxes of an image as it is stored, in its units, as boxes of the image shown upright, (N, 4).

    Args:
        orientation: the EXIF orientation of the stored image, 1 to 8.
    """
    swap, flip_y, flip_x = _TO_UPRIGHT[orientation]
    boxes = _rows(boxes)
    return _flipped(boxes[:, [1, 0, 3, 2]] if swap else boxes, flip_y, flip_x)


def as_stored(boxes: npt.ArrayLike, orientation: int) -> Array:
    """The inverse of `upright`: boxes of the upright image as boxes of the image as it is stored, (N, 4)."""
    swap, flip_y, flip_x = _TO_UPRIGHT[orientation]
    boxes = _flipped(_rows(boxes), flip_y, flip_x)
    return boxes[:, [1, 0, 3, 2]] if swap else boxes


def _flipped(boxes: Array, flip_y: bool, flip_x: bool) -> Array:
    ymin, xmin, ymax, xmax = boxes.T
    if flip_y:
        ymin, ymax = 1 - ymax, 1 - ymin
    if flip_x:
        xmin, xmax = 1 - xmax, 1 - xmin
    return np.stack([ymin, xmin, ymax, xmax], axis=1)


def _rows(boxes: npt.ArrayLike) -> Array:
    rows = np.asarray(boxes, np.float64)
    if rows.size == 0:
        return rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4), got {rows.shape}")
    return rows


def _scale(height: npt.ArrayLike, width: npt.ArrayLike) -> Array:
    if isinstance(height, int | float) and isinstance(width, int | float):  # of one image: several times faster
        return np.array((height, width, height, width), np.float64)
    return np.stack([height, width, height, width], axis=-1).astype(np.float64)


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
