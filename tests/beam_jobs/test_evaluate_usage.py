"""The command `boxbeam evaluate`, from files to metrics.json, the table and the exit status."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs import evaluate
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap
from od_core.metrics.catalogue import METRICS
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.voc import PascalBoxes
from od_core.schemas import FrameRow, detections_table
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, failed_row, found_row, truth_row

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MAP, PASCAL = "DetectionBoxes_Precision/mAP", "PascalBoxes_Precision/mAP@0.5IOU"
ONE = pytest.approx(1.0)


class Run:
    """One command: its paths, what it said and what it wrote."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.output, self._capsys = folder, folder / "scores", capsys

    def __call__(self, detections, truth, *options, labels=files.LABELS, truth_labels=files.LABELS) -> int:
        """Evaluate rows, or paths of files that are there; returns the exit status."""
        if not isinstance(detections, pathlib.Path):
            shutil.rmtree(self.folder / "found", ignore_errors=True)
            detections = files.write_detections(self.folder / "found", detections, labels)
        if not isinstance(truth, pathlib.Path):
            truth = files.write_truth(self.folder / "truth.parquet", truth, truth_labels)
        paths = ["--detections", detections, "--ground_truth", truth, "--output", self.output]
        try:
            status = evaluate.main([str(argument) for argument in (*paths, *options)])
        except SystemExit as ended:
            status = ended.code
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return status

    @property
    def report(self):
        return files.read_metrics(self.output)

    @property
    def metrics(self):
        return self.report["metrics"]


@pytest.fixture
def run(tmp_path, capsys):
    return Run(tmp_path, capsys)


@pytest.mark.parametrize("column", ["detections", "status"])
def test_a_row_that_does_not_say_what_was_found_was_not_processed(run, column):
    """Neither is an image in which nothing was found: of done and without a list, boxbeam 0.3 could write some."""
    rows = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (1, WHOLE, 0.9))]
    table = detections_table(rows, files.LABELS)
    number = table.schema.get_field_index(column)
    values = [table.column(column)[0].as_py(), None]
    changed = table.set_column(number, column, pa.array(values, table.field(number).type))
    path = run.folder / "found.parquet"
    pq.write_table(changed, path)
    truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (1, WHOLE))]
    assert run(path, truth) == 2
    assert "1 of 2 images of the ground truth were not processed" in run.err
    assert run(path, truth, "--allow_missing") == 0
    assert run.report["frames"]["evaluated"] == 1
    assert run.metrics[MAP] == ONE


def test_rows_that_pandas_has_written_anew(run):
    """It makes doubles of the numbers in lists."""
    found, truth = files.random_rows(3, 20)
    table = detections_table(found, files.LABELS)
    rewritten = pa.Table.from_pandas(table.to_pandas())
    assert rewritten.schema.field("detections").type != table.schema.field("detections").type
    assert run(found, truth) == 0
    wanted = run.metrics
    pq.write_table(rewritten, run.folder / "found.parquet")
    assert run(run.folder / "found.parquet", truth) == 0
    assert run.metrics == wanted


def test_what_is_written(run):
    found = [
        found_row("in/b.jpg", (1, WHOLE, 0.9), (1, CORNER, 0.8)),
        found_row("in/a.jpg"),
        found_row("in/other.jpg", (2, WHOLE, 0.5)),
        found_row("in/c.jpg", (2, LEFT, 0.7)),
    ]
    truth = [truth_row("a.jpg"), truth_row("b.jpg", (1, WHOLE)), truth_row("c.jpg", (2, LEFT), (2, CORNER))]
    assert run(found, truth, "--metrics", "voc", "--numbers_only") == 0
    report = run.report
    assert report.pop("definitions").keys() == {"voc10"}
    assert report == {
        "boxbeam": "metrics/1",
        "metrics": {
            PASCAL: 0.75,
            "PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat": 1.0,
            "PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog": 0.5,
        },
        "frames": {
            "evaluated": 3,
            "without_objects": 1,
            "without_detections": 1,
            "failed": 0,
            "unprocessed": 0,
            "unusable": 0,
            "unknown": 1,
            "ambiguous": 0,
            "other_size": 0,
        },
        "names": {"unprocessed": [], "unusable": [], "unknown": ["in/other.jpg"], "ambiguous": [], "other_size": []},
        "classes": [
            {"id": 1, "name": "cat", "objects": 1, "detections": 2},
            {"id": 2, "name": "dog", "objects": 2, "detections": 1},
        ],
        "left_out": {"classes_of_detections": [], "classes_of_objects": [], "objects": 0},
        "detections": {"path": str(run.folder / "found"), "provenance": {"model_sha256": "abc"}},
        "ground_truth": {"paths": [str(run.folder / "truth.parquet")], "form": "parquet", "splits": []},
    }
    assert [path.name for path in run.output.iterdir()] == ["metrics.json"]


