"""What the overview counts: boxes by class, verdict and score, and failures by their reason."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from od_core.detected_frames import DetectedFrame
from od_core.review.boxes import Mark

BINS = 20
"""Of the scores 0 to 1; the page's threshold moves in steps of one, so that its counts are exact."""

_FAILURES_SHOWN = 50


class ScoreTally:
    """Boxes by class, mark and score. A missed object is counted at the score of its finder."""

    def __init__(self) -> None:
        self._counts: dict[int, npt.NDArray[np.int64]] = {}

    def add(self, marks: Iterable[tuple[int, Mark, float]]) -> None:
        """Count the boxes of a frame."""
        for class_id, mark, score in marks:
            if class_id not in self._counts:
                self._counts[class_id] = np.zeros((len(Mark), BINS), np.int64)
            # A score on a border belongs to the bin above it, as a page's "score >= threshold" has it.
            self._counts[class_id][mark, min(BINS - 1, int(score * BINS + 1e-9))] += 1

    def by_class(self, class_id: int) -> dict[str, list[int]]:
        """Counts of a class by mark ("tp", "fp", "fn", "ignored", "found") and bin; marks without any are left out."""
        counts = self._counts.get(class_id)
        if counts is None:
            return {}
        return {mark.name.lower(): counts[mark].tolist() for mark in Mark if counts[mark].any()}

    @property
    def classes(self) -> list[int]:
        """The ids that occur, sorted."""
        return sorted(self._counts)


class FailureTally:
    """Failed rows by step and kind of error: how many, and the first of each."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], list[object]] = {}
        self.total = 0

    def add(self, frame: DetectedFrame) -> None:
        """Count a failed row."""
        self.total += 1
        error = frame.error
        reason = (error.stage, error.type) if error else ("", "failed")
        group = self._groups.setdefault(reason, [0, []])
        count, first = group
        assert isinstance(count, int)
        assert isinstance(first, list)
        group[0] = count + 1
        if len(first) < _FAILURES_SHOWN:
            first.append([frame.name, error.message if error else ""])

    def told(self) -> list[Mapping[str, object]]:
        """By count, the largest first."""
        groups = [
            {"stage": stage, "type": type, "total": total, "first": first}
            for (stage, type), (total, first) in sorted(self._groups.items())
        ]
        return sorted(groups, key=lambda group: -int(str(group["total"])))
