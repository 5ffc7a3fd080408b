"""Ground truth in any of its forms, as tables of the schema `GROUND_TRUTH`."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from od_core import storage
from od_core.annotations import detect
from od_core.annotations.annotated import AnnotationFault, no_such_path
from od_core.annotations.annotated_truth import AnnotatedTruth
from od_core.annotations.record_truth import RecordTruth
from od_core.annotations.stored_truth import StoredTruth, find_stored_truth
from od_core.errors import UsageError
from od_core.label_map import LabelMap
from od_core.records.file import record_files

ACCEPTED = (
    "a record dataset made by boxbeam, other TFRecords, Parquet with a column `objects`, or annotations in the format "
    "of Pascal VOC, COCO, CSV, YOLO, KITTI or Open Images"
)


class GroundTruthSet(Protocol):
    """What people annotated in a set of images.

    Attributes:
        form: "records", "tfrecord" (no index), "parquet", or the format of annotations, one of `detect.FORMATS`.
        label_map: the classes and their ids; None where nothing names them.
        own_names: the names of the classes by the data set's own ids, where the label map has others (a COCO file that
            counts them from 0); else None.
        object_faults: how many objects could not be used, as of the last time that `tables` was read to its end. Images
            that could not be used are failed rows instead.
        first_object_faults: the first few of them.
        columns: names of single values that the tables have of every image, or would have if they were asked for.
    """

    @property
    def form(self) -> str: ...

    @property
    def label_map(self) -> LabelMap | None: ...

    @property
    def own_names(self) -> Mapping[int, str] | None: ...

    @property
    def object_faults(self) -> int: ...

    @property
    def first_object_faults(self) -> Sequence[AnnotationFault]: ...

    @property
    def columns(self) -> Sequence[str]: ...

    def left_out(self) -> Mapping[str, str | None]:
        """Key -> source id of the images that are in other splits."""

    def tables(self) -> Iterator[pa.Table]:
        """Every image once, in tables of at most 1000 rows, in an order that depends on the files alone.

        `key` is the image's path below the image folder; each call begins anew. Columns that were asked for and are
        there follow those of the schema.

        Raises:
            UsageError: a file in the middle of the set is not what the others are.
        """


def open_ground_truth(
    path: str,
    *,
    images: str | None = None,
    splits: Sequence[str] = (),
    columns: Sequence[str] = (),
    masks: bool = False,
) -> GroundTruthSet:
    """Ground truth at a path.

    Args:
        path: one of `ACCEPTED`.
        images: the image folder, looked into only where annotations do not say how large an image is, or which images
            there are; by default the one that the format's conventions lead to.
        splits: take only these splits of a record dataset; empty: all there is.
        columns: what else to keep of every image, where it is there: further columns of Parquet, columns of a table of
            boxes (the first line about an image counts), fields of COCO's images.
        masks: keep the masks of objects (COCO's segmentations); those of Parquet are always there.

    Raises:
        UsageError: nothing there, nothing of these forms, or a split that is not there; names what is.
    """
    kept = _kept_truth(path, images, splits, columns)
    if kept is not None:
        return kept
    with _expecting_more():
        annotations = detect.open_annotations(path, images=images, image_columns=columns, with_excerpts=masks)
    _refuse_images(path, annotations.format)
    return AnnotatedTruth(annotations, images, columns, path if masks and annotations.format == "coco" else None)


def check_ground_truth(path: str, *, images: str | None = None, splits: Sequence[str] = ()) -> None:
    """Refuse what cannot be ground truth, as `open_ground_truth` does, without reading annotations.

    Raises:
        UsageError: see `open_ground_truth`; what is wrong inside a file of annotations is not seen.
    """
    if _kept_truth(path, images, splits, ()) is None:
        with _expecting_more():
            format = detect.format_of(path)
        _refuse_images(path, format)


def _kept_truth(
    path: str, images: str | None, splits: Sequence[str], columns: Sequence[str]
) -> StoredTruth | RecordTruth | None:
    """Ground truth that is kept as such, in Parquet or TFRecords; None where annotations are to be looked for."""
    if storage.stat(path) is None and not storage.is_folder(path) and not storage.has_wildcard(path):
        raise no_such_path(path)
    if images is not None and not storage.is_folder(images):
        raise UsageError(f"{images}: no such image folder")
    stored = find_stored_truth(path) if not storage.has_wildcard(path) else None
    if stored is not None:
        return StoredTruth(stored, splits, columns)
    if splits:
        raise UsageError(f"{path}: only record datasets have splits; leave the option out, or give such a dataset")
    files = record_files(path)
    if files:
        return RecordTruth(files)
    if storage.has_wildcard(path):
        raise UsageError(f"{path}: this pattern matches no TFRecord file; expected {ACCEPTED}")
    return None


@contextlib.contextmanager
def _expecting_more() -> Iterator[None]:
    """What is expected here is more than annotations."""
    try:
        yield
    except UsageError as error:
        if detect.EXPECTED in str(error):
            raise UsageError(str(error).replace(detect.EXPECTED, ACCEPTED)) from error
        raise


def _refuse_images(path: str, format: str) -> None:
    if format == "images":
        raise UsageError(f"{path}: images without annotations, expected {ACCEPTED}")
