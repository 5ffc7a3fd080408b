"""The sample detector in every form in which the TensorFlow Object Detection API exports models, and broken forms.

All exports compute what `tests.blocks_model.find_colours` computes; `colours_in` is the same worked out in numpy.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from od_core.detections import Detections
from od_core.model.detector import OUTPUTS
from od_core.records.examples import ENCODED
from tests.blocks_model import MIN_PIXELS, STRONG, WEAK, build_blocks_graph, decode_all, find_colours

COLOURS = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}


def drawn(
    *rectangles: tuple[int, int, int, int, int], size: tuple[int, int] = (60, 80), background: int = 128
) -> np.ndarray:
    """A grey uint8 image of size (H, W) with rectangles (class, ymin, xmin, ymax, xmax) in pixels, ends excluded."""
    image = np.full((*size, 3), background, np.uint8)
    for colour, ymin, xmin, ymax, xmax in rectangles:
        image[ymin:ymax, xmin:xmax] = COLOURS[colour]
    return image


def colours_in(image: np.ndarray) -> Detections:
    """What the sample detector should find."""
    height, width, _ = image.shape
    rows = []
    for channel in range(3):
        others = np.delete(image, channel, axis=2)
        y, x = np.nonzero((image[..., channel] > STRONG) & (others < WEAK).all(axis=2))
        if len(y) >= MIN_PIXELS:
            edges = y.min(), x.min(), y.max() + 1, x.max() + 1
            area = (edges[2] - edges[0]) * (edges[3] - edges[1])
            rows.append((np.divide(edges, (height, width, height, width)), len(y) / area, channel + 1))
    return Detections.best_first([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def frozen_graph(path: Path, input_kind: str = "image_tensor", batch: int | None = None) -> Path:
    """A TF1 frozen graph; `batch` fixes its batch dimension."""
    graph_def = build_blocks_graph(input_kind)
    if batch:
        placeholder = next(node for node in graph_def.node if node.op == "Placeholder")
        placeholder.attr["shape"].shape.dim[0].size = batch
    path.write_bytes(graph_def.SerializeToString())
    return path


def frozen_graph_of(path: Path, build: Callable[[Any], dict[str, Any]]) -> Path:
    """A frozen graph of what `build(tf)` makes in it; the tensors it returns get the names they are returned under."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        for name, tensor in build(tf).items():
            tf.identity(tensor, name)
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def tf1_saved_model(folder: Path, input_kind: str = "image_tensor") -> Path:
    """As export_inference_graph.py writes it: key `inputs`, weights inside; no variables/, as git leaves it."""
    return tf1_saved_model_of(folder, build_blocks_graph(input_kind), input_kind)


def tf1_saved_model_of(folder: Path, graph_def: Any, source: str, outputs: Sequence[str] = OUTPUTS) -> Path:
    """A TF1 SavedModel of a frozen graph: its input `source` and these outputs."""
    import tensorflow as tf

    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), quiet(), v1.Session(graph=graph) as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        tensors = {name: graph.get_tensor_by_name(f"{name}:0") for name in (source, *outputs)}
        infos = {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}
        signature = v1.saved_model.build_signature_def(
            {"inputs": infos.pop(source)}, infos, "tensorflow/serving/predict"
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    shutil.rmtree(folder / "variables", ignore_errors=True)
    return folder


def tf2_saved_model(folder: Path, input_kind: str = "image_tensor", batch: int | None = 1) -> Path:
    """As exporter_main_v2.py writes it: key `input_tensor`, weights in variables/, batch fixed to 1."""
    import tensorflow as tf

    shapes = {
        "image_tensor": (tf.uint8, [batch, None, None, 3]),
        "float_image_tensor": (tf.float32, [batch, None, None, 3]),
    }
    dtype, shape = shapes.get(input_kind, (tf.string, [batch]))

    class Model(tf.Module):
        def __init__(self) -> None:
            self.weight = tf.Variable(1.0)

        @tf.function(input_signature=[tf.TensorSpec(shape, dtype, "input_tensor")])
        def serve(self, source: Any) -> dict[str, Any]:
            if input_kind == "tf_example":
                source = tf.io.parse_example(source, {ENCODED: tf.io.FixedLenFeature([], tf.string)})[ENCODED]
            images = decode_all(tf, source) if dtype == tf.string else source
            boxes, scores, classes, count = find_colours(tf, images)
            return dict(zip(OUTPUTS, (boxes, scores * self.weight, classes, count), strict=True))

    return save(folder, Model())


def classifier(folder: Path) -> Path:
    """What a Keras image classifier exports: float images in, class probabilities out."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, "keras_tensor")])
        def serve(self, images: Any) -> dict[str, Any]:
            return {"output_0": tf.reduce_mean(images, axis=[1, 2])}

    return save(folder, Model())


def save(folder: Path, model: Any) -> Path:
    """A SavedModel of `model.serve`."""
    import tensorflow as tf

    with quiet():
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """TensorFlow does not say that what is done here is deprecated."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        yield
    finally:
        logger.setLevel(level)
