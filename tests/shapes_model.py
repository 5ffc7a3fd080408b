"""The blocks detector (tests/blocks_model.py) with masks and keypoints, in every form in which models are exported.

Its masks are small blurred copies of the image's colours, its keypoints the upper left and lower right corner of the
box and one that is never found. What they show does not matter: they are numbers like those of a trained model.
"""

from pathlib import Path
from typing import Any

import numpy as np

from od_core.model.detector import OUTPUTS
from od_core.records.examples import ENCODED
from tests.blocks_model import decode_all, find_colours
from tests.od_core.model import model_exports

SHAPE_OUTPUTS = ("detection_masks", "detection_keypoints", "detection_keypoint_scores")
MASK_SIZE = (7, 5)


def find_shapes(tf: Any, images: Any) -> dict[str, Any]:
    """All seven outputs for images (B, H, W, 3), by the API's names."""
    boxes, scores, classes, count = find_colours(tf, images)
    blurred = tf.image.resize(tf.cast(images, tf.float32), MASK_SIZE, antialias=True) / 255
    corners = tf.reshape(boxes, [tf.shape(boxes)[0], 3, 2, 2])
    lost = tf.fill(tf.shape(corners[:, :, :1]), np.float32("nan"))
    return {
        **dict(zip(OUTPUTS, (boxes, scores, classes, count), strict=True)),
        "detection_masks": tf.transpose(blurred, [0, 3, 1, 2]),
        "detection_keypoints": tf.concat([corners, lost], axis=2),
        "detection_keypoint_scores": scores[..., None] * tf.constant([1.0, 0.5, 0.0]),
    }


def frozen_graph(path: Path, input_kind: str = "image_tensor", without: tuple[str, ...] = ()) -> Path:
    """A TF1 frozen graph, perhaps without some of the outputs."""

    def build(tf: Any) -> dict[str, Any]:
        floats = input_kind == "float_image_tensor"
        if floats or input_kind == "image_tensor":
            images = tf.compat.v1.placeholder(tf.float32 if floats else tf.uint8, [None, None, None, 3], input_kind)
        else:
            strings = tf.compat.v1.placeholder(tf.string, [None], input_kind)
            if input_kind == "tf_example":
                strings = tf.io.parse_example(strings, {ENCODED: tf.io.FixedLenFeature([], tf.string)})[ENCODED]
            images = decode_all(tf, strings)
        return {name: tensor for name, tensor in find_shapes(tf, images).items() if name not in without}

    return model_exports.frozen_graph_of(path, build)


def tf1_saved_model(folder: Path) -> Path:
    """A TF1 SavedModel."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(frozen_graph(folder.with_suffix(".pb")).read_bytes())
    return model_exports.tf1_saved_model_of(folder, graph_def, "image_tensor", (*OUTPUTS, *SHAPE_OUTPUTS))


def tf2_saved_model(folder: Path) -> Path:
    """A TF2 SavedModel, its batch fixed to 1."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8, "input_tensor")])
        def serve(self, images: Any) -> dict[str, Any]:
            return find_shapes(tf, images)

    return model_exports.save(folder, Model())
