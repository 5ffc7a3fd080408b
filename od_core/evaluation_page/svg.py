"""Drawing charts as SVG: a frame with axes, lines, bars, texts. Written by hand, for two reasons: a plotting library
would be the heaviest dependency of evaluate, and its pictures know nothing of dark pages."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2127",
    "soft": "#5c6670",
    "line": "#d8dde3",
    "mark": "#b42318",
    "heat": "37,99,175",
    "c0": "#1c2127",
    "c1": "#2563af",
    "c2": "#c2570c",
    "c3": "#15803d",
    "c4": "#9333b5",
    "c5": "#a16207",
    "c6": "#0e7490",
}
_DARK = {
    "paper": "#15181c",
    "ink": "#e8ebee",
    "soft": "#9aa5b1",
    "line": "#363d45",
    "mark": "#ff8a75",
    "heat": "90,150,225",
    "c0": "#e8ebee",
    "c1": "#6ea8f0",
    "c2": "#f59e5b",
    "c3": "#5cc985",
    "c4": "#d19bf0",
    "c5": "#e2c044",
    "c6": "#54c7dc",
}


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


_RULES = """
.chart { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
.chart text { fill: var(--ink); } .chart .soft { fill: var(--soft); }
.chart .axis { stroke: var(--line); stroke-width: 1; fill: none; }
.chart .series { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.chart .paper { fill: var(--paper); }
"""

STYLE = f"""
:root {{ {_variables(_LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(_DARK)} }} }}
{_RULES}"""
"""For the page that charts are put into: their colours, by day and by night."""

_TITLE = 34  # the height that it takes in a file of its own
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

COLOURS = 7
"""Series are drawn in the colours --c0 to --c6."""


def text(x: float, y: float, words: str, *, anchor: str = "start", soft: bool = False, extra: str = "") -> str:
    """Words at a place; anchor: start, middle or end."""
    kind = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}{extra}>{escaped(words)}</text>'


def rectangle(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    """A filled rectangle, with what is shown when pointed at."""
    told = f"<title>{escaped(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" style="fill: {fill}">{told}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False, stroke: str = "var(--line)") -> str:
    """A straight line."""
    dashes = "; stroke-width: 1.5; stroke-dasharray: 4 3" if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke: {stroke}{dashes}"/>'


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A chart: an element for a page. `standalone` makes a file of it."""
    label = escaped(title)
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" aria-label="{label}"><title>{label}</title>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def standalone(chart: str) -> str:
    """A chart as a file of its own: titled, on white paper, its colours written out, as many viewers need it."""
    head, rest = chart.split("\n", 1)
    found = re.search(r'viewBox="0 0 (\d+) (\d+)" width="\d+" height="\d+"', head)
    title = re.search(r"<title>(.*)</title>", head)
    if found is None or title is None:
        raise ValueError(f"not a chart: {head[:80]}")
    width, height = int(found[1]), int(found[2]) + _TITLE
    head = head.replace(found[0], f'viewBox="0 -{_TITLE} {width} {height}" width="{width}" height="{height}"')
    paper = f'<rect class="paper" y="-{_TITLE}" width="100%" height="100%"/>'
    heading = text(width / 2, 22 - _TITLE, html.unescape(title[1]), anchor="middle", extra=' style="font-weight: 600"')
    whole = f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n<style>{_RULES}</style>\n{paper}\n{heading}\n{rest}'
    return re.sub(r"var\(--(\w+)\)", lambda found: _LIGHT[found[1]], whole)


def escaped(words: str) -> str:
    """Words as XML has them; characters that it cannot have become replacement characters."""
    return html.escape(_NOT_IN_XML.sub("\ufffd", words))


class Frame:
    """The inner part of a chart with both axes from 0 to 1.

    Args:
        left, top, width, height: its place in the chart.
    """

    def __init__(self, left: float, top: float, width: float, height: float):
        self.left, self.top, self.width, self.height = left, top, width, height

    def x(self, share: float) -> float:
        """Where a share of the horizontal axis lies."""
        return self.left + self.width * share

    def y(self, share: float) -> float:
        """Where a share of the vertical axis lies."""
        return self.top + self.height * (1 - share)

    def axes(self, across: str, up: str) -> list[str]:
        """Grid, numbers, and what the axes are."""
        parts = []
        for step in range(6):
            share = step / 5
            parts += [
                line(self.x(share), self.y(0), self.x(share), self.y(1)),
                line(self.x(0), self.y(share), self.x(1), self.y(share)),
                text(self.x(share), self.y(0) + 16, f"{share:.1f}", anchor="middle", soft=True),
                text(self.x(0) - 8, self.y(share) + 4, f"{share:.1f}", anchor="end", soft=True),
            ]
        middle = self.top + self.height / 2
        turned = f' transform="rotate(-90 {self.left - 36:.1f} {middle:.1f})"'
        parts.append(text(self.left + self.width / 2, self.y(0) + 34, across, anchor="middle"))
        parts.append(text(self.left - 36, middle, up, anchor="middle", extra=turned))
        return parts

    def series(self, xs: Sequence[float], ys: Sequence[float], colour: int, *, thick: bool = False) -> str:
        """A line through points; the colour is one of `COLOURS`."""
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        width = "; stroke-width: 3" if thick else ""
        return f'<polyline class="series" points="{points}" style="stroke: var(--c{colour}){width}"/>'


def legend(x: float, y: float, entries: Sequence[tuple[str, int]]) -> list[str]:
    """Names of series with their colours, one below the other; long names are cut, and whole when pointed at."""
    parts = []
    for row, (name, colour) in enumerate(entries):
        at = y + 20 * row
        parts.append(rectangle(x, at - 6, 18, 3, f"var(--c{colour})"))
        parts.append(f"<g><title>{escaped(name)}</title>{text(x + 26, at, shortened(name, 26))}</g>")
    return parts


def shortened(name: str, length: int) -> str:
    """A name cut to a length."""
    return name if len(name) <= length else name[: length - 1] + "…"
