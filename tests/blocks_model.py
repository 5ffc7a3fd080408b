"""A small detector built on the spot: a colour finder, not a trained model.

It lets tests run a real TensorFlow graph through a real Session with nothing downloaded. It knows
three classes, pure red, green and blue, and finds at most one box of each. It has the inputs and outputs of the
TensorFlow Object Detection API's exports, so everything that runs them runs it.
"""

import os
from pathlib import Path
from typing import Any

from od_core.model.detector import INPUT_KINDS, OUTPUTS
from od_core.records.examples import ENCODED
from od_core.tensorflow_import import import_tensorflow

BLOCKS_LABEL_MAP = """\
item { id: 1 name: 'red' }
item { id: 2 name: 'green' }
item { id: 3 name: 'blue' }
"""

STRONG = 160  # a pixel is of a colour if that channel is above this
WEAK = 96  # and the other two are below this
MIN_PIXELS = 16  # fewer pixels than this are taken for noise


def build_blocks_graph(input_kind: str = "image_tensor") -> Any:
    """The blocks detector as a tf.compat.v1.GraphDef, frozen: it has no variables.

    For each class the box is the smallest that holds all its pixels, and the score the share of the box that they fill.
    Outputs, for B images: detection_boxes float32 (B, 3, 4), detection_scores and detection_classes float32 (B, 3),
    num_detections float32 (B,): best first, padded with zeros.

    Args:
        input_kind: one of `INPUT_KINDS`; its placeholder takes any number of images of one size.
    """
    tf = import_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        images = _images(tf, input_kind)
        for name, output in zip(OUTPUTS, find_colours(tf, images), strict=True):
            tf.identity(output, name)
    return graph.as_graph_def()


def write_frozen_graph(path: str | os.PathLike[str], input_kind: str = "image_tensor") -> None:
    """Write `build_blocks_graph` as a .pb file."""
    Path(path).write_bytes(build_blocks_graph(input_kind).SerializeToString())


def _images(tf: Any, input_kind: str) -> Any:
    """The placeholder of `input_kind` and what decodes it: uint8 or float32 (B, H, W, 3)."""
    if input_kind not in INPUT_KINDS:
        raise ValueError(f"input_kind must be one of {', '.join(INPUT_KINDS)}, got {input_kind!r}")
    if input_kind in ("image_tensor", "float_image_tensor"):
        dtype = tf.uint8 if input_kind == "image_tensor" else tf.float32
        return tf.compat.v1.placeholder(dtype, [None, None, None, 3], input_kind)
    encoded = tf.compat.v1.placeholder(tf.string, [None], input_kind)
    if input_kind == "tf_example":
        encoded = tf.io.parse_example(encoded, {ENCODED: tf.io.FixedLenFeature([], tf.string)})[ENCODED]
    return decode_all(tf, encoded)


def decode_all(tf: Any, encoded: Any) -> Any:
    """Encoded images of one size, string (B,), as uint8 (B, H, W, 3)."""

    def decode(image: Any) -> Any:
        return tf.io.decode_image(image, channels=3, expand_animations=False)

    return tf.map_fn(decode, encoded, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))


def find_colours(tf: Any, images: Any) -> tuple[Any, Any, Any, Any]:
    """The four outputs, as described at `build_blocks_graph`, for images (B, H, W, 3) of any numeric dtype."""
    strong, weak = images > STRONG, images < WEAK
    red, green, blue = (
        strong[..., own] & weak[..., first] & weak[..., second]
        for own, first, second in ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    )
    found = tf.stack([red, green, blue], axis=1)  # (B, class, H, W)
    ymin, ymax, height = _extent(tf, tf.reduce_any(found, axis=3))
    xmin, xmax, width = _extent(tf, tf.reduce_any(found, axis=2))
    pixels = tf.reduce_sum(tf.cast(found, tf.float32), axis=[2, 3])
    present = pixels >= MIN_PIXELS
    scores = tf.where(present, pixels / tf.maximum((ymax - ymin) * (xmax - xmin), 1.0), 0.0)
    boxes = tf.stack([ymin / height, xmin / width, ymax / height, xmax / width], axis=2)
    boxes = tf.where(present[..., None], boxes, 0.0)
    classes = tf.where(present, tf.constant([1.0, 2.0, 3.0]), 0.0)

    scores, order = tf.math.top_k(scores, k=3)  # of equal scores the lower class comes first
    boxes = tf.gather(boxes, order, batch_dims=1)
    classes = tf.gather(classes, order, batch_dims=1)
    return boxes, scores, classes, tf.reduce_sum(tf.cast(present, tf.float32), axis=1)


def _extent(tf: Any, occupied: Any) -> tuple[Any, Any, Any]:
    """First and one past the last True of `occupied` (B, class, length), each float32 (B, class), and the length."""
    length = tf.cast(tf.shape(occupied)[2], tf.float32)
    marks = tf.cast(occupied, tf.int32)
    first = tf.cast(tf.argmax(marks, axis=2), tf.float32)
    past_last = length - tf.cast(tf.argmax(tf.reverse(marks, [2]), axis=2), tf.float32)
    return first, past_last, length
