import dataclasses

import numpy as np
import pytest

from od_core.ground_truth import GroundTruth

TWO = GroundTruth.of([[0, 0, 0.5, 0.5], [0.1, -0.1, 1.2, 0.3]], [1, -1], labels=["cat", None], area=[12.5, np.nan])


def test_flags_that_are_not_given_are_false_and_dtypes_are_fixed():
    assert (TWO.boxes.dtype, TWO.classes.dtype, TWO.area.dtype) == (np.float32, np.int32, np.float32)
    for flag in (TWO.is_crowd, TWO.difficult, TWO.group_of):
        assert flag.dtype == np.bool_
        assert not flag.any()
    assert GroundTruth.of([[0, 0, 1, 1]], [1.0], difficult=[1]).difficult.tolist() == [True]


def test_empty_is_empty_and_equal_to_empty():
    assert len(GroundTruth.empty()) == 0
    assert GroundTruth.empty().boxes.shape == (0, 4)
    assert GroundTruth.empty() == GroundTruth.of(np.zeros((0, 4)), [])


def test_equality_looks_at_every_field_and_takes_nan_areas_as_equal():
    assert dataclasses.replace(TWO, area=TWO.area.copy(), boxes=TWO.boxes.copy()) == TWO
    for change in (
        {"boxes": TWO.boxes / 2},
        {"classes": np.array([1, 2], np.int32)},
        {"is_crowd": ~TWO.is_crowd},
        {"difficult": ~TWO.difficult},
        {"group_of": ~TWO.group_of},
        {"labels": ("dog", None)},
        {"labels": None},
        {"area": None},
        {"area": np.array([12.5, 1], np.float32)},
    ):
        assert dataclasses.replace(TWO, **change) != TWO
        assert dataclasses.replace(TWO, **change) != TWO
    assert TWO != "ground truth"
    with pytest.raises(TypeError, match="unhashable"):
        hash(TWO)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"boxes": np.zeros((1, 4), np.float32)},
            r"boxes must be float32 of shape \(2, 4\), got float32 of shape \(1, 4\)",
        ),
        ({"boxes": np.zeros((2, 4))}, "boxes must be float32 .* got float64"),
        ({"classes": np.zeros(2, np.int64)}, "classes must be int32"),
        ({"is_crowd": np.zeros(3, np.bool_)}, "is_crowd must be bool of shape"),
        ({"difficult": np.zeros(2, np.int64)}, "difficult must be bool"),
        ({"group_of": np.zeros((2, 1), np.bool_)}, "group_of must be bool"),
        ({"area": np.zeros(1, np.float32)}, "area must be float32 of shape"),
        ({"area": np.full(2, np.inf, np.float32)}, "area must be finite, or NaN"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "boxes must be finite"),
        ({"labels": ("cat",)}, r"labels must have one entry per box \(2\), got 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(TWO, **change)


def test_joined_are_end_to_end_and_what_some_lack_is_filled_in():
    masked = GroundTruth.of([[0, 0, 1, 1]], [7], is_crowd=[True], masks=[b"m"])
    joined = GroundTruth.joined([TWO, GroundTruth.empty(), masked])
    assert joined == GroundTruth.of(
        [*TWO.boxes, [0, 0, 1, 1]],
        [1, -1, 7],
        is_crowd=[False, False, True],
        labels=["cat", None, None],
        area=[12.5, np.nan, np.nan],
        masks=[None, None, b"m"],
    )
    assert len(GroundTruth.joined([])) == 0