def test_what_is_printed(run):
    found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("x.jpg"), failed_row("b.jpg")]
    truth = [truth_row("a.jpg", (1, WHOLE), (2, LEFT)), truth_row("b.jpg", (2, LEFT)), truth_row("c.jpg")]
    assert run(found, truth, "--allow_missing") == 0
    lines = [line.rstrip() for line in run.out.splitlines()]
    assert lines[0] == f"evaluate: 1 frame evaluated: {run.output}/metrics.json"
    assert "  2 left out, not processed (1 of them failed): b.jpg, c.jpg" in lines
    assert "  1 frames of detections left out, the ground truth lacks them: x.jpg" in lines
    assert "  1 classes without any detection: dog" in lines
    assert any(line.startswith("coco: COCO (pycocotools): average precision") for line in lines)
    assert any(line.startswith("voc10: Pascal VOC 2010") for line in lines)
    assert [line.split() for line in lines if "mAP@0.5IOU" in line] == [[PASCAL, "0.5000"]]
    assert [line.split()[-1] for line in lines if "mAP (small)" in line] == ["-"]
    assert [line.split() for line in lines[-3:]] == [
        ["class", "objects", "detections", "coco", "AP", "voc10", "AP", "best", "F1", "at", "score"],
        ["cat", "1", "1", "1.0000", "1.0000", "1.0000", "0.9000"],
        ["dog", "1", "0", "0.0000", "0.0000", "0.0000", "-"],
    ]
    assert run.err == ""


def test_numbers_are_those_of_the_metrics_whatever_the_files(run):
    """Many row groups and files give to the last digit what the metrics give for the frames themselves."""
    found, truth = files.random_rows(3, 40)
    by_key = {row.key: row for row in found}
    frames = [EvaluatedFrame(row.key, 100, 200, row.objects, by_key[row.key].detections) for row in truth]
    wanted = {}
    for metric in (CocoBoxes(files.LABELS), PascalBoxes(files.LABELS)):
        metric.update(frames)
        wanted |= metric.value()
    assert run(found, truth) == 0
    assert {name: x for name, x in run.metrics.items() if not name.startswith("Insight_")} == wanted
    assert 0.1 < wanted[MAP] < 0.9
    first = (run.output / "metrics.json").read_bytes()
    assert run(list(reversed(found)), truth) == 0
    assert (run.output / "metrics.json").read_bytes() == first


def test_a_class_without_ground_truth_is_null(run):
    assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg", (1, WHOLE))], truth_labels=files.LABELS) == 0
    assert run.metrics[PASCAL] == 1.0
    write_label_map(run.folder / "set")
    files.write_truth(run.folder / "set/t.parquet", [truth_row("a.jpg", (1, WHOLE))])
    assert run([found_row("a.jpg", (1, WHOLE, 0.9))], run.folder / "set") == 0
    assert run.metrics["PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"] is None
    assert run.metrics["DetectionBoxes_PerformanceByCategory/mAP/dog"] == -1.0


def write_label_map(folder: pathlib.Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "label_map.pbtxt").write_text(LabelMap.of_names(names or ("cat", "dog")).to_text())


