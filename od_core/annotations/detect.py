"""Which format annotations have, found out by looking, and the reader for it."""

import collections
import difflib
import itertools
import posixpath

from od_core import storage
from od_core.annotations.annotated import Annotations, no_such_path
from od_core.annotations.coco import read_coco
from od_core.annotations.csv_table import read_csv
from od_core.annotations.reading import ReadingOptions
from od_core.annotations.voc import ANNOTATIONS, open_voc
from od_core.annotations.voc_xml import ROOT, other_xml, root_of
from od_core.errors import UsageError

FORMATS = ("auto", "voc", "coco", "csv")
EXPECTED = "Pascal VOC XML, COCO JSON, or a CSV table of boxes"

_FILE_FORMATS = ("coco", "csv")
_LISTED_JSON_FILES = 5
_SAMPLES = 3
_START_BYTES = 64 * 1024


def open_annotations(
    path: str, format: str = "auto", *, images: str | None = None, options: ReadingOptions | None = None
) -> Annotations:
    """The reader for the annotations at a path. A COCO file and a table are read to their end here.

    Args:
        path: a Pascal VOC folder, a folder of its XML files, one XML file or a list of them (see `open_voc`), a COCO
            file, or a table of boxes.
        format: one of `FORMATS`; "auto" looks at what is there.
        images: the image folder, where it is not the one that the format's conventions lead to.
        options: what the annotations do not say themselves.

    Raises:
        UsageError: nothing there, nothing of a known format, a file that as a whole is not what it should be, or an
            option of another format.
    """
    if format not in FORMATS:
        similar = difflib.get_close_matches(format, FORMATS, 1)
        advice = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(FORMATS)}"
        raise UsageError(f"{format!r} is not an annotation format ({advice})")
    if storage.stat(path) is None and not storage.is_folder(path):
        raise no_such_path(path)
    found = _format_of(path) if format == "auto" else format
    options = options or ReadingOptions()
    options.refuse_others(path, found)
    if found in _FILE_FORMATS and storage.stat(path) is None:
        raise UsageError(_no_annotations(path))
    if found == "csv":
        return read_csv(path, columns=options.csv_columns, boxes=options.csv_boxes, images=images)
    return read_coco(path) if found == "coco" else open_voc(path)


def _format_of(path: str) -> str:
    if storage.stat(path) is None:
        if storage.is_folder(storage.join(path, ANNOTATIONS)):
            return "voc"
        xml_files = (info.path for info in storage.walk(path) if info.path.lower().endswith(".xml"))
        samples = list(itertools.islice(xml_files, _SAMPLES))
        if not samples:
            raise UsageError(_no_annotations(path))
        roots = sorted({root_of(_start(sample)) or ROOT for sample in samples})
        if ROOT not in roots:
            raise UsageError(f"{path}: {other_xml(roots[0])}; expected {EXPECTED}")
        return "voc"
    extension = posixpath.splitext(path)[1].lower()
    known = {".txt": "voc", ".json": "coco", ".csv": "csv", ".tsv": "csv"}.get(extension) or _format_of_content(path)
    if known is None:
        raise UsageError(f"{path}: not an annotation format boxbeam reads: expected {EXPECTED}")
    return known


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


def _no_annotations(folder: str) -> str:
    """Why a folder cannot be read as annotations, and what is in it instead."""
    counts: collections.Counter[str] = collections.Counter()
    json_files = []
    for info in storage.walk(folder):
        counts[posixpath.splitext(info.path)[1].lower()] += 1
        if info.path.lower().endswith(".json"):
            json_files.append(info.path)
    if json_files:
        listed = ", ".join(sorted(json_files)[:_LISTED_JSON_FILES])
        more = ", ..." * (len(json_files) > _LISTED_JSON_FILES)
        return (
            f"{folder}: a folder, where COCO annotations are one JSON file; give that, if it is one of {listed}{more}"
        )
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:6]
    seen = ", ".join(f"{count} {extension or 'without extension'}" for extension, count in most)
    found = f"found: {seen}" if seen else "it is empty"
    return f"{folder}: no annotations in a format boxbeam reads ({found}); expected {EXPECTED}"
