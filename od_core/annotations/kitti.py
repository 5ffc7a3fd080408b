"""Annotations in KITTI's form: a text file in label_2/ for each image in image_2/, an object a line.

    Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57

class, truncated (0 to 1), occluded (0 to 3), observation angle alpha, the box's left, top, right and bottom in pixels,
height, width and length of the object in metres, its place x, y, z in the camera's coordinates, its rotation about y;
results of detectors end with a score. That is the development kit's readme.txt; what becomes of it is what the TF
Object Detection API's create_kitti_tf_record.py does: class names in lower case, `truncated` as a number, and, if asked
for, objects left out that overlap a region in which nobody looked (DontCare).
"""

import math
import posixpath
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from od_core import boxes, storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    AnnotationNote,
    image_name,
    is_coordinate,
    no_such_path,
    parent_folder,
    short_place,
)
from od_core.errors import AnnotationError, UsageError
from od_core.images import IMAGE_EXTENSIONS

LABELS, IMAGES = "label_2", "image_2"
DONT_CARE = ("drop", "exclude")

_REGION = "dontcare"
# As the kit names them; the three dimensions and the place are those of the 3D box.
_FIELDS = ("truncated", "occluded", "alpha", "left", "top", "right", "bottom")
_BOX_3D = ("height", "width", "length", "x", "y", "z", "rot_y")
_COUNT = 1 + len(_FIELDS) + len(_BOX_3D)
_MAX_BYTES = 16 << 20
_WANTED = "expected a class, 14 numbers, and perhaps a score, as KITTI's label_2 has them"


class _LabelFile(NamedTuple):
    """One file: its path, its place in messages, and the name of its image."""

    path: str
    place: str
    image: str


class KittiAnnotations:
    """The annotations of one folder, in the order of its files."""

    format = "kitti"
    label_map = None

    def __init__(self, files: Sequence[_LabelFile], images_folder: str | None, dont_care: str):
        self.images_folder = images_folder
        self._files = files
        self._dont_care = dont_care

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        """See `Annotations.images`."""
        for file in self._files:
            try:
                with storage.open_input(file.path) as opened:
                    content = opened.read(_MAX_BYTES + 1)
                yield from self._read(content, file)
            except OSError as error:
                yield AnnotationFault(file.place, f"the labels cannot be read ({error.strerror or error})", file.image)
            except AnnotationError as error:
                yield AnnotationFault(file.place, str(error), file.image)

    def _read(self, content: bytes, file: _LabelFile) -> Iterator[AnnotatedImage | AnnotationFault]:
        if len(content) > _MAX_BYTES:
            raise AnnotationError(f"the file is larger than {_MAX_BYTES >> 20} MiB: too much for one image")
        try:
            lines = content.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise AnnotationError(f"the file is not text ({error})") from error
        found = []
        faults = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found.append(_object(line.split(), f"line {number}"))
            except AnnotationError as error:
                place = f"{file.place}: line {number}"
                faults.append(AnnotationFault(place, str(error), file.image, of_object=True))
        regions = [item for item in found if item.label == _REGION]
        objects = [item for item in found if item.label != _REGION]
        notes = [_note("dontcare_regions", item, "a DontCare region, which is no object") for item in regions]
        if self._dont_care == "exclude":
            shared = boxes.pairwise_intersection(_rows(objects), _rows(regions)).sum(axis=1)
            notes += [
                _note("objects_in_dontcare_dropped", item, f"the {item.label} overlaps a DontCare region")
                for item, area in zip(objects, shared, strict=True)
                if area > 0
            ]
            objects = [item for item, area in zip(objects, shared, strict=True) if not area > 0]
        yield AnnotatedImage(
            file.image,
            file.path,
            file.place,
            "",
            None,
            None,
            tuple(objects),
            notes=tuple(notes),
        )
        yield from faults


