"""COCO's twelve numbers for boxes, and the average precision of every class.

The matching is hotcoco's, which equals pycocotools. Its `StreamingEval` could be the accumulator itself (21 bytes a
detection), but ranks images by a number given when a frame is added; here images rank by name, known in full only at
the end. So the accumulator keeps boxes as they came (24 bytes a detection) and `value` streams them through, by name.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import FloatArray, IntArray
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import FrameRecords

_FRAMES_AT_ONCE = 500  # bounds the memory for the dicts that hotcoco takes ground truth as

_AREAS = ("", " (small)", " (medium)", " (large)")  # as hotcoco and pycocotools order them
_LIMITS = (1, 10, 100)

_PREFIX = "DetectionBoxes_"


class _Boxes(NamedTuple):
    """One frame: its [height, width]; boxes normalised, float32 (N, 4); areas in square pixels, NaN where not known."""

    size: IntArray
    truth_boxes: FloatArray
    truth_classes: IntArray
    truth_areas: FloatArray
    is_crowd: npt.NDArray[np.bool_]
    boxes: FloatArray
    scores: FloatArray
    classes: IntArray


class CocoBoxes:
    """`od_core.metrics.metric.Metric`: COCO's evaluation of boxes in pixels.

    Numbers are those of the API's CocoDetectionEvaluator: -1 where there is no ground truth to find. A class out of
    `categories` counts neither as ground truth nor as detection. An object's area, which makes it small (up to 32²
    pixels), medium or large (from 96²), is the annotated one, or that of its box where none is given.

    Args:
        categories: class id -> name.
    """

    name = "coco"
    definition = (
        "COCO (pycocotools): average precision from precision interpolated at 101 points of recall, averaged over"
        " classes and over IoU .50 to .95 in steps of .05; at most 100 detections per image and class; crowds are"
        " neither right nor wrong to find; small, medium, large: area up to 32², up to 96², and above, in pixels"
    )

    def __init__(self, categories: Mapping[int, str]):
        self._categories = dict(sorted(categories.items()))
        self._frames = FrameRecords(_Boxes)

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """See Metric."""
        for frame in frames:
            self._frames.add(frame.name, self._boxes_of(frame))

    def merge(self, other: "CocoBoxes") -> None:
        """See Metric."""
        self._frames.merge(other._frames)

    def value(self) -> dict[str, float]:
        """See Metric."""
        precision, recall = self._curves()
        numbers = {
            "Precision/mAP": _mean(precision[..., 0, 2]),
            "Precision/mAP@.50IOU": _mean(precision[0, ..., 0, 2]),
            "Precision/mAP@.75IOU": _mean(precision[5, ..., 0, 2]),
            **{f"Precision/mAP{area}": _mean(precision[..., i, 2]) for i, area in enumerate(_AREAS) if area},
            **{f"Recall/AR@{limit}": _mean(recall[..., 0, i]) for i, limit in enumerate(_LIMITS)},
            **{f"Recall/AR@100{area}": _mean(recall[..., i, 2]) for i, area in enumerate(_AREAS) if area},
            **{
                f"PerformanceByCategory/mAP/{name}": _mean(precision[:, :, k, 0, 2])
                for k, name in enumerate(self._categories.values())
            },
        }
        return {_PREFIX + name: number for name, number in numbers.items()}

    def _boxes_of(self, frame: EvaluatedFrame) -> _Boxes:
        truth, found = frame.truth, frame.found
        known = np.array(list(self._categories), np.int32)
        truths, finds = np.isin(truth.classes, known), np.isin(found.classes, known)
        areas = np.full(len(truth), np.nan, np.float32) if truth.area is None else truth.area
        return _Boxes(
            np.array([frame.height, frame.width], np.int32),
            truth.boxes[truths],
            truth.classes[truths],
            areas[truths],
            truth.is_crowd[truths],
            found.boxes[finds],
            found.scores[finds],
            found.classes[finds],
        )

    def _curves(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Precision (IoU, recall, class, area, limit) and recall (IoU, class, area, limit); -1 where undefined."""
        evaluation = hotcoco.StreamingEval([{"id": id, "name": name} for id, name in self._categories.items()], "bbox")
        annotation_ids = itertools.count(1)  # as in COCO's files: pycocotools takes 0 for unmatched
        frames = enumerate(self._frames.in_order())
        while batch := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
            evaluation.update(
                [{"id": image_id} for image_id, _ in batch],
                [truth for image_id, one in batch for truth in _truth_of(image_id, one, annotation_ids)],
                np.concatenate([_detection_rows(image_id, one) for image_id, one in batch]),
            )
        result: Any = evaluation.finalize()
        result.accumulate()
        return result.eval["precision"], result.eval["recall"]


def _truth_of(image_id: int, one: _Boxes, annotation_ids: Iterator[int]) -> Iterator[dict[str, Any]]:
    pixels = boxes.to_pixels(one.truth_boxes, *one.size.tolist())
    areas = np.where(one.truth_areas > 0, one.truth_areas, boxes.area(pixels))
    columns = (boxes.coco_bbox(pixels), one.truth_classes, areas, one.is_crowd)
    for bbox, class_id, area, crowd in zip(*(column.tolist() for column in columns), strict=True):
        yield {
            "id": next(annotation_ids),
            "image_id": image_id,
            "category_id": class_id,
            "bbox": bbox,
            "area": area,
            "iscrowd": int(crowd),
        }


def _detection_rows(image_id: int, one: _Boxes) -> npt.NDArray[np.float64]:
    """Rows [image_id, x, y, width, height, score, class], (N, 7)."""
    bboxes = boxes.coco_bbox(boxes.to_pixels(one.boxes, *one.size.tolist()))
    return np.column_stack([np.full(len(bboxes), image_id), bboxes, one.scores, one.classes]).astype(np.float64)


def _mean(numbers: npt.NDArray[np.float64]) -> float:
    """The mean of what is defined, as pycocotools takes it; -1 if nothing is."""
    defined = numbers[numbers > -1]
    return float(defined.mean()) if defined.size else -1.0
