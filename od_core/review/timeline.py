"""The timeline of a video: for every class when it was found, and where the mistakes are, in a bounded size."""

import array
import dataclasses
from collections.abc import Iterable

from od_core.review.boxes import Mark
from od_core.review.chunks import rounded

COLUMNS = 400

_NOT_THERE = -1.0


@dataclasses.dataclass
class _Lane:
    """One class: for every frame in which it is, the time and best score, of all and of false positives; and the least
    score at which an object is found, above 1 where none is missed."""

    times: "array.array[float]" = dataclasses.field(default_factory=lambda: array.array("d"))
    best: "array.array[float]" = dataclasses.field(default_factory=lambda: array.array("f"))
    wrong: "array.array[float]" = dataclasses.field(default_factory=lambda: array.array("f"))
    missed: "array.array[float]" = dataclasses.field(default_factory=lambda: array.array("f"))


class Timeline:
    """Filled frame by frame, some 20 bytes for every frame and class in it."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._frames = 0
        self.end = 0.0

    @property
    def columns(self) -> int:
        """How many columns: no more than frames, so that there are no gaps."""
        return max(1, min(COLUMNS, self._frames))

    def add(self, seconds: float, marks: Iterable[tuple[int, Mark, float]]) -> None:
        """A frame at its time."""
        self.end = max(self.end, seconds)
        self._frames += 1
        by_class: dict[int, list[float]] = {}
        for class_id, mark, score in marks:
            best = by_class.setdefault(class_id, [_NOT_THERE, _NOT_THERE, 2.0])
            if mark == Mark.FN:
                best[2] = min(best[2], score)
                continue
            best[0] = max(best[0], score)
            if mark == Mark.FP:
                best[1] = max(best[1], score)
        for class_id, numbers in by_class.items():
            lane = self._lanes.setdefault(class_id, _Lane())
            lane.times.append(seconds)
            for column, number in zip((lane.best, lane.wrong, lane.missed), numbers, strict=True):
                column.append(number)

    def lanes(self) -> list[list[object]]:
        """[class, [[column, best score, its time, best score of a mistake, least score of a finder], ...]] by class."""
        return [[class_id, self._columns(lane)] for class_id, lane in sorted(self._lanes.items())]

    def _columns(self, lane: _Lane) -> list[list[float]]:
        width = self.end / self.columns or 1.0
        columns: dict[int, list[float]] = {}
        for seconds, best, wrong, missed in zip(lane.times, lane.best, lane.wrong, lane.missed, strict=True):
            number = min(self.columns - 1, int(seconds / width))
            column = columns.setdefault(number, [number, _NOT_THERE, seconds, _NOT_THERE, 2.0])
            if best > column[1]:
                column[1:3] = [best, seconds]
            column[3], column[4] = max(column[3], wrong), min(column[4], missed)
        return [[rounded(x) for x in column] for column in columns.values()]
