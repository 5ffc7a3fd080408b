"""The network: a small convolutional detector with one point per object, written once for training and for export.

Every cell of a grid says for each class how likely an object's middle is there, and how far that object's four edges
are: X. Zhou et al., "Objects as Points" (2019), with edges as in Z. Liu et al., "Training-Time-Friendly Network for
Real-Time Object Detection" (2019). Convolutions are given from outside: `TrainedConvolutions` normalise by batch and
learn, `FrozenConvolutions` are constants with the normalisation worked into them.
"""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from od_core.tensorflow_import import import_tensorflow

INPUT_HEIGHT, INPUT_WIDTH = 192, 320
STRIDE = 4
GRID_HEIGHT, GRID_WIDTH = INPUT_HEIGHT // STRIDE, INPUT_WIDTH // STRIDE

_BATCH_NORM_EPSILON = 1e-3
_MOVING = 0.97  # share of the old mean and variance that a step keeps
_RARE = -4.0  # first bias of the class scores: sigmoid(-4) = 0.018, as most cells hold no middle

Weights = dict[str, npt.NDArray[np.float32]]


class Convolutions(Protocol):
    """What the network is made of."""

    def __call__(self, tensor: Any, name: str, filters: int, size: int = 3, stride: int = 1) -> Any:
        """A convolution (B, H, W, C) to (B, H / stride, W / stride, filters), normalised, then ReLU."""

    def linear(self, tensor: Any, name: str, filters: int, bias: float) -> Any:
        """A 1 x 1 convolution with a bias and nothing after it."""


def detector_heads(tf: Any, conv: Convolutions, images: Any, classes: int) -> tuple[Any, Any]:
    """What the grid says about images.

    Args:
        tf: TensorFlow.
        conv: the convolutions.
        images: float32 (B, INPUT_HEIGHT, INPUT_WIDTH, 3), 0 to 255.
        classes: how many there are.

    Returns:
        Scores as logits (B, GRID_HEIGHT, GRID_WIDTH, classes), and logarithms of the distances from a cell's middle to
        the object's edges, in strides: up, left, down, right (B, GRID_HEIGHT, GRID_WIDTH, 4).
    """
    stem = conv(images / 127.5 - 1.0, "stem", 16, stride=2)
    fine = _block(conv, conv(stem, "down4", 32, stride=2), "fine", 32)
    middle = _block(conv, conv(fine, "down8", 56, stride=2), "middle", 56)
    coarse = _block(conv, conv(middle, "down16", 80, stride=2), "coarse", 80)
    whole = conv(coarse, "down32", 80, stride=2)
    coarse = conv(coarse, "lateral16", 64, size=1) + _doubled(tf, conv(whole, "up32", 64, size=1))
    coarse = conv(coarse, "merge16", 64)
    middle = conv(middle, "lateral8", 56, size=1) + _doubled(tf, conv(coarse, "up16", 56, size=1))
    middle = conv(middle, "merge8", 56)
    fine = conv(fine, "lateral4", 48, size=1) + _doubled(tf, conv(middle, "up8", 48, size=1))
    fine = conv(conv(fine, "merge4", 48), "head", 64)
    return conv.linear(fine, "scores", classes, _RARE), conv.linear(fine, "edges", 4, 0.5)


def _block(conv: Convolutions, tensor: Any, name: str, filters: int) -> Any:
    """Two convolutions around which the input is also passed on as it is."""
    return tensor + conv(conv(tensor, f"{name}1", filters), f"{name}2", filters)


def _doubled(tf: Any, tensor: Any) -> Any:
    _, height, width, _ = tensor.shape
    return tf.raw_ops.ResizeNearestNeighbor(images=tensor, size=[2 * height, 2 * width])


