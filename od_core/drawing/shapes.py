"""Masks and keypoints of detections on an image; their frames are drawn over them."""

from collections.abc import Sequence

import cv2
import hotcoco.mask
import numpy as np

from od_core.detections import Detections
from od_core.drawing.layout import scale_of
from od_core.drawing.palette import DARK, Colour
from od_core.drawing.tags import ImageArray, canvas_of

_TINT = 0.45  # how much of a colour is in a tinted pixel


def draw_shapes(
    image: ImageArray,
    detections: Detections,
    colours: Sequence[Colour],
    size: tuple[int, int],
    *,
    out: ImageArray | None = None,
) -> ImageArray:
    """A copy of the image, masks tinted and keypoints as dots, the best detections on top; the image where it has none.

    Args:
        image: uint8 (H, W, 3) RGB.
        detections: in units of this image, upright.
        colours: one for each.
        size: height and width, in pixels, of the image that the masks are of: this one before it was scaled.
        out: the array to draw on, which may be the image itself; None for a new one where something is drawn.
    """
    if detections.masks is None and detections.keypoints is None:
        return image
    image = canvas_of(image, out)
    for index in reversed(range(len(detections))):
        if detections.masks is not None and detections.masks[index]:
            _tint(image, detections.masks[index], colours[index], size)
        if detections.keypoints is not None:
            _dot(image, detections.keypoints[index], colours[index])
    return image


def _tint(image: ImageArray, mask: bytes, colour: Colour, size: tuple[int, int]) -> None:
    height, width = image.shape[:2]
    inside = np.ascontiguousarray(hotcoco.mask.decode({"size": list(size), "counts": mask}))
    if inside.shape != (height, width):
        inside = cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return
    place = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    here = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(bool)
    place[here] = np.rint(place[here] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)


def _dot(image: ImageArray, points: np.ndarray, colour: Colour) -> None:
    """Dots where a keypoint is known: float32 (K, 3), rows [y, x, score]."""
    height, width = image.shape[:2]
    scale = scale_of(height, width)
    for y, x, _ in points[np.isfinite(points[:, :2]).all(axis=1)].tolist():
        if 0 <= y <= 1 and 0 <= x <= 1:
            centre = min(round(x * width), width - 1), min(round(y * height), height - 1)
            cv2.circle(image, centre, 2 * scale.line + scale.shade, DARK, cv2.FILLED)
            cv2.circle(image, centre, 2 * scale.line, colour, cv2.FILLED)