class TestFrames:
    def test_by_the_data_sets_own_id(self, run):
        found = [found_row("139", (1, WHOLE, 0.9), kind="record"), found_row("285", (1, LEFT, 0.9), kind="record")]
        truth = [
            truth_row("val/x.jpg", (1, LEFT), source_id="285"),
            truth_row("val/y.jpg", (1, WHOLE), source_id="139"),
        ]
        assert run(found, truth) == 0
        assert run.metrics[MAP] == ONE

    def test_ambiguous_names_are_not_guessed(self, run):
        found = [found_row("x.jpg", (1, WHOLE, 0.9)), found_row("y.jpg", (1, WHOLE, 0.9))]
        truth = [truth_row("a/x.jpg", (1, WHOLE)), truth_row("b/x.jpg"), truth_row("c/y.jpg", (1, WHOLE))]
        assert run(found, truth) == 2
        assert "2 of 3 images of the ground truth were not processed: 'a/x.jpg', 'b/x.jpg'" in run.err
        assert "names that could each mean several of them: 'x.jpg'" in run.err
        assert run(found, truth, "--allow_missing") == 0
        assert run.report["names"]["ambiguous"] == ["x.jpg"]
        assert run.report["frames"]["evaluated"] == 1

    def test_unprocessed_images_are_refused_before_anything_is_written(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), failed_row("b.jpg")]
        truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg"), truth_row("c.jpg", (1, WHOLE))]
        assert run(found, truth) == 2
        assert "2 of 3 images" in run.err
        assert "1 of them because they failed: 'b.jpg', 'c.jpg'" in run.err
        assert "--retry_failed" in run.err
        assert "--allow_missing" in run.err
        assert not run.output.exists()
        assert run(found, truth, "--allow_missing") == 0
        assert run.metrics[MAP] == ONE
        frames = run.report["frames"]
        assert (frames["evaluated"], frames["unprocessed"], frames["failed"]) == (1, 2, 1)
        assert run.report["classes"][0]["objects"] == 1  # in the evaluated frames

    def test_empty_images_count(self, run):
        """A false positive in an image without objects, and an image in which nothing was found."""
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg"), found_row("c.jpg", (1, LEFT, 0.8))]
        truth = [truth_row("a.jpg"), truth_row("b.jpg", (1, WHOLE)), truth_row("c.jpg", (1, LEFT))]
        assert run(found, truth) == 0
        assert run.metrics[PASCAL] == pytest.approx(1 / 2 / 2)
        assert (run.report["frames"]["without_objects"], run.report["frames"]["without_detections"]) == (1, 1)

    def test_nothing_in_common_shows_a_name_of_each(self, run):
        assert run([found_row("x/a.jpg", (1, WHOLE, 0.9))], [truth_row("b.png", (1, WHOLE))]) == 2
        assert "the detections speak of 'x/a.jpg', the ground truth of 'b.png'" in run.err
        assert run([found_row("x/a.jpg")], [truth_row("b.png", (1, WHOLE))], "--allow_missing") == 2

    def test_all_failed(self, run):
        assert run([failed_row("a.jpg")], [truth_row("a.jpg", (1, WHOLE))], "--allow_missing") == 2
        assert "has failed" in run.err

    def test_frames_of_a_video(self, run):
        """Frame 10 and 2 are annotated; frame 2 comes first, and so does its equal score."""
        found = [
            found_row("v.mp4", *([(1, WHOLE, 0.5)] if frame != 10 else [(1, CORNER, 0.5)]), frame=frame, kind="video")
            for frame in range(12)
        ]
        truth = [
            truth_row("v.mp4", (1, WHOLE), frame=10, kind="video"),
            truth_row("v.mp4", (1, WHOLE), frame=2, kind="video"),
        ]
        assert run(found, truth) == 0
        assert run.metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(51 / 101)  # first by name: right
        assert run.metrics[PASCAL] == pytest.approx(1 / 2 / 2)  # last by name first: wrong
        assert run.report["frames"]["unknown"] == 10
        assert run.report["names"]["unknown"] == ["v.mp4 (10 frames)"]
        assert "  10 frames of detections left out, the ground truth lacks them: v.mp4 (10 frames)\n" in run.out

    def test_a_stretch_that_failed_is_all_its_frames(self, run):
        """Told by one row, of which not even the first frame is annotated."""
        found = [found_row("v.mp4", (1, WHOLE, 0.9), frame=1, kind="video")]
        found.append(
            failed_row("v.mp4", frame=2, kind="video")._replace(error=files.BROKEN._replace(last_frame_index=8))
        )
        truth = [truth_row("v.mp4", (1, WHOLE), frame=frame, kind="video") for frame in (1, 3, 5, 9)]
        assert run(found, truth) == 2
        assert "3 of 4 images of the ground truth were not processed, 2 of them because they failed" in run.err

    def test_a_failed_video_is_failed_frames(self, run):
        found = [found_row("v.mp4", (1, WHOLE, 0.9), frame=1, kind="video")]
        found.append(failed_row("v.mp4", frame=None, kind="video"))
        truth = [truth_row("v.mp4", (1, WHOLE), frame=frame, kind="video") for frame in (1, 2, 3)]
        assert run(found, truth, "--allow_missing") == 0
        assert run.report["names"]["unprocessed"] == ["v.mp4 (2 frames)"]
        assert run.report["frames"]["failed"] == 2
        assert run.report["frames"]["unknown"] == 0

    def test_an_image_without_a_frame_number_is_frame_0(self, run):
        assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg", (1, WHOLE), frame=None)]) == 0

    @pytest.mark.parametrize("apart", [1, 3])
    def test_a_frame_twice_in_the_detections_is_refused(self, run, apart):
        """In one row group and in two."""
        rows = [found_row("a.jpg"), *[found_row(f"{n}.jpg") for n in range(apart - 1)], found_row("a.jpg")]
        assert run(rows, [truth_row("a.jpg", (1, WHOLE))]) == 2
        assert "two rows about 'a.jpg'" in run.err

    def test_a_frame_twice_in_the_ground_truth_is_refused(self, run):
        assert run([found_row("a.jpg")], [truth_row("b.jpg"), truth_row("a.jpg"), truth_row("a.jpg")]) == 2
        assert "1 images more than once, such as 'a.jpg'" in run.err

    def test_annotations_that_cannot_be_used_are_left_out(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (1, WHOLE, 1.0))]
        truth = [truth_row("a.jpg", (1, WHOLE)), failed_row("b.jpg")]
        assert run(found, truth) == 0
        assert run.metrics[MAP] == ONE
        assert (run.report["names"]["unusable"], run.report["frames"]["unknown"]) == (["b.jpg"], 0)
        assert run([found_row("b.jpg")], [failed_row("b.jpg")]) == 2
        assert "not one of 1 annotations" in run.err


