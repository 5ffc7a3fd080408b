"""Drawing in any units with smooth edges: a canvas of premultiplied RGBA, drawn larger than asked and averaged."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from od_core.images import ImageArray

Colour = tuple[int, int, int]
Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

_FRACTION_BITS = 6  # OpenCV takes corners in 1/64 pixel


class Canvas:
    """A transparent picture to draw shapes on, later ones over earlier ones.

    Args:
        width, height: of the finished picture, in pixels.
        matrix: float64 (2, 3), from the drawing's units to pixels.
        supersampling: every pixel is the mean of this many rows and columns of smaller ones.
    """

    def __init__(self, width: int, height: int, matrix: Matrix, *, supersampling: int = 4) -> None:
        self._size = width, height
        self._matrix = matrix * supersampling
        self._pixels = np.zeros((height * supersampling, width * supersampling, 4), np.uint8)

    def polygon(self, points: npt.ArrayLike, colour: Colour) -> None:
        """Fill a polygon, rows (x, y)."""
        cv2.fillPoly(self._pixels, [self._corners(points)], (*colour, 255), shift=_FRACTION_BITS)

    def shade(self, points: npt.ArrayLike, colour: Colour, opacity: float) -> None:
        """Tint what is already drawn inside a polygon; what is transparent stays so."""
        corners = self._corners(points)
        xmin, ymin, wide, high = cv2.boundingRect((corners >> _FRACTION_BITS).astype(np.int32))
        top, left = max(ymin, 0), max(xmin, 0)
        region = self._pixels[top : max(ymin + high + 1, 0), left : max(xmin + wide + 1, 0)]
        if not region.size:
            return
        mask = np.zeros(region.shape[:2], np.uint8)
        offset = np.array([left, top]) << _FRACTION_BITS
        cv2.fillPoly(mask, [corners - offset.astype(np.int32)], 255, shift=_FRACTION_BITS)
        inside = mask > 0
        below = region[inside].astype(np.float32)
        tint = np.array([*colour, 255], np.float32) * (below[:, 3:] / 255)
        region[inside] = np.rint(below + (tint - below) * opacity).astype(np.uint8)

    def rectangle(self, xmin: float, ymin: float, xmax: float, ymax: float, colour: Colour) -> None:
        """Fill a rectangle along the axes of the drawing's units."""
        self.polygon(box(xmin, ymin, xmax, ymax), colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        self.polygon(ellipse(x, y, radius, radius), colour)

    def line(self, start: Sequence[float], end: Sequence[float], thickness: float, colour: Colour) -> None:
        """A straight line, its thickness in the drawing's units."""
        first, second = np.asarray(start, np.float64), np.asarray(end, np.float64)
        along = second - first
        length = float(np.hypot(*along)) or 1.0
        aside = np.array([-along[1], along[0]]) * (thickness / 2 / length)
        self.polygon([first + aside, second + aside, second - aside, first - aside], colour)

    def finished(self, rng: np.random.Generator, uneven: float) -> ImageArray:
        """The drawing at its size: uint8 (height, width, 4), red, green and blue multiplied by alpha / 255.

        Args:
            rng: of the paint's unevenness.
            uneven: how many grey levels that is, as a standard deviation.
        """
        pixels = cv2.resize(self._pixels, self._size, interpolation=cv2.INTER_AREA)
        grain = rng.standard_normal((self._size[1], self._size[0]), np.float32)
        grain *= pixels[..., 3] * np.float32(uneven / 255)
        textured = cv2.add(pixels, cv2.merge([grain, grain, grain, np.zeros_like(grain)]), dtype=cv2.CV_8U)
        return np.asarray(np.minimum(textured, textured[..., 3:]), np.uint8)

    def _corners(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        placed = np.asarray(points, np.float64) @ self._matrix[:, :2].T + self._matrix[:, 2]
        # OpenCV's whole numbers are the centres of pixels.
        return np.rint((placed - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)


def box(xmin: float, ymin: float, xmax: float, ymax: float) -> Points:
    """The corners of a rectangle."""
    return np.array([(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)], np.float64)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, corners: int = 28) -> Points:
    """A polygon that looks like an ellipse."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)


def blend(image: ImageArray, layer: ImageArray) -> None:
    """Lay premultiplied RGBA (H, W, 4) over an RGB picture (H, W, 3) of the same size, in place."""
    behind = cv2.bitwise_not(layer[..., 3])
    covered = cv2.multiply(image, cv2.merge([behind] * 3), scale=1 / 255)
    image[:] = cv2.add(covered, layer[..., :3])


def darken(image: ImageArray, light: ImageArray) -> None:
    """Multiply an RGB picture (H, W, 3) by light (H, W), where 255 leaves it as it is, in place."""
    cv2.multiply(image, cv2.merge([light] * 3), dst=image, scale=1 / 255)


def whiten(image: ImageArray, white: ImageArray, level: int) -> None:
    """Mix an RGB picture (H, W, 3) with grey of a level, as far as white (H, W) says: 255 is all grey, in place."""
    darken(image, cv2.bitwise_not(white))
    cv2.add(image, cv2.merge([cv2.convertScaleAbs(white, alpha=level / 255)] * 3), dst=image)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def pick(rng: np.random.Generator, choices: Sequence[Any]) -> Any:
    """One of some things."""
    return choices[int(rng.integers(len(choices)))]
