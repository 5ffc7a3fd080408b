"""One annotated image as a tf.train.Example of the TF Object Detection API."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core import boxes
from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, ImageLabel
from od_core.annotations.object_columns import ObjectColumns
from od_core.annotations.shapes import Mask
from od_core.errors import ImageError
from od_core.images import encode_png, upright_pixels
from od_core.records import examples
from od_core.records.stored_image import AS_STORED, StoredImage

_MASK_LEVEL = 6
_VIEW_UNKNOWN = "Unspecified"


class Placed(NamedTuple):
    """Objects as they lie in the stored image.

    Attributes:
        objects: boxes in pixels of an image of this width and height.
        width, height: of the stored image, or of one of its shape that the annotation speaks of.
        turn: how the annotation had to be turned, as an EXIF orientation: 1 for not at all.
    """

    objects: Sequence[AnnotatedObject]
    width: int
    height: int
    turn: int = 1


def placed_objects(annotated: AnnotatedImage, image: StoredImage) -> Placed:
    """The objects in the stored image.

    An annotation speaks of the image with its sides exchanged, of the other one of the upright image and the image as
    its file has it, if it gives that size (or shape) and not the stored one. Where it could be either it speaks of the
    stored one. It may also give another size than the file has: the image was scaled since. Areas of objects are
    brought to the stored image's own pixels; boxes are not. Boxes in units of the image are of the upright one.

    Raises:
        ImageError: the sizes do not even have the same shape: it is another image.
    """
    if annotated.normalised:
        annotated = _in_pixels(annotated, image)
    full_width, full_height = image.full_size or (image.width, image.height)
    width, height = annotated.width or full_width, annotated.height or full_height
    objects, turn = annotated.objects, 1
    if image.orientation >= 5 and _is_exchanged(width, height, full_width, full_height):
        turn = image.orientation if image.is_upright else AS_STORED[image.orientation]
        objects = tuple(item._replace(box_px=_turned(item.box_px, width, height, turn)) for item in objects)
        width, height = height, width
    if not _same_shape(width, height, full_width, full_height):
        raise ImageError(
            f"the annotation is of a {width} x {height} image,"
            f" the file is {full_width} x {full_height}: it is another one"
        )
    if (width, height) != (image.width, image.height):
        scale = image.width * image.height / (width * height)
        objects = tuple(item if item.area is None else item._replace(area=item.area * scale) for item in objects)
    return Placed(objects, width, height, turn)


def _in_pixels(annotated: AnnotatedImage, image: StoredImage) -> AnnotatedImage:
    """The annotation in units of the upright image as one in pixels of the stored image."""
    if not image.is_upright:
        stored = boxes.as_stored([item.box_px for item in annotated.objects], image.orientation).tolist()
        turned = zip(annotated.objects, stored, strict=True)
        annotated = annotated._replace(objects=tuple(item._replace(box_px=tuple(box)) for item, box in turned))
    return annotated.in_pixels(image.width, image.height)


def placed_mask(mask: Mask, placed: Placed, image: StoredImage) -> bytes:
    """A mask as the annotation has it, as the PNG of a record: of the stored image's size, grey, 0 and 1."""
    turned = upright_pixels(mask, placed.turn)
    if turned.shape != (image.height, image.width):
        turned = cv2.resize(
            np.ascontiguousarray(turned), (image.width, image.height), interpolation=cv2.INTER_NEAREST_EXACT
        )
    return encode_png(turned, _MASK_LEVEL)


def placed_keypoints(points: npt.NDArray[np.float64], placed: Placed) -> npt.NDArray[np.float64]:
    """Keypoints (N, 3), rows [y, x, visibility] in the annotation's pixels, in units of the stored image.

    Those that are not annotated stay what they are, (0, 0) in COCO.
    """
    width, height = (placed.height, placed.width) if placed.turn >= 5 else (placed.width, placed.height)
    corners = boxes.to_normalised(points[:, [0, 1, 0, 1]], height, width)
    turned = boxes.upright(corners, placed.turn)[:, :2]
    is_annotated = points[:, 2:] > 0
    return np.concatenate([np.where(is_annotated, turned, corners[:, :2]), points[:, 2:]], axis=1)


def _is_exchanged(width: int, height: int, full_width: int, full_height: int) -> bool:
    """Whether this is the size of an image with its sides exchanged; where it could be either, it is not."""
    stored, exchanged = (full_width, full_height), (full_height, full_width)
    if (width, height) in (stored, exchanged):
        return (width, height) != stored
    return _same_shape(width, height, *exchanged) and not _same_shape(width, height, *stored)


def _same_shape(width: int, height: int, other_width: int, other_height: int) -> bool:
    """Whether one can be the other scaled, give or take a pixel of rounding at either edge of either."""
    return abs(width * other_height - height * other_width) <= width + height + other_width + other_height


def _turned(
    box_px: tuple[float, float, float, float], width: int, height: int, orientation: int
) -> tuple[float, float, float, float]:
    """A box in pixels of an image of this size as one of the turned image, whose sides are exchanged."""
    upright = boxes.upright(boxes.to_normalised([box_px], height, width), orientation)
    ymin, xmin, ymax, xmax = boxes.to_pixels(upright, width, height)[0].tolist()
    return ymin, xmin, ymax, xmax


