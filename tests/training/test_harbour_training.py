"""The parts of the training script, and the script itself from scenes to an exported graph that opens."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.harbour.scene import Harbour
from od_core.harbour.ships import LABELS
from od_core.label_map import read_label_map
from od_core.model.detector import open_detector
from training.evaluation import ClassQuality, evaluate
from training.loop import vary
from training.loss import detection_loss
from training.network import (
    GRID_HEIGHT,
    GRID_WIDTH,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    FrozenConvolutions,
    TrainedConvolutions,
    best_cells,
    detector_heads,
)
from training.scenes import FIRST_TRAINING_SEED, MAX_OBJECTS, render_examples

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


def test_scenes_are_the_views_of_their_seeds_at_the_networks_size():
    seeds = [FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 1]
    examples = render_examples(seeds, 2, INPUT_HEIGHT, INPUT_WIDTH)
    again = render_examples(seeds[1:], 2, INPUT_HEIGHT, INPUT_WIDTH)
    assert examples.images.shape == (4, INPUT_HEIGHT, INPUT_WIDTH, 3)
    np.testing.assert_array_equal(examples.images[2:], again.images)
    np.testing.assert_array_equal(examples.boxes[2:], again.boxes)
    assert (examples.images[0] != examples.images[1]).mean() > 0.2
    held = examples.classes > 0
    assert held.sum(axis=1).min() > 3
    assert (examples.boxes[held][:, 2:] > examples.boxes[held][:, :2]).all()
    assert not examples.boxes[~held].any()
    assert not examples.difficult[~held].any()


def test_no_harbour_holds_more_objects_than_an_example_can():
    assert max(len(Harbour(seed).objects(0.0)) for seed in range(8)) <= MAX_OBJECTS


def test_a_varied_scene_keeps_its_boxes_around_its_objects():
    rng = np.random.default_rng(0)
    images = np.zeros((16, 48, 80, 3), np.uint8)
    images[:, 10:20, 30:60] = 200
    boxes = np.zeros((16, 3, 4), np.float32)
    boxes[:, 0] = (10 / 48, 30 / 80, 20 / 48, 60 / 80)
    varied, moved = vary(rng, images, boxes)
    assert varied.dtype == np.float32
    assert 0 <= varied.min() <= varied.max() <= 255
    for image, box in zip(varied, moved[:, 0], strict=True):
        rows, columns = np.nonzero(image.mean(axis=2) > 100)
        drawn = (rows.min() / 48, columns.min() / 80, (rows.max() + 1) / 48, (columns.max() + 1) / 80)
        np.testing.assert_allclose(box, drawn, atol=1e-6)
    assert len({tuple(box) for box in np.round(moved[:, 0], 3).tolist()}) == 4  # all four ways


def test_frozen_convolutions_say_what_the_trained_ones_do(tf):
    rng = np.random.default_rng(3)
    conv = TrainedConvolutions(tf, 3)
    images = tf.constant(rng.uniform(0, 255, (2, INPUT_HEIGHT, INPUT_WIDTH, 3)), tf.float32)
    detector_heads(tf, conv, images, 5)
    for variables in (conv.weights, conv.moments):
        for name, variable in variables.items():
            if not name.endswith("/kernel"):
                variable.assign(variable * rng.uniform(0.7, 1.4, variable.shape) + rng.uniform(0, 0.2, variable.shape))
    trained = detector_heads(tf, conv, images, 5)
    frozen = detector_heads(tf, FrozenConvolutions(tf, conv.frozen(conv.weights)), images, 5)
    for first, second in zip(trained, frozen, strict=True):
        assert np.ptp(first) > 0.1
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def perfect(boxes: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a network that knows everything says: logits and edges of one image."""
    logits = np.full((1, GRID_HEIGHT, GRID_WIDTH, 5), -12.0, np.float32)
    edges = np.zeros((1, GRID_HEIGHT, GRID_WIDTH, 4), np.float32)
    y, x = np.mgrid[:GRID_HEIGHT, :GRID_WIDTH] + 0.5
    for box, class_id in zip(boxes, classes, strict=True):
        ymin, xmin, ymax, xmax = box * (GRID_HEIGHT, GRID_WIDTH, GRID_HEIGHT, GRID_WIDTH)
        logits[0, int((ymin + ymax) / 2), int((xmin + xmax) / 2), class_id - 1] = 12
        inside = (ymin < y) & (y < ymax) & (xmin < x) & (x < xmax)
        sides = np.log(np.maximum([y - ymin, x - xmin, ymax - y, xmax - x], 1e-3))
        edges[0][inside] = np.moveaxis(sides, 0, 2)[inside]
    return logits, edges


