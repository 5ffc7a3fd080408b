"""The TensorFlow backend of `od_core.model.detector`: any exported detector in one Session.

TF1 frozen graphs, TF1 SavedModels and TF2 SavedModels all run in a `tf.compat.v1.Session`, whose `run` releases the GIL
and may be called from many threads. TensorFlow is imported when a detector is opened, not before.
"""

import contextlib
import logging
import math
import os
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from od_core.detections import Detections
from od_core.errors import DetectError, ImageError, ModelError, UsageError
from od_core.images import ImageArray, encode_png
from od_core.model.answers import Array, images_text, read_answers
from od_core.model.files import ModelFiles
from od_core.model.signature import INPUT_KINDS, OUTPUTS, Signature, TensorSpec, find_signature
from od_core.model.tensors import API_TENSORS, ROLES, ModelTensors
from od_core.records import examples
from od_core.tensorflow_import import import_tensorflow

_SERVING = "serving_default"
_VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_process_lock = threading.Lock()  # held while something that the whole process shares is changed


class SessionDetector:
    """A `Detector` (see there) around one TensorFlow Session."""

    def __init__(
        self,
        files: ModelFiles,
        *,
        tensors: ModelTensors = API_TENSORS,
        keep: Collection[str] = (),
        device: str | None = None,
        gpu_memory_growth: bool = True,
    ) -> None:
        tf = import_tensorflow()
        config = _session_config(tf, device, gpu_memory_growth)
        self._tf = tf
        self._tensors = tensors
        graph = tf.Graph()
        with graph.as_default():
            # In the same graph, so that decoding needs no second Session. First, because a graph that has run a model's
            # initialisers should not grow any more; in a scope, so that no node of the model has the same name.
            with tf.name_scope("boxbeam_decode_jpeg"), tf.device("/cpu:0"):
                encoded_jpeg = tf.compat.v1.placeholder(tf.string, [])
                jpeg_pixels = tf.io.decode_jpeg(encoded_jpeg, channels=3)
        tags: list[str] = []
        if files.format == "frozen_graph":
            self.signature = _import_frozen_graph(tf, graph, files.path, tensors, keep)
        else:
            self.signature, tags = _read_saved_model(tf, files.path, tensors, keep)
        self._session = tf.compat.v1.Session(graph=graph, config=config)  # the only place that opens one
        self._runs: dict[str, Callable[[Array], Sequence[Array]]] = {}
        weakref.finalize(self, self._runs.clear)  # also when Python ends, before what TensorFlow needs for it is gone
        self._closed = False
        try:
            with _model_errors(tf, files.path):
                if files.format == "saved_model":
                    _load_saved_model(tf, self._session, files.path, tags)
                names = self.signature.output_tensors
                self._outputs = [name for name in (*OUTPUTS, *_shape_outputs(keep)) if name in names]
                fetches = [names[name] for name in self._outputs]
                self._runs["detect"] = _runner(self._session, self.signature.input_tensor, fetches)
                self._runs["decode_jpeg"] = _runner(self._session, encoded_jpeg.name, [jpeg_pixels.name])
        except BaseException:
            self.close()
            raise
        graph.finalize()  # from here on a stray operation, which would grow the graph with every call, is an error

    def detect(self, images: ImageArray, *, min_score: float = -math.inf, limit: int | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        self._check_open()
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
            raise ValueError(f"images must be uint8 (B, H, W, 3), got {images.dtype} of {images.shape = }")
        size = self.signature.batch_limit or max(len(images), 1)
        return [
            found
            for start in range(0, len(images), size)
            for found in self._detect_batch(images[start : start + size], min_score, limit)
        ]

    def _detect_batch(self, images: ImageArray, min_score: float, limit: int | None) -> list[Detections]:
        count, fixed = len(images), self.signature.batch_limit
        if fixed is not None and count < fixed:  # a graph fixed to k images takes k and not fewer
            images = np.concatenate([images, np.repeat(images[-1:], fixed - count, axis=0)])
        fed, height, width, _ = images.shape
        try:
            outputs = dict(zip(self._outputs, self._runs["detect"](self._fed(images)), strict=True))
        except (self._tf.errors.OpError, ValueError, RuntimeError) as error:
            self._check_open()
            raise DetectError(f"the model failed on {images_text(fed, height, width)}: {_gist(error)}") from error
        return read_answers(outputs, fed, height, width, self._tensors, min_score=min_score, limit=limit)[:count]

    def _fed(self, images: ImageArray) -> Any:
        """The images as the model's input takes them."""
        kind = self.signature.input_kind
        if kind == "image_tensor":
            return images
        if kind == "float_image_tensor":
            return images.astype(np.float32)
        encoded = [encode_png(image) for image in images]
        if kind == "tf_example":
            encoded = [_example(png, image) for png, image in zip(encoded, images, strict=True)]
        return np.array(encoded, object)

    def decode_jpeg(self, encoded: bytes) -> ImageArray:
        """See `Detector.decode_jpeg`."""
        self._check_open()
        if not encoded.startswith(b"\xff\xd8"):  # TensorFlow's operation takes PNG and GIF too, without a word
            raise ImageError(f"not a JPEG: it starts with {encoded[:8]!r}")
        try:
            pixels: ImageArray = self._runs["decode_jpeg"](np.array(encoded, object))[0]
        except (self._tf.errors.OpError, RuntimeError) as error:
            self._check_open()
            raise ImageError(f"a damaged or cut-off JPEG of {len(encoded):,} bytes: {_gist(error)}") from error
        return pixels

    def close(self) -> None:
        """See `Detector.close`."""
        self._closed = True
        self._session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("this detector is closed: open another one with open_detector(path)")


def _shape_outputs(keep: Collection[str]) -> list[str]:
    """The outputs that hold what is kept, in the order of the roles; keypoints may come with scores."""
    roles = [*keep, *(["keypoint_scores"] if "keypoints" in keep else [])]
    return [output for role, output in ROLES.items() if role in roles]


def _runner(session: Any, feed: str, fetches: Sequence[str]) -> Callable[[Array], Sequence[Array]]:
    """A function from what is fed to one tensor to what other tensors are then; for many threads.

    It runs in its caller's thread: with threads of its own, a Session queues runs behind each other whatever its
    configuration says, and a JPEG would wait for a whole batch. Raises TensorFlow's errors, and ValueError for a shape
    that the tensor does not take.
    """
    from tensorflow.core.protobuf import config_pb2

    options = config_pb2.CallableOptions(feed=[feed], fetch=fetches)
    options.run_options.inter_op_thread_pool = -1
    if not hasattr(session, "_make_callable_from_options"):
        return lambda fed: session.run(list(fetches), {feed: fed}, options.run_options)
    # What Session.run looks up anew for every call, a hundred microseconds of Python, is looked up once. Nor does
    # anything look at the shape of what is fed, which the graph was made for.
    run = session._make_callable_from_options(options)
    shape = session.graph.get_tensor_by_name(feed).shape

    def checked(fed: Array) -> Sequence[Array]:
        if not shape.is_compatible_with(fed.shape):
            raise ValueError(f"it takes the shape {shape} and was given {fed.shape}")
        answers: Sequence[Array] = run(fed)
        return answers

    return checked


def _session_config(tf: Any, device: str | None, gpu_memory_growth: bool) -> Any:
    """One core for each run, which stays in the thread that called it (see `_runner`).

    So the thousands of small operations of a detector's non-maximum suppression are not handed from thread to thread.
    Several callers keep as many cores busy as a process for each would, with one copy of the model.
    """
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
        use_per_session_threads=True,
        allow_soft_placement=True,
    )
    config.gpu_options.allow_growth = gpu_memory_growth
    if device == "cpu":
        config.device_count["GPU"] = 0
    elif device is not None:
        gpus = [f"gpu:{number}" for number in range(len(tf.config.list_physical_devices("GPU")))]
        if device not in gpus:
            raise UsageError(f"TensorFlow has no device {device!r} here; it has {', '.join(['cpu', *gpus])}")
        config.gpu_options.visible_device_list = device.removeprefix("gpu:")
    return config


