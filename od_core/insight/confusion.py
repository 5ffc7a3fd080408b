"""Which classes are taken for which."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from od_core.insight.tally import EXCUSED, Pool
from od_core.metrics.verdicts import NONE

NO_CLASS = -1


class Confusion(NamedTuple):
    """How often an object of a class was found as a class.

    truth: id of the object's class, or -1: there was none. found: id of the detection's class, or -1: it was missed.
    """

    truth: int
    found: int
    times: int


def confusions(pool: Pool, min_score: float | None) -> list[Confusion]:
    """The cells of the confusion matrix that are not 0, by class ids.

    Detections of at least `min_score` (None: all) are matched with objects of whatever class, see `confusions_of`;
    difficult objects, crowds and groups do not count, nor what overlaps nothing else.
    """
    taken = pool.scores >= np.float32(-np.inf if min_score is None else min_score)
    taken &= pool.confused != EXCUSED
    objects = pool.confused[taken]
    truth = np.append(pool.truth_classes, np.int32(NO_CLASS))[np.where(objects == NONE, len(pool.needed), objects)]
    found = pool.classes[taken]
    missed = pool.needed.copy()
    missed[objects[objects != NONE]] = False
    pairs = np.concatenate(
        [
            np.stack([truth, found], axis=1),
            np.stack([pool.truth_classes[missed], np.full(int(missed.sum()), NO_CLASS)], axis=1),
        ]
    )
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    return [
        Confusion(truth_id, found_id, count)
        for (truth_id, found_id), count in zip(cells.tolist(), counts.tolist(), strict=True)
    ]


def named(cells: list[Confusion], categories: Mapping[int, str]) -> list[dict[str, str | int | None]]:
    """The cells with names of classes, None for background and missed."""
    return [
        {"truth": categories.get(cell.truth), "found": categories.get(cell.found), "count": cell.times}
        for cell in cells
    ]
