"""COCO's twelve numbers for masks, and the average precision of every class."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.detections import FloatArray, IntArray
from od_core.image_masks import run_lengths
from od_core.metrics.coco import CocoNumbers
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import FrameRecords

_FRAMES_AT_ONCE = 500  # bounds the memory for the dicts that hotcoco takes masks as

Bytes = npt.NDArray[np.uint8]


class _Masks(NamedTuple):
    """One frame: its [height, width]; masks in COCO's compressed run-length code, end to end, and their lengths.

    truth_areas: as annotated, else of the box; square pixels.
    """

    size: IntArray
    truth_classes: IntArray
    truth_areas: FloatArray
    is_crowd: npt.NDArray[np.bool_]
    truth_runs: Bytes
    truth_lengths: IntArray
    scores: FloatArray
    classes: IntArray
    runs: Bytes
    lengths: IntArray


class CocoMasks(CocoNumbers):
    """`od_core.metrics.metric.Metric`: COCO's evaluation of masks.

    As `CocoBoxes`, with the overlap of masks in the place of that of boxes. A detection's area is that of its mask. An
    object without a mask counts neither as ground truth nor as anything else; detections must all have one.

    Args:
        categories: class id -> name.
    """

    name = "coco_masks"
    prefix = "DetectionMasks_"
    iou_type = "segm"
    definition = (
        "COCO (pycocotools) for masks: average precision from precision interpolated at 101 points of recall, averaged"
        " over classes and over IoU of masks .50 to .95 in steps of .05; at most 100 detections per image and class;"
        " crowds are neither right nor wrong to find; objects without a mask are left out; small, medium, large: area"
        " up to 32², up to 96², and above, in pixels"
    )

    def __init__(self, categories: Mapping[int, str]):
        super().__init__(categories)
        self._frames = FrameRecords(_Masks)

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """See Metric. Also raises ValueError for a detection without a mask, and a mask that is none of its frame."""
        for frame in frames:
            self._frames.add(frame.name, self._masks_of(frame))

    def merge(self, other: "CocoMasks") -> None:
        """See Metric."""
        self._frames.merge(other._frames)

    def _masks_of(self, frame: EvaluatedFrame) -> _Masks:
        truth, found = frame.truth, frame.found
        known = np.array(list(self._categories), np.int32)
        has_mask = np.array([mask is not None for mask in truth.masks or [None] * len(truth)], np.bool_)
        truth = truth.where(np.isin(truth.classes, known) & has_mask)
        if len(found) and found.masks is None:
            raise ValueError(f"{frame.name}: detections without masks")
        found = found.where(np.isin(found.classes, known))
        truth_masks = [mask for mask in truth.masks or () if mask is not None]
        _check(frame, (*truth_masks, *(found.masks or ())))
        areas = boxes.area(boxes.measured(truth.boxes, frame.height, frame.width)).astype(np.float32)
        if truth.area is not None:
            areas = np.where(truth.area > 0, truth.area, areas)
        return _Masks(
            np.array([frame.height, frame.width], np.int32),
            truth.classes,
            areas,
            truth.is_crowd,
            *_joined(truth_masks),
            found.scores,
            found.classes,
            *_joined(found.masks or ()),
        )

    def _batches(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]]:
        annotation_ids = itertools.count(1)  # as in COCO's files: pycocotools takes 0 for unmatched
        frames = enumerate(self._frames.in_order())
        while batch := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
            yield (
                [{"id": image_id, "height": one.size[0], "width": one.size[1]} for image_id, one in batch],
                [{"id": next(annotation_ids), **truth} for image_id, one in batch for truth in _truths(image_id, one)],
                [found for image_id, one in batch for found in _finds(image_id, one)],
            )


def _check(frame: EvaluatedFrame, masks: Iterable[bytes]) -> None:
    """hotcoco takes whatever it is given for a mask, and finds some overlap."""
    for mask in masks:
        try:
            pixels = int(run_lengths(mask).sum())
        except ValueError as error:
            raise ValueError(f"{frame.name}: the mask of a detection or an object makes no sense: {error}") from error
        if pixels != frame.height * frame.width:
            raise ValueError(
                f"{frame.name}: the mask of a detection or an object has {pixels:,} pixels, in an image of"
                f" {frame.width} x {frame.height}"
            )


def _joined(masks: Sequence[bytes]) -> tuple[Bytes, IntArray]:
    return np.frombuffer(b"".join(masks), np.uint8), np.array([len(mask) for mask in masks], np.int32)


def _segmentations(size: IntArray, runs: Bytes, lengths: IntArray) -> Iterator[dict[str, Any]]:
    text, start = runs.tobytes().decode("ascii"), 0
    for length in lengths.tolist():
        yield {"size": size.tolist(), "counts": text[start : start + length]}
        start += length


def _truths(image_id: int, one: _Masks) -> Iterator[dict[str, Any]]:
    columns = zip(one.truth_classes.tolist(), one.truth_areas.tolist(), one.is_crowd.tolist(), strict=True)
    segmentations = _segmentations(one.size, one.truth_runs, one.truth_lengths)
    for (class_id, area, crowd), segmentation in zip(columns, segmentations, strict=True):
        yield {
            "image_id": image_id,
            "category_id": class_id,
            "segmentation": segmentation,
            "area": area,
            "iscrowd": int(crowd),
        }


def _finds(image_id: int, one: _Masks) -> Iterator[dict[str, Any]]:
    columns = zip(one.classes.tolist(), one.scores.tolist(), strict=True)
    segmentations = _segmentations(one.size, one.runs, one.lengths)
    for (class_id, score), segmentation in zip(columns, segmentations, strict=True):
        yield {"image_id": image_id, "category_id": class_id, "segmentation": segmentation, "score": score}
