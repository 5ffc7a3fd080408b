"""`boxbeam evaluate --metrics coco_masks`, from a COCO file with segmentations and detections with masks."""

import dataclasses
import json
import pathlib

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask
import pytest

from beam_jobs import evaluate
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from tests.od_core.metrics import evaluation_problems as problems
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import WHOLE, found_row, truth_row

HALF = pycocotools.mask.encode(np.asfortranarray(np.arange(200)[None, :].repeat(100, 0) < 100, np.uint8))["counts"]

TEN = pycocotools.mask.encode(np.ones((10, 10), np.uint8, order="F"))["counts"]


@pytest.fixture
def run(tmp_path, capsys):
    """Evaluate masks of rows of detections; returns status, numbers and what was complained of."""

    def run(found, truth, *options, labels=files.LABELS):
        folder = files.write_detections(tmp_path / "found", found, labels)
        argv = [f"--detections={folder}", f"--ground_truth={truth}", f"--output={tmp_path}/scores", "--numbers_only"]
        status = evaluate.main([*argv, "--metrics=coco_masks", *options])
        numbers = files.read_metrics(tmp_path / "scores")["metrics"] if status == 0 else {}
        return status, numbers, capsys.readouterr().err

    return run


def masked(row, *masks):
    return row._replace(detections=dataclasses.replace(row.detections, masks=masks))


def coco(tmp_path: pathlib.Path, *segmentations: object) -> pathlib.Path:
    dataset = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": [0, 0, 200, 100], "area": 10_000, "segmentation": one}
            for n, one in enumerate(segmentations, 1)
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(dataset))
    return path


def test_the_overlap_of_masks_counts_and_not_that_of_boxes(run, tmp_path):
    found = [masked(found_row("a.jpg", (1, WHOLE, 0.9)), HALF)]
    half = [[0, 0, 100, 0, 100, 100, 0, 100]]
    status, numbers, _ = run(found, coco(tmp_path, half))
    assert (status, numbers["DetectionMasks_Precision/mAP"]) == (0, pytest.approx(1.0))
    other = [[150, 0, 200, 0, 200, 100, 150, 100]]
    for path in (tmp_path / "found").iterdir():
        path.unlink()
    (tmp_path / "found").rmdir()
    status, numbers, _ = run(found, coco(tmp_path, other))
    assert (status, numbers["DetectionMasks_Precision/mAP"]) == (0, 0.0)


def test_masks_in_parquet_and_what_lacks_them(run, tmp_path):
    found = [masked(found_row("a.jpg", (1, WHOLE, 0.9)), HALF)]
    row = truth_row("a.jpg", (1, WHOLE))
    row = row._replace(objects=GroundTruth.of([WHOLE], [1], area=[10_000], masks=[HALF]))
    truth = files.write_truth(tmp_path / "truth.parquet", [row])
    status, numbers, _ = run(found, truth)
    assert (status, numbers["DetectionMasks_Precision/mAP"]) == (0, pytest.approx(1.0))


def test_detections_without_masks_are_refused(run, tmp_path):
    status, _, err = run([found_row("a.jpg", (1, WHOLE, 0.9))], coco(tmp_path, [[0, 0, 9, 0, 9, 9]]))
    assert status == 2
    assert "detections without masks: infer again with --keep masks" in err


def test_ground_truth_without_masks_is_refused(run, tmp_path):
    found = [masked(found_row("a.jpg", (1, WHOLE, 0.9)), HALF)]
    status, _, err = run(found, files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE))]))
    assert status == 2
    assert "no object of the ground truth has a mask: give COCO's JSON with segmentations" in err


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("split", ["train", "val"])
def test_real_segmentations_get_the_numbers_of_pycocotools(shared, run, split):
    """Polygons and crowds of COCO itself; the detections are its objects, some moved, some of another class."""
    path = shared / f"data/datasets/coco_tiny/annotations/instances_{split}2017.json"
    rng = np.random.default_rng(2)
    with problems.silence():
        truth = pycocotools.coco.COCO(str(path))
    labels = {id: one["name"] for id, one in truth.cats.items()}
    rows, results = [], []
    for image in truth.dataset["images"]:
        found = []
        for one in truth.imgToAnns[image["id"]]:
            moved = np.roll(truth.annToMask(one), rng.integers(-9, 10, 2), (0, 1))
            runs = pycocotools.mask.encode(np.asfortranarray(moved))
            class_id = one["category_id"] if rng.random() < 0.9 else int(rng.choice(list(labels)))
            found.append((np.float32(rng.random()), class_id, runs))
        found.sort(key=lambda one: -one[0])
        for score, class_id, runs in found:
            results.append(
                {"image_id": image["id"], "category_id": class_id, "score": float(score), "segmentation": runs}
            )
        boxes = Detections.best_first([WHOLE] * len(found), [one[0] for one in found], [one[1] for one in found])
        row = found_row(image["file_name"], size=(image["width"], image["height"]))
        masks = tuple(runs["counts"] for _, _, runs in found)
        rows.append(row._replace(detections=dataclasses.replace(boxes, masks=masks)))
    status, numbers, _ = run(rows, path, labels=labels)
    assert status == 0
    with problems.silence():
        right = pycocotools.cocoeval.COCOeval(truth, truth.loadRes(results), "segm")
        right.evaluate()
        right.accumulate()
        right.summarize()
    wanted = {f"DetectionMasks_{name}": x for name, x in zip(problems.COCO_NAMES, right.stats, strict=True)}
    assert 0 < wanted["DetectionMasks_Precision/mAP"] < 1
    assert {name: numbers[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)


def test_masks_of_another_size_are_refused(run, tmp_path):
    """Turned by a quarter they have as many pixels, and would overlap somehow."""
    found = [masked(found_row("a.jpg", (1, WHOLE, 0.9), size=(100, 200)), HALF)]
    status, _, said = run(found, coco(tmp_path, [[0, 0, 100, 0, 100, 100, 0, 100]]))
    assert status == 2
    assert "a.jpg: 200 x 100 in the ground truth, 100 x 200 in the detections: infer again" in said


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (TEN, "has 100 pixels, in an image of 200 x 100"),
        (HALF[:-2], "no run-length code"),
        (b"\xff", "no run-length code"),
        (b"", "no run-length code"),
    ],
)
def test_a_mask_that_is_none_of_its_image_is_told_of(run, tmp_path, mask, fault):
    found = [masked(found_row("a.jpg", (1, WHOLE, 0.9)), mask)]
    status, _, said = run(found, coco(tmp_path, [[0, 0, 100, 0, 100, 100, 0, 100]]))
    assert status == 1
    assert "a.jpg: the mask of a detection or an object" in said
    assert fault in said
