"""The least score at which detections count: one for all classes, and others for some of them."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

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

    def passed(self, found: Detections) -> npt.NDArray[np.bool_]:
        """Which detections have a score of at least the limit of their class, both as float32: bool (N,)."""
        limits = np.full(len(found), self.default, np.float32)
        for class_id, limit in self.by_class.items():
            limits[found.classes == class_id] = limit
        return found.scores >= limits

    def kept(self, found: Detections) -> Detections:
        """Those detections."""
        return found.where(self.passed(found))
