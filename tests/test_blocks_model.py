"""The colour finder finds drawn rectangles to the pixel."""

import numpy as np
import pytest

from od_core.label_map import parse_label_map
from od_core.model.detector import Detector, open_detector
from tests import blocks_model
from tests.od_core.model.model_exports import colours_in, drawn


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "sample.pb"
    blocks_model.write_frozen_graph(path)
    opened = open_detector(path)
    yield opened
    opened.close()


def found_in(detector: Detector, image: np.ndarray) -> list[tuple[int, list[float], float]]:
    """(class, box in pixels, score) of each detection, in order."""
    (found,) = detector.detect(image[None])
    height, width, _ = image.shape
    boxes_px = found.boxes.astype(float) * (height, width, height, width)
    return [
        (class_id, [round(edge, 4) for edge in box], score)
        for class_id, box, score in zip(found.classes.tolist(), boxes_px.tolist(), found.scores.tolist(), strict=True)
    ]


@pytest.mark.parametrize("class_id", [1, 2, 3])
@pytest.mark.parametrize(
    "box",
    [
        (10, 20, 30, 50),
        (0, 0, 4, 4),  # the smallest that counts, in the first corner
        (56, 76, 60, 80),  # and in the last
        (0, 0, 60, 80),  # the whole image
        (7, 0, 8, 80),  # one row
    ],
)
def test_a_rectangle_is_found_to_the_pixel(detector, class_id, box):
    assert found_in(detector, drawn((class_id, *box))) == [(class_id, list(box), 1.0)]


def test_best_first_equal_scores_by_class(detector):
    image = drawn((3, 0, 0, 10, 10), (2, 20, 0, 30, 10), (1, 40, 0, 50, 10))
    image[40, :10] = 128
    image[45, 5] = 128  # red: 9 x 10 with one pixel missing
    assert found_in(detector, image) == [
        (2, [20, 0, 30, 10], 1.0),
        (3, [0, 0, 10, 10], 1.0),
        (1, [41, 0, 50, 10], pytest.approx(89 / 90)),
    ]


def test_two_rectangles_of_one_colour_share_a_box(detector):
    image = drawn((1, 0, 0, 10, 10), (1, 30, 40, 40, 50))
    assert found_in(detector, image) == [(1, [0, 0, 40, 50], pytest.approx(200 / 2000))]


@pytest.mark.parametrize("image", [drawn(), drawn((2, 0, 0, 5, 3)), drawn(background=0), drawn(background=255)])
def test_nothing_found_in_grey_or_fifteen_pixels(detector, image):
    assert found_in(detector, image) == []


def test_thresholds_are_exclusive(detector):
    image = np.zeros((20, 20, 3), np.uint8)
    image[:5] = (blocks_model.STRONG + 1, blocks_model.WEAK - 1, 0)
    image[5:10] = (blocks_model.STRONG, 0, 0)
    image[10:15] = (255, blocks_model.WEAK, 0)
    assert found_in(detector, image) == [(1, [0, 0, 5, 20], 1.0)]


def test_any_batch_and_size_equals_numpy(detector):
    rng = np.random.default_rng(5)
    for size in ((2, 99), (33, 7), (90, 120)):
        images = rng.choice(np.array([0, 255], np.uint8), (7, *size, 3))
        assert all(len(colours_in(image)) == 3 for image in images)
        for found, image in zip(detector.detect(images), images, strict=True):
            expected = colours_in(image)
            np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-6)
            np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
            np.testing.assert_array_equal(found.classes, expected.classes)


def test_the_raw_outputs_are_as_the_api_exports_them():
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(blocks_model.build_blocks_graph(), name="")
    assert graph.get_tensor_by_name("image_tensor:0").dtype == tf.uint8
    assert graph.get_tensor_by_name("image_tensor:0").shape.as_list() == [None, None, None, 3]
    for name, rank in (("boxes", 3), ("scores", 2), ("classes", 2)):
        output = graph.get_tensor_by_name(f"detection_{name}:0")
        assert (output.dtype, output.shape.rank) == (tf.float32, rank)
    assert graph.get_tensor_by_name("num_detections:0").dtype == tf.float32


def test_an_unknown_input_kind_is_refused():
    with pytest.raises(ValueError, match="input_kind must be one of image_tensor"):
        blocks_model.build_blocks_graph("pixels")


def test_the_label_map_names_the_three_classes():
    label_map = parse_label_map(blocks_model.BLOCKS_LABEL_MAP, "the sample's")
    assert dict(label_map.names) == {1: "red", 2: "green", 3: "blue"}
