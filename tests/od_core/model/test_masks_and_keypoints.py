"""Masks and keypoints of detections, against the formula of the TensorFlow Object Detection API and pycocotools."""

from pathlib import Path

import numpy as np
import pycocotools.mask
import pytest
import tensorflow as tf

from od_core.errors import DetectError, ModelError
from od_core.image_masks import encode_box_mask, run_lengths
from od_core.model.answers import read_answers
from od_core.model.detector import open_detector
from od_core.model.tensors import ModelTensors
from tests import shapes_model
from tests.od_core.model.model_exports import drawn

IMAGES = np.stack([drawn((1, 5, 10, 25, 50), (2, 0, 60, 33, 80)), drawn(), drawn((3, 30, 30, 60, 80), background=90)])
EXPORTS = {
    "frozen graph": shapes_model.frozen_graph,
    **{
        f"frozen graph of {kind}": lambda path, kind=kind: shapes_model.frozen_graph(path, kind)
        for kind in ("float_image_tensor", "encoded_image_string_tensor", "tf_example")
    },
    "TF1 SavedModel": shapes_model.tf1_saved_model,
    "TF2 SavedModel": shapes_model.tf2_saved_model,
}


def reframed(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> bytes:
    """The formula of reframe_box_masks_to_image_masks, in TensorFlow, and pycocotools' code of what it gives."""
    low, high = box[None, :2], box[None, 2:]
    extent = np.maximum(high - low, np.float32(1e-4))
    image_in_box = np.concatenate([(np.float32(0) - low) / extent, (np.float32(1) - low) / extent], axis=1)
    spread = tf.image.crop_and_resize(
        mask[None, :, :, None], image_in_box, [0], [height, width], extrapolation_value=0
    ).numpy()
    return pycocotools.mask.encode(np.asfortranarray(spread[0, :, :, 0] > 0.5).astype(np.uint8))["counts"]


def test_a_mask_is_spread_over_the_image_as_the_api_does_it() -> None:
    rng = np.random.default_rng(5)
    codes = set()
    for number in range(400):
        cells, (height, width) = rng.integers(1, 40, 2), rng.integers(1, 120, 2).tolist()
        box = np.sort(rng.uniform(-0.2, 1.2, (2, 2)), axis=0).astype(np.float32)  # some reach over the border
        if number % 10 == 0:
            box = np.array([[0, 0], [1, 1]], np.float32)  # the whole image: runs go on from column to column
        elif number % 10 == 1:
            box[1] = box[0]  # no extent
        mask = rng.normal(0.6, 0.3, cells).astype(np.float32)
        code = encode_box_mask(mask, box.reshape(4), height, width)
        assert code == reframed(mask, box.reshape(4), height, width), (cells, box, height, width)
        codes.add(code)
    assert len(codes) > 300


def test_runs_are_read_back_and_nonsense_is_refused() -> None:
    rng = np.random.default_rng(2)
    for number in range(50):
        mask = rng.random((int(rng.integers(1, 300)), int(rng.integers(1, 300)))) < rng.choice([0.001, 0.5, 0.99])
        runs = run_lengths(pycocotools.mask.encode(np.asfortranarray(mask).astype(np.uint8))["counts"])
        flat = mask.flatten("F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        expected = np.diff(np.concatenate([[0] * (1 + int(flat[0])), changes, [flat.size]]))
        np.testing.assert_array_equal(runs, expected, err_msg=str(number))
    for wrong in (b"", b"P", b"\x00\x01", b"0O", b"PPPPPPPPPPPPPPPPP0"):
        with pytest.raises(ValueError, match="no run-length code"):
            run_lengths(wrong)


def test_a_large_mask_is_spread_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    mask, box = np.random.default_rng(1).random((33, 33), np.float32), np.array([0.1, 0, 1, 0.9], np.float32)
    whole = encode_box_mask(mask, box, 90, 70)
    monkeypatch.setattr("od_core.image_masks._PIXELS_AT_ONCE", 200)
    assert encode_box_mask(mask, box, 90, 70) == whole


@pytest.mark.parametrize("export", EXPORTS)
def test_every_export_gives_the_direct_answer(tmp_path: Path, export: str) -> None:
    direct = {name: array.numpy() for name, array in shapes_model.find_shapes(tf, tf.constant(IMAGES)).items()}
    name = "model.pb" if "frozen" in export else "model"
    detector = open_detector(EXPORTS[export](tmp_path / name), keep=("masks", "keypoints"))
    answers = detector.detect(IMAGES)
    detector.close()
    assert [len(found) for found in answers] == [2, 0, 1]
    for image, found in enumerate(answers):
        count = len(found)
        np.testing.assert_allclose(found.boxes, direct["detection_boxes"][image, :count], atol=1e-6)
        np.testing.assert_array_equal(found.classes, direct["detection_classes"][image, :count])
        assert found.masks == tuple(
            reframed(mask, box, *IMAGES.shape[1:3])
            for mask, box in zip(direct["detection_masks"][image], found.boxes, strict=False)
        )
        keypoints = np.concatenate(
            [direct["detection_keypoints"][image], direct["detection_keypoint_scores"][image][..., None]], axis=2
        )
        np.testing.assert_allclose(found.keypoints, keypoints[:count], atol=1e-6)


def test_nothing_is_kept_unasked_and_no_mask_made_below_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shapes_model.frozen_graph(tmp_path / "model.pb")
    plain = open_detector(path)
    assert [(found.masks, found.keypoints) for found in plain.detect(IMAGES)] == [(None, None)] * 3
    plain.close()
    made: list[np.ndarray] = []
    monkeypatch.setattr("od_core.model.answers.encode_box_mask", lambda mask, box, *_: made.append(box) or b"")
    detector = open_detector(path, keep=("masks",))
    assert [len(found) for found in detector.detect(IMAGES, min_score=1.0, limit=1)] == [1, 0, 1]
    assert len(made) == 2
    assert [len(found) for found in detector.detect(IMAGES, min_score=1.001)] == [0, 0, 0]
    assert len(made) == 2
    detector.close()


@pytest.mark.parametrize(
    ("without", "keep", "says"),
    [
        (("detection_masks",), ("masks",), "it has no output detection_masks, which is to be kept (--keep masks)"),
        (("detection_keypoints",), ("masks", "keypoints"), "it has no output detection_keypoints, which is to be kept"),
    ],
)
def test_a_model_without_them_is_refused_with_what_it_has(
    tmp_path: Path, without: tuple[str, ...], keep: tuple[str, ...], says: str
) -> None:
    path = shapes_model.frozen_graph(tmp_path / "model.pb", without=without)
    with pytest.raises(ModelError) as refused:
        open_detector(path, keep=keep)
    assert says in str(refused.value)
    assert "Outputs found: " in str(refused.value)
    assert "detection_keypoint_scores float32 [?, 3, 3]" in str(refused.value)


def test_keypoints_without_scores_and_names_and_numbers_of_their_own(tmp_path: Path) -> None:
    path = shapes_model.frozen_graph(tmp_path / "model.pb", without=("detection_keypoint_scores",))
    roles = {"boxes": "detection_boxes", "scores": "detection_scores", "classes": "detection_classes"}
    tensors = ModelTensors(None, tuple({**roles, "keypoints": "detection_keypoints:0"}.items()))
    detector = open_detector(path, tensors=tensors, keep=("keypoints",))
    (found,) = detector.detect(IMAGES[:1])
    detector.close()
    np.testing.assert_array_equal(found.keypoints[:, :2, :2].reshape(-1, 4), found.boxes)
    assert np.isnan(found.keypoints[..., 2]).all()
    x_first = ModelTensors(box_format="xmin_ymin_xmax_ymax", in_pixels=True)
    points = x_first.normalised_points(np.array([[[40.0, 15.0]]]), 60, 80)
    np.testing.assert_array_equal(points, [[[0.25, 0.5]]])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"masks": np.full((1, 2, 4, 4), np.nan, np.float32)}, "boxes, scores, classes or masks that are not finite"),
        ({"masks": np.zeros((1, 2, 4), np.float32)}, "detection_masks (1, 2, 4): expected one row for each image"),
        ({"masks": np.zeros((1, 3, 4, 4), np.float32)}, "detection_masks (1, 3, 4, 4): expected one row"),
        ({"keypoints": np.zeros((1, 2, 5, 3), np.float32)}, "detection_keypoints (1, 2, 5, 3): expected one row"),
        (
            {"keypoints": np.zeros((1, 2, 5, 2), np.float32), "keypoint_scores": np.zeros((1, 2, 4), np.float32)},
            "detection_keypoint_scores (1, 2, 4): expected one row",
        ),
    ],
)
def test_answers_that_are_no_shapes(changes: dict[str, np.ndarray], says: str) -> None:
    answers = {
        "detection_boxes": np.array([[[0, 0, 1, 1]] * 2], np.float32),
        "detection_scores": np.ones((1, 2), np.float32),
        "detection_classes": np.ones((1, 2), np.float32),
        **{f"detection_{name}": array for name, array in changes.items()},
    }
    with pytest.raises(DetectError) as refused:
        read_answers(answers, 1, 60, 80)
    assert says in str(refused.value)
