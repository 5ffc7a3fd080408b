import posixpath

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.joining import FrameIndex, match_keys


def truth(*keys: str, **source_ids: str) -> dict[str, str | None]:
    return {**dict.fromkeys(keys), **{key: source_ids[key] for key in source_ids}}


@pytest.mark.parametrize(
    ("found", "there"),
    [
        ("x.jpg", "x.jpg"),
        ("a/b/x.jpg", "b/x.jpg"),
        ("b/x.jpg", "a/b/x.jpg"),
        ("x.jpg", "a/b/x.jpg"),
        ("a/b/x.jpg", "b/x"),  # without the extension, on either side the longer
        ("x.jpg", "a/b/x"),
        ("b/x.jpg", "b/x"),
        ("x.y.jpg", "x.y"),
    ],
)
def test_keys_that_mean_the_same(found: str, there: str) -> None:
    assert match_keys([found], truth(there)) == ({found: there}, [], [])


@pytest.mark.parametrize(
    ("found", "there"),
    [
        ("ax.jpg", "x.jpg"),  # not a whole component
        ("b/x.jpg", "ab/x.jpg"),
        ("a/x.jpg", "b/x.jpg"),
        ("x.jpg", "x.png"),
        ("x", "x.jpg"),  # only the ground truth may lack the extension
        ("x.jpg/y", "x.jpg"),
        ("x.jpg", "X.jpg"),
        ("a.b/x", "a/x"),
    ],
)
def test_keys_that_do_not(found: str, there: str) -> None:
    assert match_keys([found], truth(there)) == ({}, [], [found])


def test_a_source_id_is_a_key_too() -> None:
    there = {"train/000000000139.jpg": "139", "train/000000000285.jpg": "285", "c.jpg": None}
    assert match_keys(["285", "139", "7"], there) == (
        {"285": "train/000000000285.jpg", "139": "train/000000000139.jpg"},
        [],
        ["7"],
    )


def test_the_key_itself_comes_before_a_source_id_and_that_before_an_ending() -> None:
    assert match_keys(["7"], {"7": None, "other": "7"}).truth_of == {"7": "7"}
    assert match_keys(["x.jpg"], {"a/x.jpg": None, "b.png": "x.jpg"}).truth_of == {"x.jpg": "b.png"}


@pytest.mark.parametrize(
    ("found", "there"),
    [
        (["x.jpg"], truth("a/x.jpg", "b/x.jpg")),
        (["a/b/x.jpg"], truth("b/x.jpg", "x.jpg")),
        (["a/x.jpg", "b/x.jpg"], truth("x.jpg")),
        (["x.jpg", "x.png"], truth("x")),
        (["7"], {"a": "7", "b": "7"}),
        (["a/b/x.jpg", "x.jpg"], truth("a/a/x.jpg", "a/x.jpg", "b/x.jpg")),  # x.jpg could be each of three
        (["c/x.jpg", "x"], {"1": "x", "2": "x", "x.jpg": "x"}),
    ],
)
def test_what_could_be_meant_twice_is_not_guessed(found: list[str], there: dict[str, str | None]) -> None:
    assert match_keys(found, there) == ({}, sorted(found), [])


def test_what_is_taken_is_not_meant_again() -> None:
    assert match_keys(["a/x.jpg", "x.jpg"], truth("x.jpg")) == ({"x.jpg": "x.jpg"}, ["a/x.jpg"], [])
    assert match_keys(["7", "x"], {"x": "7"}) == ({"x": "x"}, ["7"], [])


def test_an_ambiguous_key_does_not_spoil_others() -> None:
    matches = match_keys(["in/x.jpg", "in/y.jpg", "z.jpg"], truth("x.jpg", "y.jpg", "a/z.jpg", "b/z.jpg"))
    assert matches == ({"in/x.jpg": "x.jpg", "in/y.jpg": "y.jpg"}, ["z.jpg"], [])


names = st.sampled_from(["x.jpg", "x", "y.png", "y", "x.y"])
folders = st.lists(st.sampled_from(["a", "b", "x", "x.jpg"]), max_size=3)
paths = st.builds(lambda parts, name: "/".join([*parts, name]), folders, names)


@settings(max_examples=400)
@given(st.sets(paths, max_size=8), st.sets(paths, max_size=8))
def test_endings_as_by_comparing_every_pair(found: set[str], there: set[str]) -> None:
    def alike(one: str, other: str) -> bool:
        return one == other or one.endswith("/" + other) or other.endswith("/" + one)

    meant = {
        key: [key] if key in there else [t for t in there if alike(key, t) or alike(posixpath.splitext(key)[0], t)]
        for key in found
    }
    claims = [t for keys in meant.values() for t in keys]
    sure = {
        key: keys[0]
        for key, keys in meant.items()
        if len(keys) == 1 and (key in there or (claims.count(keys[0]) == 1 and keys[0] not in found))
    }
    matches = match_keys(sorted(found), dict.fromkeys(sorted(there)))
    assert matches == match_keys(sorted(found, reverse=True), dict.fromkeys(sorted(there, reverse=True)))
    assert matches.truth_of == sure
    assert matches.unmatched == sorted(key for key in found if not meant[key])
    assert matches.ambiguous == sorted(key for key in found if meant[key] and key not in sure)


frames = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 3)), max_size=12)


@given(frames, frames)
def test_frames_are_found_where_they_are(there: list[tuple[str, int]], wanted: list[tuple[str, int]]) -> None:
    index = _index(there)
    assert _find(index, wanted) == [there.index(one) if one in there else -1 for one in wanted]
    assert index.repeated().tolist() == [n for n, one in enumerate(there) if one in there[:n]]


def test_a_frame_number_does_not_reach_into_another_key() -> None:
    index = _index([("a", 0), ("b", 0)])
    assert _find(index, [("a", 1 << 32), ("b", -(1 << 32)), ("b", 0)]) == [-1, -1, 1]


@pytest.mark.parametrize("frame_index", [-1, 1 << 32])
def test_frame_numbers_that_cannot_be_are_refused(frame_index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        _index([("a", 0), ("a", frame_index)])


def _index(there: list[tuple[str, int]]) -> FrameIndex:
    return FrameIndex(pa.array([key for key, _ in there], pa.string()), np.array([n for _, n in there], np.int64))


def _find(index: FrameIndex, wanted: list[tuple[str, int]]) -> list[int]:
    keys = pa.array([key for key, _ in wanted], pa.string())
    return index.find(keys, np.array([n for _, n in wanted], np.int64)).tolist()