class TestSizes:
    @pytest.mark.parametrize(
        ("truth_size", "found_size", "area"),
        [((20, 20), (20, 20), "small"), ((None, None), (50, 50), "medium"), ((300, 300), (150, 150), "large")],
    )
    def test_pixels_are_those_of_the_ground_truth_where_it_says(self, run, truth_size, found_size, area):
        found, truth = found_row("a.jpg", (1, WHOLE, 0.9), size=found_size), truth_row("a.jpg", (1, WHOLE))
        assert run([found], [truth._replace(width=truth_size[0], height=truth_size[1])]) == 0
        defined = [name for name, x in run.metrics.items() if "Precision/mAP (" in name and x >= 0]
        assert defined == [f"DetectionBoxes_Precision/mAP ({area})"]

    def test_an_image_that_was_turned_is_told_of(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9), size=(100, 200)), found_row("b.jpg")]
        assert run(found, [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")]) == 0
        name = "a.jpg: 200 x 100 in the ground truth, 100 x 200 in the detections"
        assert run.report["names"]["other_size"] == [name]
        assert f"EXIF orientation? resized?), so boxes may not lie where they should: {name}" in run.out

    def test_an_image_of_unknown_size_is_refused(self, run):
        row = found_row("a.jpg", (1, WHOLE, 0.9))._replace(width=None, height=None)
        assert run([row], [truth_row("a.jpg", (1, WHOLE), size=(None, None))]) == 2
        assert "how large 'a.jpg' is" in run.err


class TestClasses:
    TRUTH = (truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)))

    def test_names_decide_not_numbers(self, run):
        found = [found_row("a.jpg", (7, WHOLE, 0.9)), found_row("b.jpg", (1, LEFT, 0.9), (3, WHOLE, 1.0))]
        assert run(found, self.TRUTH, labels={7: "cat", 1: "dog", 3: "bird"}) == 0
        assert (run.metrics[MAP], run.metrics[PASCAL]) == (ONE, ONE)
        assert run.report["left_out"]["classes_of_detections"] == ["bird"]
        assert "1 classes of detections that the ground truth lacks, left out: bird" in run.out
        assert [(one["id"], one["name"], one["detections"]) for one in run.report["classes"]] == [
            (1, "cat", 1),
            (2, "dog", 1),
        ]

    def test_the_name_in_a_label_map_or_what_it_shows(self, run):
        folder = run.folder / "set"
        folder.mkdir()
        (folder / "label_map.pbtxt").write_text(
            'item { id: 1 name: "/m/c" display_name: "cat" } item { id: 2 name: "/m/d" display_name: "dog" }'
        )
        files.write_truth(folder / "t.parquet", self.TRUTH)
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, folder, labels={1: "cat", 2: "/m/d"}) == 0
        assert run.metrics[MAP] == ONE

    def test_a_number_without_a_name_counts_where_the_ground_truth_has_numbers(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9), (9, WHOLE, 1.0))]
        assert run(found, self.TRUTH, labels={}) == 0
        assert run.metrics[MAP] == ONE
        assert run.report["left_out"]["classes_of_detections"] == ["class 9"]

    def test_but_not_where_boxbeam_numbered_the_names(self, run):
        """Pascal VOC has names only; which number the model's author gave them nobody knows."""
        (run.folder / "Annotations").mkdir()
        (run.folder / "Annotations/a.xml").write_text(VOC)
        found = [found_row("a.jpg", (1, (0.1, 0.1, 0.5, 0.5), 0.9))]
        assert run(found, run.folder / "Annotations", labels={1: "cat"}) == 0
        assert run.metrics[PASCAL] == 1.0
        assert run(found, run.folder / "Annotations", labels={}) == 2
        assert "the detections name 'class 1', the ground truth 'cat'" in run.err

    def test_nor_where_only_some_of_several_sets_have_numbers(self, run):
        """The label map may be the one of the set that has names only."""
        (run.folder / "Annotations").mkdir()
        (run.folder / "Annotations/a.xml").write_text(VOC)
        other = files.write_truth(run.folder / "other.parquet", [truth_row("b.jpg", (1, LEFT))], {1: "cat"})
        sets = (run.folder / "Annotations", "--ground_truth", run.folder / "Annotations", other)
        found = [found_row("a.jpg", (1, (0.1, 0.1, 0.5, 0.5), 0.9)), found_row("b.jpg", (1, LEFT, 0.9))]
        assert run(found, *sets, labels={1: "cat"}) == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["frames"]["evaluated"] == 2
        assert run.report["ground_truth"]["form"] == "voc+parquet"
        assert run(found, *sets, labels={}) == 2
        assert "no class in common" in run.err

    def test_no_class_in_common_is_refused(self, run):
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, self.TRUTH, labels={1: "RBC", 2: "WBC"}) == 2
        assert "no class in common: the detections name 'RBC', 'WBC', the ground truth 'cat', 'dog'" in run.err
        assert not run.output.exists()

    def test_no_detection_at_all_is_not_a_stranger(self, run):
        assert run([found_row("a.jpg"), found_row("b.jpg")], self.TRUTH) == 0
        assert run.metrics[MAP] == run.metrics[PASCAL] == 0.0

    def test_names_are_numbered_where_there_are_no_numbers(self, run):
        truth = [truth_row("a.jpg", (-1, WHOLE))._replace(objects=named(WHOLE, "dog"))]
        truth.append(truth_row("b.jpg")._replace(objects=named(LEFT, "cat")))
        found = [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg", (2, LEFT, 0.9))]
        assert run(found, truth, labels={1: "dog", 2: "cat"}) == 0
        assert run.metrics[MAP] == ONE
        assert [(one["id"], one["name"]) for one in run.report["classes"]] == [(1, "cat"), (2, "dog")]

    def test_objects_out_of_the_label_map_are_told_of(self, run):
        write_label_map(run.folder / "set", "cat")
        truth = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")._replace(objects=named(LEFT, "yeti"))]
        files.write_truth(run.folder / "set/t.parquet", truth)
        assert run([found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg")], run.folder / "set") == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["left_out"]["classes_of_objects"] == ["yeti"]

    def test_ground_truth_without_any_class(self, run):
        assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg")]) == 2
        assert "neither a label map nor an object with a class" in run.err


def named(box, label):
    return GroundTruth.of([box], [-1], labels=[label])


VOC = """<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height><depth>3</depth></size>
<object><name>cat</name><difficult>0</difficult>
<bndbox><xmin>20</xmin><ymin>10</ymin><xmax>100</xmax><ymax>50</ymax></bndbox></object></annotation>"""


class TestSplits:
    @pytest.fixture
    def records(self, tmp_path):
        """A record dataset's index: a.jpg and b.jpg in train, c.jpg in val."""
        rows = [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)), truth_row("c.jpg", (1, WHOLE))]
        write_label_map(tmp_path / "records")
        files.write_truth(tmp_path / "records/index-00000.parquet", rows, splits=["train", "train", "val"])
        (tmp_path / "records/manifest.json").write_text("{}")
        return tmp_path / "records"

    def test_only_the_images_of_a_split(self, run, records):
        found = [found_row("c.jpg", (1, WHOLE, 0.9))]
        assert run(found, records) == 2
        assert run(found, records, "--split", "val") == 0
        assert run.metrics[PASCAL] == 1.0
        assert run.report["ground_truth"] == {"paths": [str(records)], "form": "records", "splits": ["val"]}

    def test_one_that_is_not_there(self, run, records):
        assert run([found_row("c.jpg")], records, "--split", "vla") == 2
        assert "did you mean val" in run.err


class TestOnWorkers:
    """A cluster's workers plan, as the launcher does on one machine: the same output, the same refusals."""

    WORKERS = ("--runner", "apache_beam.runners.portability.fn_api_runner.FnApiRunner")
    OPTIONS = ("--allow_missing", "--verdicts", "--metrics", "voc,coco", "--slice_by", "folder,camera,x(.)")

    @pytest.fixture
    def found(self, tmp_path):
        found, truth = files.random_rows(9, 30)
        files.write_truth(
            tmp_path / "truth.parquet", [*truth, truth_row("no/b.jpg", (1, WHOLE)), truth_row("no/c.jpg")]
        )
        table = pq.read_table(tmp_path / "truth.parquet")
        cameras = pa.array([f"c{number % 3}" for number in range(len(table))])
        pq.write_table(table.append_column("camera", cameras), tmp_path / "truth.parquet")
        rows = [*found, failed_row("no/b.jpg"), found_row("more.jpg", (1, WHOLE, 0.4))]
        return files.write_detections(tmp_path / "found", rows)

    def test_the_same_is_written_and_said(self, run, found):
        truth = run.folder / "truth.parquet"
        assert run(found, truth, *self.OPTIONS) == 0
        said, here = run.out, {path: path.read_bytes() for path in run.output.rglob("*") if path.is_file()}
        assert len(here) > 8
        shutil.rmtree(run.output)
        assert run(found, truth, *self.OPTIONS, *self.WORKERS) == 0
        assert run.out == said
        assert {path: path.read_bytes() for path in run.output.rglob("*") if path.is_file()} == here
        assert not (run.output / "_work").exists()

    @pytest.mark.parametrize(
        ("found", "truth", "options"),
        [
            ([found_row("x.jpg")], [truth_row("a.jpg", (1, WHOLE))], ()),
            ([found_row("a.jpg")], [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg")], ()),
            ([found_row("a.jpg")], [truth_row("a.jpg", (1, WHOLE))], ("--slice_by", "x")),
        ],
        ids=["no match", "not processed", "no such slice"],
    )
    def test_the_same_is_refused(self, run, found, truth, options):
        assert run(found, truth, *options) == 2
        said = run.err
        assert run(found, truth, *options, *self.WORKERS) == 2
        assert run.err == said
        assert not run.output.exists()

    @pytest.mark.parametrize("content", ["no", "images", "truth", "damaged", "detections"])
    def test_what_a_look_shows_is_refused_before_beam_is_imported(self, run, found, content):
        paths = {"found": run.folder / "found", "truth": run.folder / "truth.parquet"}
        if content == "no":
            paths["truth"] = run.folder / "nowhere"
        elif content == "images":
            paths["truth"] = run.folder / "images"
            paths["truth"].mkdir()
            (paths["truth"] / "a.jpg").touch()
        elif content == "truth":
            paths["found"] = paths["truth"]
        elif content == "damaged":
            (paths["found"] / "00000.parquet").write_bytes(b"PAR1")
        else:
            paths["truth"] = paths["found"]
        argv = ["--detections", paths["found"], "--ground_truth", paths["truth"], "--output", run.output, *self.WORKERS]
        code = (
            "import sys; from beam_jobs import evaluate; status = evaluate.main(sys.argv[1:]);"
            "assert 'apache_beam' not in sys.modules; sys.exit(status)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, *map(str, argv)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert not run.output.exists()


class TestUsage:
    TRUTH = (truth_row("a.jpg", (1, WHOLE)),)
    FOUND = (found_row("a.jpg", (1, WHOLE, 0.9)),)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--metrics", "cocoo"], "no metric called 'cocoo'; did you mean coco?"),
            (["--metrics", "x"], "no metric called 'x'; there are coco, voc10, voc07"),
            (["--metrics", "coco,"], "names with commas between them, got 'coco,'"),
            (["--split", ""], "names with commas between them"),
            (["--alow_missing"], "did you mean --allow_missing?"),
            (["--runner", "Flinc"], "did you mean FlinkRunner?"),
            (["--split", "val"], "splits"),
            (["--images", "nowhere"], "no such image folder"),
        ],
    )
    def test_wrong_options(self, run, options, message):
        assert run(self.FOUND, self.TRUTH, *options) == 2
        assert message in run.err
        assert run.err.count("\n") == 1
        assert not run.output.exists()

    def test_each_metric_alone_and_both(self, run):
        assert run(self.FOUND, self.TRUTH, "--metrics", "coco") == 0
        assert (MAP in run.metrics, PASCAL in run.metrics) == (True, False)
        assert run(self.FOUND, self.TRUTH, "--metrics", "voc,coco,voc10") == 0
        assert (MAP in run.metrics, PASCAL in run.metrics) == (True, True)
        assert list(run.report["definitions"]) == ["voc10", "coco", "insight"]

    def test_all_metrics(self, run):
        assert run(self.FOUND, self.TRUTH, "--metrics", "all") == 0
        assert tuple(run.report["definitions"]) == (*(name for name in METRICS if name != "coco_masks"), "insight")
        prefixes = {"DetectionBoxes", "PascalBoxes", "Pascal07Boxes", "WeightedPascalBoxes", "OpenImagesV2"}
        prefixes |= {"OpenImagesDetectionChallenge", "Insight"}
        assert {name.partition("_")[0] for name in run.metrics} == prefixes
        assert [x for name, x in run.metrics.items() if name.endswith("Precision/mAP@0.5IOU")] == [1.0] * 5
        assert "coco AP  voc10 AP  voc07 AP  weighted_voc AP  open_images AP  open_images_challenge AP" in run.out

    def test_detections_that_are_not_there_not_finished_or_not_detections(self, run):
        truth = files.write_truth(run.folder / "t/truth.parquet", self.TRUTH)
        assert run(run.folder / "nope", truth) == 2
        assert "no such file or folder" in run.err
        unfinished = files.write_detections(run.folder / "unfinished", self.FOUND)
        (unfinished / "manifest.json").unlink()
        assert run(unfinished, truth) == 2
        assert "not a finished detections dataset" in run.err
        assert run(truth, truth) == 2
        assert "this is ground truth" in run.err
        other = files.write_detections(run.folder / "other", self.FOUND)
        manifest = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps({**manifest, "job": "convert", "schema": "boxbeam.records/1"}))
        assert run(other, truth) == 2
        assert "holds the output of boxbeam convert" in run.err
        pq.write_table(pa.table({"key": ["a"]}), run.folder / "keys.parquet")
        assert run(run.folder / "keys.parquet", truth) == 2
        assert "no column frame_index, status, width, height, detections" in run.err
        (run.folder / "text.parquet").write_text("no")
        assert run(run.folder / "text.parquet", truth) == 2
        assert "cannot be read as Parquet" in run.err

    def test_one_file_of_detections(self, run):
        folder = files.write_detections(run.folder / "found", self.FOUND)
        assert run(folder / "00000.parquet", files.write_truth(run.folder / "t.parquet", self.TRUTH)) == 0
        assert run.metrics[MAP] == ONE

    def test_masks_and_columns_that_nobody_asked_for_do_not_matter(self, run):
        folder = files.write_detections(run.folder / "found", self.FOUND)
        table = pq.read_table(folder / "00000.parquet").append_column("weather", pa.array(["fine"]))
        pq.write_table(table, folder / "00000.parquet")
        assert run(folder, self.TRUTH) == 0

    def test_an_output_that_cannot_be_a_folder(self, run):
        run.output.write_text("a file")
        assert run(self.FOUND, self.TRUTH) == 2
        assert "cannot be the output folder: it is not a folder" in run.err

    def test_a_row_that_breaks_the_format_stops_with_its_file(self, run):
        folder = files.write_detections(run.folder / "found", self.FOUND)
        rows = pq.read_table(folder / "00000.parquet")
        broken = rows.to_pylist()
        broken[0]["detections"][0]["score"] = float("nan")
        pq.write_table(pa.Table.from_pylist(broken, rows.schema), folder / "00000.parquet")
        assert run(folder, self.TRUTH) == 1
        assert "00000.parquet: rows 0 to 0 of row group 0: scores must be finite" in run.err
        assert "Traceback" not in run.err
        assert not run.output.exists()

    def test_an_earlier_result_is_replaced_and_stays_where_a_run_is_refused(self, run):
        assert run(self.FOUND, self.TRUTH) == 0
        before = (run.output / "metrics.json").read_bytes()
        assert run([found_row("b.jpg")], self.TRUTH) == 2
        assert (run.output / "metrics.json").read_bytes() == before
        assert run([found_row("a.jpg")], self.TRUTH) == 0
        assert run.metrics[MAP] == 0.0


class TestOpenImages:
    """a.jpg has a cat, b.jpg nothing; somebody has looked for dogs in a.jpg, and for pets in b.jpg."""

    NAMES = ("/m/cat", "/m/dog", "/m/pet", "/m/animal")
    TREE = (
        '{"LabelName": "/m/entity", "Subcategory": [{"LabelName": "/m/animal", "Subcategory":'
        ' [{"LabelName": "/m/pet", "Subcategory": [{"LabelName": "/m/cat"}, {"LabelName": "/m/dog"}]}],'
        ' "Part": [{"LabelName": "/m/tail"}]}]}'
    )
    LABELS = "ImageID,Source,LabelName,Confidence\na,x,/m/dog,0\nb,x,/m/pet,0\nother,x,/m/cat,1\na,x,/m/yeti,1\n"
    OPTIONS = ("--metrics", "open_images,open_images_challenge", "--hierarchy", "{}/tree.json", "--image_labels")
    PREFIX = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU//m/"

    @pytest.fixture
    def evaluate_it(self, run):
        def evaluate_it(*options, tree=self.TREE, labels=self.LABELS):
            (run.folder / "tree.json").write_text(tree)
            (run.folder / "labels.csv").write_text(labels)
            write_label_map(run.folder / "set", *self.NAMES)
            truth = [truth_row("in/a.jpg", (1, WHOLE)), truth_row("in/b.jpg")]
            files.write_truth(run.folder / "set/t.parquet", truth, dict(enumerate(self.NAMES, 1)))
            found = [
                found_row("a.jpg", (1, WHOLE, 0.9), (2, WHOLE, 0.8), (3, WHOLE, 0.7), (4, CORNER, 0.6)),
                found_row("b.jpg", (1, WHOLE, 0.95), (3, WHOLE, 0.7), (4, WHOLE, 0.9)),
            ]
            places = [option.format(run.folder) for option in options]
            return run(found, run.folder / "set", *places, labels=dict(enumerate(self.NAMES, 1)))

        return evaluate_it

    def test_an_object_counts_for_the_classes_above_and_labels_for_those_above_or_below(self, run, evaluate_it):
        """That no pet is in b.jpg says that no cat is, but nothing of animals: there one is not looked at."""
        assert evaluate_it(*self.OPTIONS, "{}/labels.csv") == 0
        assert run.metrics[self.PREFIX + "cat"] == pytest.approx(1 / 2)
        assert run.metrics[self.PREFIX + "dog"] is None
        assert run.metrics[self.PREFIX + "pet"] == pytest.approx(1 / 2)  # equal scores: that of b.jpg comes first
        assert run.metrics[self.PREFIX + "animal"] == 0.0
        v2 = "OpenImagesV2_PerformanceByCategory/AP@0.5IOU//m/animal"
        assert run.metrics[v2] == 0.0
        assert "as the hierarchy has them" in run.report["definitions"]["open_images"]

    def test_without_labels_only_what_is_annotated_counts(self, run, evaluate_it):
        assert evaluate_it(*self.OPTIONS[:4]) == 0
        assert [run.metrics[self.PREFIX + name] for name in ("cat", "pet")] == [1.0, 1.0]

    def test_without_a_hierarchy_every_class_is_by_itself(self, run, evaluate_it):
        assert evaluate_it(*self.OPTIONS[:2], "--image_labels", "{}/labels.csv") == 0
        assert [run.metrics[self.PREFIX + name] for name in ("cat", "pet")] == [1.0, None]

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"tree": "{"}, "tree.json: not JSON"),
            ({"tree": "[1]"}, "tree.json: no hierarchy of classes: found [1]; expected Open Images' form"),
            ({"tree": '{"LabelName": "x", "Subcategory": [3]}'}, "found 3"),
            ({"tree": '{"LabelName": "x", "Subcategory": [{"LabelName": "y"}]}'}, "it speaks of 'y'"),
            ({"labels": "ImageID,LabelName\na,/m/cat\n"}, "no CSV file with the columns ImageID, LabelName, Conf"),
            ({"labels": "ImageID,LabelName,Confidence\na,/m/cat,maybe\n"}, "labels.csv: no CSV file"),
            ({"labels": "ImageID,LabelName,Confidence\nz,/m/cat,1\n"}, "speaks of image 'z', the ground truth"),
            ({"labels": ""}, "labels.csv: no CSV file"),
        ],
    )
    def test_files_that_are_something_else(self, run, evaluate_it, files, message):
        assert evaluate_it(*self.OPTIONS, "{}/labels.csv", **files) == 2
        assert message in run.err
        assert not run.output.exists()

    @pytest.mark.parametrize("option", ["--hierarchy", "--image_labels"])
    def test_files_that_are_not_there_or_not_asked_for(self, run, evaluate_it, option):
        assert evaluate_it(*self.OPTIONS[:2], option, "{}/nowhere") == 2
        assert "nowhere: cannot read the" in run.err
        assert evaluate_it(option, "{}/tree.json") == 2
        assert f"{option} is for Open Images' numbers: add --metrics open_images" in run.err


