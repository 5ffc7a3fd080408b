"""A harbour seen from above, with exact ground truth: boxbeam's own sample of pictures and videos.

Everything is drawn here; nothing is a photograph. A `Harbour` is a world from a seed, and `Harbour.view` a picture of
it at a time together with the boxes of what floats in it. The same seed and time give the same bytes; on another kind
of processor a few pixels can differ by a grey level.
"""

import math
from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core.harbour.canvas import blend, darken, whiten
from od_core.harbour.ground import draw_ground, draw_overhead
from od_core.harbour.layout import plan_harbour, view_scale
from od_core.harbour.life import draw_cars, draw_gulls
from od_core.harbour.routes import Voyage
from od_core.harbour.ships import BUOY, LABELS, Vessel, draw_vessel
from od_core.harbour.stamp import Stamp, stamp
from od_core.harbour.wake import draw_wakes
from od_core.harbour.water import MOODS, Clouds, Water, foam_texture
from od_core.images import ImageArray

MIN_VISIBLE = 0.05
"""Objects of which less is to be seen are no objects of a view."""

DIFFICULT_BELOW = 0.3
"""Objects of which less is to be seen count as difficult."""

_SPRITES_KEPT = 96
_FULL_LIGHT = 220
_SUN = (5.0, 7.0)  # units by which a shadow falls aside and down for each 10 units of height


class HarbourObject(NamedTuple):
    """One vessel or buoy in a view.

    Attributes:
        class_id: a key of `LABELS`.
        label: its name there.
        box_px: (ymin, xmin, ymax, xmax) in whole pixels, max exclusive: the extent of the part of it that is inside the
            picture, hidden or not, without wake and shadow.
        object_id: the same in all views of one harbour.
        difficult: less than `DIFFICULT_BELOW` of it is visible.
        truncated: the picture's border cuts it.
        visible: the share of its pixels that is inside the picture and not behind a bridge, a crane or another vessel.
    """

    class_id: int
    label: str
    box_px: tuple[float, float, float, float]
    object_id: int
    difficult: bool
    truncated: bool
    visible: float


class HarbourView(NamedTuple):
    """A picture and what is in it: image uint8 (H, W, 3) RGB; objects in the order of their ids."""

    image: ImageArray
    objects: tuple[HarbourObject, ...]


