"""Which format annotations have, found out by looking, and the reader for it."""

import collections
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from od_core import storage
from od_core.annotations import kitti, open_images_files, pseudo_labels, yolo
from od_core.annotations.annotated import Annotations, no_such_path, parent_folder
from od_core.annotations.coco import read_coco
from od_core.annotations.csv_table import read_csv
from od_core.annotations.image_files import ImageFiles
from od_core.annotations.kitti import open_kitti
from od_core.annotations.open_images import open_open_images
from od_core.annotations.pseudo_labels import PseudoLabels
from od_core.annotations.reading import ReadingOptions
from od_core.annotations.voc import ANNOTATIONS, open_voc
from od_core.annotations.voc_xml import ROOT, other_xml, root_of
from od_core.annotations.yolo import open_yolo
from od_core.closest_name import did_you_mean
from od_core.errors import UsageError
from od_core.images import IMAGE_EXTENSIONS

FORMATS = ("auto", "voc", "coco", "csv", "yolo", "kitti", "open_images", "detections", "images")
EXPECTED = (
    "Pascal VOC XML, COCO JSON, a CSV table of boxes, YOLO's data.yaml and labels, KITTI's label_2, Open Images' CSV "
    "tables, detections of boxbeam infer, or a folder of nothing but images"
)

_FILE_FORMATS = ("coco", "csv")
_BY_EXTENSION = {
    ".txt": "voc",
    ".json": "coco",
    ".tsv": "csv",
    ".yaml": "yolo",
    ".yml": "yolo",
    ".parquet": "detections",
}
_ANNOTATION_FOLDERS = (ANNOTATIONS, "annotations", yolo.LABELS, kitti.LABELS)
_LISTED_FILES = 5
_SAMPLES = 3
_START_BYTES = 64 * 1024


def open_annotations(
    path: str,
    format: str = "auto",
    *,
    images: str | None = None,
    options: ReadingOptions | None = None,
    with_excerpts: bool = False,
    image_columns: Sequence[str] = (),
) -> Annotations:
    """The reader for the annotations at a path. A COCO file and a table are read to their end here.

    Args:
        path: what the reader of the format takes: `open_voc`, `read_coco`, `read_csv`, `open_yolo`, `open_kitti`,
            `open_open_images`, `PseudoLabels`, `ImageFiles`.
        format: one of `FORMATS`; "auto" looks at what is there.
        images: the image folder, where it is not the one that the format's conventions lead to.
        options: what the annotations do not say themselves.
        with_excerpts: note where masks and keypoints are written (COCO).
        image_columns: what else to keep of every image, where the format says it (COCO, CSV, Open Images).

    Raises:
        UsageError: nothing there, nothing of a known format, a file that as a whole is not what it should be, or an
            option of another format.
    """
    found = format_of(path, format)
    options = options or ReadingOptions()
    options.refuse_others(path, found)
    if found in _FILE_FORMATS and storage.stat(path) is None:
        raise UsageError(_no_annotations(path, _look_into(path)))
    if found == "coco":
        return read_coco(path, with_excerpts=with_excerpts, image_columns=image_columns)
    return _open(path, found, images, options, image_columns)


def format_of(path: str, format: str = "auto") -> str:
    """Which of `FORMATS` annotations have, found out by looking where it is "auto".

    Raises:
        UsageError: nothing there, nothing of a known format, or no format at all.
    """
    if format not in FORMATS:
        advice = did_you_mean(format, FORMATS, otherwise=f"known: {', '.join(FORMATS)}", lead="")
        raise UsageError(f"{format!r} is not an annotation format ({advice})")
    if storage.stat(path) is None and not storage.is_folder(path):
        raise no_such_path(path)
    return _format_of(path) if format == "auto" else format


def _open(
    path: str, format: str, images: str | None, options: ReadingOptions, image_columns: Sequence[str]
) -> Annotations:
    if format == "voc":
        return open_voc(path)
    if format == "csv":
        return read_csv(
            path,
            columns=options.csv_columns,
            boxes=options.csv_boxes,
            images=images,
            image_columns=image_columns,
        )
    if format == "yolo":
        return open_yolo(path, images)
    if format == "kitti":
        return open_kitti(path, images, options.dont_care or kitti.DONT_CARE[0])
    if format == "open_images":
        return open_open_images(
            path,
            images,
            class_descriptions=options.class_descriptions,
            image_labels=options.image_labels,
            image_columns=image_columns,
        )
    if format == "detections":
        min_score = pseudo_labels.DEFAULT_MIN_SCORE if options.min_score is None else options.min_score
        return PseudoLabels(path, min_score)
    return ImageFiles(path)


