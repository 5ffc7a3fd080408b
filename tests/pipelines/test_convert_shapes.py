"""Masks and keypoints in records: of COCO files, turned and scaled with their images."""

import io
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from od_core.errors import UsageError
from tests.pipelines.conversions import do, job
from tests.pipelines.made_annotations import (
    features_of,
    files_of,
    index_of,
    picture,
    record_of,
    write_coco,
    write_files,
    write_voc,
)
from tests.pipelines.test_convert_report import reasons, summed_up

# A box of 40 x 30, its left half as a polygon: rows 3 to 15, columns 4 to 14.
BOX = {"image_id": 1, "category_id": 1, "bbox": [4, 3, 20, 12], "iscrowd": 0}
HALF = [[4, 3, 14, 3, 14, 15, 4, 15]]
NAMES = ["nose", "tail"]


def write_one(
    root: pathlib.Path, *annotations: dict[str, Any], width: int = 40, height: int = 30, **image: Any
) -> pathlib.Path:
    """A COCO file about one image, which is 40 x 30 as stored."""
    write_files(root / "images", {"a.jpg": picture(**image)})
    images = [{"id": 1, "file_name": "a.jpg", "width": width, "height": height}]
    path = write_coco(root / "i.json", images, [{**BOX, **one} for one in annotations], {1: "cat", 2: "dog"})
    content = json.loads(path.read_text())
    content["categories"][0]["keypoints"] = NAMES
    path.write_text(json.dumps(content))
    return path


def features(output: pathlib.Path) -> dict[str, list[Any]]:
    (row,) = index_of(output)
    return {key: values for key, (_, values) in features_of(record_of(output, row)).items()}


def masks_of(found: dict[str, list[Any]]) -> list[np.ndarray]:
    images = [Image.open(io.BytesIO(encoded)) for encoded in found["image/object/mask"]]
    assert {image.mode for image in images} == {"L"}
    return [np.asarray(image) for image in images]


def left_half(shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[3:15, 4:14] = 1
    return mask


def test_masks_of_all_objects_that_are_kept(tmp_path: pathlib.Path) -> None:
    runs = {"size": [30, 40], "counts": [0, 30, 30 * 39]}
    path = write_one(
        tmp_path / "in",
        {"segmentation": HALF, "bbox": [4, 3, 0, 12]},  # empty: dropped
        {"segmentation": HALF},
        {"segmentation": runs, "iscrowd": 1, "bbox": [-3, 0, 4, 30]},  # clipped
        {"segmentation": [HALF[0], [30, 20, 35, 20, 35, 25]], "category_id": 2},
    )
    do(path, tmp_path / "out", job(masks=True))
    found = features(tmp_path / "out")
    masks = masks_of(found)
    first_column = np.zeros((30, 40), np.uint8)
    first_column[:, 0] = 1
    np.testing.assert_array_equal(masks[0], left_half())
    np.testing.assert_array_equal(masks[1], first_column)
    assert masks[2].sum() > left_half().sum()
    assert len(masks) == len(found["image/object/class/label"]) == 3
    assert found["image/object/is_crowd"] == [0, 1, 0]
    assert "image/object/mask/weight" not in found
    assert "image/object/keypoint/x" not in found
    summed_up(tmp_path / "out")


def test_an_object_without_a_mask_gets_an_empty_one_of_no_weight(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"segmentation": []}, {"segmentation": HALF}, {})
    do(path, tmp_path / "out", job(masks=True))
    found = features(tmp_path / "out")
    assert [int(mask.sum()) for mask in masks_of(found)] == [0, 120, 0]
    assert found["image/object/mask/weight"] == [0.0, 1.0, 0.0]
    assert reasons(tmp_path / "out") == {"masks_missing": 2}
    (row,) = index_of(tmp_path / "out")
    assert [remark["text"] for remark in row["remarks"]] == [
        "i.json: image 1: annotation 1 (cat): its segmentation is empty, expected lists of three or more corners x, y",
        "i.json: image 1: annotation 3 (cat): it has no segmentation",
    ]


def test_masks_and_keypoints_turn_with_their_image(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"segmentation": HALF, "keypoints": [10, 5, 2, 0, 0, 0]}, orientation=6)
    do(path, tmp_path / "out", job(masks=True, keypoints=True))
    found = features(tmp_path / "out")
    assert (found["image/width"], found["image/height"]) == ([30], [40])
    np.testing.assert_array_equal(masks_of(found)[0], np.rot90(left_half(), -1))
    # 10 from the left and 5 from above becomes 5 from the right and 10 from above.
    assert found["image/object/keypoint/x"] == pytest.approx([(30 - 5) / 30, 0])
    assert found["image/object/keypoint/y"] == pytest.approx([10 / 40, 0])


