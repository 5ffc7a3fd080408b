"""One YOLO label file: the objects of one image, a line each.

    0 0.5 0.25 0.2 0.1                    class, centre x and y, width, height, in units of the image
    0 0.5 0.25 0.2 0.1 0.87               the same with a confidence
    2 0.1 0.1 0.3 0.1 0.3 0.2             class and the corners of a polygon, x and y in turn; or of a turned box

Classes count from 0. Of a polygon its bounding box is taken, of lines with keypoints (data.yaml has a kpt_shape then)
the box.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from od_core.annotations.annotated import AnnotatedObject, AnnotationNote
from od_core.errors import AnnotationError

# Room for 100,000 boxes in one image, or for some thousands of polygons.
MAX_BYTES = 16 << 20

# What writers round away: five digits of centre and size. An edge that is not further over the border is on it.
_ROUNDING = 1e-5
# No tool puts a box that far over the border; what is further out is in pixels.
_FURTHEST = 1.5
_BOX_FIELDS = 5
_WANTED = "expected: class, centre x, centre y, width, height, from 0 to 1 in units of the image"


class YoloLabels(NamedTuple):
    """objects: with boxes in units of the image; faults: (line, what is wrong with it); notes: see `AnnotatedImage`."""

    objects: tuple[AnnotatedObject, ...]
    faults: tuple[tuple[int, str], ...]
    notes: tuple[AnnotationNote, ...]


def parse_yolo(content: bytes, names: Mapping[int, str], keypoint_numbers: int = 0) -> YoloLabels:
    """The objects in a label file.

    Args:
        content: the whole file.
        names: of the classes by their numbers.
        keypoint_numbers: how many numbers about keypoints follow each box.

    Raises:
        AnnotationError: the file as a whole cannot be used.
    """
    if len(content) > MAX_BYTES:
        raise AnnotationError(f"the file is larger than {MAX_BYTES >> 20} MiB: too much for the labels of one image")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"the file is not text ({error})") from error
    objects = []
    faults = []
    notes = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            objects.append(_object(fields, names, keypoint_numbers, f"line {number}"))
        except AnnotationError as error:
            faults.append((number, str(error)))
            continue
        if keypoint_numbers and len(fields) > _BOX_FIELDS:
            text = f"line {number}: its keypoints are left out"
            notes.append(AnnotationNote("keypoints_left_out", text))
        elif len(fields) > _BOX_FIELDS + 1:
            text = f"line {number}: a polygon, of which the bounding box is taken"
            notes.append(AnnotationNote("polygons_boxed", text))
    return YoloLabels(tuple(objects), tuple(faults), tuple(notes))


def _object(fields: Sequence[str], names: Mapping[int, str], keypoint_numbers: int, place: str) -> AnnotatedObject:
    label = _class(fields[0], names)
    values = [_number(field) for field in fields[1:]]
    count = len(fields)
    features: tuple[tuple[str, float], ...] = ()
    if count == _BOX_FIELDS or (keypoint_numbers and count == _BOX_FIELDS + keypoint_numbers):
        box = _centred(*values[:4])
    elif count == _BOX_FIELDS + 1 and not keypoint_numbers:
        box = _centred(*values[:4])
        if not 0 <= values[4] <= 1:
            raise AnnotationError(f"the sixth number, the confidence, is {fields[5][:40]}, expected 0 to 1")
        features = (("class/score", values[4]),)
    elif count >= 7 and count % 2 and not keypoint_numbers:
        xs, ys = values[::2], values[1::2]
        box = (min(ys), min(xs), max(ys), max(xs))
    else:
        wanted = f"{_WANTED}, and {keypoint_numbers} numbers about keypoints" if keypoint_numbers else _WANTED
        raise AnnotationError(f"the line has {count} fields, {wanted}")
    if any(abs(edge) > _FURTHEST for edge in box):
        raise AnnotationError(f"the box is not in units of the image ({' '.join(fields)[:60]!r}), {_WANTED}")
    ymin, xmin, ymax, xmax = (_on_border(edge) for edge in box)
    return AnnotatedObject(label, (ymin, xmin, ymax, xmax), place, features=features)


def _class(text: str, names: Mapping[int, str]) -> str:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise AnnotationError(f"the class is {text[:40]!r}, expected its number")
    name = names.get(int(number))
    if name is None:
        raise AnnotationError(f"the class is {text[:40]}, but names has only {_range(names)}")
    return name


def _range(names: Mapping[int, str]) -> str:
    return f"{min(names)} to {max(names)}"


def _number(text: str) -> float:
    try:
        value = float(text.replace("_", "?"))  # float() would read 1_0 as 10
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{text[:40]!r} is not a number, {_WANTED}")
    return value


def _centred(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return y - height / 2, x - width / 2, y + height / 2, x + width / 2


def _on_border(edge: float) -> float:
    return min(max(edge, 0.0), 1.0) if -_ROUNDING <= edge <= 1 + _ROUNDING else edge