class TestFailUnder:
    """One image of two is right: the AP of cats is 1, that of dogs 0."""

    TRUTH = (truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)))
    FOUND = (found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg"))

    def test_enough(self, run):
        assert run(self.FOUND, self.TRUTH, "--fail_under", "mAP=0.4", "--fail_under", f"{PASCAL}=0.5") == 0
        assert run.err == ""

    def test_too_little_is_a_status_of_its_own_after_everything_is_written(self, run):
        status = run(self.FOUND, self.TRUTH, "--fail_under", "mAP/cat=1.01", "--fail_under", "AP@0.5IOU/dog=0.1")
        assert status == evaluate.EXIT_BELOW == 4
        assert run.err == (
            "boxbeam evaluate: --fail_under: DetectionBoxes_PerformanceByCategory/mAP/cat is 1, wanted at least 1.01;"
            " PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog is 0, wanted at least 0.1\n"
        )
        assert run.metrics[MAP] == pytest.approx(0.5)
        assert "evaluate: 2 frames evaluated" in run.out

    def test_an_undefined_number_is_never_enough(self, run):
        assert run(self.FOUND, self.TRUTH, "--fail_under", "mAP (small)=-1") == 4
        assert "Precision/mAP (small) is undefined" in run.err

    @pytest.mark.parametrize(
        ("gate", "message"),
        [
            ("map=0.5", "no number called 'map'; did you mean mAP?"),
            ("cat=0.5", "'cat' could be each of DetectionBoxes_PerformanceByCategory/mAP/cat, PascalBoxes_"),
            ("mAP", "must be a number's name and the least it must be, NAME=X, got 'mAP'"),
            ("=1", "NAME=X, got '=1'"),
            ("mAP=much", "must be a number, got 'much'"),
        ],
    )
    def test_a_number_that_there_is_not_is_refused_before_the_work(self, run, gate, message):
        assert run(self.FOUND, self.TRUTH, "--fail_under", gate) == 2
        assert message in run.err
        assert not run.output.exists()


def test_neither_tensorflow_nor_anything_that_decodes_is_imported(run):
    files.write_detections(run.folder / "found", [found_row("a.jpg", (1, WHOLE, 0.9))])
    files.write_truth(run.folder / "truth.parquet", [truth_row("a.jpg", (1, WHOLE))])
    argv = ["--detections", "found", "--ground_truth", "truth.parquet", "--output", "scores"]
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from beam_jobs.evaluate import main"
        f"; status = main({argv})"
        "; print(sorted({'tensorflow', 'av', 'cv2', 'apache_beam'} & set(sys.modules)), file=sys.stderr)"
        "; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=run.folder)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "['apache_beam']")
    assert run.metrics[MAP] == ONE


def test_a_refusal_does_not_wait_for_beam_and_help_for_nothing(run):
    files.write_detections(run.folder / "found", [found_row("a.jpg", (1, WHOLE, 0.9))])
    files.write_truth(run.folder / "truth.parquet", [truth_row("b.jpg", (1, WHOLE))])
    argv = ["--detections", "found", "--ground_truth", "truth.parquet", "--output", "scores"]
    for arguments, heavy, status in (
        ([*argv], {"apache_beam"}, 2),
        (["--help"], {"apache_beam", "numpy", "pyarrow"}, 0),
    ):
        code = (
            f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
            "from beam_jobs.evaluate import main\n"
            f"try: status = main({arguments})\n"
            "except SystemExit as ended: status = ended.code\n"
            f"sys.exit(repr((status, sorted({heavy} & set(sys.modules)))))"
        )
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=run.folder)
        assert done.stderr.splitlines()[-1] == repr((status, []))
    assert done.stdout.startswith("usage: boxbeam evaluate")


