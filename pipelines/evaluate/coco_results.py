"""Detections as a COCO results file, a list of {"image_id", "category_id", "bbox", "score"}, made rows.

A `segmentation` beside the box becomes the detection's mask.
"""

import array
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from od_core import boxes, storage
from od_core.annotations.annotated import is_coordinate
from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.annotations.json_stream import JsonStream
from od_core.annotations.shapes import encode_mask
from od_core.detections import Detections
from od_core.errors import AnnotationError, UsageError
from od_core.image_masks import run_lengths
from od_core.joining import match_keys
from od_core.schemas import FrameRow

_FORM = 'expected a list of {"image_id": 139, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}'


class _Image(NamedTuple):
    source_id: str | None
    width: int
    height: int


def results_rows(path: str, truth: GroundTruthSet) -> Iterator[FrameRow]:
    """A row for every image of the ground truth, and one for every other that the results speak of.

    A results file does not say which images were looked at, nor how large they are: as in COCO's own evaluation, all of
    the ground truth were; and sizes, for the boxes in pixels, are those of the ground truth.

    Args:
        path: of the file.
        truth: what the detections will be held against.

    Raises:
        UsageError: no results file, boxes in an image whose size nobody knows, or classes that are counted from 0 where
            the ground truth counts them from 1.
    """
    images, results = dict(_images(truth)), _Results(path)
    if results.counts_from_0 and truth.label_map is not None and truth.own_names is None:
        raise UsageError(
            f"{path}: these results have a class 0, and the ground truth counts its classes from 1, so what the other"
            " ids mean is not to be guessed: give as --ground_truth the COCO file that counts as the results do, or"
            " leave class 0 out of them if it is the background"
        )
    return _rows(path, results, images)


def _images(truth: GroundTruthSet) -> Iterator[tuple[str, _Image]]:
    """Key -> image; frames of videos have no place in a results file."""
    for table in truth.tables():
        names = ("key", "kind", "source_id", "width", "height")
        for key, kind, source_id, width, height in zip(
            *(table.column(name).to_pylist() for name in names), strict=True
        ):
            if kind != "video":
                yield key, _Image(source_id, width or 0, height or 0)


class _Results:
    """A results file in memory: 56 bytes a detection, and its segmentation if it has one."""

    def __init__(self, path: str):
        self._codes: dict[str, int] = {}
        self._path = path
        codes, classes, numbers = array.array("q"), array.array("q"), array.array("d")
        self._segmentations: dict[int, Any] = {}
        try:
            with storage.open_input(path) as file:
                stream = JsonStream(file, path)  # held on to: it closes the file when it goes
                for ordinal, (member, one) in enumerate(stream.elements()):
                    if member:
                        raise UsageError(f"{path}: not COCO results: an object with '{member}'; {_FORM}")
                    image_id, class_id, values = self._checked(one, ordinal)
                    codes.append(self._codes.setdefault(image_id, len(self._codes)))
                    classes.append(class_id)
                    numbers.extend(values)
                    if one.get("segmentation"):
                        self._segmentations[ordinal] = one["segmentation"]
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
        columns = np.array(numbers, np.float64).reshape(-1, 5)
        order = np.lexsort((np.arange(len(codes)), -columns[:, 4], np.array(codes, np.int64)))
        self._ordinals = order
        self._classes = np.array(classes, np.int64)[order]
        self._columns = columns[order]
        self._stops = np.searchsorted(np.array(codes, np.int64)[order], np.arange(len(self._codes) + 1))

    @property
    def image_ids(self) -> list[str]:
        """In the order of the file."""
        return list(self._codes)

    @property
    def counts_from_0(self) -> bool:
        """Whether there is a class 0."""
        return bool((self._classes == 0).any())

    def of(self, image_id: str, image: _Image) -> Detections:
        """Those in an image, best first."""
        part = slice(*self._stops[self._codes[image_id] :][:2].tolist())
        columns = self._columns[part]
        edges = boxes.to_normalised(boxes.of_coco_bbox(columns[:, :4]), image.height, image.width)
        found = Detections.best_first(edges, columns[:, 4], self._classes[part])
        ordinals = self._ordinals[part].tolist()
        if self._segmentations.keys().isdisjoint(ordinals):
            return found
        return dataclasses.replace(found, masks=tuple(self._mask(ordinal, image) for ordinal in ordinals))

    def _mask(self, ordinal: int, image: _Image) -> bytes:
        """The mask of an entry in COCO's compressed code; empty where it has none."""
        told = self._segmentations.get(ordinal)
        if told is None:
            return b""
        try:
            if isinstance(told, dict) and isinstance(told.get("counts"), str):
                code: bytes = told["counts"].encode("ascii")
                if told.get("size") == [image.height, image.width]:
                    if run_lengths(code).sum() == image.height * image.width:
                        return code
                    raise ValueError("its runs are not as long as the image is large")
            return encode_mask(told, image.height, image.width)
        except (AnnotationError, ValueError) as error:
            raise UsageError(f"{self._path}: the segmentation of entry {ordinal} makes no sense: {error}") from error

    def _checked(self, one: Any, ordinal: int) -> tuple[str, int, list[float]]:
        try:
            image_id, class_id = one["image_id"], one["category_id"]
            values = [float(x) for x in (*one["bbox"], one["score"])]
            is_right = len(values) == 5 and all(map(is_coordinate, values[:4])) and abs(values[4]) < 1e30
            if is_right and isinstance(image_id, int | str) and isinstance(class_id, int) and abs(class_id) < 1 << 31:
                return str(image_id), class_id, values
        except (KeyError, TypeError, ValueError):
            pass
        raise UsageError(f"{self._path}: not COCO results: entry {ordinal} is {str(one)[:120]}; {_FORM}")


def _rows(path: str, results: _Results, images: Mapping[str, _Image]) -> Iterator[FrameRow]:
    source_ids = {key: image.source_id for key, image in images.items()}
    truth_of = match_keys(results.image_ids, source_ids).truth_of
    id_of = {key: image_id for image_id, key in truth_of.items()}
    source = storage.printable(path)
    for key, image in images.items():
        found = Detections.empty()
        if key in id_of:
            if not image.width or not image.height:
                raise UsageError(
                    f"{path}: boxes in pixels, and the ground truth does not say how large '{key}' is: name its images"
                    " with --images"
                )
            found = results.of(id_of[key], image)
        yield FrameRow(key, source, "image", 0, width=image.width, height=image.height, detections=found)
    for image_id in results.image_ids:
        if image_id not in truth_of:
            yield FrameRow(image_id, source, "image", 0, detections=Detections.empty())
