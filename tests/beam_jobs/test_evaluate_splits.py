"""`boxbeam evaluate --split train,val`: each split on its own, and the gap between them."""

import json

import pytest

from beam_jobs import evaluate
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, found_row, read_metrics, truth_row

PASCAL = "PascalBoxes_Precision/mAP@0.5IOU"
CAT, DOG = (f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}" for name in ("cat", "dog"))


@pytest.fixture
def records(tmp_path):
    """A record dataset's index: a.jpg and b.jpg in train, c.jpg in val, d.jpg in test."""
    rows = [
        truth_row("a.jpg", (1, WHOLE), (2, LEFT)),
        truth_row("b.jpg", (2, LEFT)),
        truth_row("c.jpg", (1, WHOLE), (1, CORNER)),
        truth_row("d.jpg", (1, WHOLE), (2, LEFT)),
    ]
    folder = tmp_path / "records"
    files.write_truth(folder / "index-00000.parquet", rows, splits=["train", "train", "val", "test"])
    (folder / "manifest.json").write_text("{}")
    (folder / "label_map.pbtxt").write_text("item { id: 1 name: 'cat' }\nitem { id: 2 name: 'dog' }\n")
    return folder


@pytest.fixture
def run(tmp_path, records, capsys):
    """Evaluate one set of detections; returns exit status, what was said, and what was complained of."""
    found = [
        found_row("a.jpg", (1, WHOLE, 0.9), (2, LEFT, 0.8)),
        found_row("b.jpg", (2, LEFT, 0.7)),
        found_row("c.jpg", (1, WHOLE, 0.9)),
        found_row("d.jpg", (1, WHOLE, 0.9), (2, CORNER, 0.9)),
    ]
    detections = files.write_detections(tmp_path / "found", found)

    def evaluated(*options, detections=detections):
        paths = ["--detections", detections, "--ground_truth", records, "--output", tmp_path / "scores"]
        status = evaluate.main([str(argument) for argument in (*paths, "--metrics", "voc", "--numbers_only", *options)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return evaluated


def test_two_splits_side_by_side(run, tmp_path):
    status, out, err = run("--split", "train,val")
    assert (status, err) == (0, "")
    report = json.loads((tmp_path / "scores/splits.json").read_text())
    assert report == {
        "boxbeam": "splits/1",
        "splits": ["train", "val"],
        "metrics": {"train": {PASCAL: 1.0, CAT: 1.0, DOG: 1.0}, "val": {PASCAL: 0.5, CAT: 0.5, DOG: None}},
        "gap": {"train - val": {PASCAL: 0.5, CAT: 0.5, DOG: None}},
    }
    lines = out.splitlines()
    start = lines.index(f"evaluate: train, val side by side: {tmp_path / 'scores'}/splits.json")
    assert [line.split() for line in lines[start + 1 : start + 3]] == [
        ["number", "train", "val", "train", "-", "val"],
        [PASCAL, "1.0000", "0.5000", "+0.5000"],
    ]
    assert [line.split() for line in lines[start + 5 :]] == [["cat", "1.0000", "0.5000", "+0.5000"]]


def test_what_an_earlier_evaluation_of_all_images_has_left_goes(run, records, tmp_path):
    scores = tmp_path / "scores"
    arguments = [f"--detections={tmp_path}/found", f"--ground_truth={records}", f"--output={scores}", "--metrics=voc"]
    assert evaluate.main([*arguments, "--verdicts"]) == 0
    assert (scores / "evaluation.html").exists()
    assert run("--split", "train,val")[0] == 0
    assert {path.name for path in scores.iterdir()} == {"splits.json", "train", "val"}


def test_each_split_is_evaluated_as_if_alone(run, tmp_path):
    assert run("--split", "train,val,test")[0] == 0
    together = {
        split: (tmp_path / "scores" / split / "metrics.json").read_bytes() for split in ("train", "val", "test")
    }
    for split, text in together.items():
        status, out, _ = run("--split", split)
        assert status == 0
        assert (tmp_path / "scores/metrics.json").read_bytes() == text
        assert f"frames of detections left out, the split {split} of the ground truth lacks them" in out
    assert read_metrics(tmp_path / "scores/train")["frames"]["evaluated"] == 2
    report = json.loads((tmp_path / "scores/splits.json").read_text())
    assert list(report["gap"]) == ["train - val", "train - test"]
    assert report["gap"]["train - test"] == {PASCAL: 0.5, CAT: 0.0, DOG: 1.0}


def test_the_classes_that_differ_most_come_first(run):
    _, out, _ = run("--split", "train,test")
    classes = [line.split()[0] for line in out.splitlines()[-2:]]
    assert classes == ["dog", "cat"]


def test_a_split_that_is_not_there_is_refused_before_any_work(run, tmp_path):
    status, out, err = run("--split", "train,vla")
    assert (status, out) == (2, "")
    assert "there is no split 'vla'; did you mean val?" in err
    assert not (tmp_path / "scores").exists()


def test_a_split_without_detections_is_refused(run, tmp_path):
    """As for one split: numbers that leave images out could flatter."""
    some = files.write_detections(tmp_path / "some", [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg")])
    status, _, err = run("--split", "train,val", detections=some)
    assert status == 2
    assert "no image of the detections is in the ground truth" in err
    assert not (tmp_path / "scores/splits.json").exists()


def test_a_comparison_that_fails_leaves_no_former_one(run, tmp_path):
    assert run("--split", "train,val")[0] == 0
    some = files.write_detections(tmp_path / "some", [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg")])
    assert run("--split", "train,val", detections=some)[0] == 2
    assert not (tmp_path / "scores/splits.json").exists()


def test_an_ending_that_two_splits_have_means_neither(run, tmp_path, records):
    """In val alone it would be unique, and match an image that it may not be about."""
    files.write_truth(
        records / "index-00000.parquet",
        [truth_row("one/x.jpg", (1, WHOLE)), truth_row("two/x.jpg", (1, WHOLE)), truth_row("two/y.jpg", (1, WHOLE))],
        splits=["train", "val", "val"],
    )
    found = [found_row("x.jpg", (1, WHOLE, 0.9)), found_row("y.jpg", (1, WHOLE, 0.9))]
    detections = files.write_detections(tmp_path / "short", found)
    status, _, err = run("--split", "val", detections=detections)
    assert status == 2
    assert "1 of 2 images of the ground truth were not processed: 'two/x.jpg'" in err
    assert "names that could each mean several of them: 'x.jpg'" in err
    assert run("--split", "val", "--allow_missing", detections=detections)[0] == 0
    report = read_metrics(tmp_path / "scores")
    assert (report["frames"]["evaluated"], report["names"]["ambiguous"]) == (1, ["x.jpg"])
