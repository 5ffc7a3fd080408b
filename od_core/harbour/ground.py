"""What does not move: quay, jetties and yard below the ships, bridge and cranes above them."""

import math

import numpy as np

from od_core.harbour.canvas import Canvas, Colour, box, ellipse, mixed, pick
from od_core.harbour.layout import Bridge, Crane, Jetty, Layout
from od_core.images import ImageArray

_END = 640.0  # units along u to both sides: beyond every picture's corners
_BACK = -700.0
_CONCRETE: Colour = (184, 176, 160)
_WOOD: Colour = (158, 122, 84)
_ASPHALT: Colour = (92, 94, 98)
_WHITE: Colour = (236, 234, 226)
_SHADOW: Colour = (14, 22, 34)
_BOXES: tuple[Colour, ...] = (
    (176, 62, 50),
    (38, 92, 138),
    (52, 122, 94),
    (210, 150, 58),
    (204, 202, 194),
    (108, 70, 62),
    (76, 142, 164),
)
_ROOFS: tuple[Colour, ...] = ((150, 82, 66), (112, 122, 130), (170, 162, 148), (94, 110, 104), (188, 112, 76))


def draw_ground(layout: Layout, width: int, height: int) -> ImageArray:
    """Quay, yard and jetties as premultiplied RGBA (height, width, 4); clear where the water is."""
    canvas = Canvas(width, height, layout.matrix(width, height), supersampling=3)
    rng = np.random.default_rng((layout.seed, 2))
    for jetty in layout.jetties:
        _jetty(canvas, jetty)
    _quay(canvas, rng)
    _yard(canvas, rng)
    return canvas.finished(rng, 4.0)


def draw_overhead(layout: Layout, width: int, height: int) -> ImageArray:
    """Bridge and cranes, which hide what sails below them, as premultiplied RGBA (height, width, 4)."""
    canvas = Canvas(width, height, layout.matrix(width, height), supersampling=3)
    rng = np.random.default_rng((layout.seed, 3))
    for crane in layout.cranes:
        _crane(canvas, crane)
    if layout.bridge:
        _bridge(canvas, layout.bridge)
    return canvas.finished(rng, 2.5)


