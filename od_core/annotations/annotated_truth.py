"""Ground truth straight from annotation files."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy.typing as npt
import pyarrow as pa

from od_core import boxes, storage
from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, Annotations
from od_core.annotations.coco import CocoAnnotations
from od_core.annotations.shapes import encode_mask, read_excerpt
from od_core.errors import AnnotationError, InputError
from od_core.ground_truth import GroundTruth
from od_core.images import read_encoded, read_header
from od_core.label_map import LabelMap
from od_core.schemas import GROUND_TRUTH, FrameError, FrameRow, ground_truth_table
from od_core.source_root import look_for

TABLE_ROWS = 1000

_KEPT_FAULTS = 20
_LOOKED_AT = 10_000
_VALUES = tuple(field.name for field in GROUND_TRUTH if not pa.types.is_nested(field.type))


class AnnotatedTruth:
    """A `GroundTruthSet` of annotation files.

    Boxes in pixels are divided by the size that the annotation gives, else by that of the image's header, upright; for
    boxes in units of the image no image is opened, and its row may have no size. Without a label map of their own,
    class names are numbered from 1 in alphabetical order, for which the files are read twice.
    """

    def __init__(
        self,
        annotations: Annotations,
        images_folder: str | None = None,
        columns: Sequence[str] = (),
        masks_file: str | None = None,
    ):
        """`columns`: what the annotations were asked for, see `open_ground_truth`; `masks_file`: where masks are."""
        self._asked = tuple(columns)
        self._masks_file = masks_file
        self.object_faults = 0
        self.first_object_faults: list[AnnotationFault] = []
        self._annotations = annotations
        self._given_folder = images_folder

    @property
    def form(self) -> str:
        return self._annotations.format

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """See `GroundTruthSet`; None where there is no object at all."""
        if self._annotations.label_map is not None:
            return self._annotations.label_map
        names = {
            item.label
            for image in self._annotations.images()
            if isinstance(image, AnnotatedImage)
            for item in image.objects
        }
        return LabelMap.of_names(sorted(names)) if names else None

    @property
    def own_names(self) -> Mapping[int, str] | None:
        """See `GroundTruthSet`."""
        if not isinstance(self._annotations, CocoAnnotations) or self.label_map is None:
            return None
        names = {id: name for name, id in self._annotations.category_ids.items()}
        return names if names != self.label_map.names else None

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {item.name: item.id for item in self.label_map.items} if self.label_map else {}

    @functools.cached_property
    def _images_folder(self) -> str | None:
        return self._given_folder or self._annotations.images_folder

    @functools.cached_property
    def columns(self) -> Sequence[str]:
        """See `GroundTruthSet`: of what was not asked for, only the columns of the schema are known."""
        wanted = [name for name in self._asked if name not in _VALUES]
        there: set[str] = set()
        for image in itertools.islice(self._annotations.images() if wanted else (), _LOOKED_AT):
            if isinstance(image, AnnotatedImage):
                there.update(name for name, _ in image.columns)
            if len(there) == len(wanted):
                break
        return [*_VALUES, *(name for name in wanted if name in there)]

    def left_out(self) -> Mapping[str, str | None]:
        """See `GroundTruthSet`: annotation files are not divided."""
        return {}

    def tables(self) -> Iterator[pa.Table]:
        """See `GroundTruthSet.tables`."""
        self.object_faults, self.first_object_faults = 0, []
        with storage.open_input(self._masks_file) if self._masks_file else contextlib.nullcontext() as file:
            yield from self._tables(file)

    def _tables(self, file: BinaryIO | None) -> Iterator[pa.Table]:
        labels = self.label_map.labels if self.label_map else {}
        rows: list[FrameRow] = []
        more: list[dict[str, str]] = []
        for found in self._annotations.images():
            if isinstance(found, AnnotatedImage):
                rows.append(self._row(found, file))
                more.append(dict(found.columns))
            elif not found.of_object:
                rows.append(self._blank(found.name or found.place, _error(found.message, found.place)))
                more.append({})
            else:
                self.object_faults += 1
                if len(self.first_object_faults) < _KEPT_FAULTS:
                    self.first_object_faults.append(found)
            if len(rows) == TABLE_ROWS:
                yield self._table(rows, more, labels)
                rows, more = [], []
        if rows:
            yield self._table(rows, more, labels)

    def _table(
        self, rows: Sequence[FrameRow], more: Sequence[Mapping[str, str]], labels: Mapping[int, str]
    ) -> pa.Table:
        table = ground_truth_table(rows, labels)
        for name in self.columns:
            if name not in _VALUES:
                table = table.append_column(name, pa.array([one.get(name) for one in more], pa.string()))
        return table

    def _blank(self, key: str, error: FrameError | None = None) -> FrameRow:
        source = storage.join(self._images_folder, key) if self._images_folder else key
        return FrameRow(key, storage.printable(source), "image", 0, error=error)

    def _row(self, image: AnnotatedImage, file: BinaryIO | None) -> FrameRow:
        row = self._blank(image.name)._replace(source_id=image.source_id or None)
        if image.normalised:
            objects = self._objects(image.objects, [item.box_px for item in image.objects])
            return row._replace(width=image.width, height=image.height, objects=objects)
        try:
            width, height = self._size(image)
        except AnnotationError as error:
            if not image.objects:  # whatever its size, nothing is in it
                return row._replace(width=image.width, height=image.height, objects=GroundTruth.empty())
            return row._replace(error=_error(str(error), image.place))
        normalised = boxes.to_normalised([item.box_px for item in image.objects], height, width)
        objects = self._objects(image.objects, normalised)
        if file is not None and len(objects):
            try:
                objects = dataclasses.replace(objects, masks=_masks(file, image.objects, height, width))
            except AnnotationError as error:
                return row._replace(error=_error(str(error), image.place))
        return row._replace(width=width, height=height, objects=objects)

    def _size(self, image: AnnotatedImage) -> tuple[int, int]:
        """Width and height in pixels."""
        if image.width is not None and image.height is not None:
            return image.width, image.height
        if self._images_folder is None:
            raise AnnotationError("it does not say how large the image is, and where the images lie is not known")
        try:
            place = storage.join(self._images_folder, image.name)
            found = look_for(place)
            header = read_header(read_encoded(place if found is None else found.path))
        except (OSError, InputError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise AnnotationError(
                f"it does not say how large the image is, nor does {image.name} in {self._images_folder}: {why}"
            ) from error
        return header.width, header.height

    def _objects(self, objects: Sequence[AnnotatedObject], normalised: npt.ArrayLike) -> GroundTruth:
        if not objects or self.label_map is None:
            return GroundTruth.empty()
        areas = [item.area for item in objects]
        ids = [self._ids[item.label] for item in objects]
        labels = self.label_map.labels
        return GroundTruth.of(
            normalised,
            ids,
            is_crowd=[item.is_crowd for item in objects],
            difficult=[item.difficult for item in objects],
            group_of=[item.group_of for item in objects],
            labels=[labels.get(class_id, item.label) for class_id, item in zip(ids, objects, strict=True)],
            area=None if areas.count(None) == len(areas) else [float("nan") if a is None else a for a in areas],
        )


def _masks(file: BinaryIO, objects: Sequence[AnnotatedObject], height: int, width: int) -> tuple[bytes | None, ...]:
    """Of every object; None for one without a segmentation."""
    masks: list[bytes | None] = []
    for item in objects:
        segmentation = read_excerpt(file, item.excerpt).get("segmentation") if item.excerpt is not None else None
        masks.append(encode_mask(segmentation, height, width) if segmentation else None)
    return tuple(masks)


def _error(message: str, place: str) -> FrameError:
    return FrameError(AnnotationError.stage, AnnotationError.__name__, f"{place}: {message}")
