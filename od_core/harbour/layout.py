"""What stands and who sails in one harbour: quay, jetties, cranes, a bridge, fairways and moorings, from a seed."""

import math
from typing import NamedTuple

import numpy as np

from od_core.harbour.canvas import Colour, Matrix, pick
from od_core.harbour.routes import SHORE, Circuit, Fairway, Mooring, Route, Traffic
from od_core.harbour.ships import BEAMS, BUOY, CARGO_SHIP, FERRY, LENGTHS, SAILBOAT, TUGBOAT
from od_core.harbour.water import MOODS


class Jetty(NamedTuple):
    """A wooden pier from the quay over the water: at u, so many units long."""

    u: float
    length: float


class Crane(NamedTuple):
    """A gantry crane on the quay whose arm reaches over the water: at u, so many units far."""

    u: float
    reach: float
    colour: Colour


class Bridge(NamedTuple):
    """A road bridge from the quay over all fairways: crosses v = 0 at u, leans `slant` units of u per unit of v."""

    u: float
    slant: float
    width: float
    rails: Colour


class Layout(NamedTuple):
    """One harbour. angle: radians by which its axes are turned in the picture; centre_v: the v in the picture's middle;
    mood: index into `MOODS`; wind: radians, where waves and clouds go.
    """

    seed: int
    angle: float
    centre_v: float
    mood: int
    wind: float
    jetties: tuple[Jetty, ...]
    cranes: tuple[Crane, ...]
    bridge: Bridge | None
    traffic: tuple[Traffic, ...]

    def matrix(self, width: int, height: int) -> Matrix:
        """float64 (2, 3), from the harbour's axes to the pixels of a picture."""
        scale = view_scale(width, height)
        cos, sin = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        return np.array(
            [
                [cos, -sin, width / 2 + sin * self.centre_v],
                [sin, cos, height / 2 - cos * self.centre_v],
            ]
        )


def view_scale(width: int, height: int) -> float:
    """Pixels per unit: 1 for 640 x 384, and the same part of the harbour at other sizes."""
    return math.sqrt(width * height / (640 * 384))


def plan_harbour(seed: int, aspect: float) -> Layout:
    """The harbour of a seed, for pictures `aspect` times as wide as high."""
    rng = np.random.default_rng((seed, 1))
    angle = int(rng.integers(4)) * math.pi / 2 + rng.uniform(-0.5, 0.5)
    height = math.sqrt(640 * 384 / aspect)
    width = height * aspect
    sight = min(width / 2 / max(abs(math.sin(angle)), 1e-9), height / 2 / max(abs(math.cos(angle)), 1e-9))
    centre_v = sight - rng.uniform(62, 104)
    planner = _Planner(rng, seed)
    jetties, cranes = planner.quayside()
    planner.fairways(centre_v + sight)
    bridge = None
    if rng.random() < 0.5:
        rails: Colour = pick(rng, [(186, 70, 60), (92, 132, 120), (198, 200, 200), (80, 110, 150)])
        bridge = Bridge(rng.uniform(-170, 170), rng.uniform(-0.25, 0.25), rng.uniform(26, 36), rails)
    return Layout(
        seed=seed,
        angle=angle,
        centre_v=centre_v,
        mood=int(rng.integers(len(MOODS))),
        wind=rng.uniform(0, 2 * math.pi),
        jetties=jetties,
        cranes=cranes,
        bridge=bridge,
        traffic=tuple(planner.traffic),
    )


