"""What is counted of records, against counting by hand."""

import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from od_core.checks.example import CheckedExample
from od_core.checks.problems import Problems
from od_core.checks.record_statistics import RecordStatistics, Spread
from od_core.ground_truth import GroundTruth
from od_core.images import ImageHeader
from od_core.label_map import LabelMap
from od_core.records.examples import OBJECT_BOX, FeatureUse, ImageExample


def example(boxes, classes, labels=None, *, width=1000, height=500, area=None, format="jpeg") -> CheckedExample:
    truth = GroundTruth.of(boxes, classes, labels=labels, area=area)
    features = {OBJECT_BOX[0]: FeatureUse("float", len(truth)), "image/encoded": FeatureUse("bytes", 1)}
    return CheckedExample(features, ImageExample(b"", "", ""), ImageHeader(format, width, height, 1), truth, ())


@given(st.lists(st.integers(0, 50)))
def test_the_middle_of_counted_numbers(numbers):
    counts = {number: numbers.count(number) for number in [*numbers, 51]}
    expected = (min(numbers), statistics.median_low(numbers), max(numbers)) if numbers else None
    assert Spread.of(counts) == expected


def test_records_objects_and_images_are_counted():
    counts = RecordStatistics()
    counts.add("train", example([[0, 0, 1, 1], [0, 0, 0.1, 0.1]], [1, 2], ["cat", "dog"]))
    counts.add("train", example([], []))
    counts.add("val", example([[0, 0, 1, 1]], [1], ["cat"], format="png", width=20))
    assert dict(counts.records) == {"train": 2, "val": 1}
    assert {label: dict(by) for label, by in counts.objects.items()} == {
        "cat": {"train": 1, "val": 1},
        "dog": {"train": 1},
    }
    assert counts.boxes == 3
    assert dict(counts.formats) == {"jpeg": 2, "png": 1}
    assert dict(counts.boxes_per_image) == {2: 1, 0: 1, 1: 1}
    assert Spread.of(counts.widths) == (20, 1000, 1000)
    use = counts.features[OBJECT_BOX[0]]
    assert (use.records, use.values, use.least, use.most, dict(use.kinds)) == (3, 3, 0, 2, {"float": 3})
    assert counts.annotated == 3


def test_sizes_are_those_of_coco():
    """Pixels: 31 x 33 is below 32², 96 x 96 is 96²; an area of its own, such as a mask's, counts before the box."""
    counts = RecordStatistics()
    sides = np.array([[31, 33], [32, 32], [95, 96], [96, 96], [96, 96], [10, 10]])
    boxes = np.concatenate([np.zeros((6, 2)), sides / (500, 1000)], axis=1)
    counts.add("", example(boxes, [1] * 6, area=[np.nan, 32**2, np.nan, 96**2, 50, 0]))
    assert dict(counts.box_sizes) == {"small": 3, "medium": 2, "large": 1}


def test_a_label_map_names_the_classes():
    counts = RecordStatistics(LabelMap.of_names(["cat"]))
    counts.add("", example([[0, 0, 1, 1]] * 3, [1, -1, 7], [None, "cat", None]))
    assert {label: by.total() for label, by in counts.objects.items()} == {"cat": 2, "class 7": 1}


def test_an_id_of_several_names_is_a_problem():
    problems, counts = Problems(), RecordStatistics()
    for class_id, label in [(1, "cat"), (1, "dog"), (2, "cow"), (-1, "a"), (-1, "b"), (1, "cat")]:
        counts.add("", example([[0, 0, 1, 1]], [class_id], [label]))
    counts.name_problems(problems)
    (problem,) = problems
    assert problem.places == ["id 1 is 'cat', 'dog'"]
