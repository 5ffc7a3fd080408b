"""A generated set, in numbers like COCO's val2017: 7.3 objects an image, 80 classes, 74 detections an image."""

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from od_core import boxes
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.schemas import DETECTIONS_VERSION, FrameRow, detections_table, ground_truth_table

WIDTH, HEIGHT = 640, 480
CATEGORIES = {class_id: f"class {class_id}" for class_id in range(1, 81)}
DETECTIONS_PER_IMAGE = 74
_OBJECTS_PER_IMAGE = 7.3
_ROWS_AT_ONCE = 5000


class CocoLike(NamedTuple):
    """The set: objects and detections of all images, by image; detections best first within each.

    Attributes:
        images: how many.
        truth_images, truth_classes, truth_boxes, is_crowd: of the objects; boxes normalised, float32 (N, 4).
        found_images, found_classes, found_boxes, scores: of the detections; as many times 74 as there are images.
    """

    images: int
    truth_images: npt.NDArray[np.int64]
    truth_classes: npt.NDArray[np.int32]
    truth_boxes: npt.NDArray[np.float32]
    is_crowd: npt.NDArray[np.bool_]
    found_images: npt.NDArray[np.int64]
    found_classes: npt.NDArray[np.int32]
    found_boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    @classmethod
    def of(cls, images: int, seed: int = 0) -> "CocoLike":
        """Objects with three good guesses each, then others where nothing is, of classes as uneven as COCO's."""
        rng = np.random.default_rng(seed)
        truth_images = np.repeat(np.arange(images), rng.poisson(_OBJECTS_PER_IMAGE, images))
        truth_boxes, truth_classes = _boxes(rng, len(truth_images)), _classes(rng, len(truth_images))
        near = np.repeat(np.arange(len(truth_images)), 3)
        near_boxes = np.clip(truth_boxes[near] + rng.normal(0, 0.01, (len(near), 4)), 0, 1)
        near_boxes[:, 2:] = np.maximum(near_boxes[:, 2:], near_boxes[:, :2] + 0.004)
        others = DETECTIONS_PER_IMAGE * images - len(near)
        found_images = np.concatenate([truth_images[near], rng.integers(0, images, others)])
        scores = np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 8, others)]).astype(np.float32)
        order = np.lexsort((-scores, found_images))
        return cls(
            images,
            truth_images,
            truth_classes,
            truth_boxes,
            rng.uniform(size=len(truth_images)) < 0.01,
            found_images[order],
            np.concatenate([truth_classes[near], _classes(rng, others)])[order],
            np.concatenate([near_boxes, _boxes(rng, others)]).astype(np.float32)[order],
            scores[order],
        )

    def frames(self) -> Iterator[EvaluatedFrame]:
        """The images as metrics take them."""
        truth_stops = np.searchsorted(self.truth_images, np.arange(self.images + 1)).tolist()
        found_stops = np.searchsorted(self.found_images, np.arange(self.images + 1)).tolist()
        never = np.zeros(len(self.truth_images), np.bool_)
        for image in range(self.images):
            there, found = slice(*truth_stops[image : image + 2]), slice(*found_stops[image : image + 2])
            yield EvaluatedFrame(
                f"{image:012d}.jpg",
                HEIGHT,
                WIDTH,
                GroundTruth(
                    self.truth_boxes[there], self.truth_classes[there], self.is_crowd[there], never[there], never[there]
                ),
                Detections(self.found_boxes[found], self.scores[found], self.found_classes[found]),
            )

    def truth_bboxes(self) -> npt.NDArray[np.float64]:
        """COCO's [x, y, width, height] of the objects, in pixels."""
        return boxes.coco_bbox(boxes.to_pixels(self.truth_boxes, HEIGHT, WIDTH))

    def results(self) -> npt.NDArray[np.float64]:
        """Rows [image, x, y, width, height, score, class] of the detections, as `loadRes` takes them."""
        bboxes = boxes.coco_bbox(boxes.to_pixels(self.found_boxes, HEIGHT, WIDTH))
        return np.column_stack([self.found_images, bboxes, self.scores, self.found_classes]).astype(np.float64)

    def annotations(self) -> Iterator[dict[str, Any]]:
        """The objects as a COCO file has them."""
        bboxes = self.truth_bboxes()
        columns = (self.truth_images, self.truth_classes, bboxes, bboxes[:, 2] * bboxes[:, 3], self.is_crowd)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for number, (image, class_id, bbox, area, crowd) in enumerate(rows, 1):
            yield {
                "id": number,
                "image_id": image,
                "category_id": class_id,
                "bbox": bbox,
                "area": area,
                "iscrowd": int(crowd),
            }

    def write(self, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
        """Detections and ground truth as Parquet files of boxbeam's forms, without masks; returns both."""
        found, truth = folder / "detections.parquet", folder / "ground_truth.parquet"
        rows = [
            FrameRow(frame.name, f"/images/{frame.name}", "image", 0, None, None, WIDTH, HEIGHT, frame.found)
            for frame in self.frames()
        ]
        _write(found, rows, CATEGORIES, is_truth=False)
        rows = [
            row._replace(detections=None, objects=frame.truth) for row, frame in zip(rows, self.frames(), strict=True)
        ]
        _write(truth, rows, CATEGORIES, is_truth=True)
        return found, truth


def _write(path: pathlib.Path, rows: list[FrameRow], labels: dict[int, str], *, is_truth: bool) -> None:
    writer = None
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        table: pa.Table = (ground_truth_table if is_truth else detections_table)(some, labels)
        if not is_truth:
            table = table.replace_schema_metadata({"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": "{}"})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def _boxes(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """Sides are log-normal, about a tenth of the image in the middle; 2 pixels at least."""
    sides = np.clip(np.exp(rng.normal(-2.3, 0.9, (count, 2))), 0.005, 0.9)
    corners = rng.uniform(0, 1, (count, 2)) * (1 - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _classes(rng: np.random.Generator, count: int) -> npt.NDArray[np.int32]:
    return ((rng.zipf(1.4, count) - 1) % len(CATEGORIES) + 1).astype(np.int32)
