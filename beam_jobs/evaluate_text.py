"""What an evaluation came to, as lines for a person."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from beam_jobs.evaluate_insight_text import insight_lines, shown
from beam_jobs.summary import counted
from beam_jobs.terminal import visible
from od_core.insight.insight import Insight
from pipelines.evaluate.join import Named
from pipelines.evaluate.plan import EvaluationPlan

_PER_CLASS = "PerformanceByCategory/"
_CLASSES_SHOWN = 100


def text(
    plan: EvaluationPlan,
    values: Mapping[str, Mapping[str, float]],
    definitions: Mapping[str, str],
    place: str,
    splits: Sequence[str] = (),
    insight: Insight | None = None,
) -> str:
    """The closing lines: frames, then the overall numbers of each metric, then a table of classes.

    Args:
        plan: what was evaluated.
        values: metric -> its numbers, by the API's names.
        definitions: metric -> what its numbers are.
        place: where metrics.json is.
        splits: those of the ground truth that are evaluated; empty: all there is.
        insight: what is behind the numbers; None: that was not looked into.
    """
    lines = [f"evaluate: {counted(plan.evaluated, 'frames')} evaluated: {place}", *_frame_lines(plan, splits)]
    for metric, numbers in values.items():
        lines += ["", *textwrap.wrap(definitions[metric], 118, initial_indent=f"{metric}: ", subsequent_indent="  ")]
        lines += [f"  {name:<48}{_shown(x)}" for name, x in numbers.items() if _PER_CLASS not in name]
    if insight:
        lines += ["", *insight_lines(insight, definitions["insight"])]
    return "\n".join(map(visible, [*lines, "", *_class_lines(plan, values, insight)]))


def _frame_lines(plan: EvaluationPlan, splits: Sequence[str]) -> Iterator[str]:
    yield f"  {plan.without_objects:,} of them without objects, {plan.without_detections:,} without detections"
    if plan.unprocessed.total:
        failed = f" ({plan.failed:,} of them failed)" if plan.failed else ""
        yield from _named("left out, not processed" + failed, plan.unprocessed)
    yield from _named("left out, their annotation cannot be used", plan.unusable)
    yield from _named("objects left out, they cannot be used", plan.object_faults)
    lacking = f"the split {', '.join(splits)} of the ground truth" if splits else "the ground truth"
    yield from _named(f"frames of detections left out, {lacking} lacks them", plan.unknown)
    yield from _named("names that could each mean several images", plan.ambiguous)
    yield from _named(
        "warning: of another size in the ground truth than in the detections (EXIF orientation? resized?), so boxes may"
        " not lie where they should",
        plan.other_size,
    )
    for what, names in (
        ("classes of detections that the ground truth lacks, left out", plan.unknown_classes),
        ("classes of annotated objects that the label map lacks, left out", plan.unknown_objects),
        ("classes without any detection", [one.name for one in plan.classes if not one.detections]),
    ):
        yield from _named(what, Named.of(names))


def _named(what: str, names: Named) -> Iterator[str]:
    if names.total:
        more = f", and {names.more:,} more" if names.more else ""
        yield f"  {names.total:,} {what}: {', '.join(names.first)}{more}"


def _class_lines(plan: EvaluationPlan, values: Mapping[str, Mapping[str, float]], insight: Insight | None) -> list[str]:
    columns = {metric: _by_class(plan, numbers) for metric, numbers in values.items()}
    width = max(len("class"), *(len(one.name) for one in plan.classes)) + 2
    titles = {metric: f"  {metric} AP" for metric in columns}
    head = f"{'class':<{width}}{'objects':>12}{'detections':>14}" + "".join(f"{titles[m]:>10}" for m in columns)
    bests = [one["best_f1"] for one in insight.report["classes"]] if insight else []
    lines = [head + ("   best F1  at score" if bests else "")]
    for row, one in enumerate(plan.classes[:_CLASSES_SHOWN]):
        numbers = "".join(f"{_shown(column[row]):>{max(10, len(titles[m]))}}" for m, column in columns.items())
        best = f"{shown(bests[row]['f1']):>10}{shown(bests[row]['score']):>10}" if bests else ""
        lines.append(f"{one.name:<{width}}{one.objects:>12,}{one.detections:>14,}{numbers}{best}")
    if len(plan.classes) > _CLASSES_SHOWN:
        lines.append(f"and {len(plan.classes) - _CLASSES_SHOWN:,} more")
    return lines


def _by_class(plan: EvaluationPlan, numbers: Mapping[str, float]) -> Sequence[float]:
    """A metric's numbers for each class: it gives them last, in the order of their ids."""
    per_class = [x for name, x in numbers.items() if _PER_CLASS in name]
    return per_class if len(per_class) == len(plan.classes) else [math.nan] * len(plan.classes)


def _shown(x: float) -> str:
    """Four digits; a dash where a number is undefined (NaN, and COCO's -1)."""
    return "-" if math.isnan(x) or x < 0 else f"{x:.4f}"
