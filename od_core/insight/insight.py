"""What is behind the numbers of an evaluation, as an accumulator that merges."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from od_core.insight.calibration import calibration
from od_core.insight.confusion import confusions, named
from od_core.insight.curves import Curve, OperatingPoint, interpolated_precision
from od_core.insight.errors import error_report
from od_core.insight.sizes import size_buckets
from od_core.insight.tally import Pool, TalliedFrame, slices_of, tally_of
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import FrameRecords

CURVE_POINTS = 1000

CURVES_VERSION = "boxbeam.curves/1"
CURVES = pa.schema(
    [
        pa.field("class_id", pa.int32()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("precision", pa.float64(), nullable=False),
        pa.field("recall", pa.float64()),
        pa.field("f1", pa.float64()),
        pa.field("tp", pa.int64(), nullable=False),
        pa.field("fp", pa.int64(), nullable=False),
        pa.field("fn", pa.int64(), nullable=False),
    ],
    {"boxbeam.schema": CURVES_VERSION},
)
"""Points of precision-recall curves, scores falling; class_id and label are null for all classes together."""

_PREFIX = "Insight_"


class Insight(NamedTuple):
    """What came of an evaluation.

    Attributes:
        numbers: those to watch, by name; NaN where undefined.
        report: all of it but the curves, as JSON has it, with NaN where undefined; docs/metrics.md describes it.
        curves: of schema `CURVES`.
    """

    numbers: dict[str, float]
    report: dict[str, Any]
    curves: pa.Table


DEFINITION = (
    "at one IoU, COCO's greedy matching without a limit on detections; difficult objects, crowds and groups are neither"
    " right nor wrong to find; F1 is 2 tp / (2 tp + fp + fn), at the score where it is greatest, overall over all"
    " classes together; errors are those of TIDE, each with the average precision (101 points) that mending it alone"
    " would gain; calibration error is the mean gap between score and precision in 10 bins (ECE)"
)


class BoxInsight:
    """Curves, confusions, kinds of errors, calibration, sizes and slices of detections at one IoU.

    As with a `Metric`, nothing but the frames counts: not how they were dealt over accumulators, nor the order of
    merging. A class out of `categories` counts neither as ground truth nor as detection.

    Args:
        categories: class id -> name.
        iou: least overlap of a detection that counts as right, above 0.1.
        slice_kinds: what the frames' `slices` are named by, in their order.
    """

    def __init__(self, categories: Mapping[int, str], iou: float = 0.5, slice_kinds: Sequence[str] = ()):
        self._categories = dict(sorted(categories.items()))
        self._class_ids = np.array(list(self._categories), np.int32)
        self._iou = iou
        self._slice_kinds = tuple(slice_kinds)
        self._frames = FrameRecords(TalliedFrame)

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """Add frames. Raises ValueError if one was added before; names it."""
        for frame in frames:
            self._frames.add(frame.name, tally_of(frame, self._class_ids, self._iou))

    def merge(self, other: "BoxInsight") -> None:
        """Add all that `other` has seen; it is not changed. Raises ValueError if both have seen a frame; names it."""
        self._frames.merge(other._frames)

    def value(self) -> Insight:
        """What has come of it so far."""
        pool = Pool.of(self._frames.in_order())
        curves = {id: _curve(pool, id) for id in self._categories}
        whole = _curve(pool)
        best = whole.best()
        errors = error_report(pool, list(self._categories))
        gaps = calibration(pool)
        classes = [self._class_report(pool, id, curves[id]) for id in self._categories]
        report = {
            "iou": self._iou,
            "overall": {
                "frames": pool.frames,
                "objects": whole.objects,
                "detections": int(pool.counts.sum()),
                "ignored_detections": int((~pool.counts).sum()),
                "average_precision": errors.average_precision,
                "best_f1": _point(best),
            },
            "classes": classes,
            "confusion": {
                "min_score": best.score,
                "cells": named(confusions(pool, best.score), self._categories),
            },
            "errors": [{"kind": one.kind, "count": one.errors, "cost": one.cost} for one in errors.costs],
            "calibration": {
                "expected_error": gaps.expected_error,
                "largest_error": gaps.largest_error,
                "bins": [one._asdict() for one in gaps.bins],
            },
            "sizes": {
                "min_score": best.score,
                "buckets": [
                    {"name": one.name, "area": one.low, **_counts(one.point)} for one in size_buckets(pool, best.score)
                ],
            },
            "slices": {"min_score": best.score, "by": self._slice_reports(best.score)},
        }
        numbers = {
            "F1": best.f1,
            "Precision": best.precision,
            "Recall": best.recall,
            "CalibrationError": gaps.expected_error,
            **{f"ErrorCost/{one.kind}": one.cost for one in errors.costs},
            **{f"PerformanceByCategory/F1/{one['name']}": one["best_f1"]["f1"] for one in classes},
        }
        drawn = [(None, whole), *curves.items()]
        return Insight({_PREFIX + name: x for name, x in numbers.items()}, report, self._curve_table(drawn))

    def _class_report(self, pool: Pool, class_id: int, curve: Curve) -> dict[str, Any]:
        return {
            "id": class_id,
            "name": self._categories[class_id],
            "objects": curve.objects,
            "detections": int((pool.classes[pool.counts] == class_id).sum()),
            "average_precision": _average_precision(pool, class_id),
            "best_f1": _point(curve.best()),
        }

    def _slice_reports(self, min_score: float | None) -> list[dict[str, Any]]:
        return [
            {"kind": kind, "slices": list(self._slices(index, min_score))}
            for index, kind in enumerate(self._slice_kinds)
        ]

    def _slices(self, index: int, min_score: float | None) -> Iterator[dict[str, Any]]:
        members: dict[str, list[TalliedFrame]] = {}
        for frame in self._frames.in_order():
            members.setdefault(slices_of(frame)[index], []).append(frame)
        for name, frames in sorted(members.items()):
            pool = Pool.of(frames)
            curve = _curve(pool)
            precisions = [_average_precision(pool, id) for id in self._categories]
            defined = [x for x in precisions if not np.isnan(x)]
            yield {
                "name": name,
                "frames": pool.frames,
                "objects": curve.objects,
                "average_precision": float(np.mean(defined)) if defined else float("nan"),
                **_counts(curve.at(min_score)),
            }

    def _curve_table(self, curves: Sequence[tuple[int | None, Curve]]) -> pa.Table:
        tables = [
            pa.table(
                [
                    pa.array([class_id] * len(curve.scores), pa.int32()),
                    pa.array([self._categories.get(class_id or 0)] * len(curve.scores), pa.string()),
                    pa.array(curve.scores),
                    pa.array(curve.precision),
                    pa.array(curve.recall, from_pandas=True),
                    pa.array(curve.f1, from_pandas=True),
                    pa.array(curve.right),
                    pa.array(curve.wrong),
                    pa.array(curve.objects - curve.right),
                ],
                schema=CURVES,
            )
            for class_id, curve in ((class_id, curve.thinned(CURVE_POINTS)) for class_id, curve in curves)
        ]
        return pa.concat_tables(tables)


def _curve(pool: Pool, class_id: int | None = None) -> Curve:
    taken, objects = pool.counts, pool.needed
    if class_id is not None:
        taken = taken & (pool.classes == class_id)
        objects = objects & (pool.truth_classes == class_id)
    return Curve.of(pool.scores[taken], pool.is_right[taken], int(objects.sum()))


def _average_precision(pool: Pool, class_id: int) -> float:
    taken = pool.counts & (pool.classes == class_id)
    order = np.argsort(-pool.scores[taken], kind="stable")
    objects = int((pool.needed & (pool.truth_classes == class_id)).sum())
    return interpolated_precision(pool.is_right[taken][order], objects)


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {"score": point.score, **_counts(point)}


def _counts(point: OperatingPoint) -> dict[str, Any]:
    return {
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
        "tp": point.right,
        "fp": point.wrong,
        "fn": point.missed,
    }
