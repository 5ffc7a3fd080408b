import math

import pytest

from od_core.errors import UsageError
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.gate import Gate, full_name
from od_core.metrics.voc import PascalBoxes

CLASSES = {1: "cat", 2: "guide_dog"}
NAMES = [*CocoBoxes(CLASSES).value(), *PascalBoxes(CLASSES).value()]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("mAP", "DetectionBoxes_Precision/mAP"),
        ("DetectionBoxes_Precision/mAP", "DetectionBoxes_Precision/mAP"),
        ("Precision/mAP", "DetectionBoxes_Precision/mAP"),
        ("mAP (small)", "DetectionBoxes_Precision/mAP (small)"),
        ("AR@100", "DetectionBoxes_Recall/AR@100"),
        ("mAP@0.5IOU", "PascalBoxes_Precision/mAP@0.5IOU"),
        ("mAP/cat", "DetectionBoxes_PerformanceByCategory/mAP/cat"),
        ("AP@0.5IOU/guide_dog", "PascalBoxes_PerformanceByCategory/AP@0.5IOU/guide_dog"),
    ],
)
def test_a_name_can_be_shortened_from_the_left(word: str, name: str) -> None:
    assert full_name(word, NAMES) == name


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cat", "could be each of DetectionBoxes_PerformanceByCategory/mAP/cat, PascalBoxes_PerformanceByCategory/AP"),
        ("map", "no number called 'map'; did you mean mAP?"),
        ("mAP/cot", "did you mean mAP/cat"),
        ("AP", "no number called 'AP'; did you mean mAP?"),
        ("loss", "there are DetectionBoxes_Precision/mAP, .* and 9 more"),
        ("", "no number called ''"),
    ],
)
def test_one_that_is_not_there_or_not_clear(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        full_name(word, NAMES)


@pytest.mark.parametrize(
    ("x", "enough"), [(0.5, True), (0.51, True), (0.4999, False), (-1.0, False), (math.nan, False)]
)
def test_the_least_value_is_enough_and_an_undefined_one_never(x: float, enough: bool) -> None:
    fault = Gate("a", 0.5).fault({"a": x})
    assert (fault is None) == enough


def test_what_is_said() -> None:
    assert Gate("a/b", 0.55).fault({"a/b": 0.12345678}) == "a/b is 0.123457, wanted at least 0.55"
    assert Gate("a/b", 0.55).fault({"a/b": -1}) == "a/b is undefined, wanted at least 0.55"
