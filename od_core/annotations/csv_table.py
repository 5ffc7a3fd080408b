"""Annotations as a table of boxes, one a line: CSV, or with semicolons or tabs.

    filename,width,height,class,xmin,ymin,xmax,ymax
    a.jpg,640,480,cat,10,20,110,220
    a.jpg,640,480,dog,300,40,420,180
    b.jpg,640,480,,,,,                      an image without objects

Other columns and headers: see `csv_columns`. Rows about one image may stand anywhere. Edges are pixels, without a shift
by one; if those of all boxes lie between 0 and 1 they are in units of the image's width and height. A file in which
most boxes do, but not all, could be either, and is refused unless somebody says which.
"""

import math
import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.annotations.annotated import (
    MAX_PIXEL,
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    AnnotationNote,
    image_name,
    is_coordinate,
    no_such_path,
    pixels_or_none,
)
from od_core.annotations.csv_columns import EDGES, EXTENTS, FLAGS, Columns, find_columns
from od_core.annotations.csv_rows import CsvRow, CsvRows, open_table
from od_core.annotations.table_index import TableBox, TableIndex
from od_core.errors import AnnotationError, UsageError

BOX_UNITS = ("auto", "pixels", "normalised")

_NUMBERS = (*FLAGS, "area", "confidence")
_OWN_FLAGS = ("truncated", "occluded", "depiction")
_TRUE_AND_FALSE = {"true": 1, "yes": 1, "false": 0, "no": 0, "": 0}
_MOSTLY = 0.5


class _ImageColumns(NamedTuple):
    """What a table says of an image beside its boxes."""

    width: int | None
    height: int | None
    source_id: str
    split: str
    more: tuple[tuple[str, str], ...] = ()


