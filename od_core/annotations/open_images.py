"""Annotations in Open Images' form: CSV tables of boxes, of classes of whole images, and of what classes are called.

train-annotations-bbox.csv                   ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,
                                             IsTruncated,IsGroupOf,IsDepiction,IsInside
train-annotations-human-imagelabels.csv      ImageID,Source,LabelName,Confidence
class-descriptions-boxable.csv               /m/011k07,Tortoise

Classes are codes ("/m/011k07"), which records carry, as those of the TF Object Detection API's create_oid_tf_record.py
do; what they are called becomes the label map's display_name. Boxes are in units of the image, which is ImageID.jpg, or
has another extension in the image folder. Flags are 1, 0, or -1 for not known.
"""

import functools
import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    image_name,
    parent_folder,
)
from od_core.annotations.csv_rows import CsvRow, open_table
from od_core.annotations.open_images_files import OpenImagesFiles, split_of
from od_core.annotations.table_index import ImageLabelIndex, TableBox, TableIndex
from od_core.errors import AnnotationError, UsageError
from od_core.images import IMAGE_EXTENSIONS
from od_core.label_map import LabelMap, LabelMapItem

# Column of the table -> key of the feature that the API's script writes.
_FLAGS = {
    "isoccluded": "occluded",
    "istruncated": "truncated",
    "isgroupof": "group_of",
    "isdepiction": "depiction",
}
_EDGES = ("ymin", "xmin", "ymax", "xmax")
_BOX_COLUMNS = ("imageid", "labelname", *_EDGES)
_LABEL_COLUMNS = ("imageid", "labelname", "confidence")
_LEAST, _MOST = -0.01, 1.01
# Room for the line numbers of one file.
_LINES = 1 << 40


