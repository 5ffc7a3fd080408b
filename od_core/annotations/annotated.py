"""What annotation files say, in one form for all formats: images with their objects, and what cannot be used."""

import math
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from od_core import storage
from od_core.closest_name import did_you_mean_path
from od_core.errors import UsageError
from od_core.label_map import LabelMap

# No image is larger; what claims to lie further out is not a coordinate, and would overflow further down.
MAX_PIXEL = 2**31 - 1

_DRIVE = re.compile(r"[A-Za-z]:")


class Excerpt(NamedTuple):
    """Where in its annotation file an object is written in full: byte offset, length, and CRC-32 of those bytes."""

    offset: int
    length: int
    crc32: int


class AnnotatedObject(NamedTuple):
    """One object as annotated.

    Attributes:
        label: the name of its class.
        box_px: (ymin, xmin, ymax, xmax), float64, edges in pixels exactly as annotated: finite, but neither clipped,
            ordered nor shifted by one.
        place: which object of its file, for messages: "object 3", counted from 1, or "annotation 1234".
        class_id: the data set's own id of the class; None where it has names only.
        is_crowd, difficult, group_of, truncated: as annotated; False where it does not say.
        view: from which side it is seen (Pascal VOC's pose), None where it does not say.
        area: its own area in square pixels, None where it is not known.
        excerpt: where its mask and keypoints are, if they were asked for.
        features: what else the format says of every object, for records: (key below image/object/, value).
    """

    label: str
    box_px: tuple[float, float, float, float]
    place: str
    class_id: int | None = None
    is_crowd: bool = False
    difficult: bool = False
    group_of: bool = False
    truncated: bool = False
    view: str | None = None
    area: float | None = None
    excerpt: Excerpt | None = None
    features: tuple[tuple[str, int | float | str], ...] = ()


class ImageLabel(NamedTuple):
    """A class that an image as a whole has, as somebody said: confidence 1, or 0 where it was looked for in vain."""

    label: str
    confidence: float


class AnnotationNote(NamedTuple):
    """What a reader did on purpose, to one object or to an image, and a person may want to know.

    kind: what it is counted by, see `pipelines.convert.remarks`; text: with the line, but without the file.
    """

    kind: str
    text: str


class AnnotatedImage(NamedTuple):
    """One image with its objects, in the order of the file.

    Attributes:
        name: the image's path below the image folder, as the annotation has it: see `image_name`.
        source: path or URI of the annotation file.
        place: where it is annotated, for messages: "Annotations/a.xml", "instances.json: image 397133".
        source_id: what the data set calls the image (COCO: its id as text); "" where it has only the name.
        width, height: in pixels as annotated, 1 or more; None where the annotation does not say.
        objects: those that can be used.
        split: the split that the data set has it in ("train"); None where it does not say.
        normalised: `box_px` of the objects is in units of the upright image's height and width, not in pixels.
        labels: its classes as a whole; empty where the format has none.
        notes: what its reader did.
        columns: name and text of what else its annotation says of it, if that was asked for.
    """

    name: str
    source: str
    place: str
    source_id: str
    width: int | None
    height: int | None
    objects: Sequence[AnnotatedObject]
    split: str | None = None
    normalised: bool = False
    labels: tuple[ImageLabel, ...] = ()
    notes: tuple[AnnotationNote, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

    def in_pixels(self, width: int, height: int) -> "AnnotatedImage":
        """The same with boxes in pixels, if they are not; width and height: of the upright image."""
        if not self.normalised:
            return self
        objects = []
        for item in self.objects:
            ymin, xmin, ymax, xmax = item.box_px
            objects.append(item._replace(box_px=(ymin * height, xmin * width, ymax * height, xmax * width)))
        return self._replace(objects=tuple(objects), width=width, height=height, normalised=False)


class AnnotationFault(NamedTuple):
    """Something in an annotation that cannot be used.

    Attributes:
        place: where, for messages: "Annotations/a.xml", "Annotations/a.xml: object 3", "instances.json: annotation 17".
        message: what is wrong, a sentence without the place.
        name: the image's name as in `AnnotatedImage`; None where it is not known, or is that of another image too.
        of_object: only an object (or a class) is lost: its image, if there is one, is given as well. False: a whole
            image is lost, and nothing else is given for it.
        objects: how many objects are lost with it; None for one where it is of an object, else for none that are known.
        split: as in `AnnotatedImage`, where a whole image is lost.
    """

    place: str
    message: str
    name: str | None
    of_object: bool = False
    objects: int | None = None
    split: str | None = None

    @property
    def lost_objects(self) -> int:
        """How many objects are lost, as far as that is known."""
        return int(self.of_object) if self.objects is None else self.objects


class Annotations(Protocol):
    """A data set's annotations, read as a stream.

    Attributes:
        format: one of `detect.FORMATS`.
        label_map: its classes and their ids; None where the format has names only.
        images_folder: where the images lie by the format's conventions; None where that is not known.
    """

    @property
    def format(self) -> str: ...

    @property
    def label_map(self) -> LabelMap | None: ...

    @property
    def images_folder(self) -> str | None: ...

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """Every image, in an order that depends on the files alone; each call begins anew.

        No two images have the same name: of those that do, the first is given, the others are faults. A fault of an
        object follows its image.

        Raises:
            StorageError: the files cannot be reached at all.
        """


def image_name(text: str) -> str:
    """The path of an image below the image folder, from what an annotation calls it: POSIX, NFC, no leading "./".

    Backslashes are folders where there is no "/" (annotation tools on Windows).

    Raises:
        ValueError: empty, absolute, with "..", or not a path at all; half a sentence for a person.
    """
    text = text if "/" in text else text.replace("\\", "/")
    if not text.strip():
        raise ValueError("the image's name is empty")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError(f"the image's name {text!r} has characters that no file name can have")
    if "://" in text or text.startswith("/") or _DRIVE.match(text):
        raise ValueError(f"the image's name {text!r} is an absolute path, expected one below the image folder")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"the image's name {text!r} leads out of the image folder")
    if not parts or text.endswith("/"):
        raise ValueError(f"the image's name {text!r} is that of a folder")
    return unicodedata.normalize("NFC", "/".join(parts))


def is_coordinate(value: float) -> bool:
    """Whether a number can be a place in an image, in pixels; NaN cannot."""
    return abs(value) <= MAX_PIXEL


def pixels_or_none(value: object) -> int | None:
    """An image's width or height from a number or its text; None for what cannot be one (0, "", -1, NaN, 2.5)."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return int(number) if 1 <= number <= MAX_PIXEL and number.is_integer() else None


def is_text(value: object) -> bool:
    """Whether a value is text that can be stored: JSON can hold halves of characters, which no file takes."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def short_place(path: str) -> str:
    """The last folder and the name of a file, which is enough to find it by in a message."""
    folder, name = posixpath.split(storage.printable(path))
    return posixpath.join(posixpath.basename(folder), name)


def parent_folder(folder: str) -> str:
    """The folder that a folder is in, also where it is written as "." or ends in "..", or lies on an object store."""
    if storage.is_remote(folder):
        return folder.rstrip("/").rpartition("/")[0]
    return posixpath.normpath(posixpath.join(storage.local_path(folder) or ".", ".."))


def no_such_path(path: str) -> UsageError:
    """The error for a path at which there is nothing, with the name that was probably meant."""
    return UsageError(f"{path}: no such file or folder{did_you_mean_path(path)}")