def open_kitti(path: str, images: str | None = None, dont_care: str = "drop") -> KittiAnnotations:
    """The annotations of a data set.

    Args:
        path: label_2, or a folder with label_2 or training/label_2 in it.
        images: the image folder; by default image_2 beside label_2, or in data_object_image_2 as KITTI packs it.
        dont_care: what to do about DontCare regions, one of `DONT_CARE`: drop them, or exclude with them all objects
            that overlap one.

    Raises:
        UsageError: no such folder, or no label files in there.
    """
    if dont_care not in DONT_CARE:
        raise UsageError(f"--dont_care: {dont_care!r} is not one of {', '.join(DONT_CARE)}")
    if not storage.is_folder(path):
        raise UsageError(f"{path}: KITTI's labels are a folder, {LABELS}") if storage.stat(path) else no_such_path(path)
    folder = find_labels(path) or path.rstrip("/") or "/"
    names = sorted(name for name in storage.names_in(folder) if name.endswith(".txt") and not name.startswith("."))
    if not names:
        raise UsageError(f"{folder}: no .txt files in there, expected KITTI's labels, one for each image")
    images_folder = images or _images_folder(folder)
    known = _names_by_stem(images_folder) if images_folder else {}
    files = []
    for name in names:
        stem = name.removesuffix(".txt")
        path = storage.join(folder, name)
        files.append(_LabelFile(path, short_place(path), image_name(known.get(stem, f"{stem}.png"))))
    return KittiAnnotations(files, images_folder, dont_care)


def find_labels(folder: str) -> str | None:
    """The folder of labels that a folder is or holds by KITTI's conventions; None if there is none."""
    if posixpath.basename(folder.rstrip("/")) == LABELS:
        return folder.rstrip("/")
    candidates = (storage.join(folder, LABELS), storage.join(folder, "training", LABELS))
    return next((candidate for candidate in candidates if storage.is_folder(candidate)), None)


def _images_folder(labels: str) -> str | None:
    part = parent_folder(labels)
    root = parent_folder(part)
    packed = posixpath.join("data_object_image_2", posixpath.basename(part) or "training", IMAGES)
    candidates = (
        storage.join(part, IMAGES),
        storage.join(root, packed),
        storage.join(parent_folder(root), packed),
    )
    return next((candidate for candidate in candidates if storage.is_folder(candidate)), None)


def _names_by_stem(folder: str) -> dict[str, str]:
    names = (name for name in storage.names_in(folder) if posixpath.splitext(name)[1].lower() in IMAGE_EXTENSIONS)
    return {posixpath.splitext(name)[0]: name for name in names}


def _object(fields: Sequence[str], place: str) -> AnnotatedObject:
    if len(fields) not in (_COUNT, _COUNT + 1):
        raise AnnotationError(f"the line has {len(fields)} fields, {_WANTED}")
    values = [_number(field) for field in fields[1:]]
    said = dict(zip(_FIELDS, values, strict=False))
    if not said["occluded"].is_integer():
        raise AnnotationError(f"occluded is {fields[2]!r}, expected a whole number, {_WANTED}")
    features: list[tuple[str, int | float | str]] = [
        ("truncated", said["truncated"]),
        ("occluded", int(said["occluded"])),
        ("alpha", said["alpha"]),
        *((f"3d_bbox/{name}", value) for name, value in zip(_BOX_3D, values[len(_FIELDS) :], strict=False)),
    ]
    if len(fields) > _COUNT:
        features.append(("class/score", values[-1]))
    return AnnotatedObject(
        fields[0].lower(),
        (said["top"], said["left"], said["bottom"], said["right"]),
        place,
        features=tuple(features),
    )


def _number(text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # float() would read 1_0 as 10
    except ValueError:
        value = math.nan
    if not is_coordinate(value):
        raise AnnotationError(f"{text[:40]!r} is not a number, {_WANTED}")
    return value


def _rows(objects: Sequence[AnnotatedObject]) -> list[tuple[float, float, float, float]]:
    return [item.box_px for item in objects]


def _note(kind: str, item: AnnotatedObject, what: str) -> AnnotationNote:
    return AnnotationNote(kind, f"{item.place}: {what}")
