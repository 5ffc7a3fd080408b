"""The command `boxbeam evaluate`, from files to metrics.json, the table and the exit status."""

import json
import pathlib
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from od_core.metrics.catalogue import METRICS
from od_core.schemas import detections_table
from tests.beam_jobs.evaluation_run import MAP, ONE, PASCAL
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, failed_row, found_row, truth_row

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


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