def some_boxes() -> tuple[np.ndarray, np.ndarray]:
    boxes = np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.55, 0.9, 0.75], [0.7, 0.1, 0.8, 0.2]], np.float32)
    return boxes, np.array([3, 1, 5], np.int32)


def test_the_loss_is_nothing_when_all_is_right_and_difficult_objects_do_not_count(tf):
    boxes, classes = some_boxes()
    logits, edges = perfect(boxes, classes)

    def loss(given_logits: np.ndarray, given_edges: np.ndarray, difficult: list[bool]) -> tuple[float, float]:
        scores_loss, edges_loss = detection_loss(
            tf,
            tf.constant(given_logits),
            tf.constant(given_edges),
            tf.constant(boxes[None]),
            tf.constant(classes[None]),
            tf.constant([difficult]),
        )
        return float(scores_loss), float(edges_loss)

    none_difficult = [False] * 3
    assert loss(logits, edges, none_difficult) == pytest.approx((0, 0), abs=0.05)
    unseen, _ = perfect(boxes[:2], classes[:2])
    assert loss(unseen, edges, none_difficult)[0] > 3
    assert loss(unseen, edges, [False, False, True])[0] == pytest.approx(0, abs=0.05)
    assert loss(logits, edges, [False, False, True])[0] == pytest.approx(0, abs=0.05)
    assert loss(logits, edges + 0.4, none_difficult)[1] > 0.5
    everywhere = np.full_like(logits, -12.0)
    everywhere[0, 2, 70] = 12  # where nothing is
    assert loss(np.maximum(logits, everywhere), edges, none_difficult)[0] > 10


def test_the_best_cells_are_the_objects(tf):
    boxes, classes = some_boxes()
    logits, edges = perfect(boxes, classes)
    logits[0, :, :, 0] += np.where(logits[0, :, :, 0] > 0, -8, 0)  # class 1 less certain than the others
    found, scores, labels = (np.asarray(part)[0] for part in best_cells(tf, tf.constant(logits), tf.constant(edges), 5))
    assert (scores[:3] > 0.9).all()
    assert (scores[3:] < 0.01).all()
    assert labels[2] + 1 == 1
    assert {int(label) + 1 for label in labels[:3]} == {1, 3, 5}
    for box, label in zip(found[:3], labels, strict=False):
        np.testing.assert_allclose(box, boxes[classes.tolist().index(int(label) + 1)], atol=1e-5)


def test_quality_of_a_small_case():
    """Two objects and a difficult one; a hit, a second box on it, one on the difficult one, one on nothing, a hit."""
    truth = GroundTruth.of(
        [[0, 0, 0.2, 0.2], [0.5, 0.5, 0.8, 0.8], [0, 0.6, 0.2, 0.8]], [1, 1, 1], difficult=[False, False, True]
    )
    found = Detections.best_first(
        [[0, 0, 0.2, 0.2], [0, 0, 0.2, 0.19], [0, 0.6, 0.2, 0.8], [0.9, 0, 1, 0.1], [0.5, 0.5, 0.8, 0.79]],
        [0.9, 0.8, 0.7, 0.6, 0.3],
        [1, 1, 1, 1, 1],
    )
    quality = evaluate([(truth, found), (GroundTruth.empty(), Detections.empty())], {1: "one", 2: "two"})
    # Marks: hit, miss, (not counted), miss, hit: precision 1 up to recall 1/2, then 2/4.
    assert quality[1] == ClassQuality(2, pytest.approx(0.75), pytest.approx(1 / 3), pytest.approx(0.5))
    assert quality[2] == ClassQuality(0, 0.0, 0.0, 0.0)


def test_the_script_writes_a_detector_that_opens(tmp_path):
    small = {"--steps": 2, "--batch": 2, "--harbours": 1, "--views": 2, "--evaluate": 1, "--threads": 1}
    command = [sys.executable, "-m", "training.harbour_detector", "--output", tmp_path / "model"]
    command += ["--scenes", tmp_path / "scenes.npz", *(part for option in small.items() for part in option)]
    done = subprocess.run([str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "step 2:" in done.stdout
    assert "mAP@0.5 on 1 unseen harbours" in done.stdout
    assert (tmp_path / "scenes.npz").is_file()
    assert read_label_map(tmp_path / "model" / "label_map.pbtxt").labels == LABELS
    detector = open_detector(tmp_path / "model" / "frozen_inference_graph.pb")
    try:
        (found,) = detector.detect(np.zeros((1, 50, 70, 3), np.uint8))
    finally:
        detector.close()
    assert found.boxes.shape[1] == 4
