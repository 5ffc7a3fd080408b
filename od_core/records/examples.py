"""Values of tf.train.Example, the record of the TF Object Detection API, read and written without TensorFlow.

The wire format is tensorflow/core/example/{example,feature}.proto; protobuf reads it over a descriptor in a pool of our
own, so that TensorFlow is not needed and one that is loaded cannot clash with it. The feature keys are those that the
API's data_decoders/tf_example_decoder.py reads (tensorflow/models) and its dataset scripts write.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format, unknown_fields

from od_core.detections import Detections
from od_core.errors import RecordError
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap
from od_core.records.example_encoder import FeatureValue as FeatureValue
from od_core.records.example_encoder import encode_example as encode_example

# The image. All bytes but height and width (int64); key/sha256 is hexadecimal text.
ENCODED = "image/encoded"
FORMAT = "image/format"
FILENAME = "image/filename"
SOURCE_ID = "image/source_id"
SHA256 = "image/key/sha256"
HEIGHT = "image/height"
WIDTH = "image/width"

# What is in the image as a whole: bytes, int64, float; the last two are int64 class ids.
IMAGE_CLASS_TEXT = "image/class/text"
IMAGE_CLASS_LABEL = "image/class/label"
IMAGE_CLASS_CONFIDENCE = "image/class/confidence"
NEGATIVE_CLASSES = "image/neg_category_ids"
NOT_EXHAUSTIVE_CLASSES = "image/not_exhaustive_category_ids"

# Its objects, one value each in every list: box edges (0..1), area (px²) and weight are float, text and view bytes,
# labels and flags int64; masks are PNG files (bytes) or numbers (float).
OBJECT_BOX = tuple(f"image/object/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
OBJECT_CLASS_TEXT = "image/object/class/text"
OBJECT_CLASS_LABEL = "image/object/class/label"
OBJECT_AREA = "image/object/area"
OBJECT_IS_CROWD = "image/object/is_crowd"
OBJECT_DIFFICULT = "image/object/difficult"
OBJECT_GROUP_OF = "image/object/group_of"
OBJECT_WEIGHT = "image/object/weight"
OBJECT_TRUNCATED = "image/object/truncated"
OBJECT_VIEW = "image/object/view"
OBJECT_MASK = "image/object/mask"
OBJECT_MASK_WEIGHT = "image/object/mask/weight"

# Keypoints: for every object one value of each name, end to end; x and y float (0..1), visibility int64 (0: not
# annotated, 1: hidden, 2: visible), text bytes; num int64, one value per object: how many are annotated.
OBJECT_KEYPOINT_X = "image/object/keypoint/x"
OBJECT_KEYPOINT_Y = "image/object/keypoint/y"
OBJECT_KEYPOINT_VISIBILITY = "image/object/keypoint/visibility"
OBJECT_KEYPOINT_TEXT = "image/object/keypoint/text"
OBJECT_KEYPOINT_NUM = "image/object/keypoint/num"

# What a detector found: box edges and score float, label int64.
DETECTION_BOX = tuple(f"image/detection/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
DETECTION_SCORE = "image/detection/score"
DETECTION_LABEL = "image/detection/label"

UNKNOWN_CLASS = -1

# The number of the field that a SequenceExample has and an Example lacks (tensorflow/core/example/example.proto).
_FEATURE_LISTS = 2

_OBJECT_LISTS = {
    **dict.fromkeys(OBJECT_BOX, "float_list"),
    OBJECT_AREA: "float_list",
    OBJECT_CLASS_TEXT: "bytes_list",
    **dict.fromkeys((OBJECT_CLASS_LABEL, OBJECT_IS_CROWD, OBJECT_DIFFICULT, OBJECT_GROUP_OF), "int64_list"),
}


class ImageExample(NamedTuple):
    """The image of one record, and what identifies it.

    encoded: the file's bytes, not decoded; source_id, filename: "" where the record has none; format: "jpeg", "png",
    ... as the record says, "jpeg" where it does not; height, width: what the record claims, or None.
    """

    encoded: bytes
    source_id: str
    filename: str
    format: str = "jpeg"
    height: int | None = None
    width: int | None = None


class ImageNames(NamedTuple):
    """What a record calls its image; "" or None where it does not say. The size is what it claims."""

    source_id: str
    filename: str
    height: int | None
    width: int | None


class FeatureUse(NamedTuple):
    """What a record holds under one key.

    kind: "bytes", "float" or "int64", or "" where the feature has no list at all; values: the length of its list.
    """

    kind: str
    values: int


def list_features(serialized: bytes) -> dict[str, FeatureUse]:
    """The features of a serialized tf.train.Example by key, whatever they are.

    Raises:
        RecordError: not an Example, or a tf.train.SequenceExample, which looks like one with half its features.
    """
    features = _features(serialized)
    kinds = {key: feature.WhichOneof("kind") or "" for key, feature in features.items()}
    return {
        key: FeatureUse(kind.removesuffix("_list"), len(getattr(features[key], kind).value) if kind else 0)
        for key, kind in sorted(kinds.items())
    }


def parse_image_example(serialized: bytes) -> ImageExample:
    """The image in a serialized tf.train.Example.

    Names that are not UTF-8 are kept apart by backslash escapes.

    Raises:
        RecordError: not an Example, no image in it, or a feature of another type than the API's.
    """
    features = _features(serialized)
    encoded = _one(features, ENCODED, "bytes_list")
    if not encoded:
        how = "empty" if ENCODED in features else "missing"
        raise RecordError(f"the record has no image: {ENCODED} is {how}; {_listed(features)}")
    source_id, filename, format = (_text(features, key) for key in (SOURCE_ID, FILENAME, FORMAT))
    height, width = (_one(features, key, "int64_list") for key in (HEIGHT, WIDTH))
    return ImageExample(encoded, source_id, filename, format or "jpeg", height, width)


def parse_sha256(serialized: bytes) -> str:
    """The SHA-256 of the image as a serialized tf.train.Example notes it, hexadecimal; "" where it does not.

    Raises:
        RecordError: not an Example, or the feature is not text.
    """
    return _text(_features(serialized), SHA256)


def parse_ground_truth(serialized: bytes, label_map: LabelMap | None = None) -> GroundTruth:
    """The annotated boxes in a serialized tf.train.Example.

    As in the API, a label map's id for the class text wins over the class id in the record, and missing flags are
    False. A class of neither a known text nor an id is `UNKNOWN_CLASS`, with its text as label: callers count these.

    Args:
        label_map: gives ids to class texts, and labels to ids; without it, ids and texts are taken as they stand.

    Raises:
        RecordError: not an Example, feature lists of unequal length, or values that make no sense.
    """
    features = _features(serialized)
    lists = {key: list(_values(features, key, kind)) for key, kind in _OBJECT_LISTS.items()}
    count = len(lists[OBJECT_BOX[0]])
    for key, values in lists.items():
        if len(values) != count and (values or key in OBJECT_BOX):
            raise RecordError(f"the record has {count} boxes by {OBJECT_BOX[0]}, but {len(values)} values of {key}")
    ids = lists[OBJECT_CLASS_LABEL] or [UNKNOWN_CLASS] * count
    texts = lists[OBJECT_CLASS_TEXT] or [b""] * count
    labels: list[str | None] = [text.decode(errors="backslashreplace") or None for text in texts]
    if label_map is not None:
        found = [label_map.id_of(label) if label else id for label, id in zip(labels, ids, strict=True)]
        ids = [UNKNOWN_CLASS if id is None else id for id in found]
        labels = [label_map.labels.get(id, label) for label, id in zip(labels, ids, strict=True)]
    try:
        return GroundTruth.of(
            np.array([lists[key] for key in OBJECT_BOX], np.float32).T,
            ids,
            # Open Images writes -1 for "not known".
            is_crowd=[flag > 0 for flag in lists[OBJECT_IS_CROWD] or [0] * count],
            difficult=[flag > 0 for flag in lists[OBJECT_DIFFICULT] or [0] * count],
            group_of=[flag > 0 for flag in lists[OBJECT_GROUP_OF] or [0] * count],
            labels=labels if any(labels) else None,
            area=lists[OBJECT_AREA] or None,
        )
    except (ValueError, OverflowError) as error:
        raise RecordError(f"the record's annotation makes no sense: {error}") from error


def parse_names(serialized: bytes) -> ImageNames:
    """What a serialized tf.train.Example calls its image, whether or not the image itself is in it.

    Raises:
        RecordError: not an Example, or a feature of another type than the API's.
    """
    features = _features(serialized)
    height, width = (_one(features, key, "int64_list") for key in (HEIGHT, WIDTH))
    return ImageNames(_text(features, SOURCE_ID), _text(features, FILENAME), height, width)


def parse_detections(serialized: bytes) -> Detections | None:
    """The detections in a serialized tf.train.Example, as the API's infer_detections.py writes them; best first.

    None where it has no features of detections at all, not even empty ones.

    Raises:
        RecordError: not an Example, feature lists of unequal length, or values that make no sense.
    """
    features = _features(serialized)
    scores = _values(features, DETECTION_SCORE, "float_list")
    classes = _values(features, DETECTION_LABEL, "int64_list")
    edges = [_values(features, key, "float_list") for key in DETECTION_BOX]
    for key, values in zip((DETECTION_LABEL, *DETECTION_BOX), (classes, *edges), strict=True):
        if len(values) != len(scores):
            raise RecordError(f"the record has {len(scores)} values of {DETECTION_SCORE}, but {len(values)} of {key}")
    try:
        found = Detections.best_first(np.array(edges, np.float32).T, scores, classes)
    except (ValueError, OverflowError) as error:
        raise RecordError(f"the record's detections make no sense: {error}") from error
    return found if any(key in features for key in (DETECTION_SCORE, DETECTION_LABEL, *DETECTION_BOX)) else None


def has_detections_alone(serialized: bytes) -> bool:
    """Whether a record tells what was found in its image and nothing of what is there, not even that there is nothing.

    The API's offline evaluation passes over such records.

    Raises:
        RecordError: not an Example.
    """
    features = _features(serialized)
    return DETECTION_SCORE in features and not any(key in features for key in OBJECT_BOX)


def _features(serialized: bytes) -> Mapping[str, Any]:
    try:
        example = _Example.FromString(serialized)
    except message.DecodeError as error:
        raise RecordError(f"the record ({len(serialized)} bytes) is not a tf.train.Example: {error}") from error
    if any(field.field_number == _FEATURE_LISTS for field in unknown_fields.UnknownFieldSet(example)):
        raise RecordError(
            "the record is a tf.train.SequenceExample (features of the frames of a sequence), where a tf.train.Example "
            "of one image is wanted: write an Example for every frame"
        )
    features: Mapping[str, Any] = example.features.feature
    return features


def _values(features: Mapping[str, Any], key: str, kind: str) -> Sequence[Any]:
    """The feature's values; empty where it is missing or has no kind."""
    if key not in features:
        return ()
    feature = features[key]
    found = feature.WhichOneof("kind")
    if found not in (kind, None):
        raise RecordError(f"the record's feature {key} is a {found}, expected a {kind}")
    values: Sequence[Any] = getattr(feature, kind).value
    return values


