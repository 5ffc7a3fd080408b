"""The five kinds of floating things, drawn from above: sailboat, ferry, cargo ship, tugboat, buoy."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from od_core.harbour.canvas import Canvas, Colour, Points, box, ellipse, mixed, pick
from od_core.images import ImageArray

SAILBOAT, FERRY, CARGO_SHIP, TUGBOAT, BUOY = 1, 2, 3, 4, 5

LABELS: Mapping[int, str] = MappingProxyType(
    {SAILBOAT: "sailboat", FERRY: "ferry", CARGO_SHIP: "cargo ship", TUGBOAT: "tugboat", BUOY: "buoy"}
)
"""Class id -> name of what the harbour holds."""

LENGTHS: Mapping[int, tuple[float, float]] = MappingProxyType(
    {SAILBOAT: (36, 58), FERRY: (92, 138), CARGO_SHIP: (150, 225), TUGBOAT: (42, 60), BUOY: (13, 18)}
)
"""Class id -> shortest and longest, in the harbour's units."""

BEAMS: Mapping[int, float] = MappingProxyType({SAILBOAT: 0.29, FERRY: 0.27, CARGO_SHIP: 0.19, TUGBOAT: 0.42, BUOY: 1.0})
"""Class id -> width as a share of length."""

SPRITE_SCALE = 2  # sprites are kept at this many times the size they are shown at
_MARGIN = 6.0  # units left free around a hull, for sails and shrouds that reach over it

_WHITE: Colour = (240, 240, 234)
_DARK: Colour = (38, 42, 48)
_GLASS: Colour = (40, 62, 78)
_TEAK: Colour = (178, 134, 88)
_CONTAINERS: tuple[Colour, ...] = (
    (178, 58, 48),
    (34, 92, 140),
    (46, 120, 92),
    (212, 148, 52),
    (206, 204, 196),
    (112, 66, 60),
    (70, 140, 166),
    (222, 112, 60),
    (88, 96, 104),
)


class Vessel(NamedTuple):
    """One floating thing: class_id; length in units, bow to stern; paint: seed of its colours and details;
    under_way: whether its sails are set.
    """

    class_id: int
    length: float
    paint: int
    under_way: bool

    @property
    def beam(self) -> float:
        """Its width in units."""
        return self.length * BEAMS[self.class_id]


def draw_vessel(vessel: Vessel, scale: float) -> ImageArray:
    """The vessel from above, bow to the right, its middle in the middle of the picture.

    Args:
        vessel: what to draw.
        scale: pixels per unit that it will be shown at.

    Returns:
        uint8 (height, width, 4), premultiplied RGBA, `SPRITE_SCALE` times as large as it will be shown.
    """
    enlarged = scale * SPRITE_SCALE
    width = 2 * int(np.ceil((vessel.length / 2 + _MARGIN) * enlarged))
    height = 2 * int(np.ceil((vessel.beam / 2 + _MARGIN + 0.12 * vessel.length) * enlarged))
    canvas = Canvas(width, height, np.array([[enlarged, 0, width / 2], [0, enlarged, height / 2]]), supersampling=3)
    rng = np.random.default_rng(vessel.paint)
    _PAINTERS[vessel.class_id](canvas, vessel, rng)
    return canvas.finished(rng, 2.5)


def _hull(length: float, beam: float, *, bow: float, stern: float, bow_power: float = 1.7, inset: float = 0) -> Points:
    """Outline of a hull: `bow` and `stern` are the shares of the length over which it narrows."""
    along = np.concatenate([np.linspace(0, stern, 9), np.linspace(1 - bow, 1, 17)])
    aft = np.clip(1 - along / max(stern, 1e-6), 0, 1)
    fore = np.clip((along - 1 + bow) / bow, 0, 1)
    half = (beam / 2 - inset) * np.sqrt(1 - 0.75 * aft**3) * (1 - fore**bow_power)
    x = (along - 0.5) * (length - 2 * inset)
    return np.concatenate([np.stack([x, half], 1), np.stack([x, -half], 1)[::-1]])