class Harbour:
    """One harbour with its traffic, at any time.

    Args:
        seed: another seed, another harbour.
        width, height: of its pictures, in pixels, 64 or more; the same part of the harbour is seen at every size of one
            aspect ratio.

    Raises:
        ValueError: a size below 64, or a negative seed.
    """

    def __init__(self, seed: int, *, width: int = 640, height: int = 384) -> None:
        if min(width, height) < 64:
            raise ValueError(f"width and height must be 64 or more, got {width} x {height}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.width, self.height = width, height
        self._layout = plan_harbour(seed, width / height)
        self._matrix = self._layout.matrix(width, height)
        self._scale = view_scale(width, height)
        wind = self._layout.wind
        self._water = Water(seed, self._layout.mood, wind, width, height, self._scale)
        self._clouds = Clouds(seed, wind, width, height, self._scale)
        self._foam = foam_texture(seed, width, height)
        self._ground = draw_ground(self._layout, width, height)
        self._overhead = draw_overhead(self._layout, width, height)
        self._ground_shadow = _shadow(self._ground[..., 3], self._scale, 0.9, 0.42)
        self._light = self._standing_light()
        self._sprites: OrderedDict[Vessel, ImageArray] = OrderedDict()

    def view(self, time_s: float) -> HarbourView:
        """The harbour at a time, in seconds from 0."""
        voyages = self._voyages(time_s)
        stamps = self._stamps(voyages)
        foam = draw_wakes(voyages, self._matrix, self._scale, self.width, self.height)
        image = self._water.paint(time_s, cv2.multiply(foam, self._foam, scale=1 / 190))
        darken(image, self._water_light([placed for _, placed in stamps]))
        blend(image, self._ground)
        for _, placed in stamps:
            placed.lay_on(image)
        self._finish(image, time_s)
        return HarbourView(image, self._objects(stamps))

    def objects(self, time_s: float) -> tuple[HarbourObject, ...]:
        """The objects of `view`, without its picture: several times as fast."""
        return self._objects(self._stamps(self._voyages(time_s)))

    def silhouette(self, object_id: int, time_s: float) -> npt.NDArray[np.bool_]:
        """Which pixels are one object's, hidden or not: bool (H, W), False everywhere where it is not in sight."""
        inside = np.zeros((self.height, self.width), np.bool_)
        for voyage, placed in self._stamps(self._voyages(time_s)):
            if voyage.object_id == object_id:
                placed.mark(inside)
        return inside

    def _voyages(self, time_s: float) -> list[Voyage]:
        """Who is on the way, from the lowest up: buoys never cover a ship."""
        voyages = [voyage for traffic in self._layout.traffic for voyage in traffic.voyages(time_s)]
        return sorted(voyages, key=lambda voyage: voyage.vessel.class_id != BUOY)

    def _stamps(self, voyages: list[Voyage]) -> list[tuple[Voyage, Stamp]]:
        """Those that may be in sight, each with its pixels."""
        return [(voyage, placed) for voyage in voyages if (placed := self._stamped(voyage)) is not None]

    def _stamped(self, voyage: Voyage) -> Stamp | None:
        """The vessel's pixels in the picture; None where it is out of sight."""
        pose = voyage.pose()
        x, y = self._matrix @ (pose.u, pose.v, 1.0)
        reach = (voyage.vessel.length / 2 + 12) * self._scale
        if not (-reach < x < self.width + reach and -reach < y < self.height + reach):
            return None
        sprite = self._sprites.get(voyage.vessel)
        if sprite is None:
            sprite = self._sprites[voyage.vessel] = draw_vessel(voyage.vessel, self._scale)
            if len(self._sprites) > _SPRITES_KEPT:
                self._sprites.popitem(last=False)
        self._sprites.move_to_end(voyage.vessel)
        return stamp(sprite, x, y, pose.heading + self._layout.angle, self.width, self.height)

    def _water_light(self, stamps: list[Stamp]) -> ImageArray:
        """Light on the water, uint8 (H, W): less in the shadows of land and ships."""
        light = self._ground_shadow.copy()
        for placed in stamps:
            placed.shade(light, *(edge * 0.42 * self._scale for edge in _SUN), strength=0.4)
        return light

    def _standing_light(self) -> ImageArray:
        """Light from above, uint8 (H, W, 3), `_FULL_LIGHT` where it changes nothing.

        It holds the tint of the hour, darker corners, and the shadow of the bridge on what is below it.
        """
        overhead = self._overhead[..., 3]
        shadow = _shadow(overhead, self._scale, 1.7, 0.36).astype(np.float32) / 255
        shadow = np.maximum(shadow, overhead.astype(np.float32) / 255)
        down, across = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        corners = 1.03 - 0.13 * np.hypot(down, across) ** 2
        tint = np.array(MOODS[self._layout.mood].tint, np.float32)
        return np.asarray(np.clip((shadow * corners)[..., None] * tint * _FULL_LIGHT, 0, 255), np.uint8)

    def _finish(self, image: ImageArray, time_s: float) -> None:
        """Bridge, cars, gulls, light and clouds, over everything else."""
        blend(image, self._overhead)
        draw_cars(image, self._layout, self._matrix, time_s)
        draw_gulls(image, self._layout.seed, self._scale, time_s)
        cv2.multiply(image, self._light, dst=image, scale=1 / _FULL_LIGHT)
        darken(image, self._clouds.shadow(time_s))
        if self._clouds.veil:
            whiten(image, self._clouds.white(time_s), 236)

    def _objects(self, stamps: list[tuple[Voyage, Stamp]]) -> tuple[HarbourObject, ...]:
        """What is to be seen of each stamp, from the one on top down."""
        hidden = self._overhead[..., 3] >= 128
        found = []
        for voyage, placed in reversed(stamps):
            visible = placed.cover(hidden) / placed.pixels
            if visible >= MIN_VISIBLE and placed.box_px is not None:
                class_id = voyage.vessel.class_id
                found.append(
                    HarbourObject(
                        class_id=class_id,
                        label=LABELS[class_id],
                        box_px=placed.box_px,
                        object_id=voyage.object_id,
                        difficult=visible < DIFFICULT_BELOW,
                        truncated=placed.truncated,
                        visible=round(visible, 4),
                    )
                )
        return tuple(sorted(found, key=lambda one: one.object_id))


def _shadow(alpha: ImageArray, scale: float, height: float, strength: float) -> ImageArray:
    """Light left by something of alpha (H, W) that stands `height` times 10 units above what it shades."""
    matrix = np.array([[1, 0, _SUN[0] * height * scale], [0, 1, _SUN[1] * height * scale]])
    size = (alpha.shape[1], alpha.shape[0])
    moved = cv2.warpAffine(alpha, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), 2.2 * scale * math.sqrt(height))
    return np.asarray(cv2.convertScaleAbs(soft, alpha=-strength, beta=255), np.uint8)
