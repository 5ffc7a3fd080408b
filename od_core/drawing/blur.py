"""Hiding what lies in boxes, so that nobody is recognised."""

import cv2
import numpy as np
import numpy.typing as npt

from od_core.drawing.layout import outer_pixels
from od_core.drawing.tags import ImageArray

# A face of so few cells is not recognised by people, and smaller things have cells of at least so many pixels.
_MOST_CELLS = 6
_SMALLEST_CELL = 8
_MARGIN = 0.1  # boxes seldom hold all of what they are around


def blur(image: ImageArray, boxes: npt.NDArray[np.float32]) -> ImageArray:
    """A copy of the image in which what lies in the boxes, and a tenth around them, is only a few soft colours.

    Of each box no more is kept than the means of at most 6 by 6 cells, each of at least 8 by 8 pixels: what was within
    a cell cannot be had back from them. (Of a thing that moves through a video, many such grids are seen.)

    Args:
        image: uint8 (H, W, 3) RGB.
        boxes: (N, 4) rows [ymin, xmin, ymax, xmax], normalised.
    """
    image = np.array(image, order="C")
    height, width = image.shape[:2]
    size = np.abs(boxes[:, 2:] - boxes[:, :2]) * np.float32(_MARGIN)
    low = np.minimum(boxes[:, :2], boxes[:, 2:]) - size
    high = np.maximum(boxes[:, :2], boxes[:, 2:]) + size
    inside = ((high > 0) & (low < 1)).all(axis=1)
    for top, left, bottom, right in outer_pixels(
        np.concatenate([low, high], axis=1)[inside], height, width, 1
    ).tolist():
        place = image[top:bottom, left:right]
        place[...] = _softened(place)
    return image


def _softened(place: ImageArray) -> ImageArray:
    height, width = place.shape[:2]
    cells = [max(1, min(_MOST_CELLS, side // _SMALLEST_CELL)) for side in (width, height)]
    means = cv2.resize(place, cells, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
