"""Where in the output a rendered input goes: a name made from its key, which may hold anything."""

import hashlib
import posixpath
import re

from od_core.file_names import as_name
from od_core.images import IMAGE_EXTENSIONS
from od_core.video.frames import VIDEO_EXTENSIONS

JPEG_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
PNG_EXTENSIONS = frozenset({".png"})
MP4_EXTENSIONS = frozenset({".mp4"})

_LONGEST_RECORD_KEY = 120
_LONGEST_LABEL = 120
_NOT_IN_NAMES = re.compile(r"[^\w.,+=@() -]")
_ENGINE_FOLDER = "_work"


def file_of(key: str, kind: str) -> str:
    """The rendered file of an image or video, or the folder of a record file's pictures; relative to the output.

    The key as it is, where its ending fits what is written (JPEG, PNG, MP4), else with ".jpg" or ".mp4" at its end:
    "a.webp" gives "a.webp.jpg". Where that is the name of another original, this one gets one more: no two keys of a
    dataset share a file. What would lead out of the output, or is too long to be a name, is replaced.
    """
    name = key
    if kind == "image":
        name = _with_ending(key, JPEG_EXTENSIONS | PNG_EXTENSIONS, ".jpg", IMAGE_EXTENSIONS)
    elif kind == "video":
        name = _with_ending(key, MP4_EXTENSIONS, ".mp4", VIDEO_EXTENSIONS | {".gif"})
    first, *rest = name.split("/")
    if first.lower() == _ENGINE_FOLDER:  # emptied at the end of every run
        first = f"_{first}"
    return "/".join(as_name(part) for part in (first, *rest))


def file_of_record(folder: str, record_index: int, key: str) -> str:
    """The picture of one record: its number in the file, by which names differ whatever the keys are, and its key."""
    cleaned = _NOT_IN_NAMES.sub("_", key.removesuffix(".jpg")).encode()[:_LONGEST_RECORD_KEY].decode(errors="ignore")
    return f"{folder}/{record_index:06d}-{cleaned}.jpg"


def file_of_crop(label: str, picture: str, number: int, frame_index: int | None) -> str:
    """A detection that is cut out: in a folder of its class, under the name of its picture.

    Args:
        label: the name of its class.
        picture: as `file_of` or `file_of_record` gives it.
        number: of the detection in its image or frame.
        frame_index: of a frame of a video; None for images and records.
    """
    stem = picture if frame_index is None else f"{picture}/{frame_index:06d}"
    parts = f"{stem}-{number:02d}.jpg".split("/")
    return "/".join((_class_folder(label), *map(as_name, parts)))


def _class_folder(label: str) -> str:
    """A folder for a class; where its name cannot be that of a folder of ours, a few digits tell it from others."""
    cleaned = _NOT_IN_NAMES.sub("_", label).encode()[:_LONGEST_LABEL].decode(errors="ignore")
    is_ours = cleaned.lower() == _ENGINE_FOLDER or _extension(cleaned) in (".json", ".parquet")
    if cleaned == label and not cleaned.startswith(".") and cleaned.strip() == cleaned and not is_ours:
        return cleaned
    return f"{cleaned.lstrip('.').strip()}~{hashlib.sha256(label.encode(errors='surrogatepass')).hexdigest()[:6]}"


def _with_ending(key: str, fitting: frozenset[str], ending: str, others: frozenset[str]) -> str:
    """The key, with the ending where its own does not fit, or where a key of another ending would give this name."""
    stem = key
    while stem.lower().endswith(ending):
        stem = stem[: -len(ending)]
    if _extension(key) in fitting and _extension(stem) not in others - fitting:
        return key
    return key + ending


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower()
