"""COCO: the detections as a data set of their own, or as results for a data set that there is.

A data set has images, categories and annotations with a score in one JSON object: pycocotools, annotation tools and
boxbeam read it. Results are the list that pycocotools' `loadRes` takes beside the ground truth, with its ids.

Masks are `segmentation` in COCO's compressed run-length code, keypoints [x, y, v, ...] in pixels; v is 0 for one that
is not known.
"""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

import hotcoco.mask
import numpy as np
import numpy.typing as npt

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.exports.exporter import Classes, number, pixel_boxes, size_of


class CocoDatasetExporter:
    """Writes a data set; images and annotations are counted from 1, in the order in which they come."""

    def __init__(self, path: pathlib.Path, classes: Classes):
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115  # closed in close()
        # Annotations follow the images, which are not known before the last frame.
        self._annotations = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="boxbeam-")  # noqa: SIM115
        self._images = self._boxes = self._keypoints = 0
        self._classes = classes
        info = {"description": "detections, exported by boxbeam"}
        self._file.write(f'{{"info": {_json(info)},\n"images": [')

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        height, width = size_of(frame)
        image: dict[str, object] = {"id": self._images + 1, "file_name": frame.name, "width": width, "height": height}
        if frame.kind == "video":
            image |= {"video": frame.key, "frame_index": frame.frame_index, "timestamp_us": frame.timestamp_us}
        self._file.write(f"{',' if self._images else ''}\n{_json(image)}")
        self._images += 1
        if found.keypoints is not None:
            self._keypoints = max(self._keypoints, found.keypoints.shape[1])
        columns = (found.classes.tolist(), pixel_boxes(frame, found), found.scores.tolist(), _shapes(frame, found))
        for class_id, edges, score, shape in zip(*columns, strict=True):
            self._boxes += 1
            area = max(0.0, edges[2] - edges[0]) * max(0.0, edges[3] - edges[1]) if shape.area is None else shape.area
            self._annotations.write(
                f'{"," if self._boxes > 1 else ""}\n{{"id": {self._boxes}, "image_id": {self._images},'
                f' "category_id": {class_id}, "bbox": {_bbox(edges)}, "area": {number(area)}, "iscrowd": 0,'
                f' "score": {number(score)}{shape.members(known=2)}}}'
            )

    def failed(self, frame: DetectedFrame) -> None:
        """An image without annotations would be one in which nothing is."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self._file.write('],\n"annotations": [')
        self._annotations.seek(0)
        shutil.copyfileobj(self._annotations, self._file, 1 << 20)
        # COCO's own files end with them, too; how many keypoints there are is not known before.
        points = {"keypoints": [f"keypoint {n + 1}" for n in range(self._keypoints)]} if self._keypoints else {}
        categories = [{"id": class_id, "name": name, **points} for class_id, name in self._classes.items()]
        self._file.write(f'],\n"categories": {_json(categories)}}}\n')
        self.close()
        return []

    def close(self) -> None:
        """See Exporter."""
        self._annotations.close()
        self._file.close()


class CocoIds(NamedTuple):
    """The ids of a COCO ground truth: those of images by the name of a frame, those of categories by their names."""

    images: Mapping[str, int | str]
    categories: Mapping[str, int]


class CocoResultsExporter:
    """Writes results for a ground truth; what it lacks is left out and counted."""

    def __init__(self, path: pathlib.Path, ids: CocoIds):
        self._file: TextIO = open(path, "w", encoding="utf-8")  # noqa: SIM115  # closed in close()
        self._ids = ids
        self._is_first = True
        self._unknown_images = 0
        self._unknown_classes: dict[str, int] = {}
        self._file.write("[")

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        image_id = self._ids.images.get(frame.name)
        if image_id is None:
            self._unknown_images += 1
            return
        columns = (frame.labels, pixel_boxes(frame, found), found.scores.tolist(), _shapes(frame, found))
        for label, edges, score, shape in zip(*columns, strict=True):
            category_id = self._ids.categories.get(label)
            if category_id is None:
                self._unknown_classes[label] = self._unknown_classes.get(label, 0) + 1
                continue
            self._file.write(
                f'{"" if self._is_first else ","}\n{{"image_id": {_json(image_id)}, "category_id": {category_id},'
                f' "bbox": {_bbox(edges)}, "score": {number(score)}{shape.members(known=1)}}}'
            )
            self._is_first = False

    def failed(self, frame: DetectedFrame) -> None:
        """Results are of boxes, and there are none."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self._file.write("\n]\n")
        self.close()
        notes = [
            f"{n:,} detections of the class {name!r} left out, the ground truth lacks it"
            for name, n in sorted(self._unknown_classes.items())
        ]
        if self._unknown_images:
            notes.append(f"{self._unknown_images:,} images left out, the ground truth lacks them")
        return notes

    def close(self) -> None:
        """See Exporter."""
        self._file.close()


class _Shape(NamedTuple):
    """What one detection has beside its box: a mask and its pixels, keypoints [y, x, score] in pixels, or None."""

    mask: bytes | None
    area: float | None
    points: npt.NDArray[np.float64] | None
    size: tuple[int, int]

    def members(self, known: int) -> str:
        """The members of its JSON object that follow others; `known` is what stands at a keypoint that is known."""
        told = ""
        if self.mask is not None:
            told += f', "segmentation": {_json({"size": self.size, "counts": self.mask.decode("ascii")})}'
        if self.points is not None:
            is_known = np.asarray(np.isfinite(self.points[:, :2]).all(axis=1)).tolist()
            triples = (
                f"{number(x)}, {number(y)}, {known}" if there else "0, 0, 0"
                for (y, x, _), there in zip(self.points.tolist(), is_known, strict=True)
            )
            told += f', "keypoints": [{", ".join(triples)}], "num_keypoints": {sum(is_known)}'
        return told


def _shapes(frame: DetectedFrame, found: Detections) -> Iterator[_Shape]:
    """The shape of every detection, one that is empty where it has none.

    Raises:
        UsageError: a mask that is none of this image.
    """
    size = size_of(frame)
    for index in range(len(found)):
        mask = found.masks[index] or None if found.masks is not None else None
        area = points = None
        if mask is not None:
            try:
                area = float(hotcoco.mask.area({"size": list(size), "counts": mask}))
            except ValueError as error:
                raise UsageError(
                    f"'{frame.name}': the mask of detection {index} is none of an image of {size[1]} x {size[0]}"
                    f" pixels: {error}"
                ) from error
        if found.keypoints is not None:
            points = found.keypoints[index].astype(np.float64) * (*size, 1)
        yield _Shape(mask, area, points, size)


def _bbox(edges: Sequence[float]) -> str:
    """COCO's [x, y, width, height] in pixels."""
    ymin, xmin, ymax, xmax = edges
    return f"[{number(xmin)}, {number(ymin)}, {number(xmax - xmin)}, {number(ymax - ymin)}]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
