"""The least score at which detections count: one for all classes, and others for some of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from od_core.detections import Detections


@dataclasses.dataclass(frozen=True)
class ScoreLimits:
    """Which detections count.

    Attributes:
        default: the least score, for classes that have no limit of their own.
        by_class: class id -> its own.
    """

    default: float = 0.5
    by_class: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def kept(self, found: Detections) -> Detections:
        """The detections whose score is at least the limit of their class, both as float32."""
        if not self.by_class:
            return found.best(min_score=self.default)
        limits = np.full(len(found), self.default, np.float32)
        for class_id, limit in self.by_class.items():
            limits[found.classes == class_id] = limit
        return found.where(found.scores >= limits)
