"""What is behind the numbers of an evaluation, as lines for a person."""

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from od_core.insight.insight import Insight

_SLICES_SHOWN = 20
_CONFUSIONS_SHOWN = 5


def insight_lines(insight: Insight, definition: str) -> Iterator[str]:
    """The best operating point, the kinds of errors, confusions, sizes and slices."""
    report = insight.report
    at = f"insight (IoU {report['iou']:g}): "
    yield from textwrap.wrap(definition, 118, initial_indent=at, subsequent_indent="  ")
    best = report["overall"]["best_f1"]
    yield f"  best F1 {shown(best['f1'])} at scores of at least {shown(best['score'])}: {_counts(best)}"
    yield f"  calibration error {shown(report['calibration']['expected_error'])}"
    yield "  " + "  ".join(["what is wrong".ljust(16), "errors".rjust(9), "AP without".rjust(12)])
    for one in report["errors"]:
        cost = "-" if math.isnan(one["cost"]) else f"{one['cost']:+.4f}"
        yield f"  {one['kind']:<16}  {one['count']:>9,}  {cost:>12}"
    yield from _confusion_line(report["confusion"])
    for one in report["sizes"]["buckets"]:
        if one["tp"] + one["fp"] + one["fn"]:
            numbers = f"recall {shown(one['recall'])}, precision {shown(one['precision'])}"
            yield f"  {one['name'] + ' objects':<16}  {numbers}"
    for way in report["slices"]["by"]:
        yield from _slice_lines(way)


def shown(x: float | None) -> str:
    """Four digits; a dash where a number is undefined."""
    return "-" if x is None or math.isnan(x) else f"{x:.4f}"


def _counts(point: Mapping[str, Any]) -> str:
    return (
        f"precision {shown(point['precision'])}, recall {shown(point['recall'])}"
        f" ({point['tp']:,} right, {point['fp']:,} wrong, {point['fn']:,} missed)"
    )


def _confusion_line(confusion: Mapping[str, Any]) -> Iterator[str]:
    mixed = [one for one in confusion["cells"] if one["truth"] and one["found"] and one["truth"] != one["found"]]
    mixed.sort(key=lambda one: -one["count"])
    if mixed:
        most = ", ".join(
            f"{one['truth']} taken for {one['found']} {one['count']:,}" for one in mixed[:_CONFUSIONS_SHOWN]
        )
        yield f"  confused most: {most}"


def _slice_lines(way: Mapping[str, Any]) -> Iterator[str]:
    slices = way["slices"][:_SLICES_SHOWN]
    width = max(len(way["kind"]), *(len(one["name"]) for one in slices), 8) + 2
    columns = ("frames", "objects", "AP", "precision", "recall", "F1")
    yield ""
    yield "  " + way["kind"].ljust(width) + "".join(f"{title:>11}" for title in columns)
    for one in slices:
        numbers = (one["average_precision"], one["precision"], one["recall"], one["f1"])
        cells = [f"{one['frames']:,}", f"{one['objects']:,}", *(shown(x) for x in numbers)]
        yield "  " + one["name"].ljust(width) + "".join(f"{cell:>11}" for cell in cells)
    if len(way["slices"]) > len(slices):
        yield f"  and {len(way['slices']) - len(slices):,} more: see metrics.json"
