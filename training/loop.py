"""Training: steps over cached scenes, flipped and recoloured, with AdamW and a cosine schedule."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from od_core.tensorflow_import import import_tensorflow
from training.loss import detection_loss
from training.network import INPUT_HEIGHT, INPUT_WIDTH, TrainedConvolutions, Weights, detector_heads
from training.scenes import Examples

_WARM_UP = 0.04  # share of the steps
_DECAY = 0.05
_AVERAGE = 0.995  # share of the old mean of the weights that a step keeps


def train(
    examples: Examples,
    classes: int,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    report: Callable[[int, float, float], None],
) -> Weights:
    """Train the network from nothing.

    Args:
        examples: scenes of the network's input size.
        classes: how many there are.
        steps, batch: how often, and from how many scenes each time.
        learning_rate: the highest; it rises to that over the first steps and falls to 0 at the last.
        seed: of the first weights and the order of scenes.
        report: called after every step with its number and the losses of scores and edges.

    Returns:
        Weights for `build_graph`, the means over the last few hundred steps.
    """
    tf = import_tensorflow()
    rng = np.random.default_rng((seed, 1))
    conv = TrainedConvolutions(tf, seed)
    detector_heads(tf, conv, tf.zeros([1, INPUT_HEIGHT, INPUT_WIDTH, 3]), classes)  # makes the variables
    conv.training = True
    variables = list(conv.weights.values())
    optimizer = _AdamW(tf, conv.weights)

    @tf.function
    def step(images: Any, boxes: Any, labels: Any, difficult: Any, rate: Any, number: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits, edges = detector_heads(tf, conv, images, classes)
            scores_loss, edges_loss = detection_loss(tf, logits, edges, boxes, labels, difficult)
            loss = scores_loss + edges_loss
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 20.0)
        optimizer.update(gradients, rate, number)
        return scores_loss, edges_loss

    order = _endless(rng, len(examples))
    for number in range(1, steps + 1):
        chosen = examples.take(np.array([next(order) for _ in range(batch)]))
        images, boxes = vary(rng, chosen.images, chosen.boxes)
        rate = learning_rate * _schedule(number / steps)
        losses = step(
            tf.constant(images),
            tf.constant(boxes),
            tf.constant(chosen.classes),
            tf.constant(chosen.difficult),
            tf.constant(rate, tf.float32),
            tf.constant(number, tf.float32),
        )
        report(number, float(losses[0]), float(losses[1]))
    return conv.frozen(optimizer.averages)


def _schedule(progress: float) -> float:
    return min(progress / _WARM_UP, 1.0) * 0.5 * (1 + math.cos(math.pi * progress))


def _endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Places of examples: all of them in one order, then all in another."""
    while True:
        yield from rng.permutation(count).tolist()


class _AdamW:
    """AdamW (I. Loshchilov and F. Hutter, 2019), which also keeps the moving means of the weights."""

    def __init__(self, tf: Any, weights: dict[str, Any]) -> None:
        self._tf = tf
        self._weights = weights
        self._first, self._second = (
            {name: tf.Variable(tf.zeros_like(weight)) for name, weight in weights.items()} for _ in range(2)
        )
        self.averages = {name: tf.Variable(weight) for name, weight in weights.items()}

    def update(self, gradients: list[Any], rate: Any, number: Any) -> None:
        """Apply gradients, in the order of the weights. number: of the step, from 1."""
        tf = self._tf
        keep = tf.minimum(_AVERAGE, (1.0 + number) / (10.0 + number))
        for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True):
            first = self._first[name].assign(self._first[name] * 0.9 + gradient * 0.1)
            second = self._second[name].assign(self._second[name] * 0.999 + gradient * gradient * 0.001)
            move = (first / (1 - 0.9**number)) / (tf.sqrt(second / (1 - 0.999**number)) + 1e-7)
            decay = _DECAY * weight if name.endswith("/kernel") else 0.0
            weight.assign_sub(rate * (move + decay))
            self.averages[name].assign(self.averages[name] * keep + weight * (1 - keep))


def vary(
    rng: np.random.Generator, images: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Scenes flipped either way, brighter or darker, tinted and noisy.

    Args:
        rng: of the changes.
        images: uint8 (B, H, W, 3).
        boxes: float32 (B, N, 4) in units of height and width; rows of zeros may become anything.

    Returns:
        images as float32, 0 to 255, and boxes.
    """
    varied = np.empty(images.shape, np.float32)
    boxes = boxes.copy()
    grain = rng.standard_normal(images.shape[1:], np.float32)
    for row, image in enumerate(images):
        for axis in (0, 1):
            if rng.random() < 0.5:
                image = np.flip(image, axis=axis)
                boxes[row][:, [axis, axis + 2]] = 1 - boxes[row][:, [axis + 2, axis]]
        gain = rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3)
        np.multiply(image, gain.astype(np.float32), out=varied[row])
        varied[row] += grain * np.float32(rng.uniform(-4, 4)) + np.float32(rng.uniform(-16, 16))
    return np.clip(varied, 0, 255, out=varied), boxes
