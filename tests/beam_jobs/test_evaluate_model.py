"""`boxbeam evaluate --model`: a model is run on the images of the ground truth, and evaluated."""

import json
import pathlib

import pyarrow.parquet as pq
import pytest

from beam_jobs import evaluate, infer
from od_core.errors import RunStoppedError
from pipelines.infer import worker as infer_worker
from tests.annotated_blocks import write_records, write_voc
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.pipelines.evaluation_files import read_metrics

PASCAL = "PascalBoxes_Precision/mAP@0.5IOU"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model with its label map, and ten annotated scenes: records/ in two splits, records_voc/ as Pascal VOC."""
    folder = tmp_path_factory.mktemp("model")
    write_frozen_graph(folder / "frozen_inference_graph.pb")
    (folder / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_records(folder / "records", 10)
    return folder


@pytest.fixture
def run(place, tmp_path, capsys):
    """Evaluate the model on some ground truth; returns exit status, what was said, and what was complained of."""
    capsys.readouterr()

    def evaluated(truth: object, *options: object, model: object = place, labels: object = place / "labels.pbtxt"):
        what = ["--model", model, "--label_map", labels, "--ground_truth", truth, "--output", tmp_path / "out"]
        how = ["--metrics", "voc", "--progress", "off", "--isolation", "none"]
        try:
            status = evaluate.main([str(word) for word in (*what, *how, *options)])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        return status, said.out, said.err

    return evaluated


def detections(folder: pathlib.Path) -> dict:
    """Key -> its row, without where the image lay."""
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row.pop("key"): {name: row[name] for name in ("status", "width", "height", "detections")} for row in rows}


def test_all_splits_of_records(run, place, tmp_path):
    status, out, err = run(place / "records", "--split", "train,val")
    assert (status, err) == (0, "")
    report = json.loads((tmp_path / "out/splits.json").read_text())
    assert [report["metrics"][split][PASCAL] for split in ("train", "val")] == [pytest.approx(1.0)] * 2
    frames = [read_metrics(tmp_path / "out" / split)["frames"]["evaluated"] for split in ("train", "val")]
    assert sum(frames) == 10
    assert min(frames) > 0
    assert "10 records" in out
    provenance = read_metrics(tmp_path / "out/val")["detections"]["provenance"]
    assert provenance["labels"] == {"1": "red", "2": "green", "3": "blue"}


def test_only_the_shards_of_the_splits_are_looked_at(run, place, tmp_path):
    assert run(place / "records", "--split", "val")[0] == 0
    evaluated = read_metrics(tmp_path / "out")["frames"]
    assert len(detections(tmp_path / "out/detections")) == evaluated["evaluated"]
    assert evaluated["unknown"] == 0


def test_the_rows_are_those_of_infer(run, place, tmp_path):
    assert run(place / "records")[0] == 0
    shards = sorted(str(path) for path in (place / "records").glob("*.tfrecord*"))
    assert len(shards) > 2
    quietly = ["--progress", "off", "--isolation", "none"]
    words = [
        "--model",
        place,
        "--label_map",
        place / "labels.pbtxt",
        "--input",
        *shards,
        "--output",
        tmp_path / "found",
    ]
    assert infer.main([str(word) for word in (*words, *quietly)]) == 0
    assert detections(tmp_path / "out/detections") == detections(tmp_path / "found")


def test_the_images_of_annotation_files(run, place, tmp_path):
    assert run(place / "records_voc")[0] == 0
    report = read_metrics(tmp_path / "out")
    assert (report["frames"]["evaluated"], report["metrics"][PASCAL]) == (10, pytest.approx(1.0))


def test_images_in_another_folder(run, tmp_path):
    voc = write_voc(tmp_path / "voc", 3)
    (voc / "JPEGImages").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/not_annotated.jpg").write_bytes(b"none of the ground truth's")
    status, _, err = run(voc / "Annotations")
    assert status == 2
    assert "its images are not where they should be, such as" in err
    assert "--images" in err
    assert run(voc / "Annotations", "--images", tmp_path / "elsewhere")[0] == 0
    assert sorted(detections(tmp_path / "out/detections")) == [f"scene_{number:03d}.jpg" for number in range(3)]


def test_an_image_that_is_missing_is_not_passed_over(run, tmp_path):
    voc = write_voc(tmp_path / "voc", 3)
    (voc / "JPEGImages/scene_001.jpg").unlink()
    status, _, err = run(voc)
    assert status == 2
    assert "1 of 3 images of the ground truth were not processed, 1 of them because they failed: 'scene_001.jpg'" in err
    assert run(voc, "--allow_missing")[0] == 0
    assert read_metrics(tmp_path / "out")["frames"]["evaluated"] == 2


def test_repeated_it_only_evaluates(run, place, tmp_path, monkeypatch):
    assert run(place / "records")[0] == 0
    before = (tmp_path / "out/metrics.json").read_bytes()
    monkeypatch.setattr(infer_worker, "open_detector", lambda path: pytest.fail("the model was opened again"))
    status, out, _ = run(place / "records")
    assert (status, "infer: nothing to do" in out) == (0, True)
    assert (tmp_path / "out/metrics.json").read_bytes() == before


def test_another_model_does_not_mix_with_the_first(run, place, tmp_path):
    assert run(place / "records", "--split", "val")[0] == 0
    other = tmp_path / "other.pb"
    write_frozen_graph(other, "float_image_tensor")
    status, _, err = run(place / "records", "--split", "val", model=other)
    assert status == 2
    assert "--model was sha256" in err
    assert run(place / "records", "--split", "val", "--overwrite", model=other)[0] == 0


def test_what_cannot_work_is_refused_before_the_model_is_opened(run, place, tmp_path, monkeypatch):
    monkeypatch.setattr(infer_worker, "open_detector", lambda path: pytest.fail("the model was opened"))
    strangers = tmp_path / "strangers.pbtxt"
    strangers.write_text("item { id: 1 name: 'cat' }")
    for options, labels, message in (
        ([], strangers, "no class in common: the detections name 'cat', the ground truth 'red', 'green', 'blue'"),
        (["--split", "train,vla"], place / "labels.pbtxt", "there is no split 'vla'; did you mean val?"),
        ([], tmp_path / "nowhere.pbtxt", "nowhere.pbtxt"),
    ):
        status, _, err = run(place / "records", *options, labels=labels)
        assert (status, message in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_gone(run, place, tmp_path):
    records = write_records(tmp_path / "records", 4, splits="val=1")
    next(records.glob("val-*")).unlink()
    status, _, err = run(records)
    assert status == 2
    assert "this shard is in the index, but not in the folder" in err


def test_a_plan_is_not_carried_out(run, place, tmp_path):
    status, out, _ = run(place / "records", "--dry_run")
    assert (status, "nothing is done" in out) == (0, True)
    assert not (tmp_path / "out").exists()


def test_interrupted(run, place, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise RunStoppedError("SIGTERM")

    monkeypatch.setattr("beam_jobs.evaluate_model.perform", stopped)
    status, _, err = run(place / "records")
    assert (status, err) == (143, "boxbeam evaluate: interrupted; repeat the command to continue\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "m", "--ground_truth", "t", "--output", "o"], "--model needs --label_map"),
        (["--model", "m", "--detections", "d", "--ground_truth", "t", "--output", "o"], "not allowed with"),
        (["--ground_truth", "t", "--output", "o"], "one of the arguments --detections --model"),
        (
            ["--detections", "d", "--ground_truth", "t", "--output", "o", "--workers", "2"],
            "--workers is about running a",
        ),
        (
            ["--detections", "d", "--ground_truth", "t", "--output", "o", "--overwrite"],
            "--overwrite is about running a",
        ),
    ],
)
def test_options_that_do_not_go_together(words, message, capsys):
    try:
        status = evaluate.main(words)
    except SystemExit as ended:
        status = ended.code
    assert (status, message in capsys.readouterr().err) == (2, True)
