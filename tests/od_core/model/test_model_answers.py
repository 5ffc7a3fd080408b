"""Arrays that a model gave become detections, or a reason why they cannot."""

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.errors import DetectError
from od_core.model.answers import read_answers
from od_core.model.detector import OUTPUTS
from od_core.model.tensors import ModelTensors

BOXES = np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.75, 1.0], [0, 0, 0, 0]]] * 2, np.float32)
SCORES = np.array([[0.5, 0.75, 0.0], [0.9, 0.8, 0.7]], np.float32)
CLASSES = np.array([[2, 1, 0], [1, 2, 3]], np.float32)


def answers(*counts: float, **changes: np.ndarray) -> dict[str, np.ndarray]:
    arrays = dict(zip(OUTPUTS, (BOXES, SCORES, CLASSES), strict=False))
    if counts:
        arrays["num_detections"] = np.array(counts, np.float32)
    return {**arrays, **{f"detection_{name}": array for name, array in changes.items()}}


def test_as_many_rows_count_as_the_model_says():
    first, second = read_answers(answers(2, 0), 2, 100, 200)
    assert first == Detections.best_first(BOXES[0, :2], SCORES[0, :2], CLASSES[0, :2])
    assert second == Detections.empty()


def test_without_a_number_rows_with_a_score_count_wherever_they_are():
    first, second = read_answers(answers(scores=np.array([[0.5, -1, 0.6], [0, 0, 0]], np.float32)), 2, 100, 200)
    assert first == Detections.best_first(BOXES[0, [2, 0]], [0.6, 0.5], [0, 2])
    assert second == Detections.empty()


def test_class_ids_and_boxes_are_read_as_they_are_meant():
    tensors = ModelTensors(box_format="xmin_ymin_xmax_ymax", in_pixels=True, first_class_id=0)
    boxes = np.array([[[50, 10, 100, 40]]] * 2, np.float32)
    found, _ = read_answers(
        answers(1, 1, boxes=boxes, scores=SCORES[:, :1], classes=CLASSES[:, :1]), 2, 100, 200, tensors
    )
    np.testing.assert_array_equal(found.boxes, np.array([[0.1, 0.25, 0.4, 0.5]], np.float32))
    assert found.classes.tolist() == [3]


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_class_ids_of_any_kind(dtype):
    found, _ = read_answers(answers(3, 3, classes=CLASSES.astype(dtype)), 2, 9, 9, ModelTensors(first_class_id=0))
    assert found.classes.tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (answers(1, np.nan), "the model answered 2 images of 200 x 100 px with num_detections [1.0, nan]"),
        (answers(1, -1), "with num_detections [1.0, -1.0]"),
        (answers(2), "num_detections (1,): expected one row for each image"),
        (
            answers(boxes=BOXES[:, :2]),
            "with detection_boxes (2, 2, 4), detection_scores (2, 3), detection_classes (2, 3):",
        ),
        (answers(scores=SCORES[..., None]), "detection_scores (2, 3, 1)"),
        (answers(3, 3, boxes=BOXES + np.float32("inf")), "boxes, scores or classes that are not finite (image 0)"),
        (
            answers(3, 2, boxes=BOXES[..., [2, 1, 0, 3]]),
            "with boxes whose minimum is above their maximum (image 0): they are not ymin_xmin_ymax_xmax; --box_format",
        ),
    ],
)
def test_answers_that_are_no_detections(arrays, says):
    with pytest.raises(DetectError) as refused:
        read_answers(arrays, 2, 100, 200)
    assert says in str(refused.value)
