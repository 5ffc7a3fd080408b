"""COCO: the detections as a data set of their own, or as results for a data set that there is.

A data set has images, categories and annotations with a score in one JSON object: pycocotools, annotation tools and
boxbeam read it. Results are the list that pycocotools' `loadRes` takes beside the ground truth, with its ids.
"""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import Classes, number, pixel_boxes, size_of


class CocoDatasetExporter:
    """Writes a data set; images and annotations are counted from 1, in the order in which they come."""

    def __init__(self, path: pathlib.Path, classes: Classes):
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115  # closed in close()
        # Annotations follow the images, which are not known before the last frame.
        self._annotations = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="boxbeam-")  # noqa: SIM115
        self._images = self._boxes = 0
        categories = [{"id": class_id, "name": name} for class_id, name in classes.items()]
        info = {"description": "detections, exported by boxbeam"}
        self._file.write(f'{{"info": {_json(info)},\n"categories": {_json(categories)},\n"images": [')

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        height, width = size_of(frame)
        image: dict[str, object] = {"id": self._images + 1, "file_name": frame.name, "width": width, "height": height}
        if frame.kind == "video":
            image |= {"video": frame.key, "frame_index": frame.frame_index, "timestamp_us": frame.timestamp_us}
        self._file.write(f"{',' if self._images else ''}\n{_json(image)}")
        self._images += 1
        columns = (found.classes.tolist(), pixel_boxes(frame, found), found.scores.tolist())
        for class_id, edges, score in zip(*columns, strict=True):
            self._boxes += 1
            area = max(0.0, edges[2] - edges[0]) * max(0.0, edges[3] - edges[1])
            self._annotations.write(
                f'{"," if self._boxes > 1 else ""}\n{{"id": {self._boxes}, "image_id": {self._images},'
                f' "category_id": {class_id}, "bbox": {_bbox(edges)}, "area": {number(area)}, "iscrowd": 0,'
                f' "score": {number(score)}}}'
            )

    def failed(self, frame: DetectedFrame) -> None:
        """An image without annotations would be one in which nothing is."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self._file.write('],\n"annotations": [')
        self._annotations.seek(0)
        shutil.copyfileobj(self._annotations, self._file, 1 << 20)
        self._file.write("]}\n")
        self.close()
        return []

    def close(self) -> None:
        """See Exporter."""
        self._annotations.close()
        self._file.close()


class CocoIds(NamedTuple):
    """The ids of a COCO ground truth: those of images by the name of a frame, those of categories by their names."""

    images: Mapping[str, str]
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
        shown_id = image_id if image_id.removeprefix("-").isdecimal() else _json(image_id)
        for label, edges, score in zip(frame.labels, pixel_boxes(frame, found), found.scores.tolist(), strict=True):
            category_id = self._ids.categories.get(label)
            if category_id is None:
                self._unknown_classes[label] = self._unknown_classes.get(label, 0) + 1
                continue
            self._file.write(
                f'{"" if self._is_first else ","}\n{{"image_id": {shown_id}, "category_id": {category_id},'
                f' "bbox": {_bbox(edges)}, "score": {number(score)}}}'
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


def _bbox(edges: Sequence[float]) -> str:
    """COCO's [x, y, width, height] in pixels."""
    ymin, xmin, ymax, xmax = edges
    return f"[{number(xmin)}, {number(ymin)}, {number(xmax - xmin)}, {number(ymax - ymin)}]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