def _import_frozen_graph(tf: Any, graph: Any, path: str, tensors: ModelTensors, keep: Collection[str]) -> Signature:
    graph_def = _parsed(tf.compat.v1.GraphDef(), path, "a frozen graph")
    if not graph_def.node:
        raise ModelError(f"{path} holds no graph: expected a frozen graph, or give the SavedModel's folder")
    with _model_errors(tf, path), graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")

    used = {wire.lstrip("^").split(":")[0] for node in graph_def.node for wire in node.input}
    ends = [node.name for node in graph_def.node if node.name not in used and node.op != "NoOp"]
    named = [
        node.name for node in graph_def.node if node.name in OUTPUTS or node.name.startswith(("detection_", "raw_"))
    ]
    inputs = [node.name for node in graph_def.node if node.op == "Placeholder" or node.name in INPUT_KINDS]
    wanted = list(tensors.output_names.values())
    return find_signature(
        path,
        "frozen_graph",
        [spec for name in inputs for spec in _node_spec(graph, name)],
        [spec for name in dict.fromkeys([*wanted, *named, *ends]) for spec in _node_spec(graph, name)],
        _operations(graph_def),
        tensors,
        keep,
    )


def _node_spec(graph: Any, name: str) -> Iterator[TensorSpec]:
    """The tensor of this name, or the first output of the node; nothing where there is neither."""
    try:
        tensor = graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError):
        return
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    yield TensorSpec(name, tensor.name, tensor.dtype.name, shape)


def _operations(graph_def: Any) -> set[str]:
    """The kinds of operation in a graph and in its functions."""
    in_functions = {node.op for function in graph_def.library.function for node in function.node_def}
    return {node.op for node in graph_def.node} | in_functions


