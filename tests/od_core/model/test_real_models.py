"""The real models answer through `open_detector` as they answer when TensorFlow is asked directly.

One of each kind of input and of export; the others are held against the API's own answers (test_model.py).
"""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from od_core.detections import Detections
from od_core.images import read_header
from od_core.model.detector import OUTPUTS, open_detector
from tests.od_core.model.model_exports import quiet

pytestmark = pytest.mark.shared

BCCD = "data/datasets/bccd/BCCD/JPEGImages"
NAMES = ("BloodImage_00007.jpg", "BloodImage_00168.jpg")
TOLERANCE = 1e-5


def fed(kind: str, jpeg: bytes) -> np.ndarray:
    """One photo as a model's input takes it, the JPEG itself where it takes strings."""
    if kind == "image_tensor":
        return tf.io.decode_jpeg(jpeg, channels=3).numpy()[None]
    if kind == "tf_example":
        header = read_header(jpeg)
        feature = {
            "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
            "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"jpeg"])),
            "image/height": tf.train.Feature(int64_list=tf.train.Int64List(value=[header.height])),
            "image/width": tf.train.Feature(int64_list=tf.train.Int64List(value=[header.width])),
        }
        jpeg = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    return np.array([jpeg], object)


def by_session(path: Path, inputs: list[np.ndarray], kind: str) -> list[dict[str, np.ndarray]]:
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        graph_def = tf.compat.v1.GraphDef.FromString(path.read_bytes())
        tf.graph_util.import_graph_def(graph_def, name="")
        return [session.run({name: f"{name}:0" for name in OUTPUTS}, {f"{kind}:0": one}) for one in inputs]


def by_saved_model(path: Path, inputs: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    with quiet():
        signature = (loaded := tf.saved_model.load(str(path))).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    answers = [signature(**{name: tf.constant(one)}) for one in inputs]
    del loaded  # its functions lose their variables with it
    return [{output: answer[output].numpy() for output in OUTPUTS} for answer in answers]


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("ssd_mobilenet_bccd_tf1_encoded/saved_model", "encoded_image_string_tensor"),
        ("ssd_mobilenet_bccd_tf1_tfexample/frozen_inference_graph.pb", "tf_example"),
        ("ssd_mobilenet_v2_fpnlite_bccd_tf2/saved_model", "image_tensor"),
        ("ssd_mobilenet_v1_coco_random/frozen_inference_graph.pb", "image_tensor"),
    ],
)
def test_every_kind_of_input_gives_the_direct_answer(shared: Path, model: str, kind: str) -> None:
    path = shared / "models" / model
    photos = [(shared / BCCD / name).read_bytes() for name in NAMES]
    inputs = [fed(kind, photo) for photo in photos]
    answers = by_session(path, inputs, kind) if path.suffix == ".pb" else by_saved_model(path, inputs)
    detector = open_detector(path)
    found = detector.detect(np.stack([detector.decode_jpeg(photo) for photo in photos]))
    detector.close()
    assert detector.signature.input_kind == kind
    for mine, answer in zip(found, answers, strict=True):
        count = int(answer["num_detections"][0])
        names = ("detection_boxes", "detection_scores", "detection_classes")
        direct = Detections.best_first(*(answer[name][0, :count] for name in names))
        assert len(mine) == count > 0
        np.testing.assert_allclose(mine.scores, direct.scores, atol=TOLERANCE)
        np.testing.assert_allclose(mine.boxes, direct.boxes, atol=TOLERANCE)
        np.testing.assert_array_equal(mine.classes, direct.classes)