class CsvAnnotations:
    """The images of one table, by first mention."""

    format = "csv"
    label_map = None

    def __init__(
        self,
        path: str,
        index: TableIndex,
        images: Sequence[_ImageColumns],
        views: Mapping[int, str],
        faults: Sequence[AnnotationFault],
        columns: Mapping[str, int],
        normalised: bool,
        recognised: bool,
    ):
        """`views`: by line; `recognised`: nobody said that the boxes are normalised, it was seen."""
        self._path = path
        self._origin = posixpath.basename(storage.printable(path))
        self._index = index
        self._images = images
        self._views = views
        self._faults = faults
        self._columns = columns
        self._normalised = normalised
        self._recognised = recognised
        self.images_folder = _images_folder(path, [image.name for image in index.images()])

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`; faults of no image in particular come first."""
        yield from self._faults
        for number, image in enumerate(self._index.images()):
            said = self._images[number]
            objects = tuple(self._object(box) for box in self._index.boxes(number))
            yield AnnotatedImage(
                image.name,
                self._path,
                f"{self._origin}: {image.name} (line {image.line})",
                said.source_id,
                said.width,
                said.height,
                objects,
                said.split or None,
                self._normalised,
                notes=self._notes(len(objects)),
                columns=said.more,
            )
            yield from image.faults

    def _notes(self, count: int) -> tuple[AnnotationNote, ...]:
        if not self._recognised or not count:
            return ()
        text = (
            "its boxes are taken to be in units of the image, because those of the whole file lie between 0 and 1 "
            "(--csv_boxes)"
        )
        return (AnnotationNote("images_with_recognised_units", text),)

    def _object(self, row: TableBox) -> AnnotatedObject:
        numbers = dict(zip(_NUMBERS, row.numbers, strict=True))
        features: list[tuple[str, int | float | str]] = [
            (name, int(numbers[name])) for name in _OWN_FLAGS if name in self._columns
        ]
        if not math.isnan(numbers["confidence"]):
            features.append(("class/score", numbers["confidence"]))
        if "view" in self._columns:
            features.append(("view", self._views.get(row.line) or "Unspecified"))
        return AnnotatedObject(
            row.label,
            row.box,
            f"line {row.line}",
            is_crowd=numbers["is_crowd"] > 0,
            difficult=numbers["difficult"] > 0,
            group_of=numbers["group_of"] > 0,
            area=None if math.isnan(numbers["area"]) else numbers["area"],
            features=tuple(features),
        )


def read_csv(
    path: str,
    *,
    columns: Mapping[str, str] | None = None,
    boxes: str = "auto",
    images: str | None = None,
    image_columns: Sequence[str] = (),
) -> CsvAnnotations:
    """Read a table to its end.

    Args:
        columns: which column of the file means what, see `csv_columns`.
        boxes: in which units they are, one of `BOX_UNITS`.
        images: the image folder: absolute paths that lead into it are taken as below it.
        image_columns: columns to keep of every image, from its first line; of those that are there.

    Raises:
        UsageError: no such file, no table, columns that are not there, no image in any of its lines, or boxes of which
            it is not clear in which units they are.
    """
    if boxes not in BOX_UNITS:
        raise UsageError(f"--csv_boxes: {boxes!r} is not one of {', '.join(BOX_UNITS)}")
    if storage.stat(path) is None:
        raise no_such_path(path)
    with open_table(path) as rows:
        return _Reader(path, images, image_columns).read(rows, columns or {}, boxes)


class _Reader:
    """A table on its way into an index."""

    def __init__(self, path: str, images: str | None, image_columns: Sequence[str]):
        self._asked = image_columns
        self._more: dict[str, int] = {}
        self._path = path
        self._origin = posixpath.basename(storage.printable(path))
        self._images_folder = images.rstrip("/") + "/" if images else None
        self._index = TableIndex(len(_NUMBERS))
        self._images: list[_ImageColumns] = []
        self._codes: dict[str, int] = {}  # by the names as they are written
        self._views: dict[int, str] = {}
        self._faults: list[AnnotationFault] = []
        self._columns = Columns({}, 0)

    def read(self, rows: CsvRows, given: Mapping[str, str], boxes: str) -> CsvAnnotations:
        for number, row in enumerate(rows):
            if number == 0:
                self._columns = find_columns(self._path, row.fields, given)
                if self._columns.total:
                    self._more = {name: row.fields.index(name) for name in self._asked if name in row.fields}
                    continue
            self._add(row)
        if not self._columns.places:
            raise UsageError(f"{self._path}: the file is empty, expected a table of boxes")
        if not self._index.image_count:
            first = f"; {self._faults[0].place}: {self._faults[0].message}" if self._faults else ""
            raise UsageError(f"{self._path}: no line of the table is about an image{first}")
        self._index.seal()
        share = self._index.share_normalised()
        if boxes == "auto" and _MOSTLY < share < 1:
            raise UsageError(
                f"{self._path}: most boxes lie between 0 and 1, as in units of the image, but not all ({share:.1%});"
                " say which it is with --csv_boxes normalised or --csv_boxes pixels"
            )
        return CsvAnnotations(
            self._path,
            self._index,
            self._images,
            self._views,
            self._faults,
            self._columns.places,
            normalised=boxes == "normalised" or (boxes == "auto" and share == 1),
            recognised=boxes == "auto" and share == 1,
        )

    def _add(self, row: CsvRow) -> None:
        place = f"{self._origin}: line {row.line}"
        image = None
        try:
            self._check(row)
            image = self._image(row)
            self._note_image(row, image)
            self._add_box(row, image)
        except AnnotationError as error:
            if image is None:
                self._faults.append(AnnotationFault(place, str(error), None, of_object=True))
            else:
                name = image_name(self._name(row))
                self._index.add_fault(image, AnnotationFault(place, str(error), name, of_object=True))

    def _check(self, row: CsvRow) -> None:
        if row.fault:
            raise AnnotationError(row.fault)
        count = self._columns.total or max(self._columns.places.values()) + 1
        if len(row.fields) == count:
            return
        extra = row.fields[count:] if self._columns.total else ()
        if len(row.fields) < count or any(extra):
            advice = "; is there a comma in a name that is not in quotation marks?" if extra else ""
            raise AnnotationError(f"the line has {len(row.fields)} columns, expected {count}{advice}")

    def _name(self, row: CsvRow) -> str:
        name = row.fields[self._columns.places["filename"]]
        return name.removeprefix(self._images_folder) if self._images_folder else name

    def _image(self, row: CsvRow) -> int:
        given = self._name(row)
        if given in self._codes:
            return self._codes[given]
        try:
            name = image_name(given)
        except ValueError as error:
            raise AnnotationError(str(error)) from error
        code = self._codes[given] = self._index.image(name, row.line)
        if code == len(self._images):
            texts = self._text(row, "source_id"), self._text(row, "split")
            more = tuple((name, sys.intern(row.fields[place])) for name, place in self._more.items())
            self._images.append(_ImageColumns(*self._size(row), *texts, more))
        return code

    def _size(self, row: CsvRow) -> tuple[int | None, int | None]:
        return pixels_or_none(self._text(row, "width")), pixels_or_none(self._text(row, "height"))

    def _note_image(self, row: CsvRow, image: int) -> None:
        """Refuse a line that tells another size than one before; keep what none before has told."""
        known, (width, height) = self._images[image], self._size(row)
        if (width and known.width and width != known.width) or (height and known.height and height != known.height):
            raise AnnotationError(
                f"it says that the image is {width} x {height}, where a line before says {known.width} x "
                f"{known.height}; the box may be of another image"
            )
        source_id, split = self._text(row, "source_id"), self._text(row, "split")
        if known[:4] != (width, height, source_id, split):
            self._images[image] = _ImageColumns(
                known.width or width,
                known.height or height,
                known.source_id or source_id,
                known.split or split,
                known.more,
            )

    def _text(self, row: CsvRow, column: str) -> str:
        place = self._columns.places.get(column)
        return "" if place is None else row.fields[place]

    def _add_box(self, row: CsvRow, image: int) -> None:
        label = self._text(row, "class")
        places = self._columns.places
        texts = {edge: self._text(row, edge if edge in places else EXTENTS.get(edge, "")) for edge in EDGES}
        if not any(texts.values()):
            if label:
                raise AnnotationError(f"the class is {label!r}, but there is no box; without objects leave both empty")
            return
        if not label:
            raise AnnotationError("a box without a class")
        values = {edge: _coordinate(edge, text) for edge, text in texts.items()}
        for edge, extent in EXTENTS.items():
            if edge not in places:
                values[edge] += values[edge.replace("max", "min")]
                if values[edge] > MAX_PIXEL:
                    raise AnnotationError(f"the {extent} is {texts[edge][:40]!r}, more than any image has")
        numbers = [float(self._flag(row, name)) if name in self._columns.places else 0.0 for name in FLAGS]
        self._index.add_box(
            image,
            row.line,
            label,
            (values["ymin"], values["xmin"], values["ymax"], values["xmax"]),
            [*numbers, self._area(row), self._confidence(row)],
        )
        if self._text(row, "view"):
            self._views[row.line] = self._text(row, "view")

    def _flag(self, row: CsvRow, column: str) -> int:
        """1 or 0; -1, as Open Images writes it, for what is not known."""
        text = self._text(row, column).lower()
        value = _TRUE_AND_FALSE.get(text)
        if value is None:
            number = _number_or_nan(text)
            if number not in (-1, 0, 1):
                raise AnnotationError(f"{column} is {text[:40]!r}, expected 1 or 0")
            value = int(number)
        return value

    def _area(self, row: CsvRow) -> float:
        value = _number_or_nan(self._text(row, "area") or "nan")
        return value if value >= 0 else math.nan

    def _confidence(self, row: CsvRow) -> float:
        text = self._text(row, "confidence")
        value = _number_or_nan(text or "nan")
        if text and not 0 <= value <= 1:
            raise AnnotationError(f"the confidence is {text[:40]!r}, expected a number from 0 to 1")
        return value


def _coordinate(edge: str, text: str) -> float:
    value = _number_or_nan(text)
    if not is_coordinate(value):
        raise AnnotationError(f"{edge} is {text[:40]!r}, expected a number")
    return value


def _number_or_nan(text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # float() would read 1_0 as 10
    except ValueError:
        return math.nan
    return value if is_coordinate(value) else math.nan


def _images_folder(path: str, names: Sequence[str]) -> str | None:
    """Where the first images lie: images/ beside the table, or its own folder; None if they are in neither."""
    folder = posixpath.dirname(path) or "."
    for candidate in (storage.join(folder, "images"), folder):
        if any(storage.stat(storage.join(candidate, name)) is not None for name in names[:5]):
            return candidate
    return None