def _read_saved_model(
    tf: Any, folder: str, tensors: ModelTensors, keep: Collection[str]
) -> tuple[Signature, list[str]]:
    """The detector's signature and the tags to load it by, without loading it."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = os.path.join(folder, "saved_model.pb")
    meta_graphs = _parsed(saved_model_pb2.SavedModel(), path, "a SavedModel").meta_graphs
    chosen = [m for m in meta_graphs if set(m.meta_info_def.tags) == {"serve"}] or list(meta_graphs)
    if len(chosen) != 1:
        tags = [sorted(m.meta_info_def.tags) for m in chosen]
        raise ModelError(f"{path} holds {len(chosen)} graphs with tags {tags}: expected one with the tag serve")
    meta_graph = chosen[0]
    signatures = {name: s for name, s in meta_graph.signature_def.items() if not name.startswith("__")}
    if _SERVING not in signatures and len(signatures) != 1:
        raise ModelError(
            f"{folder} is a SavedModel without the signature {_SERVING}: found {sorted(signatures) or 'none'}. "
            "Export it with signatures (tf.saved_model.save(model, folder, signatures=...), or the API's exporter)."
        )
    signature = signatures.get(_SERVING) or next(iter(signatures.values()))

    nodes = meta_graph.graph_def.node
    has_variables = any(node.op in _VARIABLE_OPS for node in nodes)
    # A TF1 export has its weights frozen inside and an empty variables/, which git drops: then nothing is missing.
    if has_variables and not Path(folder, "variables", "variables.index").is_file():
        raise ModelError(
            f"{folder} lacks its weights: expected variables/variables.index and its data files beside saved_model.pb; "
            "copy the whole folder"
        )
    found = find_signature(
        folder,
        "saved_model",
        [_signature_spec(tf, *item) for item in sorted(signature.inputs.items())],
        [_signature_spec(tf, *item) for item in sorted(signature.outputs.items())],
        _operations(meta_graph.graph_def),
        tensors,
        keep,
    )
    return found, list(meta_graph.meta_info_def.tags)


def _signature_spec(tf: Any, name: str, tensor: Any) -> TensorSpec:
    sizes = tuple(None if dim.size < 0 else int(dim.size) for dim in tensor.tensor_shape.dim)
    shape = None if tensor.tensor_shape.unknown_rank else sizes
    return TensorSpec(name, tensor.name, tf.dtypes.as_dtype(tensor.dtype).name, shape)


def _load_saved_model(tf: Any, session: Any, folder: str, tags: list[str]) -> None:
    logger = logging.getLogger("tensorflow")
    with _process_lock, session.graph.as_default():
        level = logger.level
        logger.setLevel(logging.ERROR)  # it says that this loader is deprecated and that there are no variables
        try:
            tf.compat.v1.saved_model.load(session, tags, folder)
        finally:
            logger.setLevel(level)


def _parsed(message: Any, path: str, what: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if not content:
        raise ModelError(f"{path} is empty: expected {what}; copy or export it again")
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        head = content[:64].lstrip().lower()
        looks = "damaged, or another kind of file"
        if head.startswith(b"<"):
            looks = "a web page: the download link led to a page, not to the file"
        elif head.startswith(b"version https://git-lfs"):
            looks = "a Git LFS pointer: run `git lfs pull` to get the file itself"
        raise ModelError(f"{path} is not {what}: it looks like {looks} (starts with {content[:24]!r})") from error
    return message


@contextlib.contextmanager
def _model_errors(tf: Any, path: str) -> Iterator[None]:
    try:
        yield
    except (tf.errors.OpError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        if unknown := re.search(r"Op type not registered '([^']+)'", str(error)):
            raise ModelError(
                f"{path} uses the operation {unknown[1]}, which TensorFlow {tf.__version__} does not have: it comes "
                "from a custom library or another version; export the model without it"
            ) from error
        raise ModelError(f"TensorFlow {tf.__version__} cannot load {path}: {_gist(error)}") from error


def _example(png: bytes, image: ImageArray) -> bytes:
    height, width, _ = image.shape
    return examples.encode_example(
        {examples.ENCODED: png, examples.FORMAT: "png", examples.HEIGHT: height, examples.WIDTH: width}
    )


# Lines around what TensorFlow has to say: where in its graph, and where in Python that node was made.
_NOISE = re.compile(r"Graph execution error|Detected at node|Node: |File \"|\[\[|\d+ root error|Original stack trace")


def _gist(error: Exception, limit: int = 300) -> str:
    """What TensorFlow said, in one line."""
    lines = (line.strip() for line in str(getattr(error, "message", None) or error).splitlines())
    said = next((line for line in lines if line and not _NOISE.match(line)), type(error).__name__)
    return re.sub(r"^\(\d+\) [A-Z_]+: ", "", said)[:limit]
