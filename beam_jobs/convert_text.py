"""What became of a data set, as lines for a person: the content of report.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beam_jobs.summary import counted
from beam_jobs.terminal import visible

_CLASSES_SHOWN = 20
_NAMES_SHOWN = 8
_EXAMPLES_SHOWN = 2
_NAME_WIDTH = 24


def text(report: Mapping[str, Any], place: str) -> str:
    """The table at the end of a conversion.

    Args:
        report: see `pipelines.convert.report`.
        place: where it lies.
    """
    lines = [*_total_lines(report), *_reason_lines(report), "", *_class_lines(report), *_warnings(report)]
    return "\n".join(visible(f"  {line}".rstrip()) for line in [*lines, f"in full: {place}"])


def _total_lines(report: Mapping[str, Any]) -> Iterator[str]:
    images, boxes = report["images"], report["boxes"]
    yield f"{'':<8}{'found':>13}{'written':>13}{'dropped':>13}{'rejected':>13}"
    yield f"{'images':<8}{images['found']:>13,}{images['written']:>13,}{0:>13}{images['rejected']:>13,}"
    yield f"{'boxes':<8}" + "".join(f"{boxes[name]:>13,}" for name in ("found", "written", "dropped", "rejected"))
    without, clipped = images["without_boxes"], boxes["clipped"]
    yield f"{without:,} of the images written have no boxes, {clipped:,} of the boxes are clipped"


def _reason_lines(report: Mapping[str, Any]) -> Iterator[str]:
    for reason in report["reasons"]:
        yield f"{counted(reason['count'], reason['of'])} {reason['outcome']}: {reason['why']}"
        if reason["of"] == "boxes":  # images that failed have been listed before
            yield from (f"  {example}" for example in reason["examples"][:_EXAMPLES_SHOWN])
    others = report["images_not_annotated"]
    if others["count"]:
        which = _some(others["examples"], others["count"])
        yield f"{counted(others['count'], 'images')} not converted: in the image folder, but in no annotation: {which}"


def _class_lines(report: Mapping[str, Any]) -> Iterator[str]:
    splits = list(report["splits"])
    rows = sorted(report["classes"], key=lambda one: (-_boxes(one), one["id"]))
    yield f"{'':<{_NAME_WIDTH}}" + "".join(f"{split[:18]:>20}" for split in splits)
    yield f"{'class':<{_NAME_WIDTH}}" + f"{'images':>10}{'boxes':>10}" * len(splits)
    for row in rows[:_CLASSES_SHOWN]:
        yield _class_line(row["name"], [row["splits"][split] for split in splits])
    if len(rows) > _CLASSES_SHOWN:
        rest = rows[_CLASSES_SHOWN:]
        yield f"and {len(rest):,} more with {counted(sum(map(_boxes, rest)), 'boxes')}"
    yield _class_line("all", [report["splits"][split] for split in splits])


def _class_line(name: str, cells: Sequence[Mapping[str, int]]) -> str:
    shown = name if len(name) < _NAME_WIDTH else f"{name[: _NAME_WIDTH - 4]}..."
    return f"{shown:<{_NAME_WIDTH}}" + "".join(f"{cell['images']:>10,}{cell['boxes']:>10,}" for cell in cells)


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    for split, names in report["classes_missing"].items():
        yield f"warning: {split} has no {_some(names, len(names))}"
    unused = report["classes_not_used"]
    if unused:
        yield f"{counted(len(unused), 'classes')} of the label map without a box: {_some(unused, len(unused))}"


def _boxes(row: Mapping[str, Any]) -> int:
    return sum(cell["boxes"] for cell in row["splits"].values())


def _some(names: Sequence[str], count: int) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {count - len(names[:_NAMES_SHOWN]):,} more" if count > len(names[:_NAMES_SHOWN]) else shown
