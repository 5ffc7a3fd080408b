"""Annotations in COCO's form: one JSON file for all images.

    {"images": [{"id": 397133, "file_name": "000000397133.jpg", "width": 640, "height": 427}, ...],
     "annotations": [{"id": 82445, "image_id": 397133, "category_id": 44, "bbox": [x, y, width, height],
                      "area": 1481.4, "iscrowd": 0}, ...],
     "categories": [{"id": 44, "name": "bottle"}, ...]}

`area` and `iscrowd` can be absent; segmentations and keypoints stay in the file and are read from there where they are
wanted (see `shapes`); everything else is passed over. The file is read as a
stream: see `json_stream` and `coco_index`.

Ids of categories become those of the label map, gaps included. Only 0 is the background there; so in a file that
numbers its classes from 0, every id is one higher in the label map. A category 0 that is nothing but the parent of the
others (Roboflow writes one) is left out, and a category 0 called "background" stays what it is.
"""

import functools
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    is_text,
    no_such_path,
    parent_folder,
)
from od_core.annotations.coco_index import CocoIndex, category_id_of
from od_core.annotations.json_stream import JsonStream
from od_core.errors import UsageError
from od_core.label_map import BACKGROUND, LabelMap, LabelMapItem

_WANTED = 'expected COCO\'s {"images": [...], "annotations": [...], "categories": [...]}'
_PROBES = 5


class _Category(NamedTuple):
    id: int
    name: str
    parent: str
    keypoints: tuple[str, ...]


