"""Columns of many frames at once: each frame once, by name, in pieces as they arrived.

`FrameRecords` keeps a record of every frame; where a metric only has to store and not to look at frames one by one,
columns cost a hundredth of the time.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.frame_records import added_twice

_FRAMES_AT_ONCE = 500

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class FrameColumns(NamedTuple):
    """Some frames with their boxes, end to end. Boxes are normalised.

    Attributes:
        names: of the F frames.
        sizes: int32 (F, 2), height and width.
        truth_counts, found_counts: int64 (F,), how many objects and detections each frame has.
        truth_boxes, truth_classes, truth_areas, is_crowd: of all objects, (N, 4) and (N,); areas in square pixels, NaN
            where not known.
        boxes, scores, classes: of all detections, (M, 4) and (M,).
    """

    names: tuple[str, ...]
    sizes: Ints
    truth_counts: npt.NDArray[np.int64]
    truth_boxes: Floats
    truth_classes: Ints
    truth_areas: Floats
    is_crowd: npt.NDArray[np.bool_]
    found_counts: npt.NDArray[np.int64]
    boxes: Floats
    scores: Floats
    classes: Ints

    @classmethod
    def of(cls, frames: Sequence[EvaluatedFrame], class_ids: Ints) -> "FrameColumns":
        """Frames, at least one, in this order, without objects and detections of other classes than `class_ids`."""
        truths, finds = [frame.truth for frame in frames], [frame.found for frame in frames]
        truth_counts, found_counts = (np.array([len(one) for one in each], np.int64) for each in (truths, finds))
        areas = [np.full(len(one), np.nan, np.float32) if one.area is None else one.area for one in truths]
        truth = _Part(np.concatenate([one.classes for one in truths]), truth_counts, class_ids)
        found = _Part(np.concatenate([one.classes for one in finds]), found_counts, class_ids)
        return cls(
            tuple(frame.name for frame in frames),
            np.array([(frame.height, frame.width) for frame in frames], np.int32),
            truth.counts,
            truth.of([one.boxes for one in truths]),
            truth.classes,
            truth.of(areas),
            truth.of([one.is_crowd for one in truths]),
            found.counts,
            found.of([one.boxes for one in finds]),
            found.of([one.scores for one in finds]),
            found.classes,
        )

    @classmethod
    def joined(cls, pieces: Sequence["FrameColumns"]) -> "FrameColumns":
        """Frames of several, at least one, end to end."""
        names, *columns = zip(*pieces, strict=True)
        return cls(tuple(itertools.chain.from_iterable(names)), *(np.concatenate(column) for column in columns))


class _Part:
    """The objects, or the detections, of frames: which of them are kept, and how many are then left in each frame."""

    def __init__(self, classes: Ints, counts: npt.NDArray[np.int64], class_ids: Ints):
        self._kept = np.isin(classes, class_ids)
        self.classes = classes[self._kept]
        stops = np.concatenate([[0], np.cumsum(self._kept)])[np.cumsum(counts)]
        self.counts = np.diff(stops, prepend=0)

    def of(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What is kept of a column, given frame by frame."""
        return np.concatenate(columns)[self._kept]


class FrameStore:
    """Frames in pieces, each frame once. Picklable."""

    def __init__(self) -> None:
        self._pieces: list[FrameColumns] = []
        self._names: set[str] = set()

    def add(self, columns: FrameColumns) -> None:
        """Keep frames. Raises ValueError, and keeps none, if one is there already; names it."""
        names = set(columns.names)
        if len(names) < len(columns.names):
            raise added_twice(min(name for name in names if columns.names.count(name) > 1))
        self._add_names(names)
        self._pieces.append(columns)

    def merge(self, other: Self) -> None:
        """Keep the frames of `other` too. Raises ValueError, and keeps none, if a frame is in both; names it."""
        self._add_names(other._names)
        self._pieces += other._pieces

    def _add_names(self, names: set[str]) -> None:
        if not self._names.isdisjoint(names):
            raise added_twice(min(self._names & names))
        self._names |= names

    def ranked(self) -> Iterator[tuple[npt.NDArray[np.int64], FrameColumns]]:
        """All frames, a good number at a time, with their places, from 0, among all in the order of their names."""
        place = {name: number for number, name in enumerate(sorted(self._names))}
        for piece in self._batches():
            yield np.array([place[name] for name in piece.names], np.int64), piece

    def _batches(self) -> Iterator[FrameColumns]:
        some: list[FrameColumns] = []
        count = 0
        for piece in self._pieces:
            some.append(piece)
            count += len(piece.names)
            if count >= _FRAMES_AT_ONCE:
                yield FrameColumns.joined(some)
                some, count = [], 0
        if some:
            yield FrameColumns.joined(some)
