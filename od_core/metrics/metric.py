"""What a metric is: an accumulator of frames that merges with others and gives named numbers at the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

from od_core.metrics.frame import EvaluatedFrame


class Metric(Protocol):
    """An evaluation in the making. Picklable.

    The numbers depend on the frames alone: not on how they were dealt over accumulators, nor on the order in which
    frames were added or accumulators merged; equal scores are ranked by the names of their frames.

    Attributes:
        name: the word for it on a command line.
        definition: one sentence about the numbers: interpolation, IoU thresholds, limits.
    """

    @property
    def name(self) -> str: ...

    @property
    def definition(self) -> str: ...

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """Add frames.

        Raises:
            ValueError: a frame was added before; names it.
        """

    def merge(self, other: Self) -> None:
        """Add all that `other`, made by the same factory, has seen; `other` is not changed.

        Raises:
            ValueError: both have seen the same frame; names it.
        """

    def value(self) -> Mapping[str, float]:
        """The numbers so far, by the names that the TF Object Detection API gives them."""


MetricFactory = Callable[[], Metric]
"""Makes an empty metric; picklable, such as functools.partial(CocoBoxes, categories)."""
