"""Detections taken for annotations (pseudo-labels): a dataset that boxbeam infer wrote, its boxes above a score."""

import functools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    AnnotationNote,
    image_name,
    no_such_path,
)
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.label_map import LabelMap, LabelMapItem
from od_core.schemas import detections_of

DEFAULT_MIN_SCORE = 0.5

_MANIFEST = "manifest.json"
_ROWS = 1000
_COLUMNS = ("key", "kind", "status", "error", "detections")


class PseudoLabels:
    """The images of a detections dataset, in its order, with what was found in them.

    Raises:
        UsageError: nothing there, not a detections dataset, one that is not finished, or a score that is none.
    """

    format = "detections"
    images_folder = None

    def __init__(self, path: str, min_score: float = DEFAULT_MIN_SCORE):
        """`min_score`: boxes with a lower score are left out."""
        if not 0 <= min_score <= 1:
            raise UsageError(f"--min_score: must be from 0 to 1, got {min_score:g}")
        self._path = path
        self._min_score = min_score
        self._files = _files_of(path)
        for file in self._files:
            _check(file)

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """The classes in their own numbering; None if there is not one detection."""
        names: dict[int, str] = {}
        for batch in self._batches(("detections",)):
            structs = batch.column("detections").combine_chunks().flatten()
            pairs = pa.table([structs.field("class_id"), structs.field("label")], ["class_id", "label"])
            for pair in pairs.group_by(["class_id", "label"]).aggregate([]).to_pylist():
                names.setdefault(pair["class_id"], _name(pair["class_id"], pair["label"]))
        if not names:
            return None
        return LabelMap(tuple(LabelMapItem(class_id, names[class_id]) for class_id in sorted(names)))

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`."""
        last = None
        for table in self._batches(_COLUMNS):
            rows = table.drop_columns(["detections"]).to_pylist()
            labels = table.column("detections").combine_chunks().flatten().field("label").to_pylist()
            start = 0
            for row, found in zip(rows, _detections(self._path, table), strict=True):
                count = 0 if found is None else len(found)
                own = labels[start : start + count]
                start += count
                place = f"{posixpath.basename(self._path.rstrip('/'))}: {row['key']}"
                fault = self._fault(row, place)
                if fault is not None and row["key"] == last:
                    continue  # the next frame of a video
                last = row["key"]
                if fault is not None or found is None:
                    yield fault or AnnotationFault(place, "the row has no detections", row["key"])
                    continue
                yield self._image(row["key"], place, found, own)

    def _fault(self, row: Mapping[str, Any], place: str) -> AnnotationFault | None:
        if row["kind"] != "image":
            what = "a video" if row["kind"] == "video" else "a record file"
            return AnnotationFault(place, f"it is {what}, not an image file: there is nothing to convert", row["key"])
        if row["status"] != "done":
            return AnnotationFault(place, f"its detection failed: {(row['error'] or {}).get('message')}", row["key"])
        try:
            image_name(row["key"])
        except ValueError as error:
            return AnnotationFault(place, str(error), None)
        return None

    def _image(self, key: str, place: str, found: Any, labels: Sequence[str | None]) -> AnnotatedImage:
        objects = []
        for number, (box, score, class_id, label) in enumerate(
            zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), labels, strict=True), 1
        ):
            if score >= self._min_score:
                features = (("class/score", score),)
                name = _name(class_id, label)
                objects.append(AnnotatedObject(name, tuple(box), f"detection {number}", class_id, features=features))
        left_out = len(labels) - len(objects)
        text = f"{left_out} of its {len(labels)} detections have scores below {self._min_score:g}"
        note = AnnotationNote("images_with_weak_detections", text)
        return AnnotatedImage(
            image_name(key),
            self._path,
            place,
            "",
            None,
            None,
            tuple(objects),
            normalised=True,
            notes=(note,) if left_out else (),
        )

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for path in self._files:
            with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(_ROWS, columns=list(columns)):
                    yield pa.Table.from_batches([batch])


def is_detections(path: str) -> bool:
    """Whether a Parquet file holds detections, as far as its columns tell."""
    try:
        with storage.open_input(path) as file:
            return "detections" in pq.read_schema(file).names
    except (pa.ArrowException, OSError):
        return False


def _detections(path: str, table: pa.Table) -> list[Detections | None]:
    try:
        return detections_of(table)
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise UsageError(f"{path}: its column `detections` is not as boxbeam writes it ({error})") from error


def _name(class_id: int, label: str | None) -> str:
    return label or f"class {class_id}"


def _files_of(path: str) -> list[str]:
    if storage.stat(path) is not None:
        return [path]
    if not storage.is_folder(path):
        raise no_such_path(path)
    names = [name for name in storage.names_in(path) if name.endswith(".parquet") and name[0] not in "._"]
    if not names:
        raise UsageError(f"{path}: no Parquet files in there, expected detections that boxbeam infer wrote")
    if storage.stat(storage.join(path, _MANIFEST)) is None:
        raise UsageError(f"{path}: detections without {_MANIFEST}: not finished; repeat the command that makes them")
    return [storage.join(path, name) for name in sorted(names)]


def _check(path: str) -> None:
    try:
        with storage.open_input(path) as file:
            schema = pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error})") from error
    missing = [name for name in _COLUMNS if name not in schema.names]
    if missing:
        found = ", ".join(schema.names[:8])
        raise UsageError(f"{path}: not detections of boxbeam: no column `{missing[0]}`; its columns: {found}")