def _format_of(path: str) -> str:
    if storage.stat(path) is None:
        return _format_of_folder(path)
    extension = posixpath.splitext(path)[1].lower()
    if extension == ".csv":
        return "open_images" if open_images_files.kind_of(path) else "csv"
    known = _BY_EXTENSION.get(extension) or _format_of_content(path)
    if known is None:
        raise UsageError(f"{path}: not an annotation format boxbeam reads: expected {EXPECTED}")
    return known


class _Folder(NamedTuple):
    """What is in a folder, at any depth: how many files by extension, some XML files, those that could be meant."""

    counts: collections.Counter[str]
    xml_files: list[str]
    single_files: list[str]
    has_labels: bool


def _look_into(folder: str) -> _Folder:
    found = _Folder(collections.Counter(), [], [], storage.is_folder(storage.join(folder, yolo.LABELS)))
    for info in storage.walk(folder):
        extension = posixpath.splitext(info.path)[1].lower()
        found.counts[extension] += 1
        if extension == ".xml" and len(found.xml_files) < _SAMPLES:
            found.xml_files.append(info.path)
        elif extension in (".json", ".csv", ".tsv"):
            found.single_files.append(info.path)
    return found


def _format_of_folder(folder: str) -> str:
    parquet = [name for name in storage.names_in(folder) if name.endswith(".parquet") and name[0] not in "._"]
    if parquet and pseudo_labels.is_detections(storage.join(folder, parquet[0])):
        return "detections"
    inner = storage.join(folder, ANNOTATIONS)
    if storage.is_folder(inner) and any(info.path.lower().endswith(".xml") for info in storage.walk(inner)):
        return "voc"
    found = _look_into(folder)
    roots = sorted({root_of(_start(sample)) or ROOT for sample in found.xml_files})
    if ROOT in roots:
        return "voc"
    if kitti.find_labels(folder):
        return "kitti"
    if found.counts[".txt"] and (found.has_labels or yolo.find_description(folder)):
        return "yolo"
    if found.counts[".csv"] and any(map(open_images_files.kind_of, open_images_files.tables_in(folder))):
        return "open_images"
    if roots:
        raise UsageError(f"{folder}: {other_xml(roots[0])}; expected {EXPECTED}")
    if found.counts and found.counts.keys() <= IMAGE_EXTENSIONS:
        _refuse_part(folder)
        return "images"
    raise UsageError(_no_annotations(folder, found))


def _refuse_part(folder: str) -> None:
    """Images next to annotations are not taken for images without annotations unless somebody says so."""
    above = parent_folder(folder)
    beside = (storage.join(above, name) for name in _ANNOTATION_FOLDERS)
    annotations = next((place for place in beside if storage.is_folder(place)), None)
    if annotations is not None:
        raise UsageError(
            f"{folder}: nothing but images, and annotations seem to lie beside them; give {above} or {annotations}, or "
            "say --format images for images without annotations"
        )


def _format_of_content(path: str) -> str | None:
    start = _start(path)
    root = root_of(start) or ROOT
    if root != ROOT:
        raise UsageError(f"{path}: {other_xml(root)}; expected {EXPECTED}")
    if path.lower().endswith(".xml"):
        return "voc"
    return {b"{": "coco", b"<": "voc"}.get(start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1])


def _start(path: str) -> bytes:
    try:
        with storage.open_input(path) as file:
            return file.read(_START_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error


def _no_annotations(folder: str, found: _Folder) -> str:
    """Why a folder cannot be read as annotations, and what is in it instead."""
    if found.single_files:
        listed = ", ".join(sorted(found.single_files)[:_LISTED_FILES])
        more = ", ..." * (len(found.single_files) > _LISTED_FILES)
        return (
            f"{folder}: a folder, where COCO annotations are one JSON file, and a table of boxes is one CSV file; give "
            f"that, if it is one of {listed}{more}"
        )
    most = sorted(found.counts.items(), key=lambda pair: (-pair[1], pair[0]))[:6]
    seen = ", ".join(f"{count} {extension or 'without extension'}" for extension, count in most)
    inside = f"found: {seen}" if seen else "it is empty"
    return f"{folder}: no annotations in a format boxbeam reads ({inside}); expected {EXPECTED}"
