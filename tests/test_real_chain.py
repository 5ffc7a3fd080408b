"""The whole chain on real photographs with a real model: its numbers are those of the API's own evaluator."""

import csv
import json
import pathlib

import pyarrow.parquet as pq
import pytest

from beam_jobs import convert, evaluate, infer, render
from od_core.images import read_header

pytestmark = pytest.mark.shared

QUIET = ["--progress", "off"]
# PROVENANCE.md: sizes in pixels, as model_main evaluates; given with three digits.
BY_SIZE = {"small": 0.189, "medium": 0.311, "large": 0.539}


@pytest.fixture(scope="module")
def bccd(shared: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The 73 validation images of the blood-cell data set as a Pascal VOC folder, and all that boxbeam makes of it."""
    folder = tmp_path_factory.mktemp("bccd")
    original = shared / "data/datasets/bccd/BCCD"
    voc = folder / "voc"
    for kind, extension in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        (voc / kind).mkdir(parents=True)
        for stem in (shared / "models/ssd_mobilenet_bccd_tf1/split_val.txt").read_text().split():
            (voc / kind / f"{stem}{extension}").symlink_to(original / kind / f"{stem}{extension}")
    model = shared / "models/ssd_mobilenet_bccd_tf1"
    labelled = ["--label_map", str(model / "label_map.pbtxt"), *QUIET]
    records = str(folder / "records")
    options = ["--input", str(voc), "--follow_links", "--splits", "val=1", "--output", records]
    assert convert.main([*options, *labelled]) == 0
    for name, inputs in (("found", voc / "JPEGImages"), ("found_in_records", folder / "records")):
        output = str(folder / name)
        assert infer.main(["--model", str(model), "--input", str(inputs), "--output", output, *labelled]) == 0
    return folder


def test_every_image_is_converted(bccd: pathlib.Path) -> None:
    manifest = json.loads((bccd / "records/manifest.json").read_text())
    assert manifest["counts"]["done"] == manifest["counts"]["images"] == 73
    assert [shard["records"] for shard in manifest["details"]["shards"]] == [73]


@pytest.mark.parametrize(("found", "truth"), [("found", "records"), ("found", "voc"), ("found_in_records", "records")])
def test_the_numbers_are_those_of_the_api(shared: pathlib.Path, bccd: pathlib.Path, found: str, truth: str) -> None:
    scores = bccd / f"scores_{found}_{truth}"
    command = ["--detections", bccd / found, "--ground_truth", bccd / truth, "--output", scores]
    assert evaluate.main([str(word) for word in command]) == 0
    metrics = json.loads((scores / "metrics.json").read_text())["metrics"]
    expected = {}
    for oracle in ("coco", "pascal_voc"):
        with open(shared / f"oracles/metrics/{oracle}/metrics.csv", newline="") as file:
            expected |= {name: float(value) for name, value in csv.reader(file)}
    for name, value in expected.items():
        if not any(size in name for size in BY_SIZE):  # measured in units of the image there
            assert metrics[name] == pytest.approx(value, abs=2e-6), name
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(0.80349, abs=5e-6)
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(0.42812, abs=5e-6)
    for size, value in BY_SIZE.items():
        assert metrics[f"DetectionBoxes_Precision/mAP ({size})"] == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize("found", ["found", "found_in_records"])
def test_every_image_is_rendered_beside_its_ground_truth(bccd: pathlib.Path, found: str) -> None:
    output = bccd / f"pictures_{found}"
    command = ["--detections", bccd / found, "--ground_truth", bccd / "records", "--output", output, *QUIET]
    assert render.main([str(word) for word in command]) == 0
    pictures = sorted(output.rglob("*.jpg"))
    assert len(pictures) == 73
    header = read_header(pictures[0].read_bytes())
    assert header.width > 2 * 640
    rows = pq.read_table(sorted(output.glob("rendered-*.parquet")))
    assert set(rows.column("status").to_pylist()) == {"done"}