def _block(canvas: Canvas, xmin: float, ymin: float, xmax: float, ymax: float, colour: Colour) -> None:
    """Something that stands on a deck: a rectangle with a dark foot and a bright rim."""
    canvas.shade(box(xmin - 0.9, ymin - 0.9, xmax + 0.9, ymax + 0.9), (10, 16, 24), 0.38)
    canvas.rectangle(xmin, ymin, xmax, ymax, mixed(colour, (255, 255, 255), 0.3))
    rim = min(0.7, (xmax - xmin) / 4, (ymax - ymin) / 4)
    canvas.rectangle(xmin + rim, ymin + rim, xmax - rim, ymax - rim, colour)


def _paint_sailboat(canvas: Canvas, vessel: Vessel, rng: np.random.Generator) -> None:
    length, beam = vessel.length, vessel.beam
    hull: Colour = pick(rng, [_WHITE, _WHITE, (36, 58, 98), (150, 40, 44), (44, 96, 84), (226, 196, 120)])
    deck: Colour = pick(rng, [_TEAK, (232, 226, 210), (206, 178, 138)])
    outline = {"bow": 0.62, "stern": 0.3, "bow_power": 1.9}
    canvas.polygon(_hull(length, beam, **outline), hull)
    canvas.polygon(_hull(length, beam, **outline, inset=0.07 * beam), mixed(hull, _DARK, 0.35))
    canvas.polygon(_hull(length, beam, **outline, inset=0.12 * beam), deck)
    for line in np.linspace(-0.3, 0.3, 7) * beam:
        canvas.shade(box(-0.44 * length, line - 0.16, 0.36 * length, line + 0.16), (90, 60, 36), 0.35)
    canvas.polygon(ellipse(-0.27 * length, 0, 0.13 * length, 0.27 * beam), mixed(deck, _DARK, 0.55))  # cockpit
    canvas.polygon(ellipse(-0.27 * length, 0, 0.1 * length, 0.2 * beam), mixed(deck, _DARK, 0.25))
    canvas.polygon(ellipse(0.03 * length, 0, 0.16 * length, 0.25 * beam), _WHITE)  # cabin
    for side in (-1, 1):
        canvas.line((-0.06 * length, side * 0.17 * beam), (0.12 * length, side * 0.14 * beam), 0.9, _GLASS)
    mast = (0.1 * length, 0.0)
    side = 1 if rng.random() < 0.5 else -1
    if vessel.under_way:
        cloth: Colour = pick(rng, [(250, 248, 240)] * 6 + [(244, 214, 170), (216, 84, 70), (70, 116, 170)])
        swing = rng.uniform(0.35, 0.95)
        boom = (-0.42 * length, side * swing * beam)
        _sail(canvas, mast, boom, side * 0.26 * beam, cloth)
        _sail(
            canvas, (0.485 * length, 0.0), (0.06 * length, side * (0.25 + swing / 2) * beam), side * 0.24 * beam, cloth
        )
        canvas.line(mast, boom, 0.8, (96, 84, 70))
    else:
        cover: Colour = pick(rng, [(40, 70, 120), (150, 48, 48), (60, 100, 80), (216, 206, 184)])
        canvas.shade(box(-0.4 * length, -0.9, 0.1 * length, 2.2), (10, 16, 24), 0.3)
        canvas.line((-0.4 * length, 0), mast, 2.6, cover)
        for shroud in (-1, 1):
            canvas.line(mast, (0.08 * length, shroud * 0.42 * beam), 0.4, (216, 216, 216))
    canvas.disc(*mast, 1.2, (70, 62, 56))


def _sail(canvas: Canvas, luff: tuple[float, float], clew: tuple[float, float], belly: float, cloth: Colour) -> None:
    """A sail seen from above: a crescent between two points that bulges to leeward."""
    share = np.linspace(0, 1, 13)[:, None]
    straight = np.array(luff) + (np.array(clew) - np.array(luff)) * share
    bulge = np.sin(np.pi * share**0.8) * np.array([0, belly])
    curve = straight + bulge * 1.35
    shape = np.concatenate([straight - bulge * 0.25, curve[::-1]])
    canvas.shade(shape + np.array([1.2, 1.4]), (10, 16, 24), 0.35)
    canvas.polygon(shape, cloth)
    canvas.shade(np.concatenate([straight + bulge * 0.55, curve[::-1]]), (84, 96, 112), 0.3)
    for at in (4, 8):
        canvas.line(straight[at], curve[at], 0.35, mixed(cloth, _DARK, 0.35))