@pytest.mark.shared
def test_real_detections_get_the_numbers_of_the_apis_own_evaluator(run, shared):
    """The API's TF1 model on 73 images: detections and numbers are its own. It evaluated normalised boxes offline, so
    its small, medium and large come from its other evaluation, of pixels (PROVENANCE.md), with three digits."""
    by_image: dict[str, list[dict[str, str]]] = {}
    with open(shared / "oracles/infer_detections/bccd_val_detections.csv", newline="") as file:
        for line in csv.DictReader(file):
            by_image.setdefault(line["source_id"], []).append(line)
    rows = []
    for number, (name, lines) in enumerate(by_image.items()):
        boxes = [[float(line[edge]) for edge in ("ymin", "xmin", "ymax", "xmax")] for line in lines]
        scores, classes = [float(line["score"]) for line in lines], [int(line["class"]) for line in lines]
        found = Detections.best_first(boxes, scores, classes)
        rows.append(FrameRow(name, name, "record", 0, number, None, 640, 480, found))
    found = files.write_detections(
        run.folder / "found", rows, {1: "RBC", 2: "WBC", 3: "Platelets"}, row_group=10, per_file=30
    )
    assert run(found, shared / "data/datasets/bccd/BCCD") == 2
    assert "291 of 364 images" in run.err
    assert run(found, shared / "data/datasets/bccd/BCCD", "--allow_missing") == 0
    assert run.report["frames"]["evaluated"] == 73
    sizes = {"small": 0.189, "medium": 0.311, "large": 0.539}
    for folder in ("coco", "pascal_voc"):
        with open(shared / "oracles/metrics" / folder / "metrics.csv", newline="") as file:
            wanted = {name: float(x) for name, x in csv.reader(file)}
        in_pixels = {name: x for name, x in wanted.items() if not any(size in name for size in sizes)}
        assert {name: run.metrics[name] for name in in_pixels} == pytest.approx(in_pixels, abs=1e-12)
    for size, x in sizes.items():
        assert run.metrics[f"DetectionBoxes_Precision/mAP ({size})"] == pytest.approx(x, abs=5e-4)
