"""How good a detector is on unseen scenes, for the training script's own report; `boxbeam evaluate` does it in full."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from od_core.boxes import pairwise_iou
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth

MIN_IOU = 0.5
SHOWN_SCORE = 0.5


class ClassQuality(NamedTuple):
    """Of one class: objects, difficult ones not counted; average precision (area under the interpolated curve, at
    `MIN_IOU`); precision and recall of what scores `SHOWN_SCORE` or more.
    """

    objects: int
    average_precision: float
    precision: float
    recall: float


def evaluate(pairs: Iterable[tuple[GroundTruth, Detections]], labels: Mapping[int, str]) -> dict[int, ClassQuality]:
    """Class id -> quality, over pairs of what is in a scene and what was found there."""
    objects = dict.fromkeys(labels, 0)
    marks: dict[int, list[tuple[float, bool]]] = {class_id: [] for class_id in labels}
    for truth, found in pairs:
        for class_id in labels:
            mine = truth.classes == class_id
            objects[class_id] += int(np.count_nonzero(mine & ~truth.difficult))
            chosen = found.classes == class_id
            matched = _matches(truth.boxes[mine], truth.difficult[mine], found.boxes[chosen])
            scores = found.scores[chosen].tolist()
            marks[class_id] += [(score, good) for score, good in zip(scores, matched, strict=True) if good is not None]
    return {class_id: _quality(objects[class_id], marks[class_id]) for class_id in labels}


def _matches(truth: np.ndarray, difficult: np.ndarray, found: np.ndarray) -> list[bool | None]:
    """Of boxes found, best first: whether each hits an object not hit before; None where that object is difficult."""
    taken = np.zeros(len(truth), np.bool_)
    overlaps = pairwise_iou(found, truth)
    results: list[bool | None] = []
    for row in overlaps:
        best = int(row.argmax()) if len(row) else -1
        if best < 0 or row[best] < MIN_IOU:
            results.append(False)
        elif difficult[best]:
            results.append(None)
        else:
            results.append(not taken[best])
            taken[best] = True
    return results


def _quality(objects: int, marks: list[tuple[float, bool]]) -> ClassQuality:
    marks = sorted(marks, key=lambda mark: -mark[0])
    hits = np.cumsum([good for _, good in marks], dtype=np.float64)
    precision = hits / np.arange(1, len(marks) + 1)
    recall = hits / max(objects, 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    average = float(np.sum(np.diff(recall, prepend=0.0) * envelope))
    shown = sum(score >= SHOWN_SCORE for score, _ in marks)
    right = float(hits[shown - 1]) if shown else 0.0
    return ClassQuality(objects, average, right / max(shown, 1), right / max(objects, 1))