class _Planner:
    """Places things so that hulls do not meet."""

    def __init__(self, rng: np.random.Generator, seed: int) -> None:
        self._rng = rng
        self._seed = seed
        self.traffic: list[Traffic] = []

    def _add(self, route: Route, kinds: tuple[int, ...], speed: float, start: float) -> None:
        self.traffic.append(Traffic(len(self.traffic), route, kinds, speed, start, self._seed))

    def _moor(self, u: float, v: float, heading: float, class_id: int, sway: float = 0.5) -> None:
        self._add(Mooring(u, v, heading, sway), (class_id,), 1.0, float(self._rng.uniform(0, 9)))

    def quayside(self) -> tuple[tuple[Jetty, ...], tuple[Crane, ...]]:
        """Jetties with boats, ships alongside and the cranes that serve them, one after the other along the quay."""
        rng = self._rng
        jetties: list[Jetty] = []
        cranes: list[Crane] = []
        u = -SHORE + rng.uniform(0, 160)
        while u < SHORE - 120:
            choice = rng.random()
            if choice < 0.4:
                for _ in range(int(rng.integers(1, 4))):
                    jetties.append(self._jetty(u + 40))
                    u += 84
            elif choice < 0.85:
                u += self._alongside(u, cranes)
            u += rng.uniform(16, 60)
        return tuple(jetties), tuple(cranes)

    def _jetty(self, u: float) -> Jetty:
        rng = self._rng
        jetty = Jetty(u, rng.uniform(70, 92))
        for side in (-1, 1):
            v = 8.0
            while v < jetty.length - 20:
                class_id = SAILBOAT if rng.random() < 0.8 else TUGBOAT
                longest = LENGTHS[class_id][1]
                if rng.random() < 0.62:
                    aside = side * (5 + longest * BEAMS[class_id] / 2)
                    heading = math.pi / 2 if rng.random() < 0.5 else -math.pi / 2
                    self._moor(u + aside, v + longest / 2, heading, class_id)
                v += longest + 3
        return jetty

    def _alongside(self, u: float, cranes: list[Crane]) -> float:
        """A big ship at the quay; how much of the quay it takes."""
        rng = self._rng
        class_id = pick(rng, (CARGO_SHIP, CARGO_SHIP, FERRY, TUGBOAT))
        longest = LENGTHS[class_id][1]
        beam = longest * BEAMS[class_id]
        heading = 0.0 if rng.random() < 0.5 else math.pi
        self._moor(u + longest / 2, 5 + beam / 2, heading, class_id)
        if class_id == CARGO_SHIP:
            colour: Colour = pick(rng, [(222, 168, 44), (196, 72, 52), (62, 112, 164), (206, 208, 206)])
            for share in rng.permutation([0.22, 0.5, 0.76])[: int(rng.integers(1, 3))]:
                cranes.append(Crane(u + float(share) * longest, beam + rng.uniform(6, 20), colour))
        return longest

    def fairways(self, last_v: float) -> None:
        """Lanes side by side from the quay outwards, with one speed and direction each, and what lies between them."""
        rng = self._rng
        swing, wavelength = rng.uniform(4, 20), rng.uniform(700, 1000)
        phase = rng.uniform(0, 2 * math.pi)
        v, direction = 112 + swing, 1 if rng.random() < 0.5 else -1
        lanes = 0
        while v < last_v + 30:
            if lanes and rng.random() < 0.3:
                radius = rng.uniform(42, 62)
                self._regatta(v + radius + 6, radius)
                v += 2 * radius + 62
                continue
            kinds = pick(
                rng, ((CARGO_SHIP, CARGO_SHIP, FERRY), (FERRY, TUGBOAT), (SAILBOAT, TUGBOAT), (SAILBOAT, FERRY))
            )
            narrow = kinds == (SAILBOAT, TUGBOAT)
            fairway = Fairway(v, swing, wavelength, phase, direction)
            followers = 3 if CARGO_SHIP in kinds else int(rng.integers(4, 6))
            speed, first = rng.uniform(20, 44), rng.uniform(0, fairway.length)
            for follower in range(followers):
                gap = (follower + rng.uniform(-0.1, 0.1)) / followers
                self._add(fairway, kinds, speed, first + gap * fairway.length)
            v += 40 if narrow else 70
            if rng.random() < 0.6:
                self._buoys(v - 14, swing, wavelength, phase)
                v += 20
            lanes += 1
            direction = -direction if rng.random() < 0.7 else direction

    def _buoys(self, v: float, swing: float, wavelength: float, phase: float) -> None:
        line = Fairway(v, swing, wavelength, phase, 1)
        u = self._rng.uniform(0, 200)
        while u < 2 * SHORE:
            pose = line.pose(u)
            self._moor(pose.u, pose.v, pose.heading, BUOY, sway=1.2)
            u += self._rng.uniform(110, 280)

    def _regatta(self, v: float, radius: float) -> None:
        """Boats that sail round a buoy."""
        rng = self._rng
        circuit = Circuit(rng.uniform(-200, 200), v, rng.uniform(90, 150), radius)
        round_trip = math.pi * (circuit.radius_u + circuit.radius_v)
        boats = int(rng.integers(3, 6))
        kinds = (SAILBOAT,) if rng.random() < 0.75 else (SAILBOAT, TUGBOAT)
        speed = rng.uniform(12, 24)
        for boat in range(boats):
            self._add(circuit, kinds, speed, (boat + rng.uniform(-0.15, 0.15)) / boats * round_trip)
        for side in (-0.55, 0.55):
            self._moor(circuit.u + side * circuit.radius_u, v, 0.0, BUOY, sway=1.2)