def _paint_ferry(canvas: Canvas, vessel: Vessel, rng: np.random.Generator) -> None:
    length, beam = vessel.length, vessel.beam
    stripe: Colour = pick(rng, [(30, 76, 140), (176, 44, 46), (20, 116, 110), (226, 168, 40), (60, 66, 76)])
    outline = {"bow": 0.2, "stern": 0.16, "bow_power": 2.6}
    canvas.polygon(_hull(length, beam, **outline), stripe)
    canvas.polygon(_hull(length, beam, **outline, inset=0.055 * beam), _WHITE)
    canvas.polygon(_hull(length, beam, **outline, inset=0.12 * beam), (118, 124, 122))  # car deck
    for end in (-1, 1):  # cars and lane marks on the open decks at both ends
        for lane in (-0.21, -0.01, 0.19):
            canvas.line(
                (end * 0.3 * length, (lane + 0.1) * beam), (end * 0.42 * length, (lane + 0.1) * beam), 0.4, _WHITE
            )
            if rng.random() < 0.7:
                paint: Colour = pick(rng, _CONTAINERS)
                x, y = end * rng.uniform(0.33, 0.4) * length, lane * beam
                _block(canvas, x - 3, y - 1.7, x + 3, y + 1.7, paint)
                canvas.rectangle(x - 1.1, y - 1.2, x + 1.1, y + 1.2, _GLASS)
    half = 0.285 * length
    _block(canvas, -half, -0.43 * beam, half, 0.43 * beam, (226, 228, 224))  # superstructure
    for side in (-1, 1):
        for x in np.arange(-half + 3, half - 2, 4.2):
            canvas.rectangle(x, side * 0.385 * beam - 0.6, x + 2.2, side * 0.385 * beam + 0.6, _GLASS)
    _block(canvas, -0.8 * half, -0.29 * beam, 0.8 * half, 0.29 * beam, _WHITE)
    canvas.rectangle(-0.8 * half, -0.05 * beam, 0.8 * half, 0.05 * beam, stripe)
    for x in (-0.42, 0.42):  # boats in orange covers
        for side in (-1, 1):
            canvas.polygon(ellipse(x * half * 1.3, side * 0.335 * beam, 4.4, 1.7), (236, 120, 40))
    for end in (-1, 1):  # a wheelhouse looks each way
        _block(canvas, end * 0.76 * half - 3, -0.33 * beam, end * 0.76 * half + 3, 0.33 * beam, (248, 248, 244))
        canvas.rectangle(
            end * 0.76 * half + end * 1.2, -0.29 * beam, end * 0.76 * half + end * 2.4, 0.29 * beam, _GLASS
        )
    for side in (-1, 1):
        canvas.polygon(ellipse(0, side * 0.15 * beam, 4.6, 0.1 * beam), mixed(stripe, _DARK, 0.2))  # funnels
        canvas.polygon(ellipse(0, side * 0.15 * beam, 2.6, 0.055 * beam), _DARK)


