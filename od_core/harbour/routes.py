"""Where a vessel is at a time: routes through the harbour, and the vessels that follow them lap after lap.

The harbour's own axes: u along the quay, v away from it over the water, in units of one pixel of a 640 x 384 view.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from od_core.harbour.ships import CARGO_SHIP, LENGTHS, TUGBOAT, Vessel

SHORE = 560.0
"""Fairways run from -SHORE to SHORE, which is out of sight at both ends."""


class Pose(NamedTuple):
    """A place and where the bow points: u and v in units, heading in radians from u towards v."""

    u: float
    v: float
    heading: float

    def beside(self, ahead: float, aside: float) -> "Pose":
        """A place seen from this one, with the same heading."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return Pose(self.u + ahead * cos - aside * sin, self.v + ahead * sin + aside * cos, self.heading)


class Route(Protocol):
    """A line to follow. At its end another vessel begins; without an end the same one stays on it."""

    @property
    def length(self) -> float | None:
        """In units; None for a route without an end."""

    def pose(self, distance: float) -> Pose:
        """Where one is after so many units; any number will do."""


@dataclass(frozen=True)
class Fairway:
    """Past the quay at a distance `v`, winding smoothly, in `direction` +1 or -1 along u."""

    v: float
    swing: float
    wavelength: float
    phase: float
    direction: int
    length: float = 2 * SHORE

    def pose(self, distance: float) -> Pose:
        """See `Route.pose`."""
        u = self.direction * (distance - SHORE)
        turn = 2 * math.pi / self.wavelength
        slope = self.swing * turn * math.cos(turn * u + self.phase)
        heading = math.atan2(slope * self.direction, self.direction)
        return Pose(u, self.v + self.swing * math.sin(turn * u + self.phase), heading)


@dataclass(frozen=True)
class Circuit:
    """Round and round an ellipse."""

    u: float
    v: float
    radius_u: float
    radius_v: float
    length: None = None

    def pose(self, distance: float) -> Pose:
        """See `Route.pose`; the speed is that of the mean radius."""
        angle = distance * 2 / (self.radius_u + self.radius_v)
        cos, sin = math.cos(angle), math.sin(angle)
        heading = math.atan2(self.radius_v * cos, -self.radius_u * sin)
        return Pose(self.u + self.radius_u * cos, self.v + self.radius_v * sin, heading)


@dataclass(frozen=True)
class Mooring:
    """Held in place; the water moves it a little. Whoever follows this route travels through time, not water."""

    u: float
    v: float
    heading: float
    sway: float
    length: None = None

    def pose(self, distance: float) -> Pose:
        """See `Route.pose`."""
        phase = self.u * 0.7 + self.v
        drift = self.sway * math.sin(0.9 * distance + phase)
        yaw = 0.02 * self.sway * math.sin(0.6 * distance + 2 * phase)
        return Pose(self.u + drift, self.v + self.sway * math.cos(0.7 * distance + phase), self.heading + yaw)


class Voyage(NamedTuple):
    """One vessel on its way.

    object_id: its own over the whole of time; route and distance: where it is, `beside` it (ahead, aside) in units;
    speed in units per second: what it has left behind it is its wake.
    """

    object_id: int
    vessel: Vessel
    route: Route
    distance: float
    speed: float
    beside: tuple[float, float] = (0.0, 0.0)

    def pose(self, seconds_ago: float = 0.0) -> Pose:
        """Where it is, or was."""
        return self.route.pose(self.distance - self.speed * seconds_ago).beside(*self.beside)


@dataclass(frozen=True)
class Traffic:
    """What follows one route: one vessel for ever on a circuit or mooring, another on each lap of a fairway.

    Attributes:
        number: tells it from the rest of a harbour's traffic.
        route: the way.
        kinds: class ids to choose from.
        speed: units per second; for a mooring, the pace of its swaying.
        start: how far along it is at time 0, in units.
        seed: of the vessels.
    """

    number: int
    route: Route
    kinds: tuple[int, ...]
    speed: float
    start: float
    seed: int

    def voyages(self, time_s: float) -> list[Voyage]:
        """Who is on the way at a time: one, or a ship and the tug beside it."""
        distance = self.start + self.speed * time_s
        lap = 0
        if self.route.length is not None:
            lap = math.floor(distance / self.route.length)
            distance -= lap * self.route.length
        rng = np.random.default_rng((self.seed, self.number, lap))
        vessel = new_vessel(rng, self.kinds, under_way=not isinstance(self.route, Mooring))
        speed = 0.0 if isinstance(self.route, Mooring) else self.speed
        first_id = self.number * 10_000 + 2 * lap + 1
        found = [Voyage(first_id, vessel, self.route, distance, speed)]
        if vessel.class_id == CARGO_SHIP and speed and rng.random() < 0.5:
            tug = new_vessel(rng, (TUGBOAT,), under_way=True)
            side = -1 if rng.random() < 0.5 else 1
            beside = (rng.uniform(-0.4, 0.3) * vessel.length, side * (vessel.beam / 2 + tug.beam / 2 + 2.5))
            found.append(Voyage(first_id + 1, tug, self.route, distance, speed, beside))
        return found


def new_vessel(rng: np.random.Generator, kinds: tuple[int, ...], *, under_way: bool) -> Vessel:
    """A vessel of one of these kinds."""
    class_id = kinds[int(rng.integers(len(kinds)))]
    return Vessel(class_id, float(rng.uniform(*LENGTHS[class_id])), int(rng.integers(1 << 31)), under_way)