class CocoAnnotations:
    """The annotations of one file, in the order of its images."""

    format = "coco"

    def __init__(
        self,
        path: str,
        index: CocoIndex,
        names: Mapping[int, str],
        faults: Sequence[AnnotationFault] = (),
        keypoints: Mapping[str, Sequence[str]] | None = None,
    ):
        """Of what was read.

        Args:
            path: of the file.
            index: its images and annotations.
            names: of the file's own category ids.
            faults: entries of `categories` that cannot be used.
            keypoints: names of the keypoints of the classes that have any.
        """
        self.path = path
        self.keypoints = keypoints or {}
        self._origin = posixpath.basename(storage.printable(path))
        self._index = index
        self._names = names
        self._faults = faults

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """The categories, see the module; None if there are none."""
        if not self._names:
            return None
        shift = int(self._names.get(0, BACKGROUND) != BACKGROUND)
        return LabelMap(tuple(LabelMapItem(id + shift, name) for id, name in sorted(self._names.items())))

    @property
    def category_ids(self) -> Mapping[str, int]:
        """The file's own ids of its categories, by their names."""
        return {name: id for id, name in self._names.items()}

    def image_id(self, source_id: str) -> int | str:
        """The file's own id of an image, a number or text, from the text that `AnnotatedImage` has."""
        return source_id if source_id in self._index.text_ids else int(source_id)

    @functools.cached_property
    def images_folder(self) -> str | None:
        """The first of the usual places in which one of the first images is found; None if there is none."""
        folder, file = posixpath.split(self.path)
        folder = folder or "."
        split = posixpath.splitext(file)[0].rpartition("_")[2]
        around = (parent_folder(folder), folder)
        candidates = [
            storage.join(base, *inner) for inner in ((split,), ("images", split), ("images",)) for base in around
        ]
        names = [entry.name for entry in self._index.images if entry.name is not None][:_PROBES]
        for candidate in (*candidates, *reversed(around)):
            if any(storage.stat(storage.join(candidate, name)) is not None for name in names):
                return candidate
        return None

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`; faults of no image in particular come first and last."""
        yield from self._faults
        yield from self._index.faults
        for number, entry in enumerate(self._index.images):
            if entry.name is None:
                continue
            place = f"{self._origin}: image {entry.id}"
            objects, faults = self._objects(number, entry.name)
            size = entry.width, entry.height
            yield AnnotatedImage(entry.name, self.path, place, entry.id, *size, objects, columns=entry.columns)
            yield from faults
            yield from self._index.object_faults(number)
        for object_place, image_id in self._index.orphans():
            message = f"it is about an image with the id {image_id}, which the file does not have"
            yield AnnotationFault(f"{self._origin}: {object_place}", message, None, of_object=True)
        yield from self._index.object_faults(None)

    def _objects(self, number: int, name: str) -> tuple[tuple[AnnotatedObject, ...], list[AnnotationFault]]:
        rows = self._index.rows(number)
        objects = []
        faults = []
        columns = zip(*(_plain(column) for column in rows), strict=True)
        for place, category_id, box, area, is_crowd, excerpt in columns:
            label = self._names.get(category_id)
            if label is None:
                message = f"its category_id is {category_id}, which is not among the file's categories"
                faults.append(AnnotationFault(f"{self._origin}: {place}", message, name, of_object=True))
                continue
            known_area = None if math.isnan(area) else area
            one = AnnotatedObject(label, tuple(box), place, category_id, is_crowd, area=known_area, excerpt=excerpt)
            objects.append(one)
        return tuple(objects), faults


def _plain(column: Any) -> Sequence[Any]:
    values: Sequence[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    return values


def read_coco(path: str, *, with_excerpts: bool = False, image_columns: Sequence[str] = ()) -> CocoAnnotations:
    """Read a COCO file to its end.

    Args:
        path: of the file.
        with_excerpts: note where each annotation is written, for `shapes`: 24 bytes each.
        image_columns: further fields of images to keep, where they are numbers or text.

    Raises:
        UsageError: no such file, not JSON, cut off, JSON of another kind (it says which), no boxes in any of its
            annotations, or categories that cannot be told apart.
    """
    origin = storage.printable(path)
    index = CocoIndex(posixpath.basename(origin), image_columns)
    categories: list[object] = []
    if storage.stat(path) is None:
        raise no_such_path(path)
    try:
        with storage.open_input(path) as file:
            stream = JsonStream(file, origin)
            for member, entry in stream.elements():
                if member == "":
                    raise UsageError(f"{origin}: {_list_kind(entry)}, {_WANTED}")
                if member == "images":
                    index.add_image(entry)
                elif member == "annotations":
                    if index.annotation_count == 0:
                        _refuse_other_kinds(origin, entry)
                    index.add_annotation(entry, stream.excerpt() if with_excerpts else None)
                elif member == "categories":
                    categories.append(entry)
    except OSError as error:
        raise UsageError(f"{origin}: cannot be read ({error.strerror or error})") from error
    _check_members(origin, stream.members)
    if index.annotation_count and index.annotation_count == index.without_bbox:
        raise UsageError(
            f"{origin}: none of its {index.annotation_count} annotations has a bbox, so it is not for object detection"
        )
    index.seal()
    names, keypoints, faults = _names(origin, categories)
    if index.box_count and not names:
        raise UsageError(f"{origin}: its annotations have classes, but it lists no categories, {_WANTED}")
    return CocoAnnotations(path, index, names, faults, keypoints)


def _check_members(origin: str, members: Mapping[str, bool]) -> None:
    if "images" in members and "annotations" not in members:
        raise UsageError(f"{origin}: only a list of images, without annotations, {_WANTED}")
    missing = [name for name in ("images", "annotations") if name not in members]
    if missing:
        found = ", ".join(f'"{name[:40]}"' for name in list(members)[:8]) or "nothing"
        raise UsageError(f"{origin}: not a COCO file: it has {found}, {_WANTED}")
    wrong = [name for name in ("images", "annotations", "categories") if not members.get(name, True)]
    if wrong:
        raise UsageError(f'{origin}: "{wrong[0]}" is not a list in [], {_WANTED}')


def _list_kind(entry: object) -> str:
    if isinstance(entry, dict) and "score" in entry:
        return "a list of detection results, not of annotations"
    return "a JSON list"


def _refuse_other_kinds(origin: str, first: object) -> None:
    """Annotations of another task than detection, by the first of them."""
    if not isinstance(first, dict) or "bbox" in first:
        return
    if "caption" in first:
        raise UsageError(f"{origin}: COCO captions, not boxes; take the instances file of the same images")
    if "segments_info" in first:
        raise UsageError(
            f"{origin}: a COCO panoptic segmentation, not boxes; take the instances file of the same images"
        )


def _names(
    origin: str, entries: Sequence[object]
) -> tuple[dict[int, str], dict[str, tuple[str, ...]], list[AnnotationFault]]:
    """Category names by id, in the order of the file, names of keypoints by category, and what cannot be used."""
    categories: dict[int, _Category] = {}
    faults = []
    for number, entry in enumerate(entries):
        fields = entry if isinstance(entry, dict) else {}
        id, name, parent = category_id_of(fields.get("id")), fields.get("name"), fields.get("supercategory")
        if id is None or not isinstance(name, str) or not name or not is_text(name):
            message = "expected a category with an id (a whole number from 0) and a name"
            place = f"{posixpath.basename(origin)}: categories[{number}]"
            faults.append(AnnotationFault(place, message, None, of_object=True, objects=0))
            continue
        points = fields.get("keypoints")
        known = isinstance(points, list) and all(isinstance(point, str) and is_text(point) for point in points)
        other = categories.setdefault(id, _Category(id, name, str(parent), tuple(points) if known and points else ()))
        if other.name != name:
            raise UsageError(f"{origin}: the category id {id} stands for both {other.name!r} and {name!r}; correct one")
    if 0 in categories and any(other.parent == categories[0].name for other in categories.values() if other.id):
        del categories[0]
    ids: dict[str, int] = {}
    for category in categories.values():
        first = ids.setdefault(category.name, category.id)
        if first != category.id:
            raise UsageError(
                f"{origin}: the categories {first} and {category.id} are both called {category.name!r}; classes are "
                "told apart by their names: rename one, or give both the same id"
            )
    names = {category.id: category.name for category in categories.values()}
    return names, {one.name: one.keypoints for one in categories.values() if one.keypoints}, faults
