"""Water and sky: waves that travel, sun on their crests, foam, and clouds.

The waves are the sum of sine waves of all directions near the wind's, each with the speed of its length in deep water,
as in J. Tessendorf, "Simulating Ocean Water" (2001), evaluated by one inverse Fourier transform per picture.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core.harbour.canvas import Colour, mixed
from od_core.images import ImageArray

_TILE = 256  # units; waves and clouds repeat after so many
_GRAVITY = 30.0  # units per s²; with a metre for a unit the waves, like the ships, are faster than real ones
_MEAN_LIGHT = 98
_FloatArray = npt.NDArray[np.float32]


class Mood(NamedTuple):
    """Colours of an hour: water deep and lit, what gleams, and the light's own tint."""

    deep: Colour
    lit: Colour
    gleam: Colour
    shallow: Colour
    tint: tuple[float, float, float]


MOODS = (
    Mood((18, 84, 104), (44, 132, 146), (206, 236, 234), (84, 176, 166), (1.0, 1.0, 1.0)),  # noon
    Mood((24, 76, 122), (50, 118, 160), (208, 228, 240), (78, 158, 180), (0.98, 1.0, 1.02)),  # blue day
    Mood((38, 94, 92), (80, 138, 122), (226, 234, 212), (120, 172, 140), (1.03, 1.0, 0.94)),  # green river
    Mood((34, 74, 104), (84, 122, 142), (255, 238, 210), (128, 146, 146), (1.08, 0.99, 0.88)),  # evening
    Mood((64, 96, 106), (104, 136, 142), (222, 232, 232), (132, 164, 162), (0.96, 0.99, 1.0)),  # overcast
)