class TrainedConvolutions:
    """Convolutions that learn; made by their first use.

    Attributes:
        weights: what gradients change: name -> variable.
        moments: moving means and variances: name -> variable.
        training: whether to normalise by the batch and move the moments; at first by the moments, which stay.
    """

    def __init__(self, tf: Any, seed: int) -> None:
        self._tf = tf
        self._rng = np.random.default_rng(seed)
        self.weights: dict[str, Any] = {}
        self.moments: dict[str, Any] = {}
        self.training = False

    def __call__(self, tensor: Any, name: str, filters: int, size: int = 3, stride: int = 1) -> Any:
        """See `Convolutions`."""
        tf = self._tf
        kernel = self._kernel(name, size, tensor.shape[-1], filters)
        scale, offset = (
            self._weight(f"{name}/scale", np.ones(filters)),
            self._weight(f"{name}/offset", np.zeros(filters)),
        )
        mean, variance = (
            self._moment(f"{name}/mean", np.zeros(filters)),
            self._moment(f"{name}/variance", np.ones(filters)),
        )
        result = tf.nn.conv2d(tensor, kernel, stride, "SAME")
        if not self.training:
            factor = scale * tf.math.rsqrt(variance + _BATCH_NORM_EPSILON)
            return tf.nn.relu(result * factor + (offset - mean * factor))
        result, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=result, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=_BATCH_NORM_EPSILON
        )
        mean.assign(mean * _MOVING + batch_mean * (1 - _MOVING))
        variance.assign(variance * _MOVING + batch_variance * (1 - _MOVING))
        return tf.nn.relu(result)

    def linear(self, tensor: Any, name: str, filters: int, bias: float) -> Any:
        """See `Convolutions`."""
        kernel = self._kernel(name, 1, tensor.shape[-1], filters, gain=0.1)
        return self._tf.nn.conv2d(tensor, kernel, 1, "SAME") + self._weight(f"{name}/offset", np.full(filters, bias))

    def frozen(self, weights: dict[str, Any]) -> Weights:
        """Kernels and biases with the normalisation worked in, for `FrozenConvolutions`.

        Args:
            weights: values to take instead of `self.weights`, such as their means over the last steps.
        """
        values = {name: np.asarray(value) for name, value in weights.items()}
        moments = {name: np.asarray(value) for name, value in self.moments.items()}
        merged: Weights = {}
        for key, kernel in values.items():
            name, part = key.rsplit("/", 1)
            if part != "kernel":
                continue
            factor, mean = np.ones(kernel.shape[-1]), np.zeros(kernel.shape[-1])
            if f"{name}/scale" in values:
                factor = values[f"{name}/scale"] / np.sqrt(moments[f"{name}/variance"] + _BATCH_NORM_EPSILON)
                mean = moments[f"{name}/mean"]
            merged[key] = (kernel * factor).astype(np.float32)
            merged[f"{name}/bias"] = (values[f"{name}/offset"] - mean * factor).astype(np.float32)
        return merged

    def _kernel(self, name: str, size: int, channels: int, filters: int, gain: float = 1.0) -> Any:
        spread = gain * math.sqrt(2 / (size * size * channels))  # He initialisation
        return self._weight(f"{name}/kernel", None, (size, size, channels, filters), spread)

    def _weight(self, name: str, value: Any, shape: tuple[int, ...] = (), spread: float = 0.0) -> Any:
        if name not in self.weights:
            first = self._rng.normal(0, spread, shape) if value is None else value
            self.weights[name] = self._tf.Variable(first, dtype=self._tf.float32, name=name)
        return self.weights[name]

    def _moment(self, name: str, value: Any) -> Any:
        if name not in self.moments:
            self.moments[name] = self._tf.Variable(value, dtype=self._tf.float32, name=name, trainable=False)
        return self.moments[name]


