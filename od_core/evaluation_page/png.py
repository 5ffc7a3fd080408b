"""Charts as PNG, for where SVG cannot go: slides, chats, issue trackers.

Draws what `svg.py` writes and nothing else: rectangles, lines, polylines, circles and texts with their colours written
out, as `standalone` leaves them. The font is the one that Pillow brings, so a machine needs none.
"""

import functools
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from defusedxml.ElementTree import fromstring
from PIL import Image, ImageColor, ImageDraw, ImageFont

SCALE = 2
"""Pixels of the picture for each unit of the chart."""

_FINER = 2  # drawn so much larger, then shrunk: Pillow's lines have hard edges
_FONT = 12
_SOFT, _INK = "#5c6670", "#1c2127"
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}  # Pillow's, at the base line

Style = Mapping[str, str]


class _Colour(NamedTuple):
    red: int
    green: int
    blue: int


def png_of(svg: str) -> bytes:
    """The PNG file of a chart.

    Args:
        svg: from `svg.standalone`.
    """
    root = fromstring(svg.partition("?>")[2])
    _, top, width, height = map(int, root.get("viewBox").split())
    canvas = _Canvas(width, height, top)
    for element in _shapes(root):
        canvas.draw(element)
    file = io.BytesIO()
    canvas.image.reduce(_FINER).save(file, "PNG", optimize=True)
    return file.getvalue()


def _shapes(element: Any) -> Iterator[Any]:
    for child in element:
        if child.tag.endswith("}g"):
            yield from _shapes(child)
        else:
            yield child


class _Canvas:
    def __init__(self, width: int, height: int, top: int):
        self._top = top
        self._scale = SCALE * _FINER
        self.image = Image.new("RGB", (width * self._scale, height * self._scale), "white")
        self._draw = ImageDraw.Draw(self.image)

    def draw(self, element: Any) -> None:
        """Draw one shape; elements that show nothing are passed over."""
        style = dict(part.split(":", 1) for part in element.get("style", "").replace(" ", "").split(";") if part)
        draw = getattr(self, "_" + element.tag.rpartition("}")[2], None)
        if draw is not None and element.get("class") != "paper":
            draw(element, style)

    def _at(self, x: Any, y: Any) -> tuple[float, float]:
        return float(x) * self._scale, (float(y) - self._top) * self._scale

    def _sizes(self, *values: Any) -> list[float]:
        return [float(value) * self._scale for value in values]

    def _rect(self, element: Any, style: Style) -> None:
        x, y = self._at(element.get("x"), element.get("y"))
        width, height = self._sizes(element.get("width"), element.get("height"))
        if width >= 1 and height >= 1:
            self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=_colour(style["fill"]))

    def _line(self, element: Any, style: Style) -> None:
        (x1, y1), (x2, y2) = (self._at(element.get(f"x{end}"), element.get(f"y{end}")) for end in (1, 2))
        colour = _colour(style["stroke"])
        if "stroke-dasharray" not in style:
            self._draw.line((x1, y1, x2, y2), fill=colour, width=self._scale)
            return
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        for dash in range(0, int(length), 7 * self._scale):  # 4 on, 3 off
            start, stop = dash / length, min(1.0, (dash + 4 * self._scale) / length)
            ends = [(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share) for share in (start, stop)]
            self._draw.line(ends, fill=colour, width=round(1.5 * self._scale))

    def _polyline(self, element: Any, style: Style) -> None:
        points = [self._at(*point.split(",")) for point in element.get("points").split()]
        width = float(style.get("stroke-width", 1.8))
        self._draw.line(points, fill=_colour(style["stroke"]), width=round(width * self._scale), joint="curve")

    def _circle(self, element: Any, style: Style) -> None:
        x, y = self._at(element.get("cx"), element.get("cy"))
        (radius,) = self._sizes(element.get("r"))
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(style["fill"]))

    def _text(self, element: Any, style: Style) -> None:
        words = element.text or ""
        x, y = self._at(element.get("x"), element.get("y"))
        bold = self._scale / 8 if "font-weight" in style else 0
        options: dict[str, Any] = {
            "font": _font(_FONT * self._scale),
            "anchor": _ANCHORS[element.get("text-anchor", "start")],
            "stroke_width": bold,
        }
        colour = _colour(_SOFT if element.get("class") == "soft" else _INK)
        turned = re.match(r"rotate\((\S+) (\S+) (\S+)\)", element.get("transform", ""))
        if turned is None:
            self._draw.text((x, y), words, fill=colour, **options)
            return
        angle, *centre = map(float, turned.groups())
        cx, cy = self._at(*centre)
        half = int(options["font"].getlength(words)) + 2 * _FONT * self._scale
        tile = Image.new("L", (2 * half, 2 * half))
        ImageDraw.Draw(tile).text((half + x - cx, half + y - cy), words, fill=255, **options)
        tile = tile.rotate(-angle, Image.Resampling.BICUBIC)
        self.image.paste(colour, (round(cx) - half, round(cy) - half), tile)


def _colour(value: str) -> _Colour:
    """Of "#rrggbb", or of "rgba(r,g,b,a)" as it looks on white."""
    if not value.startswith("rgba("):
        return _Colour(*ImageColor.getrgb(value)[:3])
    *rgb, alpha = (float(number) for number in value[5:-1].split(","))
    return _Colour(*(round(255 + (part - 255) * alpha) for part in rgb))


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
