"""Harbour scenes as training material: rendered once, kept at the network's input size."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core.harbour.scene import Harbour, HarbourView
from od_core.images import ImageArray

MAX_OBJECTS = 40
"""Objects of a scene beyond this many are left out; scenes hold about 20."""

FIRST_TRAINING_SEED = 1_000_000
"""Training uses this seed and higher ones, so that every lower one is unseen."""

_LONGEST_TIME_S = 3600.0


class Examples(NamedTuple):
    """Scenes of one size.

    images: uint8 (N, height, width, 3) RGB; boxes: float32 (N, MAX_OBJECTS, 4), [ymin, xmin, ymax, xmax] in units of
    height and width, zeros after the last; classes: int32 (N, MAX_OBJECTS), 1-based, 0 after the last; difficult: bool
    (N, MAX_OBJECTS).
    """

    images: ImageArray
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    difficult: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: npt.NDArray[np.int64]) -> "Examples":
        """Some of them."""
        return Examples(self.images[chosen], self.boxes[chosen], self.classes[chosen], self.difficult[chosen])


def unseen_views(seeds: Sequence[int]) -> Iterator[HarbourView]:
    """One view of each harbour, each at a time of its own."""
    for seed in seeds:
        yield Harbour(seed).view(_times(seed, 1)[0])


def render_examples(seeds: Sequence[int], views: int, height: int, width: int) -> Examples:
    """Scenes for training: so many views of each harbour, passed through JPEG as pictures and videos are.

    Args:
        seeds: of the harbours.
        views: of each, at times far apart, when other vessels are there.
        height, width: the size that scenes are brought to.
    """
    count = len(seeds) * views
    examples = Examples(
        np.empty((count, height, width, 3), np.uint8),
        np.zeros((count, MAX_OBJECTS, 4), np.float32),
        np.zeros((count, MAX_OBJECTS), np.int32),
        np.zeros((count, MAX_OBJECTS), np.bool_),
    )
    row = 0
    for seed in seeds:
        harbour = Harbour(seed)
        rng = np.random.default_rng((seed, 100))
        for time_s in _times(seed, views):
            view = harbour.view(time_s)
            quality = int(rng.integers(55, 97))
            examples.images[row] = _compressed(view.image, quality, height, width)
            _annotate(examples, row, view)
            row += 1
    return examples


def _times(seed: int, count: int) -> list[float]:
    times: list[float] = np.random.default_rng((seed, 101)).uniform(0, _LONGEST_TIME_S, count).tolist()
    return times


def _compressed(image: ImageArray, quality: int, height: int, width: int) -> ImageArray:
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(decoded, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _annotate(examples: Examples, row: int, view: HarbourView) -> None:
    height, width, _ = view.image.shape
    for column, found in enumerate(view.objects[:MAX_OBJECTS]):
        ymin, xmin, ymax, xmax = found.box_px
        examples.boxes[row, column] = (ymin / height, xmin / width, ymax / height, xmax / width)
        examples.classes[row, column] = found.class_id
        examples.difficult[row, column] = found.difficult
