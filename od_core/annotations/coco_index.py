"""What a COCO file says, kept small: a line of numbers for every annotation instead of Python objects.

Annotations come in any order and before or after the images they are about, so all of a file has to be read before the
first image is complete. A million of them take 70 MB.
"""

import array
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.annotations.annotated import (
    MAX_PIXEL,
    AnnotationFault,
    Excerpt,
    image_name,
    is_coordinate,
    is_text,
    pixels_or_none,
)
from od_core.errors import AnnotationError

# One less than what fits into a label map, see `coco` on ids that begin at 0.
MAX_CATEGORY_ID = 2**31 - 2

_NUMBERS = {int, float}  # true and false are none here


class ImageEntry(NamedTuple):
    """One entry of `images`; name: None where the entry is of no use and has been reported; columns: further fields."""

    id: str
    name: str | None
    width: int | None
    height: int | None
    columns: tuple[tuple[str, str], ...] = ()


class Rows(NamedTuple):
    """Annotations of one image, one each in every list.

    boxes: float64 (N, 4), [ymin, xmin, ymax, xmax] in pixels; area: NaN where it is not known.
    """

    places: tuple[str, ...]
    category_ids: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    areas: npt.NDArray[np.float64]
    is_crowd: npt.NDArray[np.bool_]
    excerpts: Sequence[Excerpt | None]


