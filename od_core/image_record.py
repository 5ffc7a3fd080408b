"""One annotated image as a tf.train.Example of the TF Object Detection API."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core import boxes, examples
from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject
from od_core.annotations.shapes import Mask
from od_core.errors import ImageError
from od_core.images import decode_image, encode_jpeg, encode_png, read_header, upright_pixels

# What TensorFlow's decode_image gives as one picture with the right colours. A GIF or WebP is a stack of frames to it,
# a BMP's palette is lost, a TIFF unknown: these are stored as PNG, whose pixels are the same.
_STORED_AS_THEY_ARE = ("jpeg", "png")
_JPEG_QUALITY = 95
_PNG_LEVEL = 6
_VIEW_UNKNOWN = "Unspecified"


class StoredImage(NamedTuple):
    """An image as it goes into a record.

    Attributes:
        encoded: the file, upright without metadata.
        format: what it is: "jpeg" or "png".
        width, height: in pixels.
        orientation: EXIF orientation that the original had.
        original_format: what it was.
    """

    encoded: bytes
    format: str
    width: int
    height: int
    orientation: int
    original_format: str

    @property
    def is_changed(self) -> bool:
        """Whether it is not the original file, byte for byte."""
        return self.orientation != 1 or self.format != self.original_format


def stored_image(encoded: bytes) -> StoredImage:
    """An image file as a record takes it: as it is, or re-encoded where TensorFlow would not see the same picture.

    TensorFlow's decoders ignore EXIF orientation, and only JPEG and PNG are always one picture to them. A JPEG that is
    to be turned is encoded anew at quality 95, everything else as PNG; of animations that is the first frame. The
    pixels are decoded once, so that no damaged file gets into a record.

    Raises:
        ImageError: not an image, or damaged.
    """
    header = read_header(encoded)
    pixels = decode_image(encoded)
    height, width, _ = pixels.shape
    kept = header.orientation == 1 and header.format in _STORED_AS_THEY_ARE
    if kept:
        format = header.format
    elif header.format == "jpeg":
        encoded, format = encode_jpeg(pixels, _JPEG_QUALITY), "jpeg"
    else:
        encoded, format = encode_png(pixels, _PNG_LEVEL), "png"
    return StoredImage(encoded, format, width, height, header.orientation, header.format)


class Placed(NamedTuple):
    """Objects as they lie in the stored image.

    Attributes:
        objects: boxes in pixels of an image of this width and height.
        width, height: of the stored image, or of one of its shape that the annotation speaks of.
        turn: how the annotation had to be turned, as an EXIF orientation: 1 for not at all.
    """

    objects: tuple[AnnotatedObject, ...]
    width: int
    height: int
    turn: int = 1


def placed_objects(annotated: AnnotatedImage, image: StoredImage) -> Placed:
    """The objects in the stored image, which is upright.

    An annotation speaks of the image as it is stored if it has the stored size (or shape) and not the upright one; else
    of the upright image. It may also give another size than the file has: the image was scaled since. Areas of objects
    are then brought to the image's own pixels; boxes are not.

    Raises:
        ImageError: the sizes do not even have the same shape: it is another image.
    """
    width, height = annotated.width or image.width, annotated.height or image.height
    objects, turn = annotated.objects, 1
    if image.orientation >= 5 and _is_of_stored(width, height, image):
        objects = tuple(
            item._replace(box_px=_turned(item.box_px, width, height, image.orientation)) for item in objects
        )
        width, height, turn = height, width, image.orientation
    if not _same_shape(width, height, image.width, image.height):
        raise ImageError(
            f"the annotation is of a {width} x {height} image,"
            f" the file is {image.width} x {image.height}: it is another one"
        )
    if (width, height) != (image.width, image.height):
        scale = image.width * image.height / (width * height)
        objects = tuple(item if item.area is None else item._replace(area=item.area * scale) for item in objects)
    return Placed(objects, width, height, turn)


def placed_mask(mask: Mask, placed: Placed, image: StoredImage) -> bytes:
    """A mask as the annotation has it, as the PNG of a record: of the stored image's size, grey, 0 and 1."""
    turned = upright_pixels(mask, placed.turn)
    if turned.shape != (image.height, image.width):
        turned = cv2.resize(
            np.ascontiguousarray(turned), (image.width, image.height), interpolation=cv2.INTER_NEAREST_EXACT
        )
    return encode_png(turned, _PNG_LEVEL)