def test_masks_of_an_upright_annotation_do_not_turn(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"segmentation": HALF}, orientation=6, width=30, height=40)
    do(path, tmp_path / "out", job(masks=True))
    np.testing.assert_array_equal(masks_of(features(tmp_path / "out"))[0], left_half((40, 30)))


def test_masks_are_of_the_size_of_the_image_that_was_scaled_since(tmp_path: pathlib.Path) -> None:
    twice = [[2 * number for number in HALF[0]]]
    path = write_one(tmp_path / "in", {"segmentation": twice, "bbox": [8, 6, 40, 24]}, width=80, height=60)
    do(path, tmp_path / "out", job(masks=True))
    np.testing.assert_array_equal(masks_of(features(tmp_path / "out"))[0], left_half())


def test_keypoints_of_every_object(tmp_path: pathlib.Path) -> None:
    path = write_one(
        tmp_path / "in",
        {"keypoints": [10, 5, 2, 20, 30, 1]},
        {"category_id": 2},
        {"keypoints": [1, 2, 3]},
        {"keypoints": [0, 0, 0, 40, 15, 1]},
    )
    do(path, tmp_path / "out", job(keypoints=True))
    found = features(tmp_path / "out")
    assert found["image/object/keypoint/text"] == [b"nose", b"tail"] * 4
    assert found["image/object/keypoint/x"] == [0.25, 0.5, 0, 0, 0, 0, 0, 1]
    assert found["image/object/keypoint/y"] == pytest.approx([5 / 30, 1, 0, 0, 0, 0, 0, 0.5])
    assert found["image/object/keypoint/visibility"] == [2, 1, 0, 0, 0, 0, 0, 1]
    assert found["image/object/keypoint/num"] == [2, 0, 0, 1]
    assert reasons(tmp_path / "out") == {"keypoints_missing": 1}
    assert "image/object/mask" not in found


def test_keypoints_of_several_classes_keep_their_names_apart(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"keypoints": [4, 3, 2, 8, 6, 2]}, {"category_id": 2, "keypoints": [20, 15, 1]})
    content = json.loads(path.read_text())
    content["categories"][1]["keypoints"] = ["paw"]
    path.write_text(json.dumps(content))
    do(path, tmp_path / "out", job(keypoints=True))
    found = features(tmp_path / "out")
    assert found["image/object/keypoint/text"] == [b"nose", b"tail", b"paw"] * 2
    assert found["image/object/keypoint/x"] == pytest.approx([0.1, 0.2, 0, 0, 0, 0.5])


def test_a_changed_outline_makes_the_shards_anew(tmp_path: pathlib.Path) -> None:
    do(write_one(tmp_path / "in", {"segmentation": HALF}), tmp_path / "out", job(masks=True))
    path = write_one(tmp_path / "in", {"segmentation": [[4, 3, 13, 3, 13, 15, 4, 15]]})
    assert do(path, tmp_path / "out", job(masks=True)).planned_inputs == 1
    assert masks_of(features(tmp_path / "out"))[0].sum() == 9 * 12
    do(path, tmp_path / "fresh", job(masks=True))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_without_being_asked_for_they_are_not_there(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"segmentation": HALF, "keypoints": [10, 5, 2, 20, 30, 1]})
    do(path, tmp_path / "out", job())
    assert not [key for key in features(tmp_path / "out") if "mask" in key or "keypoint" in key]


def test_annotations_that_have_none_are_refused(tmp_path: pathlib.Path) -> None:
    voc = write_voc(tmp_path / "in", 1)
    with pytest.raises(UsageError, match="in: --masks needs COCO annotations, these are voc; leave it out"):
        do(voc, tmp_path / "out", job(masks=True))
    path = write_coco(tmp_path / "in/i.json", [{"id": 1, "file_name": "img00.jpg"}], [], {1: "cat"})
    with pytest.raises(UsageError, match=r"i\.json: no category lists keypoints, as COCO's person_keypoints files do"):
        do(path, tmp_path / "out", job(keypoints=True))


def test_a_file_that_changes_while_it_is_converted_costs_its_images(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_one(tmp_path / "in", {"segmentation": HALF})
    from pipelines import work

    real = work.prepare_work

    def prepare(*arguments: Any) -> None:
        real(*arguments)
        path.write_bytes(path.read_bytes().replace(b"14", b"15"))

    monkeypatch.setattr(work, "prepare_work", prepare)
    do(path, tmp_path / "out", job(masks=True))
    (row,) = index_of(tmp_path / "out")
    assert row["error"]["message"] == "the annotation file was changed while it was converted; repeat the command"