def _paint_cargo_ship(canvas: Canvas, vessel: Vessel, rng: np.random.Generator) -> None:
    length, beam = vessel.length, vessel.beam
    hull: Colour = pick(rng, [(120, 40, 38), (28, 44, 72), (36, 40, 44), (30, 84, 76), (168, 84, 44), (60, 88, 120)])
    deck = mixed(pick(rng, [(142, 66, 54), (92, 108, 100), (124, 128, 130), (70, 104, 92)]), _WHITE, 0.12)
    outline = {"bow": 0.19, "stern": 0.08, "bow_power": 2.0}
    canvas.polygon(_hull(length, beam, **outline), hull)
    canvas.polygon(_hull(length, beam, **outline, inset=0.05 * beam), mixed(hull, _WHITE, 0.45))
    canvas.polygon(_hull(length, beam, **outline, inset=0.09 * beam), deck)
    first, last = -0.27 * length, 0.34 * length
    if rng.random() < 0.68:
        _container_stacks(canvas, first, last, beam, rng)
    else:
        _hatches(canvas, first, last, beam, rng)
    bridge = -0.335 * length
    _block(canvas, bridge - 0.05 * length, -0.42 * beam, bridge + 0.035 * length, 0.42 * beam, _WHITE)
    _block(canvas, bridge - 0.01 * length, -0.49 * beam, bridge + 0.026 * length, 0.49 * beam, (246, 246, 242))
    canvas.rectangle(bridge + 0.016 * length, -0.45 * beam, bridge + 0.023 * length, 0.45 * beam, _GLASS)
    funnel: Colour = pick(rng, [(196, 60, 48), (40, 84, 140), (230, 170, 50), (50, 110, 90)])
    _block(canvas, bridge - 0.085 * length, -0.16 * beam, bridge - 0.045 * length, 0.16 * beam, funnel)
    canvas.rectangle(bridge - 0.075 * length, -0.09 * beam, bridge - 0.055 * length, 0.09 * beam, _DARK)
    canvas.line((0.41 * length, -0.14 * beam), (0.41 * length, 0.14 * beam), 1.2, _DARK)  # windlass
    canvas.disc(0.38 * length, 0, 1.3, _WHITE)
    canvas.disc(-0.46 * length, 0.2 * beam, 1.4, _DARK)
    canvas.disc(-0.46 * length, -0.2 * beam, 1.4, _DARK)


def _container_stacks(canvas: Canvas, first: float, last: float, beam: float, rng: np.random.Generator) -> None:
    bays = max(4, round((last - first) / 15))
    pitch, rows = (last - first) / bays, 6
    for bay in range(bays):
        x = first + bay * pitch
        narrow = 0.74 if bay >= bays - 1 else 0.84
        width = narrow * beam / rows
        canvas.shade(box(x, -narrow / 2 * beam - 0.8, x + pitch - 0.6, narrow / 2 * beam + 0.8), (10, 16, 24), 0.4)
        favourite: Colour = pick(rng, _CONTAINERS)
        for row in range(rows):
            if rng.random() < 0.07:
                continue
            base: Colour = favourite if rng.random() < 0.35 else pick(rng, _CONTAINERS)
            paint = mixed(base, _WHITE if rng.random() < 0.5 else _DARK, rng.uniform(0, 0.18))
            y = -narrow * beam / 2 + row * width
            canvas.rectangle(x + 0.5, y + 0.2, x + pitch - 0.9, y + width - 0.2, paint)
            canvas.rectangle(x + 0.5, y + 0.2, x + pitch - 0.9, y + 0.2 + width * 0.25, mixed(paint, _WHITE, 0.3))


def _hatches(canvas: Canvas, first: float, last: float, beam: float, rng: np.random.Generator) -> None:
    cover = mixed(pick(rng, [(176, 96, 62), (86, 124, 110), (150, 152, 146), (198, 170, 110)]), _WHITE, 0.1)
    holds = 5 if last - first > 105 else 4
    pitch = (last - first) / holds
    for hold in range(holds):
        x = first + hold * pitch
        _block(canvas, x + 0.12 * pitch, -0.33 * beam, x + 0.86 * pitch, 0.33 * beam, cover)
        for rib in np.linspace(0.24, 0.74, 4):
            canvas.line((x + rib * pitch, -0.3 * beam), (x + rib * pitch, 0.3 * beam), 0.5, mixed(cover, _DARK, 0.4))
    arm: Colour = pick(rng, [(236, 196, 72), _WHITE, (222, 120, 60)])
    for hold in range(1, holds):  # deck cranes, laid fore and aft
        x = first + hold * pitch
        canvas.shade(box(x - 1, -0.1 * beam, x + 0.8 * pitch, 0.14 * beam), (10, 16, 24), 0.3)
        canvas.line((x, 0), (x + 0.8 * pitch, rng.uniform(-0.1, 0.1) * beam), 1.8, arm)
        canvas.disc(x, 0, 0.1 * beam, mixed(arm, _DARK, 0.25))
        canvas.disc(x, 0, 0.06 * beam, arm)