class FrozenConvolutions:
    """Convolutions whose weights are constants of the graph."""

    def __init__(self, tf: Any, weights: Weights) -> None:
        self._tf = tf
        self._weights = weights

    def __call__(self, tensor: Any, name: str, filters: int, size: int = 3, stride: int = 1) -> Any:
        """See `Convolutions`."""
        return self._tf.nn.relu(self._plain(tensor, name, stride))

    def linear(self, tensor: Any, name: str, filters: int, bias: float) -> Any:
        """See `Convolutions`."""
        return self._plain(tensor, name, 1)

    def _plain(self, tensor: Any, name: str, stride: int) -> Any:
        tf = self._tf
        kernel = tf.constant(self._weights[f"{name}/kernel"], name=f"{name}/kernel")
        bias = tf.constant(self._weights[f"{name}/bias"], name=f"{name}/bias")
        return tf.nn.bias_add(tf.nn.conv2d(tensor, kernel, stride, "SAME"), bias)


def build_graph(weights: Weights, classes: int) -> Any:
    """The trained detector as a tf.compat.v1.GraphDef with the tensors of a TensorFlow Object Detection API export.

    Input image_tensor: uint8 (B, H, W, 3), of any size. Outputs for each image, best first, padded with zeros:
    detection_boxes float32 (B, MAX_DETECTIONS, 4), detection_scores and detection_classes float32 (B, MAX_DETECTIONS),
    num_detections float32 (B,).
    """
    tf = import_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 3], "image_tensor")
        resized = tf.image.resize(images, [INPUT_HEIGHT, INPUT_WIDTH])
        logits, edges = detector_heads(tf, FrozenConvolutions(tf, weights), resized, classes)
        boxes, scores, labels = best_cells(tf, logits, edges, classes)
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None],
            scores[..., None] * tf.one_hot(labels, classes),
            max_output_size_per_class=MAX_DETECTIONS,
            max_total_size=MAX_DETECTIONS,
            iou_threshold=0.55,
            score_threshold=MIN_SCORE,
        )
        place = tf.range(MAX_DETECTIONS)[None] < found.valid_detections[:, None]
        tf.identity(found.nmsed_boxes, "detection_boxes")
        tf.identity(found.nmsed_scores, "detection_scores")
        tf.where(place, found.nmsed_classes + 1.0, 0.0, name="detection_classes")
        tf.cast(found.valid_detections, tf.float32, "num_detections")
    return graph.as_graph_def()


MAX_DETECTIONS = 64
MIN_SCORE = 0.02


def best_cells(tf: Any, logits: Any, edges: Any, classes: int) -> tuple[Any, Any, Any]:
    """The cells that score higher than those around them, best first.

    Returns:
        boxes float32 (B, MAX_DETECTIONS, 4) in units of height and width, inside 0 to 1; scores (B, MAX_DETECTIONS);
        labels int32 (B, MAX_DETECTIONS), from 0.
    """
    highest = tf.nn.max_pool2d(logits, 3, 1, "SAME")
    scores = tf.where(logits >= highest, tf.sigmoid(logits), 0.0)
    scores, places = tf.math.top_k(tf.reshape(scores, [-1, GRID_HEIGHT * GRID_WIDTH * classes]), MAX_DETECTIONS)
    cells = places // classes
    boxes = tf.gather(tf.reshape(cell_boxes(tf, edges), [-1, GRID_HEIGHT * GRID_WIDTH, 4]), cells, batch_dims=1)
    return tf.clip_by_value(boxes, 0.0, 1.0), scores, places % classes


def cell_boxes(tf: Any, edges: Any) -> Any:
    """The box that each cell describes: float32 (B, GRID_HEIGHT, GRID_WIDTH, 4) in units of height and width."""
    distance = tf.exp(tf.clip_by_value(edges, -4.0, 4.5))
    y = tf.range(GRID_HEIGHT, dtype=tf.float32)[:, None] + 0.5
    x = tf.range(GRID_WIDTH, dtype=tf.float32)[None] + 0.5
    up, left, down, right = tf.unstack(distance, axis=-1)
    size = (GRID_HEIGHT, GRID_WIDTH, GRID_HEIGHT, GRID_WIDTH)
    return tf.stack([y - up, x - left, y + down, x + right], axis=-1) / tf.constant(size, tf.float32)
