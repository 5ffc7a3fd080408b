"""Masks and keypoints on their way into records: read from the annotation file image by image, never all at once."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from od_core import storage
from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject
from od_core.annotations.shapes import draw_mask, keypoints_of, read_excerpt
from od_core.box_policy import Remark
from od_core.errors import AnnotationError
from od_core.records.image_record import NO_SHAPES, Placed, Shapes, placed_keypoints, placed_mask
from od_core.records.stored_image import StoredImage
from pipelines.convert import remarks as convert_remarks
from pipelines.reading import Reading

# Every mask is as large as its image, and is decoded to 4 bytes a pixel: 16 GiB for one image. Drawing so many takes
# less than a minute.
MAX_MASK_PIXELS = 1 << 32


class ShapeReader:
    """Reads what an image's objects have beside their boxes; holds one annotation file open."""

    def __init__(self, *, masks: bool, keypoints: Mapping[str, Sequence[str]]):
        """`masks`: whether to read them; `keypoints`: which to read, their names by class."""
        self._masks = masks
        self._keypoints = keypoints
        self._names = tuple(dict.fromkeys(name for names in keypoints.values() for name in names))
        self._path = ""
        self._file: BinaryIO | None = None

    def of(
        self, annotated: AnnotatedImage, objects: Sequence[AnnotatedObject], placed: Placed, image: StoredImage
    ) -> tuple[Shapes, list[Remark]]:
        """The shapes of these objects, and remarks on those that have none.

        Raises:
            InputError: the annotation file cannot be read, or was changed.
        """
        if not objects or not (self._masks or self._keypoints):
            return NO_SHAPES, []
        # The size that the annotation speaks of, before it was turned.
        height, width = (placed.width, placed.height) if placed.turn >= 5 else (placed.height, placed.width)
        masks, has_mask, keypoints, remarks = [], [], [], []
        for item in objects:
            fields = self._fields(annotated.source, item)
            if self._masks:
                try:
                    mask = draw_mask(fields.get("segmentation"), height, width)
                    has_mask.append(True)
                except AnnotationError as error:
                    mask = np.zeros((height, width), np.uint8)
                    has_mask.append(False)
                    remarks.append(Remark(convert_remarks.MASK_MISSING, f"{item.place} ({item.label}): {error}"))
                masks.append(placed_mask(mask, placed, image))
            if self._keypoints:
                try:
                    keypoints.append(self._points(item, fields, placed))
                except AnnotationError as error:
                    keypoints.append(np.zeros((len(self._names), 3)))
                    remarks.append(Remark(convert_remarks.KEYPOINTS_MISSING, f"{item.place} ({item.label}): {error}"))
        return Shapes(masks, has_mask, keypoints, self._names), remarks

    def refuse_too_large(self, objects: Sequence[AnnotatedObject], placed: Placed, image: StoredImage) -> None:
        """Refuse masks that together have more pixels than a record takes, before any is drawn.

        Raises:
            AnnotationError: says how many.
        """
        largest = max(placed.height * placed.width, image.height * image.width)
        if self._masks and len(objects) * largest > MAX_MASK_PIXELS:
            raise AnnotationError(
                f"its {len(objects):,} masks of {placed.width:,} x {placed.height:,} px are more than the"
                f" {MAX_MASK_PIXELS >> 20:,} Mpx that a record takes, all of which TensorFlow decodes at once: leave"
                " --masks out, or cut the image up"
            )

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _points(self, item: AnnotatedObject, fields: Mapping[str, Any], placed: Placed) -> np.ndarray:
        """All names in order, filled in where they are those of the object's class."""
        names = self._keypoints.get(item.label, ())
        points = np.zeros((len(self._names), 3))
        if names:
            found = placed_keypoints(keypoints_of(fields, len(names)), placed)
            points[[self._names.index(name) for name in names]] = found
        return points

    def _fields(self, path: str, item: AnnotatedObject) -> Mapping[str, Any]:
        if item.excerpt is None:
            return {}
        with Reading(path):
            if self._file is None or path != self._path:
                self.close()
                self._file, self._path = storage.open_input(path), path
            return read_excerpt(self._file, item.excerpt)
