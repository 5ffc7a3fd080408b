"""What moves and is nobody's object: cars on the bridge, gulls in the air."""

import math

import cv2
import numpy as np

from od_core.harbour.canvas import Colour, Matrix, box
from od_core.harbour.layout import Layout
from od_core.images import ImageArray

_CARS: tuple[Colour, ...] = (
    (206, 58, 48),
    (236, 234, 228),
    (46, 88, 142),
    (60, 62, 66),
    (226, 178, 62),
    (130, 140, 144),
)
_FRACTION_BITS = 4
_ROAD = 900.0  # units of v after which a car starts again


def draw_cars(image: ImageArray, layout: Layout, matrix: Matrix, time_s: float) -> None:
    """Cars on the bridge, both ways, on a picture (H, W, 3)."""
    bridge = layout.bridge
    if bridge is None:
        return
    rng = np.random.default_rng((layout.seed, 7))
    for _ in range(int(rng.integers(10, 22))):
        way = 1 if rng.random() < 0.5 else -1
        v = (rng.uniform(0, _ROAD) + way * rng.uniform(26, 30) * time_s) % _ROAD - 250
        colour = _CARS[int(rng.integers(len(_CARS)))]
        length = 15.0 if rng.random() < 0.18 else 7.4
        u = bridge.u + bridge.slant * v + way * bridge.width * 0.19
        for part, paint in (
            (box(u - 2, v - length / 2, u + 2, v + length / 2), colour),
            (box(u - 1.5, v + way * 1.0 - 0.9, u + 1.5, v + way * 1.0 + 0.9), (42, 54, 66)),
        ):
            corners = part @ matrix[:, :2].T + matrix[:, 2]
            _fill(image, corners, paint)


def draw_gulls(image: ImageArray, seed: int, scale: float, time_s: float) -> None:
    """Gulls that circle and beat their wings, with their shadows on what is below, on a picture (H, W, 3)."""
    height, width, _ = image.shape
    rng = np.random.default_rng((seed, 8))
    for _ in range(int(rng.integers(3, 9))):
        x = (rng.uniform(0, width) + rng.uniform(-26, 26) * scale * time_s) % (width + 60) - 30
        y = (rng.uniform(0, height) + rng.uniform(-14, 14) * scale * time_s) % (height + 60) - 30
        radius, pace, phase = rng.uniform(20, 60) * scale, rng.uniform(0.3, 0.7), rng.uniform(0, 6.3)
        angle = pace * time_s + phase
        span = rng.uniform(5, 8) * scale
        place = np.array([x + radius * math.cos(angle), y + radius * math.sin(angle)])
        ahead = np.array([-math.sin(angle), math.cos(angle)])
        aside = np.array([-ahead[1], ahead[0]])
        beat = 0.78 + 0.22 * math.sin(5.5 * time_s + 3 * phase)
        wings = np.array(
            [
                place + aside * span * beat - ahead * 0.45 * span,
                place + aside * 0.45 * span * beat + ahead * 0.18 * span,
                place + ahead * 0.3 * span,
                place - aside * 0.45 * span * beat + ahead * 0.18 * span,
                place - aside * span * beat - ahead * 0.45 * span,
                place - aside * 0.4 * span * beat - ahead * 0.12 * span,
                place - ahead * 0.4 * span,
                place + aside * 0.4 * span * beat - ahead * 0.12 * span,
            ]
        )
        _shadow(image, wings + np.array([12, 17]) * scale)
        _fill(image, wings, (246, 246, 242))
        for side in (-1, 1):
            tip = place + side * aside * span * beat - ahead * 0.45 * span
            root = place + side * aside * 0.7 * span * beat - ahead * 0.16 * span
            cv2.line(image, _fixed(tip), _fixed(root), (70, 74, 80), 1, cv2.LINE_AA, _FRACTION_BITS)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point * (1 << _FRACTION_BITS)).astype(int).tolist()
    return x, y


def _fill(image: ImageArray, corners: np.ndarray, colour: Colour) -> None:
    fixed = np.rint(corners * (1 << _FRACTION_BITS)).astype(np.int32)
    cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, _FRACTION_BITS)


def _shadow(image: ImageArray, corners: np.ndarray) -> None:
    """Darken a small polygon."""
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 2
    left, top = max(int(left), 0), max(int(top), 0)
    region = image[top : max(int(bottom), 0), left : max(int(right), 0)]
    if region.size:
        shade = np.full(region.shape, 255, np.uint8)
        _fill(shade, corners - (left, top), (196, 200, 206))
        region[:] = cv2.multiply(region, shade, scale=1 / 255)
