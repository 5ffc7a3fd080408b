"""The charts of an evaluation, from the insight in metrics.json and the rows of curves.parquet."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from od_core.evaluation_page.svg import COLOURS, Frame, document, legend, line, rectangle, shortened, text

Report = Mapping[str, Any]

_CLASSES = COLOURS - 1
_CELLS = 14
_POINTS = 300
_OTHERS = "(other classes)"


def precision_recall(insight: Report, curves: pa.Table) -> str:
    """Precision over recall: all classes together, and those with the most objects."""
    frame = Frame(60, 20, 340, 300)
    parts = frame.axes("recall", "precision")
    entries = [(f"all classes, mean AP {_shown(insight['overall']['average_precision'])}", 0)]
    classes = [one for one in insight["classes"] if one["objects"]]
    classes = sorted(classes, key=lambda one: (-one["objects"], one["id"]))[:_CLASSES]
    for colour, one in enumerate(classes, 1):
        parts.append(_curve(frame, curves, one["id"], colour))
        entries.append((f"{one['name']}, AP {_shown(one['average_precision'])}", colour))
    parts.append(_curve(frame, curves, None, 0))
    best = insight["overall"]["best_f1"]
    if best["recall"] is not None and best["precision"] is not None:
        x, y = frame.x(best["recall"]), frame.y(best["precision"])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" style="fill: var(--mark)"/>')
    parts += legend(425, 40, entries)
    parts.append(f'<circle cx="434" cy="{36 + 20 * len(entries)}" r="5" style="fill: var(--mark)"/>')
    parts.append(text(451, 40 + 20 * len(entries), f"best F1 {_shown(best['f1'])}"))
    return document(660, 370, "Precision over recall", parts)


def scores(insight: Report, curves: pa.Table) -> str:
    """Precision, recall and F1 of all classes together over the least score."""
    frame = Frame(60, 20, 340, 300)
    parts = frame.axes("least score", "all classes together")
    rows = _rows(curves, None)
    names = ("precision", "recall", "f1")
    for colour, name in enumerate(names, 1):
        points = [(row["score"], row[name]) for row in rows if row[name] is not None]
        if points:
            parts.append(frame.series([_unit(x) for x, _ in points], [y for _, y in points], colour))
    best = insight["overall"]["best_f1"]
    if best["score"] is not None:
        x = frame.x(_unit(best["score"]))
        parts.append(line(x, frame.y(0), x, frame.y(1), dashed=True, stroke="var(--mark)"))
        parts.append(text(425, 120, f"best F1 {_shown(best['f1'])} at {_shown(best['score'])}"))
    parts += legend(425, 40, [("precision", 1), ("recall", 2), ("F1", 3)])
    return document(660, 370, "Precision, recall and F1 over the least score", parts)


def errors(insight: Report) -> str:
    """What each kind of error costs."""
    kinds = insight["errors"]
    most = max((one["cost"] or 0.0 for one in kinds), default=0.0) or 1.0
    parts = []
    for row, one in enumerate(kinds):
        y = 20 + 34 * row
        cost = one["cost"] or 0.0
        parts.append(text(120, y + 15, one["kind"], anchor="end"))
        parts.append(rectangle(130, y, max(0.0, 300 * cost / most), 22, "var(--c1)"))
        told = f"+{cost:.4f} AP" if one["cost"] is not None else "undefined"
        parts.append(text(138 + max(0.0, 300 * cost / most), y + 15, f"{told}, {one['count']:,} errors"))
    return document(660, 20 + 34 * len(kinds), "What each kind of error costs", parts)


def calibration(insight: Report) -> str:
    """Precision of detections by their score; a calibrated model lies on the diagonal."""
    frame = Frame(60, 20, 340, 300)
    parts = []
    for one in insight["calibration"]["bins"]:
        if one["detections"]:
            height = frame.height * one["precision"]
            scores = f"{one['low']:.1f} to {one['high']:.1f}"
            title = f"{scores}: {one['detections']:,} detections, {one['precision']:.4f} of them right"
            left, width = frame.x(one["low"]) + 1, frame.width / 10 - 2
            parts.append(rectangle(left, frame.y(one["precision"]), width, height, "var(--c1)", title))
    grid = frame.axes("score", "share that is right")
    parts = [*grid, *parts, line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), dashed=True, stroke="var(--ink)")]
    gap = insight["calibration"]
    parts.append(text(425, 40, f"mean gap (ECE) {_shown(gap['expected_error'])}"))
    parts.append(text(425, 60, f"largest gap {_shown(gap['largest_error'])}"))
    parts.append(text(425, 80, "dashed: as sure as right", soft=True))
    return document(660, 370, "Share of detections that are right, by score", parts)


def confusion(insight: Report) -> str:
    """Confusion matrix: rows what is there, columns what was found; shades are shares of a row."""
    cells = {(one["truth"], one["found"]): one["count"] for one in insight["confusion"]["cells"]}
    names = _most_confused(cells, [one["name"] for one in insight["classes"]])
    pooled: dict[tuple[str | None, str | None], int] = {}
    for (truth, found), count in cells.items():
        cell = tuple(name if name is None or name in names else _OTHERS for name in (truth, found))
        pooled[cell[0], cell[1]] = pooled.get((cell[0], cell[1]), 0) + count
    shown: list[str | None] = [*names, *([_OTHERS] if any(_OTHERS in cell for cell in pooled) else []), None]
    heads = [shortened("missed" if name is None else name, 16) for name in shown]
    size, left, top = 44, 150, 42 + 5 * max(map(len, heads))
    parts = [
        text(left + size * len(shown) / 2, 14, "found as", anchor="middle", soft=True),
        text(left - 8, top - 10, "there is", anchor="end", soft=True),
    ]
    for index, (name, head) in enumerate(zip(shown, heads, strict=True)):
        x, y = left + size * (index + 0.5), top + size * (index + 0.5)
        turned = f' transform="rotate(-45 {x:.1f} {top - 8})"'
        parts.append(text(x, top - 8, head, extra=turned))
        parts.append(text(left - 8, y + 4, shortened("nothing" if name is None else name, 20), anchor="end"))
    for row, truth in enumerate(shown):
        total = sum(pooled.get((truth, found), 0) for found in shown) or 1
        for column, found in enumerate(shown):
            if truth is None and found is None:
                continue
            count = pooled.get((truth, found), 0)
            share = count / total
            x, y = left + size * column, top + size * row
            title = f"{truth or 'nothing'} found as {found or 'nothing'}: {count:,} ({share:.1%} of the row)"
            parts.append(rectangle(x, y, size - 2, size - 2, f"rgba(var(--heat), {0.05 + 0.5 * share:.2f})", title))
            if count:
                bold = ' style="font-weight: 600"' if truth == found else ""
                parts.append(text(x + size / 2 - 1, y + size / 2 + 4, _short(count), anchor="middle", extra=bold))
    side = size * len(shown)
    return document(max(660, left + side + 80), top + side + 10, "Confusion matrix", parts)


def _most_confused(cells: Mapping[tuple[str | None, str | None], int], names: Sequence[str]) -> list[str]:
    """The classes that are confused with others most often, in the order of their ids."""
    if len(names) <= _CELLS:
        return list(names)
    mixed = dict.fromkeys(names, 0)
    for (truth, found), count in cells.items():
        if truth != found:
            for name in (truth, found):
                if name is not None:
                    mixed[name] += count
    most = set(sorted(names, key=lambda name: -mixed[name])[:_CELLS])
    return [name for name in names if name in most]


def _curve(frame: Frame, curves: pa.Table, class_id: int | None, colour: int) -> str:
    rows = [row for row in _rows(curves, class_id) if row["recall"] is not None]
    xs = [0.0, *(row["recall"] for row in rows)]
    ys = [rows[0]["precision"] if rows else 0.0, *(row["precision"] for row in rows)]
    return frame.series(xs, ys, colour, thick=class_id is None)


def _rows(curves: pa.Table, class_id: int | None) -> list[dict[str, Any]]:
    """Points of a class or, with None, of all together; at most some hundred."""
    column = curves.column("class_id")
    table = curves.filter(pc.is_null(column) if class_id is None else pc.equal(column, class_id))
    step = max(1, -(-table.num_rows // _POINTS))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows[::step] + (rows[-1:] if (len(rows) - 1) % step else [])


def _unit(score: float) -> float:
    return min(max(score, 0.0), 1.0)


def _shown(x: float | None) -> str:
    return "–" if x is None else f"{x:.3f}"


def _short(count: int) -> str:
    """A count in at most five characters."""
    for limit, divisor, unit in ((10_000, 1, ""), (10_000_000, 1000, "k"), (10_000_000_000, 1_000_000, "M")):
        if count < limit:
            return f"{count // divisor}{unit}"
    return f"{count:.0e}"
