"""Whether a score of 0.8 means that 8 of 10 are right."""

import math
from typing import NamedTuple

import numpy as np

from od_core.insight.tally import Pool

BINS = 10


class ScoreBin(NamedTuple):
    """Detections with scores from `low` to below `high` (the last bin takes 1 too); means are NaN without any."""

    low: float
    high: float
    detections: int
    score: float
    precision: float


class Calibration(NamedTuple):
    """Bins of equal width, and the gap between score and precision; NaN without detections.

    Attributes:
        expected_error: mean of the bins' gaps, weighted by their detections (ECE).
        largest_error: the largest gap of a bin (MCE).
    """

    bins: tuple[ScoreBin, ...]
    expected_error: float
    largest_error: float


def calibration(pool: Pool) -> Calibration:
    """Of all detections that count, whatever their class."""
    scores, is_right = pool.scores[pool.counts].astype(np.float64), pool.is_right[pool.counts]
    numbers = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(numbers, minlength=BINS)
    sums, rights = (np.bincount(numbers, weights, BINS) for weights in (scores, is_right.astype(np.float64)))
    bins = tuple(
        ScoreBin(
            number / BINS,
            (number + 1) / BINS,
            count,
            total / count if count else math.nan,
            right / count if count else math.nan,
        )
        for number, (count, total, right) in enumerate(
            zip(counts.tolist(), sums.tolist(), rights.tolist(), strict=True)
        )
    )
    gaps = [(abs(one.score - one.precision), one.detections) for one in bins if one.detections]
    if not gaps:
        return Calibration(bins, math.nan, math.nan)
    return Calibration(bins, sum(gap * count for gap, count in gaps) / len(scores), max(gap for gap, _ in gaps))
