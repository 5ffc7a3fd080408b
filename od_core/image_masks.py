"""Masks of detections: from the small frame of a box to runs of pixels of the whole image.

A TensorFlow detector gives a mask as a small grid of probabilities over its box. The Object Detection API spreads it
over the image by bilinear interpolation, outside the box 0, and calls what is above one half the object
(`reframe_box_masks_to_image_masks` in object_detection/utils/ops.py). That is what is done here, in the order of
operations of tf.image.crop_and_resize, which it calls, but for the pixels of the box alone.

Runs are counted column by column from the top left, those outside first; `hotcoco.mask` writes the code of them.
"""

from collections.abc import Iterator

import hotcoco.mask
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

THRESHOLD = 0.5

# The least height and width that the API takes a box for: it divides by them.
_LEAST_EXTENT = 1e-4
_PIXELS_AT_ONCE = 1 << 20


def encode_box_mask(mask: FloatArray, box: FloatArray, height: int, width: int) -> bytes:
    """A mask in COCO's compressed run-length code, for an image of `height` x `width` pixels.

    Args:
        mask: float32 (h, w), probabilities over the box.
        box: float32 (4,), [ymin, xmin, ymax, xmax] in units of the image; it may reach over the image's border.
    """
    extent = np.maximum(box[2:] - box[:2], np.float32(_LEAST_EXTENT))
    low, high = (np.float32(0) - box[:2]) / extent, (np.float32(1) - box[:2]) / extent
    rows = _Samples(low[0], high[0], height, mask.shape[0])
    columns = _Samples(low[1], high[1], width, mask.shape[1])
    changes = [np.zeros(0, np.int64)]
    if len(rows.places) and len(columns.places):
        changes += _changes(mask, rows, columns, height)
    return _encoded(np.concatenate(changes), height, width)


class _Samples:
    """Where the pixels of one axis of an image lie on that axis of a mask.

    places: the pixels that lie on the mask; before, after: its two cells around each; share: how far it is from the
    one to the other.
    """

    def __init__(self, low: np.float32, high: np.float32, pixels: int, cells: int):
        """`low`, `high`: the image's edges, in units of the box."""
        last = np.float32(cells - 1)
        if pixels > 1:
            scale = (high - low) * last / np.float32(pixels - 1)
            at = low * last + np.arange(pixels, dtype=np.float32) * scale
        else:
            at = np.array([np.float32(0.5) * (low + high) * last])
        self.places = np.flatnonzero((at >= 0) & (at <= last))
        at = at[self.places]
        self.before, self.after = np.floor(at).astype(np.intp), np.ceil(at).astype(np.intp)
        self.share = at - self.before.astype(np.float32)


def _changes(mask: FloatArray, rows: _Samples, columns: _Samples, height: int) -> Iterator[npt.NDArray[np.int64]]:
    """Where the image changes from outside to inside the mask and back, counted column by column."""
    left, right = mask[:, columns.before], mask[:, columns.after]
    across = left + (right - left) * columns.share  # (h, columns)
    step = max(1, _PIXELS_AT_ONCE // len(rows.places))
    for start in range(0, len(columns.places), step):
        part = across[:, start : start + step]
        upper, lower = part[rows.before], part[rows.after]
        inside = upper + (lower - upper) * rows.share[:, None] > THRESHOLD
        framed = np.zeros((inside.shape[1], inside.shape[0] + 2), np.int8)  # column by column, outside at both ends
        framed[:, 1:-1] = inside.T
        column, row = np.nonzero(np.diff(framed, axis=1))
        yield columns.places[start + column] * height + (rows.places[0] + row)


def _encoded(changes: npt.NDArray[np.int64], height: int, width: int) -> bytes:
    # A column that ends inside and the next one that begins inside are one run.
    places, times = np.unique(changes, return_counts=True)
    bounds = places[times == 1]
    if not len(bounds) or bounds[-1] < height * width:
        bounds = np.append(bounds, height * width)
    counts = np.diff(bounds, prepend=0).tolist()
    code: bytes = hotcoco.mask.fr_py_objects({"size": [height, width], "counts": counts}, height, width)["counts"]
    return code


def run_lengths(code: bytes) -> npt.NDArray[np.int64]:
    """The lengths of the runs in COCO's compressed code, outside and inside in turn (cocoapi, rleFrString).

    Raises:
        ValueError: it is no such code.
    """
    digits = np.frombuffer(code, np.uint8).astype(np.int64) - 48
    last = digits & 0x20 == 0  # of a number, five bits a digit, the low ones first
    if not len(digits) or not last[-1] or digits.min() < 0 or digits.max() > 0x3F:
        raise ValueError(f"it is no run-length code (it starts with {code[:8]!r})")
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    places = np.arange(len(digits)) - np.repeat(starts, np.diff(starts, append=len(digits)))
    if places.max() > 11:
        raise ValueError("it is no run-length code (a run is longer than any image)")
    numbers = np.add.reduceat((digits & 0x1F) << (5 * places), starts)
    ends = np.flatnonzero(last)
    numbers -= np.where(digits[ends] & 0x10, np.int64(1) << (5 * (places[ends] + 1)), 0)  # the top bit is the sign
    for first in (1, 2):  # from the fourth on, each number is the difference to the one before the last
        numbers[first::2] = np.cumsum(numbers[first::2])
    if numbers.min() < 0:
        raise ValueError("it is no run-length code (a run has a length below zero)")
    return numbers
