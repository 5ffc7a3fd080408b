"""How many frames went into an evaluation: as many as were planned, or its numbers are of something else."""

from collections.abc import Sequence
from typing import Self

from od_core.metrics.frame import EvaluatedFrame


class FrameCount:
    """Counts frames as a metric does (see `od_core.metrics.metric.Metric`), beside those that were asked for."""

    name = "frames"
    definition = "Frames that were evaluated."

    def __init__(self) -> None:
        self._frames = 0

    def update(self, frames: Sequence[EvaluatedFrame]) -> None:
        """Add frames."""
        self._frames += len(frames)

    def merge(self, other: Self) -> None:
        """Add those that another one has seen."""
        self._frames += other._frames

    def value(self) -> dict[str, float]:
        """The number, under this one's name."""
        return {self.name: float(self._frames)}