class OpenImagesAnnotations:
    """The images of some tables, by first mention."""

    format = "open_images"

    def __init__(self, files: OpenImagesFiles, images_folder: str | None, image_columns: Sequence[str] = ()):
        self.images_folder = images_folder
        self._image_columns = image_columns
        self._files = files

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """The classes in the order of their descriptions, then others in use; None without descriptions."""
        if self._files.descriptions is None:
            return None
        names = _descriptions(self._files.descriptions)
        others = sorted({*self._read.boxes.labels} - names.keys())
        codes = [*names, *others]
        return LabelMap(tuple(LabelMapItem(id, code, names.get(code, "")) for id, code in enumerate(codes, 1)))

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`; faults of no image in particular come first."""
        read = self._read
        yield from read.faults
        for number, image in enumerate(read.boxes.images()):
            yield AnnotatedImage(
                self._name(image.name),
                read.path_of(image.line),
                f"{read.origin_of(image.line)}: {image.name} (line {image.line % _LINES})",
                image.name,
                None,
                None,
                tuple(self._object(box, image.line) for box in read.boxes.boxes(number)),
                split_of(read.path_of(image.line)),
                normalised=True,
                labels=tuple(read.labels.labels(number)),
                columns=read.columns[number] if read.columns else (),
            )
            yield from (fault._replace(name=self._name(image.name)) for fault in image.faults)

    def _name(self, image_id: str) -> str:
        return self._other_names.get(image_id, f"{image_id}.jpg")

    def _object(self, row: TableBox, image_line: int) -> AnnotatedObject:
        known = [(key, value) for key, value in zip(_FLAGS.values(), row.numbers, strict=False) if value == value]
        features: list[tuple[str, int | float | str]] = [(key, int(value)) for key, value in known]
        confidence = row.numbers[-1]
        if confidence == confidence:
            features.append(("class/score", confidence))
        group_of = ("group_of", 1) in features
        other = self._read.path_of(row.line) != self._read.path_of(image_line)
        place = f"{self._read.origin_of(row.line)} line" if other else "line"
        return AnnotatedObject(
            row.label, row.box, f"{place} {row.line % _LINES}", group_of=group_of, features=tuple(features)
        )

    @functools.cached_property
    def _read(self) -> "_Tables":
        return _Tables(self._files, self._image_columns)

    @functools.cached_property
    def _other_names(self) -> Mapping[str, str]:
        """The names of images that are no .jpg, by their id."""
        if self.images_folder is None:
            return {}
        names = (posixpath.basename(info.path) for info in storage.walk(self.images_folder))
        pairs = ((posixpath.splitext(name), name) for name in sorted(names, reverse=True))
        return {stem: name for (stem, end), name in pairs if end.lower() in IMAGE_EXTENSIONS and end != ".jpg"}


def open_open_images(
    path: str,
    images: str | None = None,
    *,
    class_descriptions: str | None = None,
    image_labels: str | None = None,
    image_columns: Sequence[str] = (),
) -> OpenImagesAnnotations:
    """The annotations of a table of boxes, or of all in a folder. They are read when they are first asked for.

    Args:
        path: a table of boxes or of image labels, or a folder with some, or with annotations/ in it.
        images: the image folder; by default images/ in the tables' folder or beside it.
        class_descriptions: what classes are called; by default a class-descriptions*.csv beside the tables.
        image_labels: classes of whole images; by default the table whose name begins like that of the boxes.
        image_columns: columns to keep of every image, from its first line; of those that are there.

    Raises:
        UsageError: no such path, or no tables of Open Images there.
    """
    files = OpenImagesFiles.of(path, class_descriptions, image_labels)
    folder = images or _images_folder(posixpath.dirname(files.first) or ".")
    return OpenImagesAnnotations(files, folder, image_columns)


def _images_folder(folder: str) -> str | None:
    candidates = (storage.join(folder, "images"), storage.join(parent_folder(folder), "images"))
    found = next((candidate for candidate in candidates if storage.is_folder(candidate)), None)
    if found is None and any(
        posixpath.splitext(name)[1].lower() in IMAGE_EXTENSIONS for name in storage.names_in(folder)
    ):
        return folder
    return found


class _Tables:
    """All tables, read to their ends.

    Attributes:
        boxes: the boxes, and all images; labels: classes of these images; faults: of lines that name no image.
        columns: what the first line about each image has in the columns that were asked for; empty if none were.
    """

    def __init__(self, files: OpenImagesFiles, image_columns: Sequence[str] = ()):
        self.columns: list[tuple[tuple[str, str], ...]] = []
        self._image_columns = image_columns
        self.boxes = TableIndex(len(_FLAGS) + 1)
        self.labels = ImageLabelIndex()
        self.faults: list[AnnotationFault] = []
        self._paths = (*files.boxes, *files.image_labels)
        for number, path in enumerate(self._paths):
            self._read(path, number * _LINES, is_boxes=number < len(files.boxes))
        if not self.boxes.image_count:
            first = f"; {self.faults[0].place}: {self.faults[0].message}" if self.faults else ""
            raise UsageError(f"{self._paths[0]}: no line of the table is about an image{first}")
        self.boxes.seal()
        self.labels.seal(self.boxes.image_count)

    def path_of(self, line: int) -> str:
        """The file of a line."""
        return self._paths[line // _LINES]

    def origin_of(self, line: int) -> str:
        """The name of the file of a line."""
        return posixpath.basename(storage.printable(self.path_of(line)))

    def _read(self, path: str, first_line: int, is_boxes: bool) -> None:
        wanted = _BOX_COLUMNS if is_boxes else _LABEL_COLUMNS
        places: dict[str, int] = {}
        more: dict[str, int] = {}
        with open_table(path) as rows:
            for row in rows:
                if not places:
                    places = {name.lower(): place for place, name in enumerate(row.fields)}
                    missing = [name for name in wanted if name not in places]
                    if missing:
                        raise UsageError(f"{path}: not a table of Open Images: no column {missing[0]}")
                    count = len(row.fields)
                    more = {name: row.fields.index(name) for name in self._image_columns if name in row.fields}
                    continue
                self._add(row._replace(line=first_line + row.line), places, count, is_boxes)
                if self._image_columns and self.boxes.image_count > len(self.columns):
                    self.columns.append(tuple((name, sys.intern(row.fields[at])) for name, at in more.items()))

    def _add(self, row: CsvRow, places: Mapping[str, int], count: int, is_boxes: bool) -> None:
        image = None
        try:
            if row.fault or len(row.fields) != count:
                raise AnnotationError(row.fault or f"the line has {len(row.fields)} columns, expected {count}")
            image = self.boxes.image(_image_id(row.fields[places["imageid"]]), row.line)
            label = row.fields[places["labelname"]]
            if not label:
                raise AnnotationError("the line has no LabelName")
            if is_boxes:
                self._add_box(row, places, image, label)
            else:
                self.labels.add(image, label, _number(row.fields[places["confidence"]], "Confidence", 0, 1))
        except AnnotationError as error:
            place = f"{self.origin_of(row.line)}: line {row.line % _LINES}"
            fault = AnnotationFault(place, str(error), None, of_object=True)
            if image is None:
                self.faults.append(fault)
            else:
                self.boxes.add_fault(image, fault)

    def _add_box(self, row: CsvRow, places: Mapping[str, int], image: int, label: str) -> None:
        ymin, xmin, ymax, xmax = (_number(row.fields[places[edge]], edge, _LEAST, _MOST) for edge in _EDGES)
        numbers = [float("nan") if name not in places else _flag(row.fields[places[name]], name) for name in _FLAGS]
        text = row.fields[places["confidence"]] if "confidence" in places else ""
        numbers.append(_number(text, "Confidence", 0, 1) if text else float("nan"))
        self.boxes.add_box(image, row.line, label, (ymin, xmin, ymax, xmax), numbers)


def _image_id(text: str) -> str:
    try:
        image_name(f"{text}.jpg")
        if not text or "/" in text or "\\" in text:
            raise ValueError(f"the ImageID is {text[:80]!r}, expected a name without folders")
    except ValueError as error:
        raise AnnotationError(str(error)) from error
    return text


def _number(text: str, column: str, least: float, most: float) -> float:
    try:
        value = float(text.replace("_", "?"))  # float() would read 1_0 as 10
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise AnnotationError(f"{column} is {text[:40]!r}, expected a number from 0 to 1")
    return value


def _flag(text: str, column: str) -> float:
    if text not in ("-1", "0", "1"):
        raise AnnotationError(f"{column} is {text[:40]!r}, expected 1, 0, or -1 for not known")
    return float(text)


def _descriptions(path: str) -> dict[str, str]:
    """What classes are called, by their codes, in the order of the file."""
    names: dict[str, str] = {}
    with open_table(path) as rows:
        for row in rows:
            if row.fault or len(row.fields) < 2 or not row.fields[0]:
                raise UsageError(
                    f"{path}: line {row.line}: {row.fault or 'expected a class and what it is called, such as'}"
                    " /m/011k07,Tortoise"
                )
            code, name = row.fields[:2]
            if row.line == 1 and not code.startswith("/"):
                continue  # a header
            if names.setdefault(code, name) != name:
                raise UsageError(f"{path}: line {row.line}: the class {code} is called {name!r} and {names[code]!r}")
    return names
