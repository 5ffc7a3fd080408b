"""The foam that ships leave behind: a churned strip astern and two arms that open out."""

import cv2
import numpy as np
import numpy.typing as npt

from od_core.harbour.canvas import Matrix, Points
from od_core.harbour.routes import Voyage
from od_core.harbour.ships import BUOY, SAILBOAT

_SECONDS = 4.5
_STEPS = 16
_FULL_SPEED = 40.0  # units per second at which the wake is at its whitest
_FRACTION_BITS = 4


def draw_wakes(voyages: list[Voyage], matrix: Matrix, scale: float, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Foam of all that move, uint8 (height, width), 0 where there is none.

    Args:
        voyages: who sails.
        matrix: float64 (2, 3), from the harbour's axes to pixels.
        scale: pixels per unit.
        width, height: of the picture.
    """
    foam = np.zeros((height, width), np.uint8)
    for voyage in voyages:
        if voyage.speed and voyage.vessel.class_id != BUOY:
            _draw_wake(foam, voyage, matrix, scale)
    return np.asarray(cv2.GaussianBlur(foam, (0, 0), 1.3 * scale), np.uint8)


def _draw_wake(foam: npt.NDArray[np.uint8], voyage: Voyage, matrix: Matrix, scale: float) -> None:
    vessel = voyage.vessel
    seconds = np.linspace(_SECONDS, 0, _STEPS)
    here = voyage.pose()
    middle = matrix @ (here.u, here.v, 1)
    reach = (vessel.length + voyage.speed * _SECONDS) * scale
    if not (-reach < middle[0] < foam.shape[1] + reach and -reach < middle[1] < foam.shape[0] + reach):
        return
    strength = min(1.0, voyage.speed / _FULL_SPEED) * (0.7 if vessel.class_id == SAILBOAT else 1.0)
    fade = 1 - seconds / _SECONDS
    track = np.array([voyage.pose(float(ago)) for ago in seconds])
    spread = seconds * 0.16 * voyage.speed
    quiet = (0.3 if vessel.class_id == SAILBOAT else 0.62) * vessel.beam / 2 * (1 + 0.14 * seconds)
    _strip(foam, track, -quiet, quiet, -0.46 * vessel.length, 140 * strength * fade**1.4, matrix)
    for side in (-1, 1):
        inner = vessel.beam * 0.3 + spread
        outer = inner + 1.4 + 0.06 * vessel.beam + 0.5 * seconds
        _strip(foam, track, side * inner, side * outer, 0.4 * vessel.length, 150 * strength * fade**0.8, matrix)


def _strip(
    foam: npt.NDArray[np.uint8],
    track: Points,
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    ahead: float,
    white: npt.NDArray[np.float64],
    matrix: Matrix,
) -> None:
    """A band along a track (n, 3) of u, v and heading, oldest piece first.

    It lies between two distances aside of what is so far ahead of the middle.
    """
    along = np.stack([np.cos(track[:, 2]), np.sin(track[:, 2])], axis=1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    centre = track[:, :2] + ahead * along
    edges = np.stack([centre + first[:, None] * across, centre + second[:, None] * across], axis=1)
    corners = np.rint((edges @ matrix[:, :2].T + matrix[:, 2]) * (1 << _FRACTION_BITS)).astype(np.int32)
    quads = np.stack([corners[:-1, 0], corners[:-1, 1], corners[1:, 1], corners[1:, 0]], axis=1)
    for quad, shade in zip(quads, white.tolist(), strict=False):
        cv2.fillConvexPoly(foam, quad, shade, cv2.LINE_AA, _FRACTION_BITS)
