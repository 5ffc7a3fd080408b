"""Which format annotations have, found out by looking, and the reader for it."""

import collections
import difflib
import itertools
import posixpath

from od_core import storage
from od_core.annotations.annotated import Annotations, no_such_path
from od_core.annotations.coco import read_coco
from od_core.annotations.voc import ANNOTATIONS, open_voc
from od_core.annotations.voc_xml import ROOT, other_xml, root_of
from od_core.errors import UsageError

FORMATS = ("auto", "voc", "coco")
EXPECTED = "Pascal VOC XML or COCO JSON"

_LISTED_JSON_FILES = 5
_SAMPLES = 3
_START_BYTES = 64 * 1024


def open_annotations(path: str, format: str = "auto", *, with_excerpts: bool = False) -> Annotations:
    """The reader for the annotations at a path. A COCO file is read to its end here.

    Args:
        path: a Pascal VOC folder, a folder of its XML files, one XML file or a list of them (see `open_voc`), or a
            COCO file.
        format: one of `FORMATS`; "auto" looks at what is there.
        with_excerpts: note where masks and keypoints are written (COCO).

    Raises:
        UsageError: nothing there, nothing of a known format, or a file that as a whole is not what it should be.
    """
    if format not in FORMATS:
        similar = difflib.get_close_matches(format, FORMATS, 1)
        advice = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(FORMATS)}"
        raise UsageError(f"{format!r} is not an annotation format ({advice})")
    if storage.stat(path) is None and not storage.is_folder(path):
        raise no_such_path(path)
    found = _format_of(path) if format == "auto" else format
    if found == "coco" and storage.stat(path) is None:
        raise UsageError(_no_annotations(path))
    return read_coco(path, with_excerpts=with_excerpts) if found == "coco" else open_voc(path)


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
    known = {".txt": "voc", ".json": "coco"}.get(extension) or _format_of_content(path)
    if known is None:
        raise UsageError(f"{path}: not an annotation format boxbeam reads yet: expected {EXPECTED}")
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
    return f"{folder}: no annotations in a format boxbeam reads yet ({found}); expected {EXPECTED}"
