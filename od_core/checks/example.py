"""Is this a good training record of the TF Object Detection API? What one tf.train.Example holds, and its faults.

What the API reads without a word and then trains on, or stumbles over hours later, is named here: an annotation that is
not of the image, boxes with swapped edges, class ids that the label map does not have.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from od_core.checks.problems import Fault
from od_core.errors import ImageError, RecordError
from od_core.ground_truth import GroundTruth
from od_core.images import ImageHeader, decode_image, read_header
from od_core.label_map import LabelMap
from od_core.records.examples import (
    OBJECT_BOX,
    OBJECT_CLASS_LABEL,
    OBJECT_CLASS_TEXT,
    FeatureUse,
    ImageExample,
    list_features,
    parse_ground_truth,
    parse_image_example,
    parse_sha256,
)

_MAKE_AGAIN = "make these records again from the images and their annotations, as with boxbeam convert"
_LABELS = "give the label map that belongs to these records, or make them again with boxbeam convert --label_map"

NOT_AN_EXAMPLE = Fault("a record that is not a tf.train.Example", "write tf.train.Examples, as boxbeam convert does")
NO_IMAGE = Fault(
    "a record without an image as the API wants it",
    "write the image file's bytes into image/encoded, the other features as docs/records-format.md has them",
)
BAD_IMAGE = Fault("an image that cannot be used", "replace the image and make its record again")
BAD_ANNOTATION = Fault("an annotation that makes no sense", "correct the annotation and make its record again")
OTHER_FORMAT = Fault("image/format is not what the image is", _MAKE_AGAIN)
NOT_DECODABLE = Fault(
    "an image in a format that TensorFlow does not decode", "store it as PNG, as boxbeam convert does"
)
TURNED = Fault(
    "an image whose EXIF orientation TensorFlow ignores",
    "see that boxes fit the picture as it is stored; boxbeam convert stores images upright",
    is_note=True,
)
OTHER_SIZE = Fault(
    "image/height and image/width are not those of the image",
    "see that the annotation is of this image, then make its record again",
)
OTHER_SHA256 = Fault("image/key/sha256 is not that of image/encoded", _MAKE_AGAIN)
OUTSIDE = Fault("a box that reaches out of its image", "clip it, as boxbeam convert --boxes clip does")
SWAPPED = Fault("a box whose minimum is above its maximum", "correct the order of its edges where it was annotated")
EMPTY = Fault("a box without an area", "leave it out, as boxbeam convert does")
NO_CLASS = Fault("an object without a class", "write image/object/class/label, or class/text and give a label map")
BAD_ID = Fault("a class id below 1", "count ids from 1: 0 means background to the API")
UNKNOWN_CLASS = Fault("a class that the label map lacks", _LABELS)
OTHER_CLASS = Fault("a class id that stands for another name in the label map", _LABELS)


class CheckedExample(NamedTuple):
    """What a record holds, as far as it could be read.

    features: by key; image, header: its image and what the image file says; truth: its objects, with class ids and
    names as they stand; faults: pairs of what is wrong and how it shows in this record.
    """

    features: Mapping[str, FeatureUse]
    image: ImageExample | None
    header: ImageHeader | None
    truth: GroundTruth | None
    faults: tuple[tuple[Fault, str], ...]


def check_example(serialized: bytes, label_map: LabelMap | None = None, *, decode: bool = False) -> CheckedExample:
    """Read and check a serialized tf.train.Example.

    Args:
        label_map: the classes there are; without it only ids below 1 are found fault with.
        decode: decode the pixels too; otherwise only the image's header is read.
    """
    try:
        features = list_features(serialized)
    except RecordError as error:
        return CheckedExample({}, None, None, None, ((NOT_AN_EXAMPLE, str(error)),))
    faults: list[tuple[Fault, str]] = []
    image, header, truth = None, None, None
    try:
        image = parse_image_example(serialized)
        header = read_header(image.encoded)
        if decode:
            decode_image(image.encoded)
        faults += _image_faults(serialized, image, header)
    except RecordError as error:
        faults.append((NO_IMAGE, str(error)))
    except ImageError as error:
        faults.append((BAD_IMAGE, str(error)))
    try:
        truth = parse_ground_truth(serialized)
        faults += _box_faults(truth)
        faults += _class_faults(truth, features, label_map)
    except RecordError as error:
        faults.append((BAD_ANNOTATION, str(error)))
    return CheckedExample(features, image, header, truth, tuple(faults))


def _image_faults(serialized: bytes, image: ImageExample, header: ImageHeader) -> Iterator[tuple[Fault, str]]:
    named = image.format.lower()
    if {"jpg": "jpeg"}.get(named, named) != header.format:
        yield OTHER_FORMAT, f"it says {image.format}, the image is {header.format}"
    if header.format == "tiff":
        yield NOT_DECODABLE, "it is a TIFF"
    if header.orientation != 1:
        yield TURNED, f"orientation {header.orientation}"
    # TensorFlow sees the image as it is stored, so that is the size boxes are in units of.
    stored = (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)
    claimed = (image.width, image.height)
    if any(size is not None and size != found for size, found in zip(claimed, stored, strict=True)):
        yield OTHER_SIZE, f"it says {claimed[0]} x {claimed[1]}, the image is {stored[0]} x {stored[1]}"
    noted = parse_sha256(serialized)
    if noted and noted.lower() != hashlib.sha256(image.encoded).hexdigest():
        yield OTHER_SHA256, f"it says {noted[:16]}..."


def _box_faults(truth: GroundTruth) -> Iterator[tuple[Fault, str]]:
    lows, highs = truth.boxes[:, :2], truth.boxes[:, 2:]
    swapped = (lows > highs).any(axis=1)
    for fault, wrong in (
        (OUTSIDE, ((truth.boxes < 0) | (truth.boxes > 1)).any(axis=1)),
        (SWAPPED, swapped),
        (EMPTY, (lows == highs).any(axis=1) & ~swapped),
    ):
        for index in np.flatnonzero(wrong)[:1].tolist():
            edges = ", ".join(f"{edge:.6g}" for edge in truth.boxes[index])
            more = f" and {int(wrong.sum()) - 1} more" if wrong.sum() > 1 else ""
            yield fault, f"object {index} is [{edges}] (ymin, xmin, ymax, xmax){more}"


def _class_faults(
    truth: GroundTruth, features: Mapping[str, FeatureUse], label_map: LabelMap | None
) -> Iterator[tuple[Fault, str]]:
    """At most one fault of a kind."""
    has_ids = features.get(OBJECT_CLASS_LABEL, FeatureUse("", 0)).values > 0
    labels = truth.labels or (None,) * len(truth)
    told: set[str] = set()
    for index, (class_id, label) in enumerate(zip(truth.classes.tolist(), labels, strict=True)):
        for fault, text in _class_fault(class_id if has_ids else None, label, label_map):
            if fault.what not in told:
                told.add(fault.what)
                yield fault, f"object {index}: {text}"


def _class_fault(class_id: int | None, label: str | None, label_map: LabelMap | None) -> Iterator[tuple[Fault, str]]:
    if class_id is None and label is None:
        yield NO_CLASS, f"neither {OBJECT_CLASS_LABEL} nor {OBJECT_CLASS_TEXT} says what it is"
    if class_id is not None and class_id < 1:
        yield BAD_ID, f"id {class_id}" + (f", called {label!r}" if label else "")
    if label_map is None:
        return
    of_text = label_map.id_of(label) if label else None
    if label and of_text is None:
        yield UNKNOWN_CLASS, f"called {label!r}"
    elif class_id is not None and class_id >= 1 and class_id not in label_map.names:
        yield UNKNOWN_CLASS, f"id {class_id}"
    elif of_text is not None and class_id is not None and of_text != class_id:
        yield OTHER_CLASS, f"id {class_id} is called {label!r}, which is id {of_text} in the label map"


def detection_keys(features: Mapping[str, FeatureUse]) -> bool:
    """Whether the record has the keys of annotated boxes, be they empty."""
    return any(key in features for key in OBJECT_BOX)
