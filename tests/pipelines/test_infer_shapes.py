"""infer --keep masks,keypoints through its command line, and the other jobs on what it wrote."""

import json
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pycocotools.mask
import pytest

from beam_jobs import convert, evaluate, export, infer, inspect, render, review
from od_core.images import decode_image
from od_core.model.detector import open_detector
from od_core.schemas import DETECTIONS
from tests import shapes_model
from tests.annotated_blocks import write_voc


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model, an annotated data set, and its detections with all they can hold."""
    folder = tmp_path_factory.mktemp("shapes")
    shapes_model.frozen_graph(folder / "model.pb")
    write_voc(folder / "voc", 6)
    assert run(folder, "found", "--keep", "keypoints,masks") == 0
    return folder


def run(folder: pathlib.Path, output: str, *more: str) -> int:
    command = [
        "--model",
        "model.pb",
        "--label_map",
        "voc/labels.pbtxt",
        "--input",
        "voc/JPEGImages",
        "--output",
        output,
    ]
    command = [str(folder / word) if not word.startswith("--") else word for word in command]
    return infer.main([*command, "--progress", "off", "--isolation", "none", *more])


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, of numpy 2
def test_rows_hold_what_the_detector_gives(place: pathlib.Path) -> None:
    detector = open_detector(place / "model.pb", keep=("masks", "keypoints"))
    table = pq.read_table(sorted((place / "found").glob("*.parquet")))
    assert table.schema.equals(DETECTIONS)
    for row in table.to_pylist():
        encoded = (place / "voc/JPEGImages" / row["key"]).read_bytes()
        (expected,) = detector.detect(decode_image(encoded, decode_jpeg=detector.decode_jpeg)[None])
        assert expected.masks is not None
        assert expected.keypoints is not None
        assert tuple(found["mask"] for found in row["detections"]) == expected.masks
        for found, points in zip(row["detections"], expected.keypoints, strict=True):
            mask = pycocotools.mask.decode({"size": [row["height"], row["width"]], "counts": found["mask"]})
            inside = mask[int(found["ymin"] * row["height"]) : int(found["ymax"] * row["height"])]
            assert 0 < mask.sum() == inside.sum()
            kept = [[p["y"], p["x"], p["score"]] for p in found["keypoints"]]
            assert kept[:2] == points[:2].tolist()
            assert kept[2] == [None, None, 0.0]  # never found, and so not a place but null
    detector.close()


def test_a_mask_of_another_size_is_no_valid_row(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "found", place / "spoilt")
    (path,) = (place / "spoilt").glob("*.parquet")
    table = pq.read_table(path)
    table = table.set_column(table.schema.get_field_index("width"), "width", pa.array([65] * 6, pa.int32()))
    pq.write_table(table.cast(DETECTIONS.with_metadata(table.schema.metadata)), path)
    assert inspect.main([str(path)]) == 1
    said = "row 0: a mask must be COCO's compressed code of a height x width mask: it has 3,072 pixels"
    assert said in capsys.readouterr().out


def test_what_is_kept_belongs_to_the_result(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "found", "--keep", "masks,keypoints") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run(place, "found", "--keep", "masks") == 2
    assert "made with other options: --keep was masks,keypoints" in capsys.readouterr().err
    assert run(place, "found") == 2
    manifest = json.loads((place / "found/manifest.json").read_text())
    assert manifest["provenance"]["options"]["--keep"] == "masks,keypoints"


def test_a_model_without_masks_is_refused(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes_model.frozen_graph(place / "boxes.pb", without=shapes_model.SHAPE_OUTPUTS)
    assert run(place, "none", "--keep", "masks", "--model", str(place / "boxes.pb")) == 2
    said = capsys.readouterr().err
    assert "it has no output detection_masks, which is to be kept (--keep masks)" in said
    assert "Outputs found: detection_boxes float32" in said
    assert "Traceback" not in said
    with pytest.raises(SystemExit, match="2"):
        run(place, "none", "--keep", "mask")
    assert "must be masks, keypoints or masks,keypoints, got 'mask'" in capsys.readouterr().err


def test_the_other_jobs_take_such_rows(place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "plain") == 0
    for name in ("found", "plain"):
        detections = ["--detections", str(place / name)]
        out = place / f"{name}_out"
        truth = ["--ground_truth", str(place / "voc")]
        assert inspect.main([str(place / name)]) == 0
        assert evaluate.main([*detections, *truth, "--output", str(out / "scores")]) == 0
        assert export.main([*detections, "--output", str(out / "coco.json"), "--format", "coco"]) == 0
        quiet = ["--progress", "off", "--isolation", "none"]
        assert render.main([*detections, *truth, "--output", str(out / "pictures"), *quiet]) == 0
        assert review.main([*detections, "--output", str(out / "pages"), "--workers", "1"]) == 0
        boxes = ["--input", str(place / name), "--images", str(place / "voc/JPEGImages"), "--format", "detections"]
        labels = ["--label_map", str(place / "voc/labels.pbtxt")]
        assert convert.main([*boxes, *labels, "--output", str(out / "records"), *quiet]) == 0
    found, plain = (
        json.loads((place / f"{name}_out/coco.json").read_text())["annotations"] for name in ("found", "plain")
    )
    assert {"segmentation", "keypoints"} <= found[0].keys() - plain[0].keys()
    boxes = plain[0].keys() - {"area"}  # of the mask, where there is one
    assert [{name: one[name] for name in boxes} for one in found] == [
        {name: one[name] for name in boxes} for one in plain
    ]
    made = "records/train-00000-of-00001.tfrecord"
    assert (place / "found_out" / made).read_bytes() == (place / "plain_out" / made).read_bytes()
    scores = [json.loads((place / f"{name}_out/scores/metrics.json").read_text()) for name in ("found", "plain")]
    assert scores[0]["metrics"] == scores[1]["metrics"]
    assert np.isfinite(scores[0]["metrics"]["DetectionBoxes_Precision/mAP"])
