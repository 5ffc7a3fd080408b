"""Joining detections with ground truth: which keys mean the same image, and where the frames of a key are.

Detections know an image by the path below the folder they were made from, or, made from TFRecord files, by the
record's source id; the ground truth knows it by the path below its image folder. `match_keys` brings the two together,
`FrameIndex` then finds frames by key and number.
"""

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_FRAME_BITS = 32


class KeyMatches(NamedTuple):
    """What became of the keys of detections.

    Attributes:
        truth_of: key of detections -> key of ground truth; no two have the same.
        ambiguous: keys of detections that could mean several keys of ground truth, or one that another key of
            detections means or could mean too; sorted.
        unmatched: keys of detections that mean none; sorted.
    """

    truth_of: dict[str, str]
    ambiguous: list[str]
    unmatched: list[str]


def match_keys(found: Collection[str], truth: Mapping[str, str | None]) -> KeyMatches:
    """Which key of the ground truth every key of detections means.

    The same key; else the one with this source id; else the only one that ends like it, by whole folders: "a/b/x.jpg"
    and "b/x.jpg" mean the same, whichever side is longer, and so do "b/x.jpg" and a "b/x" of the ground truth. What
    could be meant twice is never guessed. A million keys on both sides take up to some seconds and 400 MB.

    Args:
        found: keys of detections, each once.
        truth: key of ground truth -> its source id, if it has one.
    """
    truth_of = {key: key for key in found if key in truth}
    rest = {key for key in found if key not in truth}
    first: dict[str, str] = {}
    several: set[str] = set()
    claimed = set(truth_of)
    contested: set[str] = set()

    def note(pairs: Iterable[tuple[str, str]]) -> None:
        for key, truth_key in pairs:
            if first.setdefault(key, truth_key) != truth_key:
                several.add(key)
            (contested if truth_key in claimed else claimed).add(truth_key)

    note(_by_source_id(rest, truth))
    rest -= first.keys()
    if rest:
        note(_by_ending(rest, truth))
    unique = {key: truth_key for key, truth_key in first.items() if key not in several and truth_key not in contested}
    return KeyMatches(
        truth_of | unique,
        sorted(key for key in first if key not in unique),
        sorted(key for key in rest if key not in first),
    )


def _by_source_id(found: Collection[str], truth: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Every key of detections with every key of ground truth that has it as its source id."""
    for key, source_id in truth.items():
        if source_id is not None and source_id in found:
            yield source_id, key


def _by_ending(found: Collection[str], truth: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    """Every key of detections with every key of ground truth that ends like it; each pair once."""
    by_form: dict[str, str | tuple[str, ...]] = {}
    for key in found:
        for form in _forms(key):
            by_form[form] = key if form not in by_form else (*_several(by_form[form]), key)
    found_depths, truth_depths = _depths(found), _depths(truth)
    for form, keys in by_form.items():
        for end in (form, *_shorter_ends(form, truth_depths)):
            if end in truth:
                for key in _several(keys):
                    yield key, end
    for truth_key in truth:
        for end in _shorter_ends(truth_key, found_depths):
            if end in by_form:
                for key in _several(by_form[end]):
                    yield key, truth_key


def _forms(key: str) -> tuple[str, ...]:
    """A key as it is, and without its extension, which ground truth can lack."""
    stem = posixpath.splitext(key)[0]
    return (key,) if stem == key else (key, stem)


def _several(one_or_more: str | tuple[str, ...]) -> tuple[str, ...]:
    return (one_or_more,) if isinstance(one_or_more, str) else one_or_more


def _depths(keys: Iterable[str]) -> list[int]:
    """In how many folders keys are: the numbers that occur."""
    return sorted({key.count("/") for key in keys})


def _shorter_ends(key: str, depths: Sequence[int]) -> Iterator[str]:
    """The path from its last folder on, its last but one, and so on, where that many folders are in `depths`."""
    own = key.count("/")
    for depth in depths:
        if depth < own:
            yield key.split("/", own - depth)[-1]


class FrameIndex:
    """Where frames are in a table, by key and frame index. Holds arrays only: about 24 bytes a frame beside the keys.

    Args:
        keys: string (N,).
        frame_indices: int64 (N,); images have the index 0.

    Raises:
        ValueError: a frame index below 0 or above 4 billion.
    """

    def __init__(self, keys: pa.StringArray, frame_indices: npt.NDArray[np.int64]):
        if len(frame_indices) and not 0 <= frame_indices.min() <= frame_indices.max() < 1 << _FRAME_BITS:
            raise ValueError(f"frame indices from {frame_indices.min()} to {frame_indices.max()}, expected 0 or more")
        encoded = keys.dictionary_encode()
        self._keys = encoded.dictionary
        numbers = _combined(encoded.indices.to_numpy(zero_copy_only=False), frame_indices)
        self._order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[self._order]

    def find(self, keys: pa.StringArray, frame_indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The place of every frame in the table, int64 (M,); -1 where there is none. Of several, the first."""
        codes = pc.index_in(keys, self._keys).fill_null(-1).to_numpy(zero_copy_only=False)
        wanted = _combined(codes, frame_indices)
        places = np.searchsorted(self._numbers, wanted)
        there = (codes >= 0) & (frame_indices >= 0) & (frame_indices < 1 << _FRAME_BITS) & (places < len(self._numbers))
        there[there] = self._numbers[places[there]] == wanted[there]
        result = np.full(len(codes), -1, np.int64)
        result[there] = self._order[places[there]]
        return result

    def repeated(self) -> npt.NDArray[np.int64]:
        """Places of frames that are in the table before, in the order of the table."""
        again = np.flatnonzero(self._numbers[1:] == self._numbers[:-1]) + 1
        return np.sort(self._order[again])


def _combined(codes: npt.NDArray[np.int32], frame_indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One number for a key and a frame."""
    return (codes.astype(np.int64) << _FRAME_BITS) + frame_indices