def placed_keypoints(points: npt.NDArray[np.float64], placed: Placed) -> npt.NDArray[np.float64]:
    """Keypoints (N, 3), rows [y, x, visibility] in the annotation's pixels, in units of the stored image.

    Those that are not annotated stay what they are, (0, 0) in COCO.
    """
    width, height = (placed.height, placed.width) if placed.turn >= 5 else (placed.width, placed.height)
    corners = boxes.to_normalised(points[:, [0, 1, 0, 1]], height, width)
    turned = boxes.upright(corners, placed.turn)[:, :2]
    is_annotated = points[:, 2:] > 0
    return np.concatenate([np.where(is_annotated, turned, corners[:, :2]), points[:, 2:]], axis=1)


def _is_of_stored(width: int, height: int, image: StoredImage) -> bool:
    """Whether this is the size of an image before its sides were exchanged; where it could be either, it is not."""
    upright, stored = (image.width, image.height), (image.height, image.width)
    if (width, height) in (upright, stored):
        return (width, height) != upright
    return _same_shape(width, height, *stored) and not _same_shape(width, height, *upright)


def _same_shape(width: int, height: int, other_width: int, other_height: int) -> bool:
    """Whether one can be the other scaled, give or take a pixel of rounding at either edge of either."""
    return abs(width * other_height - height * other_width) <= width + height + other_width + other_height


def _turned(
    box_px: tuple[float, float, float, float], width: int, height: int, orientation: int
) -> tuple[float, float, float, float]:
    """A box in pixels of the stored image as one of the upright image, whose sides are exchanged."""
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
    objects: Sequence[AnnotatedObject],
    class_ids: Sequence[int],
    normalised: npt.ArrayLike,
    with_pose: bool,
    shapes: Shapes = NO_SHAPES,
) -> bytes:
    """The serialized tf.train.Example.

    Features and their meaning are those of the API's dataset_tools (create_pascal_tf_record.py and
    create_coco_tf_record.py), but for `image/format`, which says what the image is, and class ids, which are always
    there.

    Args:
        image: what is stored.
        filename: the image's name in its data set.
        source_id: what the data set calls it; the API takes the file name where there is nothing else.
        objects: the objects; `box_px` is not looked at.
        class_ids: their label-map ids.
        normalised: (N, 4), their boxes in units of the image.
        with_pose: write `truncated` and `view`, as for Pascal VOC.
        shapes: masks and keypoints, one of each for every object, or none at all.
    """
    edges = np.asarray(normalised, np.float64).reshape(-1, 4).T
    features: dict[str, examples.FeatureValue] = {
        examples.ENCODED: image.encoded,
        examples.FORMAT: image.format,
        examples.FILENAME: filename,
        examples.SOURCE_ID: source_id,
        examples.SHA256: hashlib.sha256(image.encoded).hexdigest(),
        examples.HEIGHT: image.height,
        examples.WIDTH: image.width,
        **dict(zip(examples.OBJECT_BOX, edges, strict=True)),
        examples.OBJECT_CLASS_TEXT: [item.label for item in objects],
        examples.OBJECT_CLASS_LABEL: np.array(class_ids, np.int64),
        examples.OBJECT_DIFFICULT: _flags([item.difficult for item in objects]),
        examples.OBJECT_IS_CROWD: _flags([item.is_crowd for item in objects]),
    }
    if any(item.group_of for item in objects):
        features[examples.OBJECT_GROUP_OF] = _flags([item.group_of for item in objects])
    if objects and all(item.area is not None for item in objects):
        features[examples.OBJECT_AREA] = np.array([item.area for item in objects], np.float64)
    if with_pose:
        features[examples.OBJECT_TRUNCATED] = _flags([item.truncated for item in objects])
        features[examples.OBJECT_VIEW] = [item.view or _VIEW_UNKNOWN for item in objects]
    return examples.encode_example(features | _shape_features(shapes))


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


def _flags(values: Sequence[bool]) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)