def _quay(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rectangle(-_END, _BACK, _END, 2.5, mixed(_CONCRETE, (60, 52, 44), 0.62))  # the wall, wet at its foot
    canvas.rectangle(-_END, _BACK, _END, 0, mixed(_CONCRETE, _WHITE, 0.35))
    canvas.rectangle(-_END, _BACK, _END, -3, _CONCRETE)
    for u in np.arange(-_END, _END, 24.0):
        for v in np.arange(-58.0, -3, 18.0):
            shade = float(rng.uniform(0, 0.1))
            tone = _WHITE if rng.random() < 0.5 else _SHADOW
            canvas.shade(box(u + 0.4, v + 0.4, u + 23.6, min(v + 17.6, -3)), tone, shade)
    for _ in range(26):  # oil and rust
        u, v, radius = rng.uniform(-_END, _END), rng.uniform(-54, -8), rng.uniform(2, 8)
        canvas.shade(ellipse(u, v, radius * 1.6, radius, 16), (70, 58, 48), 0.14)
    canvas.rectangle(-_END, -6.6, _END, -5.4, (226, 190, 70))
    for v in (-13, -40):  # rails of the cranes
        canvas.rectangle(-_END, v - 0.9, _END, v + 0.9, (110, 100, 92))
        canvas.rectangle(-_END, v - 0.3, _END, v + 0.3, (196, 192, 186))
    for u in np.arange(-_END, _END, 30.0):  # bollards and tyres
        canvas.disc(u, -1.8, 1.7, (44, 46, 50))
        canvas.rectangle(u + 13, -0.5, u + 17, 2.6, (34, 34, 36))


def _yard(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rectangle(-_END, -84, _END, -60, _ASPHALT)
    canvas.rectangle(-_END, -60.8, _END, -60, _WHITE)
    canvas.rectangle(-_END, _BACK, _END, -84, (138, 146, 106))
    for u in np.arange(-_END, _END, 22.0):
        canvas.rectangle(u, -72.5, u + 10, -71.5, _WHITE)
    u = -_END
    while u < _END:
        kind = rng.random()
        if kind < 0.42:
            u += _container_stack(canvas, u, rng)
        elif kind < 0.6:
            u += _crates(canvas, u, rng)
        elif kind < 0.78:
            _truck(canvas, u, -50 if rng.random() < 0.4 else -66, rng)
            u += 30
        u += rng.uniform(8, 40)
    u = -_END
    while u < _END:
        long = rng.uniform(60, 150)
        if rng.random() < 0.66:
            _warehouse(canvas, u, long, rng)
        else:
            for _ in range(int(long / 6)):
                _tree(canvas, u + rng.uniform(0, long), rng.uniform(-210, -96), rng)
        u += long + 14
    for _ in range(12):
        _truck(canvas, rng.uniform(-_END, _END), -66 if rng.random() < 0.5 else -78, rng)


def _raised(canvas: Canvas, xmin: float, ymin: float, xmax: float, ymax: float, colour: Colour, tall: float) -> None:
    """A block on the ground with its shadow."""
    canvas.shade(box(xmin + tall * 0.2, ymin - tall, xmax + tall, ymax + tall * 0.3), _SHADOW, 0.34)
    canvas.rectangle(xmin, ymin, xmax, ymax, mixed(colour, _SHADOW, 0.25))
    canvas.rectangle(xmin + 0.4, ymin + 0.4, xmax - 0.4, ymax - 0.4, colour)


def _container_stack(canvas: Canvas, u: float, rng: np.random.Generator) -> float:
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    for column in range(columns):
        for row in range(rows):
            if rng.random() < 0.12:
                continue
            colour = mixed(pick(rng, _BOXES), _WHITE, rng.uniform(0, 0.15))
            left, top = u + column * 16.5, -56 + row * 7.2
            _raised(canvas, left, top, left + 15.5, top + 6.5, colour, 2.4)
            canvas.rectangle(left + 0.6, top + 1.2, left + 14.9, top + 2.2, mixed(colour, _WHITE, 0.25))
            for rib in np.arange(2.0, 15, 2.6):
                canvas.shade(box(left + rib, top + 0.5, left + rib + 0.5, top + 6), _SHADOW, 0.22)
    return columns * 16.5


def _crates(canvas: Canvas, u: float, rng: np.random.Generator) -> float:
    for _ in range(int(rng.integers(3, 9))):
        x, y, size = u + rng.uniform(0, 30), rng.uniform(-54, -20), rng.uniform(3, 6.5)
        colour: Colour = pick(rng, [(176, 136, 88), (150, 112, 70), (196, 160, 112), (96, 128, 110)])
        _raised(canvas, x, y, x + size, y + size, colour, 1.6)
        canvas.line((x + 0.5, y + 0.5), (x + size - 0.5, y + size - 0.5), 0.5, mixed(colour, _SHADOW, 0.35))
    for _ in range(int(rng.integers(0, 4))):  # barrels
        x, y = u + rng.uniform(0, 34), rng.uniform(-30, -18)
        canvas.disc(x + 0.8, y - 0.8, 2.1, mixed(_CONCRETE, _SHADOW, 0.4))
        colour = pick(rng, _BOXES)
        canvas.disc(x, y, 2.0, colour)
        canvas.disc(x, y, 1.3, mixed(colour, _WHITE, 0.25))
    return 36.0


def _truck(canvas: Canvas, u: float, v: float, rng: np.random.Generator) -> None:
    colour: Colour = pick(rng, _BOXES)
    direction = 1 if rng.random() < 0.5 else -1
    _raised(canvas, u - 9, v - 2.6, u + 9, v + 2.6, colour, 2)
    front = u + direction * 11.6
    _raised(canvas, front - 2, v - 2.5, front + 2, v + 2.5, _WHITE, 1.4)
    glass = front + direction * 0.6
    canvas.rectangle(glass - 0.5, v - 2, glass + 0.5, v + 2, (44, 62, 78))


def _warehouse(canvas: Canvas, u: float, long: float, rng: np.random.Generator) -> None:
    back, front = -92 - rng.uniform(46, 90), -94.0
    roof: Colour = pick(rng, _ROOFS)
    canvas.shade(box(u + 2, back - 6, u + long + 7, front), _SHADOW, 0.34)
    canvas.rectangle(u, back, u + long, front, mixed(roof, _SHADOW, 0.12))
    canvas.rectangle(u, (back + front) / 2, u + long, front, mixed(roof, _WHITE, 0.12))
    canvas.rectangle(u, (back + front) / 2 - 0.8, u + long, (back + front) / 2 + 0.8, mixed(roof, _WHITE, 0.35))
    for x in np.arange(u + 5, u + long - 2, 7.0):
        canvas.shade(box(x, back, x + 0.7, front), _SHADOW, 0.14)
    for x in np.arange(u + 14, u + long - 12, 26.0):
        canvas.rectangle(x, front - 16, x + 8, front - 10, (170, 196, 206))


def _tree(canvas: Canvas, u: float, v: float, rng: np.random.Generator) -> None:
    radius = rng.uniform(4, 8)
    green = mixed((62, 92, 56), (112, 132, 64), rng.random())
    canvas.shade(ellipse(u + 2.4, v - 2.4, radius, radius, 14), _SHADOW, 0.34)
    canvas.disc(u, v, radius, green)
    canvas.disc(u - 0.25 * radius, v + 0.25 * radius, 0.62 * radius, mixed(green, (196, 206, 110), 0.22))


def _jetty(canvas: Canvas, jetty: Jetty) -> None:
    left, right = jetty.u - 4, jetty.u + 4
    for v in np.arange(8.0, jetty.length, 21.0):  # piles
        for u in (left - 1, right + 1):
            canvas.disc(u, v, 1.9, (86, 66, 50))
            canvas.disc(u, v, 1.1, (150, 130, 104))
    canvas.rectangle(left, -4, right, jetty.length, mixed(_WOOD, _SHADOW, 0.35))
    canvas.rectangle(left + 0.6, -4, right - 0.6, jetty.length - 0.6, _WOOD)
    for v in np.arange(0.0, jetty.length - 1, 2.1):
        canvas.shade(box(left, v, right, v + 0.6), (64, 44, 28), 0.3)
    canvas.disc(jetty.u, jetty.length - 3.5, 1.5, (232, 226, 210))


def _crane(canvas: Canvas, crane: Crane) -> None:
    dark = mixed(crane.colour, _SHADOW, 0.45)
    for side in (-8, 8):
        canvas.line((crane.u + side, -43), (crane.u + side, -10), 2.4, dark)
        for v in (-40, -13):
            canvas.rectangle(crane.u + side - 3.4, v - 2, crane.u + side + 3.4, v + 2, dark)
    for v in (-40, -13):
        canvas.line((crane.u - 8, v), (crane.u + 8, v), 2.4, dark)
    canvas.rectangle(crane.u - 4.6, -58, crane.u + 4.6, crane.reach, dark)
    canvas.rectangle(crane.u - 3.8, -57, crane.u + 3.8, crane.reach - 0.8, mixed(crane.colour, _SHADOW, 0.25))
    for number, start in enumerate(np.arange(-56.0, crane.reach - 7, 7.0)):
        aside = -3.6 if number % 2 else 3.6
        canvas.line((crane.u - aside, start), (crane.u + aside, start + 7), 1.5, crane.colour)
    for side in (-1, 1):
        canvas.rectangle(crane.u + side * 4 - 0.8, -58, crane.u + side * 4 + 0.8, crane.reach, crane.colour)
    canvas.rectangle(crane.u - 7, -55, crane.u + 7, -45, mixed(crane.colour, _WHITE, 0.2))  # machine house
    canvas.rectangle(crane.u - 5, -53, crane.u + 5, -51, dark)
    canvas.rectangle(crane.u - 5.4, crane.reach * 0.45, crane.u + 5.4, crane.reach * 0.45 + 6, (58, 62, 68))  # trolley


def _bridge(canvas: Canvas, bridge: Bridge) -> None:
    lean = math.hypot(1, bridge.slant)
    half = bridge.width / 2 * lean

    def strip(first: float, last: float, colour: Colour, start: float = -420, end: float = 900) -> None:
        corners = [
            (bridge.u + bridge.slant * v + offset, v)
            for v, offset in ((start, first), (start, last), (end, last), (end, first))
        ]
        canvas.polygon(corners, colour)

    strip(-half - 2, half + 2, mixed(bridge.rails, _SHADOW, 0.45))
    strip(-half - 1.2, half + 1.2, bridge.rails)
    strip(-half, half, (198, 194, 184))
    strip(-half + 4, half - 4, _ASPHALT)
    strip(-half + 4.8, -half + 5.4, _WHITE)
    strip(half - 5.4, half - 4.8, _WHITE)
    for v in np.arange(-420.0, 900, 16.0):
        strip(-0.5, 0.5, _WHITE, v, v + 8)
    for v in np.arange(-420.0, 900, 54.0):  # joints and lamps
        strip(-half + 4, half - 4, mixed(_ASPHALT, _SHADOW, 0.4), v, v + 0.9)
        for side in (-1, 1):
            x = bridge.u + bridge.slant * v + side * (half - 1)
            canvas.disc(x, v, 1.5, (70, 72, 76))
            canvas.disc(x, v, 0.9, (250, 240, 200))
