"""Masks and keypoints as COCO writes them: read from their place in the annotation file, checked, and drawn.

A segmentation is a list of polygons [[x1, y1, x2, y2, ...], ...] in pixels, or a run-length encoding
{"size": [height, width], "counts": [...] or "..."}, column by column from the top left (cocodataset.org, data format).
Keypoints are [x1, y1, v1, x2, ...] in pixels, v: 0 not annotated, 1 hidden, 2 visible.
"""

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import hotcoco.mask
import numpy as np
import numpy.typing as npt

from od_core.annotations.annotated import Excerpt, is_coordinate
from od_core.errors import AnnotationError
from od_core.images import MAX_PIXELS

Mask = npt.NDArray[np.uint8]

_FEWEST_NUMBERS = 6  # of a polygon: three corners


def read_excerpt(file: BinaryIO, excerpt: Excerpt) -> Mapping[str, Any]:
    """The JSON object that lies at this place of a file.

    Raises:
        AnnotationError: something else lies there: the file was changed.
    """
    file.seek(excerpt.offset)
    content = file.read(excerpt.length)
    if zlib.crc32(content) != excerpt.crc32:
        raise AnnotationError("the annotation file was changed while it was converted; repeat the command")
    fields: Mapping[str, Any] = json.loads(content)
    return fields


def draw_mask(segmentation: object, height: int, width: int) -> Mask:
    """A segmentation as uint8 (height, width): 1 inside, 0 outside, as COCO's own tools draw it.

    Raises:
        AnnotationError: not a segmentation, empty, or of an image of another size; half a sentence for a person.
    """
    if height * width > MAX_PIXELS:
        raise AnnotationError(f"its image is said to have {width:,} x {height:,} px, more than masks are drawn for")
    try:
        if isinstance(segmentation, list):
            return _of_polygons(segmentation, height, width)
        if isinstance(segmentation, dict):
            return _of_runs(segmentation, height, width)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(f"its segmentation makes no sense ({error})") from error
    raise AnnotationError("it has no segmentation")


def encode_mask(segmentation: object, height: int, width: int) -> bytes:
    """A segmentation in COCO's compressed run-length code; errors as for `draw_mask`."""
    return encode_runs(draw_mask(segmentation, height, width))


def encode_runs(mask: npt.NDArray[np.generic]) -> bytes:
    """A mask (height, width), true or 1 inside, in COCO's compressed run-length code."""
    counts: bytes = hotcoco.mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts


def _of_polygons(polygons: list[Any], height: int, width: int) -> Mask:
    usable = [polygon for polygon in polygons if _is_polygon(polygon)]
    if len(usable) < len(polygons) or not usable:
        what = "is empty" if not polygons else "has a polygon that is none"
        raise AnnotationError(f"its segmentation {what}, expected lists of three or more corners x, y")
    runs = hotcoco.mask.merge(hotcoco.mask.fr_py_objects(usable, height, width))
    return np.ascontiguousarray(hotcoco.mask.decode(runs))


def _is_polygon(polygon: object) -> bool:
    return (
        isinstance(polygon, list)
        and len(polygon) >= _FEWEST_NUMBERS
        and len(polygon) % 2 == 0
        and all(type(number) in (int, float) and is_coordinate(number) for number in polygon)
    )


def _of_runs(encoding: dict[str, Any], height: int, width: int) -> Mask:
    if encoding.get("size") != [height, width]:
        raise AnnotationError(f"its mask is for a size of {encoding.get('size')}, the image is {[height, width]}")
    counts = encoding.get("counts")
    runs = encoding if isinstance(counts, str) else hotcoco.mask.fr_py_objects(encoding, height, width)
    return np.ascontiguousarray(hotcoco.mask.decode({**runs, "size": [height, width]}))


def keypoints_of(fields: Mapping[str, Any], count: int) -> npt.NDArray[np.float64]:
    """The keypoints of an annotation: float64 (count, 3), rows [y, x, visibility] in pixels; zeros where it has none.

    Raises:
        AnnotationError: not so many, or not numbers.
    """
    given = fields.get("keypoints") or []
    if not given:
        return np.zeros((count, 3))
    numbers = given if isinstance(given, list) and len(given) == 3 * count else []
    if not numbers or not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise AnnotationError(f"expected {3 * count} numbers for the {count} keypoints of its class")
    points = np.asarray(numbers, np.float64).reshape(count, 3)
    if not all(is_coordinate(number) for number in points[:, :2].flat) or not np.isin(points[:, 2], (0, 1, 2)).all():
        raise AnnotationError("its keypoints are not places in an image, each with 0, 1 or 2 for its visibility")
    return points[:, [1, 0, 2]]
