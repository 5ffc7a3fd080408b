"""Detections, and ground truth, in TFRecords as the TensorFlow Object Detection API writes them."""

import csv
import dataclasses
import gzip
import pathlib

import numpy as np
import pytest

from beam_jobs import evaluate, export
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.label_map import LabelMap
from od_core.records import examples
from od_core.records.tfrecord import write_record
from od_core.schemas import ground_truths_of
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import LEFT, WHOLE, found_row, truth_row

BOX = dict(zip(examples.DETECTION_BOX, ([0.0], [0.0], [1.0], [1.0]), strict=True))
FOUND = {examples.DETECTION_SCORE: [0.5], examples.DETECTION_LABEL: [1], **BOX}
NOTHING = {key: np.zeros(0, np.float32) for key in (examples.DETECTION_SCORE, *examples.DETECTION_BOX)}


class Run:
    """One command, what it said and the numbers it wrote."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self._capsys = folder, capsys
        (folder / "labels.pbtxt").write_text(LabelMap.of_names(["cat", "dog"]).to_text())

    def __call__(self, detections: pathlib.Path, truth: pathlib.Path, *options: str, name: str = "scores") -> int:
        paths = [f"--detections={detections}", f"--ground_truth={truth}", f"--output={self.folder / name}"]
        status = evaluate.main([*paths, "--numbers_only", *options])
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        self.report = files.read_metrics(self.folder / name) if status == 0 else {}
        return status

    @property
    def named(self) -> str:
        return f"--label_map={self.folder / 'labels.pbtxt'}"


@pytest.fixture
def run(tmp_path, capsys):
    return Run(tmp_path, capsys)


def write_records(path: pathlib.Path, *records: dict, end: bytes = b"") -> pathlib.Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with open(path, "wb") as file:
        for features in records:
            write_record(file, examples.encode_example(features))
        file.write(end)
    return path


def record(name: str, features: dict) -> dict:
    return {examples.SOURCE_ID: name, examples.HEIGHT: 100, examples.WIDTH: 200, **features}


@pytest.mark.shared
@pytest.mark.parametrize("truth", ["infer_detections/bccd_val_detections.record", "records/bccd_val.record"])
def test_the_apis_detections_have_the_apis_numbers(run, shared, truth):
    """Its sizes are left out: that script gave COCO's evaluator boxes in units of the image, all of them small."""
    oracles = shared / "oracles"
    found = oracles / "infer_detections/bccd_val_detections.record"
    labels = f"--label_map={oracles / 'records/bccd_label_map.pbtxt'}"
    assert run(found, oracles / truth, labels, "--metrics=coco,voc,weighted_voc") == 0
    for name in ("coco", "pascal_voc", "weighted_pascal_voc"):
        with open(oracles / "metrics" / name / "metrics.csv") as file:
            wanted = {name: float(x) for name, x in csv.reader(file) if "(" not in name}
        assert len(wanted) >= 4
        assert {name: run.report["metrics"][name] for name in wanted} == pytest.approx(wanted, abs=1e-12)
    assert run.report["frames"]["evaluated"] == 73


def test_exported_detections_have_the_numbers_of_their_parquet(run, tmp_path):
    found, truth = files.random_rows(5, 30)
    folder = files.write_detections(tmp_path / "found", found)
    ground_truth = files.write_truth(tmp_path / "truth.parquet", truth)
    made = tmp_path / "made" / "found.record"
    made.parent.mkdir()
    assert export.main([f"--detections={folder}", f"--output={made}", "--format=tf_example"]) == 0
    assert run(folder, ground_truth, name="right") == 0
    wanted = run.report["metrics"]
    assert wanted["DetectionBoxes_Precision/mAP"] not in (0, 1)
    assert run(made, ground_truth, run.named) == 0
    assert run.report["metrics"] == wanted
    assert run.report["detections"]["path"] == str(made)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "found.tfrecord-00000-of-00001.gz").write_bytes(gzip.compress(made.read_bytes()))
    for path in (tmp_path / "shards", tmp_path / "shards" / "found*"):  # a folder, and a pattern
        assert run(path, ground_truth, run.named) == 0
        assert run.report["metrics"] == wanted


def test_empty_and_not_processed_differ(run, tmp_path):
    found = write_records(
        tmp_path / "found.record", record("b.jpg", FOUND), record("a.jpg", NOTHING), record("c.jpg", {})
    )
    rows = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (1, WHOLE)), truth_row("c.jpg", (1, LEFT))]
    truth = files.write_truth(tmp_path / "truth.parquet", rows)
    assert run(found, truth, run.named) == 2
    assert "1 of 3 images of the ground truth were not processed, 1 of them because they failed: 'c.jpg'" in run.err
    assert run(found, truth, run.named, "--allow_missing", "--metrics=voc") == 0
    frames = run.report["frames"]
    assert (frames["evaluated"], frames["without_detections"], frames["failed"]) == (2, 1, 1)
    assert run.report["metrics"]["PascalBoxes_Precision/mAP@0.5IOU"] == 0.5


