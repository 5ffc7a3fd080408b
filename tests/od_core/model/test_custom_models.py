"""Detectors whose tensors have names and meanings of their own answer as the API's exports do, once told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from od_core.errors import ModelError
from od_core.model.detector import open_detector
from od_core.model.tensors import ModelTensors
from tests.blocks_model import decode_all, find_colours
from tests.od_core.model import model_exports
from tests.od_core.model.model_exports import colours_in, drawn

IMAGES = np.stack([drawn((1, 5, 10, 25, 50)), drawn(), drawn((2, 0, 0, 9, 9), (3, 30, 30, 60, 80))])
OUTPUTS = (("boxes", "nms/boxes"), ("scores", "nms/scores"), ("classes", "nms/classes"), ("num", "valid"))


def pixels_and_classes_from_0(tf: Any, images: Any) -> dict[str, Any]:
    """Corners x, y in pixels; ids from 0, as whole numbers."""
    boxes, scores, classes, count = find_colours(tf, images)
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    corners = tf.gather(boxes * tf.tile(size, [2]), [1, 0, 3, 2], axis=2)
    return {
        "nms/boxes": corners,
        "nms/scores": scores,
        "nms/classes": tf.cast(classes, tf.int32) - 1,
        "valid": tf.cast(count, tf.int32),
    }


def of_pixels(tf: Any) -> dict[str, Any]:
    images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "pixels")
    tf.compat.v1.placeholder(tf.float32, [], "threshold")
    return pixels_and_classes_from_0(tf, images)


def of_files(tf: Any) -> dict[str, Any]:
    files = tf.compat.v1.placeholder(tf.string, [None], "files")
    return pixels_and_classes_from_0(tf, decode_all(tf, files))


def assert_finds_the_colours(path: Path, tensors: ModelTensors) -> None:
    detector = open_detector(path, tensors=tensors)
    try:
        for found, image in zip(detector.detect(IMAGES), IMAGES, strict=True):
            expected = colours_in(image)
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
            np.testing.assert_array_equal(found.classes, expected.classes)
    finally:
        detector.close()


@pytest.mark.parametrize(
    ("build", "input", "kind"),
    [(of_pixels, "pixels", "image_tensor"), (of_files, "files:0", "encoded_image_string_tensor")],
)
@pytest.mark.parametrize("outputs", [OUTPUTS, OUTPUTS[:3], tuple((role, f"{name}:0") for role, name in OUTPUTS)])
def test_a_frozen_graph_of_other_names(tmp_path, build, input, kind, outputs):
    path = model_exports.frozen_graph_of(tmp_path / "m.pb", build)
    tensors = ModelTensors(input, outputs, "xmin_ymin_xmax_ymax", in_pixels=True, first_class_id=0)
    assert_finds_the_colours(path, tensors)
    detector = open_detector(path, tensors=tensors)
    assert detector.signature.input_kind == kind
    assert list(detector.signature.output_tensors) == [
        *("detection_boxes", "detection_scores", "detection_classes"),
        *(["num_detections"] if len(outputs) == 4 else []),
    ]
    detector.close()


def test_the_second_output_of_a_node(tmp_path):
    def build(tf: Any) -> dict[str, Any]:
        images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
        boxes, scores, classes, _ = find_colours(tf, images)
        tf.raw_ops.IdentityN(input=[boxes, scores, classes], name="all")
        return {}

    outputs = (("boxes", "all"), ("scores", "all:1"), ("classes", "all:2"))
    assert_finds_the_colours(model_exports.frozen_graph_of(tmp_path / "m.pb", build), ModelTensors(outputs=outputs))


def test_a_saved_model_of_other_names_and_several_inputs(tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, None, 3], tf.float32, "frames"),
                tf.TensorSpec([None], tf.int32, "ids"),
            ]
        )
        def serve(self, frames: Any, ids: Any) -> dict[str, Any]:
            boxes, scores, classes, _ = find_colours(tf, frames)
            corners = tf.split(boxes, 4, axis=2)
            centre = [(corners[1] + corners[3]) / 2, (corners[0] + corners[2]) / 2]
            size = [corners[3] - corners[1], corners[2] - corners[0]]
            return {"output_0": tf.concat([*centre, *size], axis=2), "output_1": scores, "output_2": classes}

    folder = model_exports.save(tmp_path / "model", Model())
    outputs = (("boxes", "output_0"), ("scores", "output_1"), ("classes", "output_2"))
    assert_finds_the_colours(folder, ModelTensors("frames", outputs, "cx_cy_w_h"))
    with pytest.raises(ModelError, match="it has 2 inputs instead of one"):
        open_detector(folder, tensors=ModelTensors(outputs=outputs))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (ModelTensors(), "0 inputs named image_tensor or"),
        (ModelTensors("pixel"), "it has no input called 'pixel'; did you mean pixels?"),
        (ModelTensors("threshold"), "its input threshold float32 [] is not float32 of rank 4"),
        (
            ModelTensors("pixels"),
            "it has no output detection_boxes, detection_scores, detection_classes, num_detections",
        ),
        (
            ModelTensors("pixels", (*OUTPUTS[1:], ("boxes", "nms/box"))),
            "it has no output called 'nms/box'; did you mean",
        ),
        (ModelTensors("pixels", (*OUTPUTS[1:], ("boxes", "nms/boxes:3"))), "it has no output called 'nms/boxes:3'"),
        (
            ModelTensors("pixels", (*OUTPUTS[1:], ("boxes", "nms/scores"))),
            "its output nms/scores float32 [?, 3] cannot be detection_boxes, which are of rank 3",
        ),
        (
            ModelTensors("pixels", (OUTPUTS[0], ("scores", "nms/classes"), ("classes", "nms/classes"))),
            "its output nms/classes int32 [?, 3] is not float32",
        ),
    ],
)
def test_names_that_lead_nowhere_are_refused_with_those_there_are(tmp_path, tensors, says):
    path = model_exports.frozen_graph_of(tmp_path / "m.pb", of_pixels)
    with pytest.raises(ModelError) as refused:
        open_detector(path, tensors=tensors)
    said = str(refused.value)
    assert says in said
    assert "Inputs found: pixels uint8 [?, ?, ?, 3], threshold float32 []." in said
    for name in ("nms/boxes", "nms/scores float32 [?, 3]", "nms/classes int32 [?, 3]", "valid int32 [?]"):
        assert name in said
    assert "--input_tensor, --output_tensors and --box_format" in said
