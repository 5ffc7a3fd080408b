"""A sample of the evaluated images with what was found on the left and the ground truth on the right, as the API does.

The sample depends on the images' names alone, so every evaluation of a data set shows the same ones.
"""

import dataclasses
import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.annotations.record_truth import RecordTruth
from od_core.annotations.stored_truth import find_stored_truth
from od_core.detections import Detections
from od_core.drawing import draw_detections, draw_ground_truth, side_by_side
from od_core.errors import InputError
from od_core.ground_truth import GroundTruth
from od_core.images import ImageArray, decode_image
from od_core.records.examples import parse_image_example
from od_core.records.tfrecord import read_record
from od_core.schemas import detections_of, ground_truths_of
from pipelines.evaluate.detections import DetectionsSet

TAG = "Detections_Left_Groundtruth_Right"
"""The tag that the TensorFlow Object Detection API gives its side-by-side images; a number follows."""

_LONGEST_SIDE = 640
_LOWEST_SCORE = 0.3


class SampleImage(NamedTuple):
    """One image of the sample.

    Attributes:
        order: a hash of its key; images of the lowest are taken.
        key: that of its row of detections.
        uri: of its file, or of the record file it is in.
        offset: of its record in that, in bytes; None for an image file.
        truth: what is in it.
    """

    order: bytes
    key: str
    uri: str
    offset: int | None
    truth: GroundTruth


def choose_sample(
    paths: Sequence[str], count: int, *, images: str | None = None, splits: Sequence[str] = ()
) -> list[SampleImage]:
    """Some images of a ground truth, always the same; arguments as for `open_all_ground_truth`. Videos are left out."""
    every = (image for path in paths for image in _sample_images(path, images, splits))
    return heapq.nsmallest(count, every, key=lambda image: (image.order, image.key))


def _sample_images(path: str, images: str | None, splits: Sequence[str]) -> Iterator[SampleImage]:
    stored = find_stored_truth(path) if storage.is_folder(path) or storage.stat(path) is not None else None
    if stored is None or stored.form != "records":
        opened = open_ground_truth(path, images=images, splits=splits)
        if isinstance(opened, RecordTruth):
            for one, record in opened.rows():
                if one.objects is not None:
                    key = one.source_id or one.key
                    yield SampleImage(_order(one.key), key, one.source, record.offset, one.objects)
            return
        for table in opened.tables():
            for row, truth in _rows(table):
                yield SampleImage(_order(row["key"]), row["key"], row["source"], None, truth)
        return
    for file in stored.paths:
        with storage.open_input(file) as parquet:
            for batch in pq.ParquetFile(parquet).iter_batches(1000):
                table = pa.Table.from_batches([batch])
                if splits:
                    table = table.filter(pc.is_in(table.column("split"), pa.array(splits)))
                for row, truth in _rows(table):
                    uri = storage.join(stored.folder, row["shard"])
                    yield SampleImage(_order(row["key"]), row["source_id"] or row["key"], uri, row["offset"], truth)


def _rows(table: pa.Table) -> Iterator[tuple[dict[str, Any], GroundTruth]]:
    names = [name for name in ("key", "source", "source_id", "kind", "shard", "offset") if name in table.column_names]
    for row, truth in zip(table.select(names).to_pylist(), ground_truths_of(table), strict=True):
        if truth is not None and row["kind"] != "video":
            yield row, truth


def _order(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def pictures(
    sample: Sequence[SampleImage], detections: DetectionsSet, labels: Mapping[int, str]
) -> Iterator[tuple[str, ImageArray]]:
    """Tag and picture, uint8 (H, W, 3) RGB, of every image of a sample that can be read and was processed.

    Large images are shown smaller. Detections with a score below 0.3 are not drawn.

    Args:
        sample: from `choose_sample`.
        detections: of these images, and others.
        labels: class id -> name in the detections.
    """
    found = _detections(detections, [image.key for image in sample])
    ids = {name: class_id for class_id, name in labels.items()}
    for number, image in enumerate(sample):
        if image.key in found:
            try:
                pixels = _shrunk(_decoded(image))
            except (InputError, OSError):
                continue  # it failed in the evaluation too, which says so
            left = draw_detections(pixels, found[image.key], labels, min_score=_LOWEST_SCORE)
            right = draw_ground_truth(pixels, _numbered_alike(image.truth, ids), labels)
            yield f"{TAG}/{number}", side_by_side(left, right)


def _numbered_alike(truth: GroundTruth, ids: Mapping[str, int]) -> GroundTruth:
    """Annotated objects with the class ids that the detections have for the same names, and thereby their colours."""
    if truth.labels is None:
        return truth
    classes = [ids.get(name, -1) if name else -1 for name in truth.labels]
    return dataclasses.replace(truth, classes=np.array(classes, np.int32))


def _detections(detections: DetectionsSet, keys: Sequence[str]) -> dict[str, Detections]:
    found: dict[str, Detections] = {}
    for path in detections.files:
        with storage.open_input(path) as file:
            table = pq.read_table(file, columns=["key", "kind", "detections"], filters=[("key", "in", keys)])
        for row, one in zip(table.select(["key", "kind"]).to_pylist(), detections_of(table), strict=True):
            if one is not None and row["kind"] != "video":
                found[row["key"]] = one
    return found


def _decoded(image: SampleImage) -> ImageArray:
    with storage.open_input(image.uri) as file:
        encoded = file.read() if image.offset is None else parse_image_example(read_record(file, image.offset)).encoded
    return decode_image(encoded)


def _shrunk(image: ImageArray) -> ImageArray:
    height, width = image.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk: ImageArray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return shrunk
