"""A sprite turned and set down in a picture: its pixels, its silhouette and how much of it is seen."""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core.harbour.canvas import blend
from od_core.harbour.ships import SPRITE_SCALE
from od_core.images import ImageArray

_OPAQUE = 128  # a pixel is an object's if at least half of it is


class Stamp(NamedTuple):
    """A turned sprite.

    Attributes:
        layer: uint8 (h, w, 4), premultiplied RGBA, at the picture's own size of pixels; may reach over its border.
        mask: bool (h, w), which pixels are the object's.
        top, left: where its first pixel is in the picture.
        pixels: how many the object has, inside the picture or not.
        box_px: (ymin, xmin, ymax, xmax) of those inside the picture, max exclusive; None where there are none.
        truncated: some are not inside.
    """

    layer: ImageArray
    mask: npt.NDArray[np.bool_]
    top: int
    left: int
    pixels: int
    box_px: tuple[float, float, float, float] | None
    truncated: bool

    def lay_on(self, image: ImageArray) -> None:
        """Draw it on a picture (H, W, 3)."""
        there, here = self._overlap(image.shape)
        region = image[there]
        if region.size:
            blend(region, self.layer[here])

    def shade(self, light: ImageArray, aside: float, down: float, *, strength: float) -> None:
        """Take light (H, W) away where its shadow falls."""
        moved = self._replace(top=self.top + round(down), left=self.left + round(aside))
        there, here = moved._overlap(light.shape)
        region = light[there]
        if region.size:
            soft = cv2.GaussianBlur(self.layer[..., 3], (0, 0), 1.6)[here]
            region[:] = np.minimum(region, cv2.convertScaleAbs(soft, alpha=-strength, beta=255))

    def mark(self, inside: npt.NDArray[np.bool_]) -> None:
        """Set its pixels in a picture of bool (H, W)."""
        there, here = self._overlap(inside.shape)
        inside[there] |= self.mask[here]

    def cover(self, hidden: npt.NDArray[np.bool_]) -> int:
        """How many of its pixels are not yet hidden in a picture of bool (H, W); afterwards all of them are."""
        there, here = self._overlap(hidden.shape)
        mask = self.mask[here]
        seen = int(np.count_nonzero(mask & ~hidden[there]))
        hidden[there] |= mask
        return seen

    def _overlap(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of a picture that it lies on, and its own part that lies there."""
        (top, bottom), (left, right) = (
            (max(start, 0), max(min(start + size, limit), 0))
            for start, size, limit in zip((self.top, self.left), self.mask.shape, shape, strict=False)
        )
        there = slice(top, max(bottom, top)), slice(left, max(right, left))
        here = tuple(
            slice(part.start - start, part.stop - start)
            for part, start in zip(there, (self.top, self.left), strict=True)
        )
        return there, (here[0], here[1])


def stamp(sprite: ImageArray, x: float, y: float, heading: float, width: int, height: int) -> Stamp:
    """Turn a sprite and set it down.

    Args:
        sprite: uint8 (h, w, 4), premultiplied RGBA, `SPRITE_SCALE` times as large as it is to be shown.
        x, y: where its middle comes, in pixels of the picture.
        heading: radians from x towards y.
        width, height: of the picture.
    """
    high, wide = sprite.shape[0] / SPRITE_SCALE, sprite.shape[1] / SPRITE_SCALE
    cos, sin = math.cos(heading), math.sin(heading)
    reach_x = (abs(cos) * wide + abs(sin) * high) / 2 + 1
    reach_y = (abs(sin) * wide + abs(cos) * high) / 2 + 1
    left, top = math.floor(x - reach_x), math.floor(y - reach_y)
    columns, rows = math.ceil(x + reach_x) - left, math.ceil(y + reach_y) - top
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([(x - left) * SPRITE_SCALE, (y - top) * SPRITE_SCALE]) - 0.5  # whole numbers are pixels' centres
    own_middle = np.array([sprite.shape[1] / 2, sprite.shape[0] / 2]) - 0.5
    matrix = np.column_stack([turn, middle - turn @ own_middle])
    turned = cv2.warpAffine(sprite, matrix, (columns * SPRITE_SCALE, rows * SPRITE_SCALE), flags=cv2.INTER_LINEAR)
    layer = np.asarray(cv2.resize(turned, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    mask = layer[..., 3] >= _OPAQUE
    placed = Stamp(layer, mask, top, left, int(np.count_nonzero(mask)), None, False)
    _, here = placed._overlap((height, width))
    inside = mask[here]
    if not inside.any():
        return placed._replace(truncated=True)
    lines, in_lines = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    first_y, first_x = top + here[0].start, left + here[1].start
    box = (first_y + lines[0], first_x + in_lines[0], first_y + lines[-1] + 1, first_x + in_lines[-1] + 1)
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return placed._replace(box_px=(ymin, xmin, ymax, xmax), truncated=int(np.count_nonzero(inside)) < placed.pixels)