@pytest.mark.parametrize(
    ("records", "end", "message"),
    [
        ([record("a.jpg", {})], b"", "TFRecords without detections (image/detection/*): give these to boxbeam infer"),
        ([{**FOUND}], b"", "record 0 at byte 0: neither image/source_id nor image/filename says which image"),
        (
            [record("a.jpg", {**FOUND, examples.DETECTION_LABEL: [1, 2]})],
            b"",
            "1 values of image/detection/score, but 2",
        ),
        ([record("a.jpg", {**FOUND, examples.DETECTION_SCORE: [1]})], b"", "is a int64_list, expected a float_list"),
        ([record("a.jpg", {**FOUND, examples.DETECTION_SCORE: [float("nan")]})], b"", "record 0 at byte 0: "),
        ([record("a.jpg", FOUND)], b"\0" * 7, "found.record: "),
        ([record("a.jpg", FOUND), record("a.jpg", FOUND)], b"", "two rows about 'a.jpg'"),
    ],
)
def test_records_that_cannot_be_used(run, tmp_path, records, end, message):
    found = write_records(tmp_path / "found.record", *records, end=end)
    truth = files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE))])
    assert run(found, truth, run.named) == 2
    assert message in run.err


def test_classes_without_names(run, tmp_path):
    """A truth that numbers its classes is believed without a label map; names of classes are not known to it."""
    found = write_records(tmp_path / "found.record", record("a.jpg", FOUND))
    truth = files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE))])
    assert run(found, truth, "--metrics=voc") == 0
    assert run.report["metrics"]["PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat"] == 1.0
    voc = tmp_path / "Annotations" / "a.xml"
    voc.parent.mkdir()
    voc.write_text(
        "<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height><depth>3</depth></size>"
        "<object><name>dog</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>200</xmax><ymax>100</ymax></bndbox></object>"
        "</annotation>"
    )
    assert run(found, voc.parent) == 2
    assert "say with --label_map what the detections' classes are called" in run.err
    (tmp_path / "labels.pbtxt").write_text(LabelMap.of_names(["dog", "cat"]).to_text())
    assert run(found, voc.parent, run.named, "--metrics=voc") == 0
    assert run.report["metrics"]["PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"] == 1.0


def test_an_export_is_held_against_itself(run, tmp_path):
    """Its classes have ids only, both of detections and of objects: the label map is that of both."""
    found, truth = files.random_rows(5, 30)
    found.append(found_row("not annotated.jpg", (1, WHOLE, 1.0)))
    areas = np.random.default_rng(1)
    truth = [
        row._replace(objects=dataclasses.replace(row.objects, area=areas.uniform(1, 2e4, len(row.objects)).astype("f")))
        for row in truth
    ]
    folder = files.write_detections(tmp_path / "found", found)
    ground_truth = files.write_truth(tmp_path / "truth.parquet", truth)
    assert run(folder, ground_truth, name="right") == 0
    wanted = run.report["metrics"]
    assert wanted["DetectionBoxes_Precision/mAP (large)"] not in (0, 1, None)
    made = tmp_path / "made.record"
    arguments = [f"--detections={folder}", f"--output={made}", "--format=tf_example", f"--ground_truth={ground_truth}"]
    assert export.main(arguments) == 0
    assert run(made, made, run.named) == 0
    assert run.report["metrics"] == wanted
    assert run.report["names"]["unusable"] == ["not annotated.jpg"]
    assert run(folder, made) == 2
    assert "put its label map beside it, as label_map.pbtxt" in run.err


def test_a_label_map_for_detections_that_have_names(run, tmp_path):
    folder = files.write_detections(tmp_path / "found", [found_row("a.jpg", (1, WHOLE, 0.5))])
    truth = files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE))])
    assert run(folder, truth, run.named) == 2
    assert "these detections say themselves what their classes are called: leave --label_map out" in run.err


OBJECT = {
    **dict(zip(examples.OBJECT_BOX, ([0.0], [0.0], [1.0], [0.5]), strict=True)),
    examples.OBJECT_CLASS_TEXT: ["dog"],
    examples.OBJECT_CLASS_LABEL: [2],
}


def test_ground_truth_without_an_index(tmp_path):
    write_records(
        tmp_path / "set/val-00000-of-00002",
        {**record("7", OBJECT), examples.FILENAME: "in/a.jpg"},
        record("8", {examples.OBJECT_BOX[0]: [0.5]}),
    )
    write_records(tmp_path / "set/val-00001-of-00002", record("9", {}))
    opened = open_ground_truth(str(tmp_path / "set"))
    (table,) = opened.tables()
    assert (opened.form, opened.label_map) == ("tfrecord", None)
    rows = table.select(["key", "source_id", "status", "width", "height", "kind", "record_index"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("in/a.jpg", "7", "done", 200, 100, "record", 0),
        ("8", "8", "failed", None, None, "record", 1),
        ("9", "9", "done", 200, 100, "record", 0),
    ]
    assert "val-00000-of-00002#1: the record has 1 boxes by" in table.column("error")[1].as_py()["message"]
    first, _, last = ground_truths_of(table)
    assert (first.boxes.tolist(), first.labels, first.classes.tolist()) == ([[0, 0, 1, 0.5]], ("dog",), [2])
    assert len(last) == 0
    (tmp_path / "set/label_map.pbtxt").write_text(LabelMap.of_names(["dog", "cat"]).to_text())
    (table,) = open_ground_truth(str(tmp_path / "set/val-*")).tables()
    assert ground_truths_of(table)[0].classes.tolist() == [1]  # the label map's number for the name


def test_damaged_ground_truth(run, tmp_path):
    found = write_records(tmp_path / "found.record", record("a.jpg", FOUND))
    truth = write_records(tmp_path / "truth.record", record("a.jpg", OBJECT), end=b"\0" * 20)
    assert run(found, truth) == 2
    assert "truth.record: " in run.err
