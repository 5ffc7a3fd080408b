"""What a user of Beam writes to run a frozen detector with RunInference: a model handler, decoding, rows."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from benchmarks.child import import_tensorflow

_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
_BATCH = 4
_FLOATS = pa.list_(pa.float32())
_SCHEMA = pa.schema([("path", pa.string()), ("boxes", pa.list_(_FLOATS)), ("scores", _FLOATS), ("classes", _FLOATS)])


class OpenGraph:
    """A Session with the graph, and what to fetch."""

    def __init__(self, graph: str):
        tf = import_tensorflow()
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(pathlib.Path(graph).read_bytes())
        with tf.Graph().as_default() as made:
            tf.graph_util.import_graph_def(definition, name="")
        self.session = tf.compat.v1.Session(graph=made)
        self.fetches = {name: made.get_tensor_by_name(f"{name}:0") for name in _OUTPUTS}


class FrozenGraphHandler(ModelHandler[np.ndarray, Mapping[str, Any], OpenGraph]):
    """Opens the graph once in a process, and runs batches of images of equal size."""

    def __init__(self, graph: str):
        self._graph = graph
        super().__init__()

    def load_model(self) -> OpenGraph:
        """Open it."""
        return OpenGraph(self._graph)

    def run_inference(
        self, batch: Sequence[np.ndarray], model: OpenGraph, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """The outputs, image by image."""
        outputs = model.session.run(model.fetches, {"image_tensor:0": np.stack(batch)})
        return ({name: array[index] for name, array in outputs.items()} for index in range(len(batch)))

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Batches of the size that is best for this model on a CPU."""
        return {"min_batch_size": _BATCH, "max_batch_size": _BATCH}


class ReadImage(beam.DoFn):
    """A path to (path, uint8 (H, W, 3)), decoded as the API does."""

    def setup(self) -> None:
        """Load TensorFlow once."""
        self._tf = import_tensorflow()

    def process(self, path: str) -> Iterator[tuple[str, np.ndarray]]:
        """Read and decode one JPEG."""
        yield path, self._tf.io.decode_jpeg(pathlib.Path(path).read_bytes(), channels=3).numpy()


def row(keyed: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One image's detections as a row."""
    path, found = keyed
    count = int(found["num_detections"])
    boxes, scores, classes = (found[f"detection_{name}"][:count].tolist() for name in ("boxes", "scores", "classes"))
    return {"path": path, "boxes": boxes, "scores": scores, "classes": classes}


def build(root: beam.Pipeline, paths: Sequence[str], graph: str, output: str) -> None:
    """The whole pipeline: paths, images, detections, Parquet."""
    (
        root
        | "Paths" >> beam.Create(paths)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(ReadImage())
        | "Detect" >> RunInference(KeyedModelHandler(FrozenGraphHandler(graph)))
        | "Rows" >> beam.Map(row)
        | "Write" >> beam.io.WriteToParquet(output, _SCHEMA, file_name_suffix=".parquet")
    )