class CocoIndex:
    """The images and annotations of one file, filled entry by entry, then sealed, then read image by image.

    Attributes:
        images: in the order of the file.
        text_ids: those ids of images that are text in the file, also where they look like numbers.
        faults: entries of `images` and those of `annotations` that do not say which image they are about.
        annotation_count: entries of `annotations`, usable or not.
        without_bbox: those that do not even have a `bbox`.
        box_count: those that can be used as far as they themselves go.
    """

    def __init__(self, origin: str, image_columns: Sequence[str] = ()):
        """`origin`: the file's name, for messages; `image_columns`: further fields of images to keep, as text."""
        self._image_columns = tuple(image_columns)
        self.images: list[ImageEntry] = []
        self.text_ids: set[str] = set()
        self.faults: list[AnnotationFault] = []
        self.annotation_count = 0
        self.without_bbox = 0
        self._origin = origin
        self._codes: dict[str, int] = {}  # image id -> its number here, by first mention
        self._image_of_code: dict[int, int] = {}
        self._entry_of_name: dict[str, str] = {}
        self._object_faults: dict[int, list[AnnotationFault]] = {}  # by the image's code
        self._fault_of_entry: dict[int, int] = {}  # number of an image that is lost -> its place in `faults`
        self._odd_ids: dict[int, str] = {}  # ids of annotations that are not numbers
        self._ids = array.array("q")
        self._image_codes = array.array("q")
        self._category_ids = array.array("q")
        self._boxes = array.array("d")
        self._areas = array.array("d")
        self._is_crowd = array.array("b")
        self._excerpts = array.array("q")
        self._order: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._starts: npt.NDArray[np.intp] = np.zeros(1, np.intp)

    @property
    def box_count(self) -> int:
        return len(self._image_codes)

    def add_image(self, entry: object) -> None:
        """One entry of `images`."""
        try:
            fields = _fields(entry)
            image_id = id_text(fields.get("id"))
            if image_id is None:
                raise AnnotationError(f"the image has no id, or one that is no id ({_shown(fields, 'id')})")
        except AnnotationError as error:
            self.faults.append(AnnotationFault(f"{self._origin}: images[{len(self.images)}]", str(error), None))
            return
        if isinstance(fields["id"], str):
            self.text_ids.add(image_id)
        place = f"{self._origin}: image {image_id}"
        code = self._codes.setdefault(image_id, len(self._codes))
        name = None
        try:
            if code in self._image_of_code:
                raise AnnotationError(f"a second image has the id {image_id}; the first one keeps it")
            self._image_of_code[code] = len(self.images)
            name = self._new_name(fields, place)
        except AnnotationError as error:
            self._fault_of_entry[len(self.images)] = len(self.faults)
            self.faults.append(AnnotationFault(place, str(error), None))
        width, height = pixels_or_none(fields.get("width")), pixels_or_none(fields.get("height"))
        self.images.append(ImageEntry(image_id, name, width, height, self._columns_of(fields)))

    def _columns_of(self, fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        values = ((name, fields.get(name)) for name in self._image_columns)
        return tuple((name, sys.intern(str(x))) for name, x in values if isinstance(x, int | float) or is_text(x))

    def _new_name(self, fields: Mapping[str, Any], place: str) -> str:
        given = fields.get("file_name")
        if not isinstance(given, str):
            raise AnnotationError(f"the image has no file_name ({_shown(fields, 'file_name')})")
        try:
            name = image_name(given)
        except ValueError as error:
            raise AnnotationError(str(error)) from error
        first = self._entry_of_name.setdefault(name, place)
        if first != place:
            raise AnnotationError(f"its file_name is {name}, which is that of {first} as well")
        return name

    def add_annotation(self, entry: object, excerpt: Excerpt | None = None) -> None:
        """One entry of `annotations`, and where it is written if that is to be kept: for all of them or for none."""
        self.annotation_count += 1
        place = f"annotations[{self.annotation_count - 1}]"
        code = None
        try:
            fields = _fields(entry)
            self.without_bbox += "bbox" not in fields
            own_id = id_text(fields.get("id"))
            place = f"annotation {own_id}" if own_id is not None else place
            image_id = id_text(fields.get("image_id"))
            if image_id is None:
                raise AnnotationError(f"it does not say which image it is about ({_shown(fields, 'image_id')})")
            code = self._codes.setdefault(image_id, len(self._codes))
            category_id = category_id_of(fields.get("category_id"))
            if category_id is None:
                raise AnnotationError(f"it does not say of which category it is ({_shown(fields, 'category_id')})")
            box = _box(fields)
        except AnnotationError as error:
            fault = AnnotationFault(f"{self._origin}: {place}", str(error), None, of_object=True)
            (self.faults if code is None else self._object_faults.setdefault(code, [])).append(fault)
            return
        self._keep_id(own_id)
        self._image_codes.append(code)
        self._category_ids.append(category_id)
        self._boxes.extend(box)
        self._areas.append(_area(fields.get("area")))
        self._is_crowd.append(fields.get("iscrowd") in (1, True))
        if excerpt is not None:
            self._excerpts.extend(excerpt)

    def _keep_id(self, own_id: str | None) -> None:
        """As a number; -1 - its place in the list for one that has none."""
        number = -self.annotation_count
        if own_id is not None and own_id.isascii() and own_id.isdigit() and len(own_id) < 19:
            number = int(own_id)
        if own_id is not None and str(number) != own_id:
            self._odd_ids[len(self._ids)] = own_id
        self._ids.append(number)

    def seal(self) -> None:
        """Sort the annotations by image; after the last entry."""
        count = len(self.images)
        image_of_code = np.full(len(self._codes) + 1, count, np.int64)  # orphans go last
        for code, image in self._image_of_code.items():
            image_of_code[code] = image
        images = image_of_code[np.frombuffer(self._image_codes, np.int64)]
        self._order = np.argsort(images, kind="stable")
        self._starts = np.searchsorted(images[self._order], np.arange(count + 1))
        for image, place in self._fault_of_entry.items():
            objects = int(self._starts[image + 1] - self._starts[image]) + len(self.object_faults(image))
            self.faults[place] = self.faults[place]._replace(objects=objects)

    def rows(self, image: int) -> Rows:
        """The annotations of `images[image]`, in the order of the file."""
        return self._rows(self._order[self._starts[image] : self._starts[image + 1]])

    def orphans(self) -> Iterator[tuple[str, str]]:
        """(place, image id) of the annotations of images that are not in the file."""
        order = self._order[self._starts[len(self.images)] :]
        ids_of_codes = {code: id for id, code in self._codes.items() if code not in self._image_of_code}
        for row in order.tolist():
            yield self._place(row, self._ids[row]), ids_of_codes[self._image_codes[row]]

    def object_faults(self, image: int | None) -> list[AnnotationFault]:
        """The faults of annotations of `images[image]`; for None, of images that are not in the file."""
        if image is None:
            return [
                fault
                for code, faults in self._object_faults.items()
                if code not in self._image_of_code
                for fault in faults
            ]
        entry = self.images[image]
        code = self._codes[entry.id]
        faults = self._object_faults.get(code, []) if self._image_of_code[code] == image else []
        return [fault._replace(name=entry.name) for fault in faults]

    def _rows(self, order: npt.NDArray[np.intp]) -> Rows:
        ids = np.frombuffer(self._ids, np.int64)[order].tolist()
        return Rows(
            tuple(self._place(row, id) for row, id in zip(order.tolist(), ids, strict=True)),
            np.frombuffer(self._category_ids, np.int64)[order],
            np.frombuffer(self._boxes, np.float64).reshape(-1, 4)[order],
            np.frombuffer(self._areas, np.float64)[order],
            np.frombuffer(self._is_crowd, np.int8)[order].astype(np.bool_),
            self._excerpts_of(order),
        )

    def _excerpts_of(self, order: npt.NDArray[np.intp]) -> Sequence[Excerpt | None]:
        if not self._excerpts:
            return [None] * len(order)
        return [Excerpt(*one) for one in np.frombuffer(self._excerpts, np.int64).reshape(-1, 3)[order].tolist()]

    def _place(self, row: int, id: int) -> str:
        if row in self._odd_ids:
            return f"annotation {self._odd_ids[row]}"
        return f"annotation {id}" if id >= 0 else f"annotations[{-id - 1}]"


def id_text(value: object) -> str | None:
    """An id as text: 7, 7.0 and "7" are the same; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 2**63 else None
    return value if isinstance(value, str) and is_text(value) and value else None


def category_id_of(value: object) -> int | None:
    """The id of a category as a number from 0, also where it is written as text; None for what is no such id."""
    text = id_text(value) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_CATEGORY_ID else None


def _fields(entry: object) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise AnnotationError(f"expected an object in {{}}, found {_abridged(entry)}")
    return entry


def _shown(fields: Mapping[str, Any], name: str) -> str:
    return f"{name}: {_abridged(fields[name])}" if name in fields else f"no {name}"


def _abridged(value: object) -> str:
    text = json.dumps(value)  # which escapes what cannot be printed
    return text if len(text) <= 60 else f"{text[:57]}..."


def _box(fields: Mapping[str, Any]) -> tuple[float, float, float, float]:
    bbox = fields.get("bbox")
    if not (isinstance(bbox, list) and len(bbox) == 4 and set(map(type, bbox)) <= _NUMBERS):
        raise AnnotationError(f"expected a bbox of four numbers [x, y, width, height], found {_shown(fields, 'bbox')}")
    if not all(map(is_coordinate, bbox)):
        raise AnnotationError(f"the bbox is not a place in an image ({_shown(fields, 'bbox')})")
    x, y, width, height = map(float, bbox)
    return y, x, y + height, x + width


def _area(value: object) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_PIXEL**2
    return float(value) if known and isinstance(value, int | float) else math.nan
