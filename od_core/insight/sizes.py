"""How well small, medium and large objects are found."""

import math
from typing import NamedTuple

import numpy as np

from od_core.insight.curves import Curve, OperatingPoint
from od_core.insight.tally import Pool
from od_core.metrics.verdicts import Verdict

SIZES = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, math.inf))
"""Name, least area, and area that is too large, in square pixels: COCO's borders, each size with its lower one."""


class SizeBucket(NamedTuple):
    """Objects of a size and what was found of them; a false positive is of the size of its own box."""

    name: str
    low: float
    high: float
    point: OperatingPoint


def size_buckets(pool: Pool, min_score: float | None) -> list[SizeBucket]:
    """Each size by taking the detections of at least `min_score` (None: all)."""
    areas = pool.areas.astype(np.float64)
    right = pool.verdicts == Verdict.TP
    areas[right] = pool.truth_areas[pool.objects[right]]
    buckets = []
    for name, low, high in SIZES:
        detections = pool.counts & (areas >= low) & (areas < high)
        objects = pool.needed & (pool.truth_areas >= low) & (pool.truth_areas < high)
        curve = Curve.of(pool.scores[detections], right[detections], int(objects.sum()))
        buckets.append(SizeBucket(name, low, high, curve.at(min_score)))
    return buckets
