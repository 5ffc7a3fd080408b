"""Kinds of errors, and what each costs: TIDE (Bolya, Foley, Hays, Hoffman: A General Toolbox for Identifying Object
Detection Errors, ECCV 2020)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from od_core.detections import IntArray
from od_core.insight.curves import interpolated_precision
from od_core.insight.tally import Flags, Indices, Pool
from od_core.metrics.verdicts import NONE, Reason

MISSED = "missed"


class ErrorCost(NamedTuple):
    """A kind of error: how many there are, and how much average precision would gain without them."""

    kind: str
    errors: int
    cost: float


class ErrorReport(NamedTuple):
    """All kinds of errors, and the average precision as it is, from which costs are counted; NaN without objects."""

    average_precision: float
    costs: tuple[ErrorCost, ...]


class _Ranking(NamedTuple):
    """The detections that count, best first, of equal scores in the order of frames; and the objects of every class."""

    classes: IntArray
    is_right: Flags
    objects: tuple[int, ...]


def error_report(pool: Pool, class_ids: Sequence[int]) -> ErrorReport:
    """What every kind of error costs: the gain in average precision if it alone were mended.

    Average precision is COCO's at the IoU of the verdicts, the mean over classes with objects. Of every object that is
    missed, the best detection with a wrong class or localisation can be made a right one; mending wrong classes (or
    localisations) does so where that is what is wrong with it, and takes away all others with a wrong class;
    mending duplicates, background and both takes them away; mending missed objects takes those away that no detection
    with a wrong class or localisation is about. Costs do not add up: mending one error can uncover another.
    """
    order = np.argsort(-pool.scores, kind="stable")
    order = order[pool.counts[order]]
    classes, reasons, objects = pool.classes[order], pool.reasons[order], pool.objects[order]
    is_right = pool.is_right[order]
    to_find = pool.objects_of(class_ids)
    base = _mean_precision(_Ranking(classes, is_right, tuple(to_find)), class_ids)
    is_mendable = (reasons == Reason.CLASS) | (reasons == Reason.LOCALISATION)
    is_mended = _best_of_missed(pool, objects, is_mendable)
    costs = []
    for reason in (Reason.CLASS, Reason.LOCALISATION, Reason.BOTH, Reason.DUPLICATE, Reason.BACKGROUND):
        is_kind = reasons == reason
        mended = is_kind & is_mended
        kept = ~is_kind | mended
        fixed_classes = classes.copy()
        fixed_classes[mended] = pool.truth_classes[objects[mended]]
        fixed = _Ranking(fixed_classes[kept], (is_right | mended)[kept], tuple(to_find))
        costs.append(ErrorCost(reason.word, int(is_kind.sum()), _mean_precision(fixed, class_ids) - base))
    spoken_of = np.zeros(len(pool.needed), np.bool_)
    spoken_of[objects[is_mendable]] = True
    missed = pool.needed & ~pool.is_found & ~spoken_of
    left = tuple(
        count - int((pool.truth_classes[missed] == class_id).sum())
        for class_id, count in zip(class_ids, to_find, strict=True)
    )
    without = _mean_precision(_Ranking(classes, is_right, left), class_ids, to_find)
    costs.append(ErrorCost(MISSED, int(missed.sum()), without - base))
    return ErrorReport(base, tuple(costs))


def _best_of_missed(pool: Pool, objects: Indices, is_mendable: Flags) -> Flags:
    """Of each object that no detection has taken the best of the ranked detections that can be mended."""
    mendable = np.flatnonzero(is_mendable & (objects != NONE) & ~np.append(pool.is_found, True)[objects])
    _, first = np.unique(objects[mendable], return_index=True)
    chosen = np.zeros(len(objects), np.bool_)
    chosen[mendable[first]] = True
    return chosen


def _mean_precision(ranking: _Ranking, class_ids: Sequence[int], counted: Sequence[int] | None = None) -> float:
    """The mean over the classes that have objects, or had (`counted`): without any left, average precision is 0."""
    by_class = np.argsort(ranking.classes, kind="stable")
    bounds = np.searchsorted(ranking.classes[by_class], class_ids)
    ends = np.searchsorted(ranking.classes[by_class], class_ids, side="right")
    precisions = [
        interpolated_precision(ranking.is_right[by_class[start:stop]], objects) if objects else 0.0
        for start, stop, objects, has in zip(bounds, ends, ranking.objects, counted or ranking.objects, strict=True)
        if has
    ]
    return float(np.mean(precisions)) if precisions else float("nan")
