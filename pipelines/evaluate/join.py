"""What became of every row of the detections, and of every frame of the ground truth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from od_core.errors import UsageError
from od_core.joining import FrameIndex, KeyMatches
from pipelines.evaluate.classes import ClassCodes
from pipelines.evaluate.detections import DetectionsSet, is_looked_at, read_columns
from pipelines.evaluate.truth import TruthFrames

SHOWN = 10
_ERROR = "error"


class Named(NamedTuple):
    """How many there are of a kind, the names of the first few, and how many these names leave out."""

    total: int
    first: Sequence[str]
    more: int = 0

    @classmethod
    def of(cls, names: Sequence[str]) -> "Named":
        """The first of all the names there are."""
        return cls(len(names), tuple(names[:SHOWN]), max(0, len(names) - SHOWN))


class FramesByKey:
    """Frames told of key by key, so that a video is one name and not thousands; only the first few keys are kept."""

    def __init__(self) -> None:
        self.total = 0
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, keys: Sequence[str], names: Sequence[str]) -> None:
        """Frames with their keys; what a frame is called where it is the only one of its key."""
        self.total += len(keys)
        for key, name in zip(keys, names, strict=True):
            if key in self._counts:
                self._counts[key] += 1
            elif len(self._counts) < SHOWN:
                self._first[key], self._counts[key] = name, 1

    def named(self) -> Named:
        """How many frames there are, and the first few keys with the number of their frames."""
        return Named(
            self.total,
            tuple(
                self._first[key] if count == 1 else f"{key} ({count:,} frames)" for key, count in self._counts.items()
            ),
            self.total - sum(self._counts.values()),
        )


class Join:
    """What became of every row of the detections, and of every frame of the ground truth."""

    def __init__(self, frames: TruthFrames, matches: KeyMatches):
        key_of = {truth_key: key for key, truth_key in matches.truth_of.items()}
        self.keys = pa.array([key_of.get(key) for key in frames.table.column("key").to_pylist()], pa.string())
        self._matched = np.flatnonzero(self.keys.is_valid().to_numpy(zero_copy_only=False))
        self._index = FrameIndex(self.keys.take(pa.array(self._matched)), frames.numbers("frame_index")[self._matched])
        self._frames = frames
        self._known_keys = pa.array(matches.truth_of, pa.string())
        self._failed_keys: set[str] = set()
        self._was_tried = np.zeros(len(self.keys), np.bool_)
        self._usable = frames.table.column("usable").to_numpy()
        self.is_seen = np.zeros(len(self.keys), np.bool_)
        self.classes = ClassCodes()
        self.class_counts = np.zeros(0, np.int64)
        self.empty = 0
        self.unknown = FramesByKey()
        self.other_size = FramesByKey()

    def add_all(self, detections: DetectionsSet) -> None:
        """Look at every row."""
        for group in detections.row_groups():
            table = read_columns(group, ("class_id", "label"), [_ERROR])
            if table.num_rows:
                self._add({name: table.column(name).combine_chunks() for name in table.column_names})

    def is_failed(self) -> npt.NDArray[np.bool_]:
        """Which frames were tried in vain, alone or with the video they are in."""
        by_key = pc.is_in(self.keys, pa.array(sorted(self._failed_keys), pa.string())).to_numpy(zero_copy_only=False)
        return np.asarray((self._was_tried | by_key) & ~self.is_seen)

    def _add(self, rows: dict[str, pa.Array]) -> None:
        indices = rows["frame_index"].fill_null(0).to_numpy(zero_copy_only=False)
        found = self._index.find(rows["key"], indices)
        places = np.where(found >= 0, self._matched[found] if len(self._matched) else -1, -1)
        is_done = is_looked_at(rows["status"], rows["detections"])
        whole = rows["frame_index"].is_null().to_numpy(zero_copy_only=False) & ~is_done  # about a video, not a frame
        self._note_failed(rows, places, is_done, whole)
        used = is_done & (places >= 0)
        used[used] = self._usable[places[used]]
        self._note_seen(rows, np.flatnonzero(used), places)
        lengths = rows["detections"].value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        self.empty += int((lengths[used] == 0).sum())
        codes = self.classes.codes(rows["detections"].flatten().filter(pa.array(np.repeat(used, lengths))))
        counts = np.bincount(codes, minlength=len(self.classes.pairs))
        counts[: len(self.class_counts)] += self.class_counts
        self.class_counts = counts

    def _note_failed(
        self,
        rows: dict[str, pa.Array],
        places: npt.NDArray[np.int64],
        is_done: npt.NDArray[np.bool_],
        whole: npt.NDArray[np.bool_],
    ) -> None:
        self._was_tried[places[~is_done & (places >= 0)]] = True
        self._note_stretches(rows, np.flatnonzero(~is_done))
        self._failed_keys.update(rows["key"].filter(pa.array(whole)).to_pylist())
        is_known = pc.is_in(rows["key"], self._known_keys).to_numpy(zero_copy_only=False)
        unknown = np.flatnonzero(np.where(whole, ~is_known, places < 0))
        keys = rows["key"].take(pa.array(unknown)).to_pylist()
        self.unknown.add(keys, [_row_name(rows, row) for row in unknown.tolist()])

    def _note_stretches(self, rows: dict[str, pa.Array], failed: npt.NDArray[np.int64]) -> None:
        """One row can tell of many frames that failed: its error says up to which."""
        some = pa.array(failed)
        errors = rows[_ERROR].take(some).to_pylist()
        firsts = rows["frame_index"].take(some).to_pylist()
        for row, first, error in zip(failed.tolist(), firsts, errors, strict=True):
            last = error.get("last_frame_index") if isinstance(error, dict) else None
            if first is not None and last is not None and last > first:
                frames = np.arange(first, last + 1, dtype=np.int64)
                key = rows["key"].slice(row, 1).take(pa.array(np.zeros(len(frames), np.int64)))
                found = self._index.find(key, frames)
                self._was_tried[self._matched[found[found >= 0]]] = True

    def _note_seen(self, rows: dict[str, pa.Array], used: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> None:
        seen = places[used]
        again = self.is_seen[seen]
        again |= np.isin(np.arange(len(seen)), np.unique(seen, return_index=True)[1], invert=True)
        if again.any():
            raise UsageError(
                f"the detections have two rows about '{_row_name(rows, int(used[again.argmax()]))}', and which one to"
                " take is not to be guessed: infer again, from inputs that have every image once"
            )
        self.is_seen[seen] = True
        truth_sizes = np.column_stack([self._frames.numbers(side)[seen] for side in ("width", "height")])
        sizes = np.column_stack(
            [rows[side].fill_null(0).to_numpy(zero_copy_only=False)[used] for side in ("width", "height")]
        )
        both = truth_sizes.all(axis=1) & sizes.all(axis=1)
        if (neither := ~truth_sizes.all(axis=1) & ~sizes.all(axis=1)).any():
            name = _row_name(rows, int(used[neither.argmax()]))
            raise UsageError(f"neither the ground truth nor the detections say how large '{name}' is")
        differ = np.flatnonzero(both & (truth_sizes != sizes).any(axis=1))
        told = [
            f": {truth[0]} x {truth[1]} in the ground truth, {size[0]} x {size[1]} in the detections"
            for truth, size in zip(truth_sizes[differ], sizes[differ], strict=True)
        ]
        keys = rows["key"].take(pa.array(used[differ])).to_pylist()
        names = self._frames.names_at(seen[differ])
        self.other_size.add(
            [key + words for key, words in zip(keys, told, strict=True)],
            [name + words for name, words in zip(names, told, strict=True)],
        )


def _row_name(rows: dict[str, pa.Array], row: int) -> str:
    """A row of detections as people are told of it."""
    index = rows["frame_index"][row].as_py()
    return f"{rows['key'][row].as_py()}#{index}" if index else str(rows["key"][row].as_py())