class Water:
    """The open water of one picture size.

    Args:
        seed: of the waves.
        mood: index into `MOODS`.
        wind: radians, the way the waves run in the picture.
        width, height: of the picture, in pixels.
        scale: pixels per unit.
    """

    def __init__(self, seed: int, mood: int, wind: float, width: int, height: int, scale: float) -> None:
        self._size = width, height
        colours = MOODS[mood]
        rng = np.random.default_rng((seed, 4))
        self._amplitudes, self._pace = _spectrum(rng, wind)
        still = self._field(0.0)
        self._gains = tuple(float(25 / (part.std() + 1e-9)) for part in cv2.split(still))
        self._near = _warp(scale, 0.0, 0.0)
        self._far = _warp(scale * 1.9, 0.5, 31.0)
        self._palette = _palette(colours)
        self._depth = _depth(rng, width, height, colours)

    def paint(self, time_s: float, foam: ImageArray) -> ImageArray:
        """The water at a time: uint8 (H, W, 3), with foam (H, W), 0 to 255, on it."""
        near, far = (
            cv2.convertScaleAbs(cv2.add(cv2.multiply(part, gain), 128.0))
            for part, gain in zip(cv2.split(self._field(time_s)), self._gains, strict=True)
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        first = cv2.warpAffine(near, self._near, self._size, flags=flags, borderMode=cv2.BORDER_WRAP)
        second = cv2.warpAffine(far, self._far, self._size, flags=flags, borderMode=cv2.BORDER_WRAP)
        light = cv2.addWeighted(first, 0.5, second, 0.5, _MEAN_LIGHT - 128)
        light = cv2.add(light, foam)
        return np.asarray(
            cv2.addWeighted(cv2.applyColorMap(light, self._palette), 1.0, self._depth, 0.5, -32), np.uint8
        )

    def _field(self, time_s: float) -> _FloatArray:
        """Two independent fields of slopes, float32 (tile, tile, 2)."""
        turn = self._pace * np.float32(time_s)
        cos, sin = np.cos(turn), np.sin(turn)
        real, imaginary = self._amplitudes
        waves = cv2.merge([real * cos - imaginary * sin, real * sin + imaginary * cos])
        return np.asarray(cv2.dft(waves, flags=cv2.DFT_INVERSE), np.float32)


class Clouds:
    """Clouds that drift: their shadows, and in some harbours a thin veil of them between the water and the eye."""

    def __init__(self, seed: int, wind: float, width: int, height: int, scale: float) -> None:
        self._size = width, height
        self._small = max(width // 4, 1), max(height // 4, 1)
        rng = np.random.default_rng((seed, 5))
        noise = _noise(rng, exponent=3.4)
        self._cover = np.clip((noise - rng.uniform(0.1, 0.7)) * 1.1, 0, 1).astype(np.float32)
        self._velocity = np.array([math.cos(wind), math.sin(wind)]) * rng.uniform(7, 16)
        self._zoom = scale * 3.1 * self._small[0] / width
        self._shade = float(rng.uniform(0.12, 0.3))
        self.veil = float(rng.uniform(0.18, 0.5)) if rng.random() < 0.4 else 0.0

    def shadow(self, time_s: float) -> ImageArray:
        """What is left of the sun, uint8 (H, W)."""
        return np.asarray(cv2.convertScaleAbs(self._density(time_s, 0.0), alpha=-self._shade, beta=255), np.uint8)

    def white(self, time_s: float) -> ImageArray:
        """How much of the view is cloud, uint8 (H, W)."""
        return np.asarray(cv2.convertScaleAbs(self._density(time_s, 70.0), alpha=self.veil), np.uint8)

    def _density(self, time_s: float, height: float) -> ImageArray:
        offset = (np.array([height, -height]) - self._velocity * time_s) / 3.1
        matrix = np.array([[1 / self._zoom, 0, offset[0] % _TILE], [0, 1 / self._zoom, offset[1] % _TILE]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        small = cv2.warpAffine(self._cover, matrix, self._small, flags=flags, borderMode=cv2.BORDER_WRAP)
        large = cv2.resize(small, self._size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.convertScaleAbs(large, alpha=255), np.uint8)


def foam_texture(seed: int, width: int, height: int) -> ImageArray:
    """Where foam holds: uint8 (H, W), uneven at the size of ripples."""
    rng = np.random.default_rng((seed, 6))
    fine = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 0.9)
    coarse = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 2.6)
    mixed_noise = fine / fine.std() + coarse / coarse.std()
    return np.asarray(np.clip(150 + 42 * mixed_noise, 0, 255), np.uint8)


def _spectrum(rng: np.random.Generator, wind: float) -> tuple[tuple[_FloatArray, _FloatArray], _FloatArray]:
    """Amplitudes (real and imaginary) and angular speeds of the waves of a tile, by their numbers of periods in it."""
    frequency = np.fft.fftfreq(_TILE) * 2 * np.pi  # radians per unit
    across, down = np.meshgrid(frequency, frequency)
    wavenumber = np.hypot(across, down)
    wavenumber[0, 0] = 1.0
    alignment = (across * math.cos(wind) + down * math.sin(wind)) / wavenumber
    longest, shortest = 2 * np.pi / 34, 2 * np.pi / 5
    power = np.exp(-((longest / wavenumber) ** 2) - (wavenumber / shortest) ** 2) / wavenumber**3
    power = power * np.clip(alignment, 0, 1) ** 2
    power[0, 0] = 0
    slope = np.sqrt(power) * wavenumber
    real, imaginary = (rng.standard_normal(slope.shape) * slope for _ in range(2))
    pace = -np.sqrt(_GRAVITY * wavenumber)
    return (real.astype(np.float32), imaginary.astype(np.float32)), pace.astype(np.float32)


def _noise(rng: np.random.Generator, exponent: float) -> _FloatArray:
    """A tile of fractal noise: float32 (tile, tile), mean 0, standard deviation 1, its edges fitting together."""
    frequency = np.fft.fftfreq(_TILE)
    wavenumber = np.hypot(*np.meshgrid(frequency, frequency))
    wavenumber[0, 0] = np.inf
    waves = np.fft.fft2(rng.standard_normal((_TILE, _TILE))) * wavenumber ** (-exponent / 2)
    noise = np.fft.ifft2(waves).real
    return np.asarray(noise / noise.std(), np.float32)


def _warp(zoom: float, turn: float, shift: float) -> npt.NDArray[np.float64]:
    """From pixels of the picture to places in the tile."""
    cos, sin = math.cos(turn) / zoom, math.sin(turn) / zoom
    return np.array([[cos, -sin, shift], [sin, cos, shift]])


def _palette(mood: Mood) -> ImageArray:
    """Light 0 to 255 -> colour, uint8 (256, 1, 3): trough, crest, gleam, foam."""
    stops = (
        (0, mixed(mood.deep, (0, 0, 0), 0.12)),
        (64, mood.deep),
        (132, mood.lit),
        (152, mixed(mood.lit, mood.gleam, 0.5)),
        (172, mood.gleam),
        (210, (250, 252, 250)),
        (255, (255, 255, 255)),
    )
    light = [stop for stop, _ in stops]
    channels = [np.interp(np.arange(256), light, [colour[channel] for _, colour in stops]) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)[:, None]


def _depth(rng: np.random.Generator, width: int, height: int, mood: Mood) -> ImageArray:
    """Shoals and deeps: uint8 (H, W, 3), 64 where they change nothing."""
    noise = cv2.resize(_noise(rng, exponent=4.0)[:128, :128], (width, height), interpolation=cv2.INTER_CUBIC)
    change = np.clip(noise, -2, 2)[..., None] * (np.array(mood.shallow) - np.array(mood.deep)) * 0.2
    return np.asarray(np.clip(64 + change, 0, 255), np.uint8)
