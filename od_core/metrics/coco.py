"""COCO's twelve numbers for boxes, and the average precision of every class.

The matching is hotcoco's, which equals pycocotools. Its `StreamingEval` could be the accumulator itself (21 bytes a
detection), but ranks images by a number given when a frame is added; here images rank by name, known in full only at
the end. So the accumulator keeps boxes as they came (24 bytes a detection) and `value` streams them through.
"""

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import hotcoco
import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_columns import FrameColumns, FrameStore

_AREAS = ("", " (small)", " (medium)", " (large)")  # as hotcoco and pycocotools order them
_LIMITS = (1, 10, 100)


class CocoNumbers(abc.ABC):
    """The part of a `Metric` that lets hotcoco match, and gives its numbers the API's names."""

    prefix: ClassVar[str]
    iou_type: ClassVar[str]

    def __init__(self, categories: Mapping[int, str]):
        self._categories = dict(sorted(categories.items()))

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
        return {self.prefix + name: number for name, number in numbers.items()}

    def _curves(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Precision (IoU, recall, class, area, limit) and recall (IoU, class, area, limit); -1 where undefined."""
        categories = [{"id": id, "name": name} for id, name in self._categories.items()]
        evaluation = hotcoco.StreamingEval(categories, self.iou_type)
        for images, truths, found in self._batches():
            evaluation.update(images, truths, found)
        result: Any = evaluation.finalize()
        result.accumulate()
        return result.eval["precision"], result.eval["recall"]

    @abc.abstractmethod
    def _batches(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]], Any]]:
        """Images, annotations and detections, as `StreamingEval.update` takes them; images numbered by name."""


class CocoBoxes(CocoNumbers):
    """`od_core.metrics.metric.Metric`: COCO's evaluation of boxes in pixels.

    Numbers are those of the API's CocoDetectionEvaluator: -1 where there is no ground truth to find. A class out of
    `categories` counts neither as ground truth nor as detection. An object's area, which makes it small (up to 32²
    pixels), medium or large (from 96²), is the annotated one, or that of its box where none is given.

    Args:
        categories: class id -> name.
    """

    name = "coco"
    prefix = "DetectionBoxes_"
    iou_type = "bbox"
    definition = (
        "COCO (pycocotools): average precision from precision interpolated at 101 points of recall, averaged over"
        " classes and over IoU .50 to .95 in steps of .05; at most 100 detections per image and class; crowds are"
        " neither right nor wrong to find; small, medium, large: area up to 32², up to 96², and above, in pixels"
    )

    def __init__(self, categories: Mapping[int, str]):
        super().__init__(categories)
        self._class_ids = np.array(list(self._categories), np.int32)
        self._frames = FrameStore()

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """See Metric."""
        if frames:
            self._frames.add(FrameColumns.of(frames, self._class_ids))

    def merge(self, other: "CocoBoxes") -> None:
        """See Metric."""
        self._frames.merge(other._frames)

    def _batches(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]], npt.NDArray[np.float64]]]:
        first_id = 1  # as in COCO's files: pycocotools takes 0 for unmatched
        for image_ids, piece in self._frames.ranked():
            yield (
                [{"id": image_id} for image_id in image_ids.tolist()],
                list(_truth_of(image_ids, piece, first_id)),
                _detection_rows(image_ids, piece),
            )
            first_id += len(piece.truth_boxes)


def _truth_of(image_ids: npt.NDArray[np.int64], piece: FrameColumns, first_id: int) -> Iterator[dict[str, Any]]:
    pixels = boxes.measured(piece.truth_boxes, *_sizes(piece, piece.truth_counts))
    areas = np.where(piece.truth_areas > 0, piece.truth_areas, boxes.area(pixels))
    images = np.repeat(image_ids, piece.truth_counts)
    columns = (images, boxes.coco_bbox(pixels), piece.truth_classes, areas, piece.is_crowd.astype(np.int64))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for annotation_id, (image_id, bbox, class_id, area, crowd) in enumerate(rows, first_id):
        yield {
            "id": annotation_id,
            "image_id": image_id,
            "category_id": class_id,
            "bbox": bbox,
            "area": area,
            "iscrowd": crowd,
        }


def _detection_rows(image_ids: npt.NDArray[np.int64], piece: FrameColumns) -> npt.NDArray[np.float64]:
    """Rows [image_id, x, y, width, height, score, class], (N, 7)."""
    bboxes = boxes.coco_bbox(boxes.measured(piece.boxes, *_sizes(piece, piece.found_counts)))
    images = np.repeat(image_ids, piece.found_counts)
    return np.column_stack([images, bboxes, piece.scores, piece.classes]).astype(np.float64, copy=False)


def _sizes(piece: FrameColumns, counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Height and width of the frame of every box."""
    height, width = np.repeat(piece.sizes, counts, axis=0).T
    return height, width


def _mean(numbers: npt.NDArray[np.float64]) -> float:
    """The mean of what is defined, as pycocotools takes it; -1 if nothing is."""
    defined = numbers[numbers > -1]
    return float(defined.mean()) if defined.size else -1.0
