"""Which tables of Open Images belong together, by their columns and by how the data set names them."""

import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from od_core import storage
from od_core.annotations.annotated import no_such_path
from od_core.annotations.csv_rows import first_row
from od_core.errors import UsageError

_BOXES, _LABELS = "boxes", "labels"
_DESCRIPTIONS = "class-descriptions"
_SPLITS = ("train", "validation", "test")
# Tables of image labels come in two sizes: all classes, and those that boxes can have.
_BOXABLE = "-boxable.csv"


class OpenImagesFiles(NamedTuple):
    """Paths of tables: of boxes, of image labels, and of what classes are called, if there is one."""

    boxes: tuple[str, ...]
    image_labels: tuple[str, ...]
    descriptions: str | None

    @property
    def first(self) -> str:
        """One of the tables."""
        return (*self.boxes, *self.image_labels)[0]

    @classmethod
    def of(cls, path: str, descriptions: str | None, image_labels: str | None) -> "OpenImagesFiles":
        """The tables at a path, and those that belong to them; arguments as for `open_open_images`."""
        for given in (descriptions, image_labels):
            if given is not None and storage.stat(given) is None:
                raise no_such_path(given)
        if image_labels is not None and kind_of(image_labels) != _LABELS:
            raise UsageError(f"{image_labels}: expected a table with ImageID, LabelName, Confidence (--image_labels)")
        if storage.stat(path) is None and not storage.is_folder(path):
            raise no_such_path(path)
        tables = [path] if storage.stat(path) is not None else tables_in(path)
        kinds = {table: kind_of(table) for table in tables}
        boxes = tuple(table for table in tables if kinds[table] == _BOXES)
        labels = tuple(table for table in tables if kinds[table] == _LABELS)
        if not boxes and not labels:
            raise UsageError(
                f"{path}: no table of Open Images, expected a CSV file with the columns ImageID, LabelName, XMin, XMax,"
                " YMin, YMax, or with ImageID, LabelName, Confidence"
            )
        if image_labels is not None:
            labels = (image_labels,)
        elif storage.stat(path) is not None and boxes:
            labels = _labels_beside(path)
        folder = posixpath.dirname((*boxes, *labels)[0]) or "."
        return cls(boxes, _preferred(labels), descriptions or _descriptions_in(folder))


def kind_of(path: str) -> str | None:
    """What a table holds by its header: boxes or labels; None if it is not one of Open Images."""
    columns = {name.lower() for name in first_row(path)}
    if not {"imageid", "labelname"} <= columns:
        return None
    if {"xmin", "xmax", "ymin", "ymax"} <= columns:
        return _BOXES
    return _LABELS if "confidence" in columns else None


def split_of(path: str) -> str | None:
    """The split that a table is of by its name, such as train-annotations-bbox.csv; None where it does not say."""
    start = posixpath.basename(path).partition("-annotations")[0].rpartition("-")[2]
    return start if start in _SPLITS else None


def tables_in(folder: str) -> list[str]:
    """The CSV files of a folder or of annotations/ in it, but for labels that no person has seen."""
    inner = storage.join(folder, "annotations")
    place = inner if storage.is_folder(inner) else folder
    names = [name for name in storage.names_in(place) if name.lower().endswith(".csv") and not name.startswith(".")]
    return [storage.join(place, name) for name in sorted(names) if "machine" not in name.lower()]


def _labels_beside(boxes: str) -> tuple[str, ...]:
    folder, name = posixpath.split(boxes)
    start, mark, _ = name.partition("annotations-bbox")
    if not mark:
        return ()
    tables = [
        table for table in tables_in(folder or ".") if posixpath.basename(table).startswith(f"{start}annotations")
    ]
    return tuple(table for table in tables if kind_of(table) == _LABELS)


def _preferred(labels: Sequence[str]) -> tuple[str, ...]:
    """Of a table and its part for classes that boxes can have, the part."""
    parts = {label[: -len(_BOXABLE)] for label in labels if label.endswith(_BOXABLE)}
    return tuple(label for label in labels if label.removesuffix(".csv") not in parts)


def _descriptions_in(folder: str) -> str | None:
    names = [name for name in storage.names_in(folder) if _DESCRIPTIONS in name and name.lower().endswith(".csv")]
    best = sorted(names, key=lambda name: (not name.endswith(_BOXABLE), name))
    return storage.join(folder, best[0]) if best else None
