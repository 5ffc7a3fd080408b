"""metrics.json: what an evaluation came to, for programs.

{"boxbeam": "metrics/1",
 "metrics": {"DetectionBoxes_Precision/mAP": 0.428, ...}    the API's names; null where a number is undefined (NaN)
 "definitions": {"coco": "...", "voc10": "..."}              what the numbers of each metric are
 "frames": {"evaluated": 73, "without_objects": 1, "without_detections": 0, "unprocessed": 0, "failed": 0,
            "unusable": 0, "unknown": 0, "other_size": 0}   counts of images and frames, see EvaluationPlan
 "names": {"unprocessed": [...], "unusable": [...], ...}    the first few of each kind
 "classes": [{"id": 1, "name": "RBC", "objects": 819, "detections": 5210}, ...]   in the evaluated frames
 "left_out": {"classes_of_detections": [...], "classes_of_objects": [...], "objects": 0}
 "detections": {"path": "...", "provenance": {...}}         where the rows come from, as their manifest says
 "ground_truth": {"paths": ["..."], "form": "voc", "splits": []},
 "insight": {...}}                                          see docs/metrics.md; not with --numbers_only
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from od_core.insight.insight import Insight
from pipelines.evaluate.plan import EvaluationPlan

METRICS_FILE = "metrics.json"
_VERSION = "metrics/1"


def metrics_text(
    plan: EvaluationPlan,
    values: Mapping[str, Mapping[str, float]],
    definitions: Mapping[str, str],
    ground_truth: Mapping[str, str | Sequence[str]],
    insight: Insight | None = None,
) -> str:
    """The text of metrics.json; the same evaluation gives the same text.

    Args:
        plan: what was evaluated.
        values: metric -> its numbers.
        definitions: metric -> what its numbers are.
        ground_truth: its paths, form and splits.
        insight: what is behind the numbers; None: that was not looked into.
    """
    named = {
        "unprocessed": plan.unprocessed,
        "unusable": plan.unusable,
        "unknown": plan.unknown,
        "ambiguous": plan.ambiguous,
        "other_size": plan.other_size,
    }
    numbers = [*values.values(), *([insight.numbers] if insight else [])]
    document = {
        "boxbeam": _VERSION,
        "metrics": {name: _number(x) for metric in numbers for name, x in metric.items()},
        "definitions": dict(definitions),
        "frames": {
            "evaluated": plan.evaluated,
            "without_objects": plan.without_objects,
            "without_detections": plan.without_detections,
            "failed": plan.failed,
            **{kind: names.total for kind, names in named.items()},
        },
        "names": {kind: list(names.first) for kind, names in named.items()},
        "classes": [one._asdict() for one in plan.classes],
        "left_out": {
            "classes_of_detections": list(plan.unknown_classes),
            "classes_of_objects": list(plan.unknown_objects),
            "objects": plan.object_faults.total,
        },
        "detections": {"path": plan.detections.path, "provenance": dict(plan.detections.provenance)},
        "ground_truth": dict(ground_truth),
        **({"insight": _defined(insight.report)} if insight else {}),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _number(x: float) -> float | None:
    return None if math.isnan(x) else x


def _defined(value: Any) -> Any:
    """A value of JSON with null in the place of NaN, which JSON has not."""
    if isinstance(value, dict):
        return {name: _defined(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_defined(one) for one in value]
    return _number(value) if isinstance(value, float) else value