class Shapes(NamedTuple):
    """Masks and keypoints of a record's objects.

    Attributes:
        masks: PNG files, see `placed_mask`.
        has_mask: whether an object has one of its own; else what stands in `masks` is empty.
        keypoints: float64 (K, 3), see `placed_keypoints`, each with a row for every name.
        keypoint_names: what they are called.
    """

    masks: Sequence[bytes] = ()
    has_mask: Sequence[bool] = ()
    keypoints: Sequence[npt.NDArray[np.float64]] = ()
    keypoint_names: Sequence[str] = ()


NO_SHAPES = Shapes()


def encode_record(
    image: StoredImage,
    *,
    filename: str,
    source_id: str,
    objects: ObjectColumns,
    class_ids: Sequence[int],
    normalised: npt.ArrayLike,
    with_pose: bool,
    shapes: Shapes = NO_SHAPES,
    labels: Sequence[tuple[ImageLabel, int]] = (),
) -> bytes:
    """The serialized tf.train.Example.

    Features and their meaning are those of the API's dataset_tools (create_pascal_tf_record.py and
    create_coco_tf_record.py), but for `image/format`, which says what the image is, and class ids, which are always
    there.

    Args:
        image: what is stored.
        filename: the image's name in its data set.
        source_id: what the data set calls it; the API takes the file name where there is nothing else.
        objects: the columns of its objects; `box_px` is not looked at.
        class_ids: their label-map ids.
        normalised: (N, 4), their boxes in units of the image.
        with_pose: write `truncated` and `view`, as for Pascal VOC.
        shapes: masks and keypoints, one of each for every object, or none at all.
        labels: classes of the image as a whole, with their label-map ids.
    """
    edges = np.ascontiguousarray(np.asarray(normalised, np.float32).reshape(-1, 4).T)
    features: dict[str, examples.FeatureValue] = {
        examples.ENCODED: image.encoded,
        examples.FORMAT: image.format,
        examples.FILENAME: filename,
        examples.SOURCE_ID: source_id,
        examples.SHA256: hashlib.sha256(image.encoded).hexdigest(),
        examples.HEIGHT: image.height,
        examples.WIDTH: image.width,
        **dict(zip(examples.OBJECT_BOX, edges, strict=True)),
        examples.OBJECT_CLASS_TEXT: objects.label,
        examples.OBJECT_CLASS_LABEL: _integers(class_ids),
        examples.OBJECT_DIFFICULT: _integers(objects.difficult),
        examples.OBJECT_IS_CROWD: _integers(objects.is_crowd),
    }
    if True in objects.group_of:
        features[examples.OBJECT_GROUP_OF] = _integers(objects.group_of)
    if objects.area and None not in objects.area:
        features[examples.OBJECT_AREA] = np.array(objects.area, np.float32)
    if with_pose:
        features[examples.OBJECT_TRUNCATED] = _integers(objects.truncated)
        features[examples.OBJECT_VIEW] = [view or _VIEW_UNKNOWN for view in objects.view]
    if labels:
        features[examples.IMAGE_CLASS_TEXT] = [item.label for item, _ in labels]
        features[examples.IMAGE_CLASS_LABEL] = _integers([class_id for _, class_id in labels])
        features[examples.IMAGE_CLASS_CONFIDENCE] = np.array([item.confidence for item, _ in labels], np.float64)
    if shapes is not NO_SHAPES:
        features |= _shape_features(shapes)
    if any(objects.features):
        features |= _own_features(objects.features)
    return examples.encode_example(features)


def _own_features(features: Sequence[Sequence[tuple[str, int | float | str]]]) -> dict[str, examples.FeatureValue]:
    """What a format alone says of its objects, as far as it says it of all of them."""
    given = [dict(one) for one in features]
    keys = [key for key in given[0] if all(key in one for one in given)]
    return {f"image/object/{key}": [one[key] for one in given] for key in keys}


def _shape_features(shapes: Shapes) -> dict[str, examples.FeatureValue]:
    features: dict[str, examples.FeatureValue] = {}
    if shapes.masks:
        features[examples.OBJECT_MASK] = shapes.masks
        if not all(shapes.has_mask):
            features[examples.OBJECT_MASK_WEIGHT] = np.array(shapes.has_mask, np.float64)
    if shapes.keypoints:
        points = np.concatenate(shapes.keypoints)
        features[examples.OBJECT_KEYPOINT_Y] = points[:, 0]
        features[examples.OBJECT_KEYPOINT_X] = points[:, 1]
        features[examples.OBJECT_KEYPOINT_VISIBILITY] = points[:, 2].astype(np.int64)
        features[examples.OBJECT_KEYPOINT_TEXT] = list(shapes.keypoint_names) * len(shapes.keypoints)
        features[examples.OBJECT_KEYPOINT_NUM] = np.array([(one[:, 2] > 0).sum() for one in shapes.keypoints], np.int64)
    return features


def _integers(values: Sequence[int]) -> examples.FeatureValue:
    """Whole numbers and flags; without any, the feature is still one of whole numbers."""
    return values or _NO_INTEGERS


_NO_INTEGERS = np.zeros(0, np.int64)