def _one(features: Mapping[str, Any], key: str, kind: str) -> Any:
    """The feature's one value; None where it is missing or empty."""
    values = _values(features, key, kind)
    if len(values) > 1:
        raise RecordError(f"the record's feature {key} has {len(values)} values, expected one")
    return values[0] if values else None


def _text(features: Mapping[str, Any], key: str) -> str:
    """The feature's text, "" where it is missing; what is not UTF-8 is kept apart by backslash escapes."""
    noted: bytes = _one(features, key, "bytes_list") or b""
    return noted.decode(errors="backslashreplace")


def _listed(features: Mapping[str, Any]) -> str:
    keys = sorted(features)
    return f"its features: {', '.join(keys[:8])}{', ...' if len(keys) > 8 else ''}" if keys else "it has no features"


_FILE = text_format.Parse(
    """
    name: "tensorflow/core/example/example.proto" package: "tensorflow" syntax: "proto3"
    message_type { name: "BytesList"
      field { name: "value" number: 1 type: TYPE_BYTES label: LABEL_REPEATED } }
    message_type { name: "FloatList"
      field { name: "value" number: 1 type: TYPE_FLOAT label: LABEL_REPEATED } }
    message_type { name: "Int64List"
      field { name: "value" number: 1 type: TYPE_INT64 label: LABEL_REPEATED } }
    message_type { name: "Feature"
      oneof_decl { name: "kind" }
      field { name: "bytes_list" number: 1 oneof_index: 0
              type: TYPE_MESSAGE type_name: "BytesList" label: LABEL_OPTIONAL }
      field { name: "float_list" number: 2 oneof_index: 0
              type: TYPE_MESSAGE type_name: "FloatList" label: LABEL_OPTIONAL }
      field { name: "int64_list" number: 3 oneof_index: 0
              type: TYPE_MESSAGE type_name: "Int64List" label: LABEL_OPTIONAL } }
    message_type { name: "Features"
      nested_type { name: "FeatureEntry" options { map_entry: true }
        field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "value" number: 2 type: TYPE_MESSAGE type_name: "Feature" label: LABEL_OPTIONAL } }
      field { name: "feature" number: 1 type: TYPE_MESSAGE type_name: "FeatureEntry" label: LABEL_REPEATED } }
    message_type { name: "Example"
      field { name: "features" number: 1 type: TYPE_MESSAGE type_name: "Features" label: LABEL_OPTIONAL } }
    """,
    descriptor_pb2.FileDescriptorProto(),
)
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_FILE)
_Example: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("tensorflow.Example"))