def _paint_tugboat(canvas: Canvas, vessel: Vessel, rng: np.random.Generator) -> None:
    length, beam = vessel.length, vessel.beam
    hull: Colour = pick(rng, [(30, 34, 38), (36, 58, 96), (140, 36, 38), (30, 90, 70)])
    deck = mixed(pick(rng, [(160, 76, 56), (70, 128, 98), (140, 140, 134)]), _WHITE, 0.05)
    house: Colour = pick(rng, [_WHITE, (240, 206, 130), (224, 224, 218)])
    outline = {"bow": 0.42, "stern": 0.3, "bow_power": 2.9}
    canvas.polygon(_hull(length, beam, **outline), (24, 24, 26))
    rim = _hull(length, beam, **outline, inset=0.045 * beam)
    for x, y in rim[::2]:  # tyres all round
        canvas.disc(x, y, 0.052 * beam, (58, 58, 60))
    canvas.polygon(_hull(length, beam, **outline, inset=0.1 * beam), hull)
    canvas.polygon(_hull(length, beam, **outline, inset=0.15 * beam), deck)
    canvas.shade(box(-0.44 * length, -0.3 * beam, -0.12 * length, 0.3 * beam), (230, 200, 150), 0.25)
    _block(canvas, -0.1 * length, -0.27 * beam, 0.24 * length, 0.27 * beam, mixed(house, _DARK, 0.1))
    wheelhouse = ellipse(0.12 * length, 0, 0.135 * length, 0.24 * beam, 8)
    canvas.shade(wheelhouse + np.array([0.8, 1.0]), (10, 16, 24), 0.35)
    canvas.polygon(wheelhouse, _GLASS)
    canvas.polygon(ellipse(0.12 * length, 0, 0.1 * length, 0.18 * beam, 8), house)
    funnel: Colour = pick(rng, [(206, 60, 46), (236, 170, 48), (40, 96, 160), (232, 232, 226)])
    for side in (-1, 1):
        canvas.disc(-0.055 * length, side * 0.16 * beam, 0.085 * beam, funnel)
        canvas.disc(-0.055 * length, side * 0.16 * beam, 0.05 * beam, _DARK)
    _block(canvas, -0.25 * length, -0.12 * beam, -0.17 * length, 0.12 * beam, (92, 96, 100))  # winch
    canvas.line((-0.25 * length, 0), (-0.43 * length, 0), 0.8, (232, 214, 160))
    canvas.disc(-0.3 * length, 0.2 * beam, 1.2, (240, 130, 40))
    canvas.disc(0.36 * length, 0, 1.4, _DARK)


def _paint_buoy(canvas: Canvas, vessel: Vessel, rng: np.random.Generator) -> None:
    radius = vessel.length / 2
    paint: Colour = pick(rng, [(208, 44, 40), (208, 44, 40), (40, 140, 78), (40, 140, 78), (238, 190, 40)])
    canvas.disc(0, 0, radius, mixed(paint, _DARK, 0.45))
    canvas.disc(-0.06 * radius, -0.06 * radius, 0.88 * radius, paint)
    canvas.polygon(ellipse(-0.3 * radius, -0.3 * radius, 0.3 * radius, 0.3 * radius), mixed(paint, _WHITE, 0.4))
    canvas.disc(0, 0, 0.62 * radius, mixed(paint, _DARK, 0.3))
    for angle in np.arange(4) * (np.pi / 2) + 0.4:
        tip = (0.62 * radius * np.cos(angle), 0.62 * radius * np.sin(angle))
        canvas.line((0, 0), tip, 0.16 * radius, _WHITE)
    canvas.disc(0, 0, 0.3 * radius, _WHITE)
    canvas.disc(0, 0, 0.17 * radius, (255, 226, 120) if paint[0] > 100 else (170, 255, 200))


_PAINTERS: Mapping[int, Callable[[Canvas, Vessel, np.random.Generator], None]] = MappingProxyType(
    {
        SAILBOAT: _paint_sailboat,
        FERRY: _paint_ferry,
        CARGO_SHIP: _paint_cargo_ship,
        TUGBOAT: _paint_tugboat,
        BUOY: _paint_buoy,
    }
)
