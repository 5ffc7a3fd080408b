"""export's command line: what it takes, prints and refuses."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs import cli, export
from od_core.schemas import detections_table
from tests.pipelines.evaluation_files import failed_row, found_row, write_detections

BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def found(tmp_path: pathlib.Path) -> pathlib.Path:
    rows = [found_row("a.jpg", (1, BOX, 0.9), (2, BOX, 0.2)), failed_row("b.jpg")]
    return write_detections(tmp_path / "found", rows)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    try:
        status: object = export.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        status = stopped.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert printed.err.startswith("boxbeam export: error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_it_says_what_it_wrote(found: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = found.parent / "boxes.csv"
    command = ["export", "--detections", str(found), "--output", str(output), "--format", "csv", "--min_score", "0.5"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == (
        f"export: 1 detection in 1 frame: {output}\n  1 failure among the detections' rows, not in the output\n"
    )
    assert len(output.read_text().splitlines()) == 2


@pytest.mark.parametrize(("score", "fault"), [(float("nan"), "scores must be finite"), (0.1, "must not increase")])
def test_rows_that_break_the_format_stop_it_by_name(
    score: float, fault: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a file from elsewhere: boxbeam writes none like that."""
    table = detections_table([found_row("a.jpg", (1, BOX, 0.9), (2, BOX, 0.2))], {})
    (row,) = table.column("detections").to_pylist()
    row[0]["score"] = score
    number = table.schema.get_field_index("detections")
    changed = table.set_column(number, table.field(number), pa.array([row], table.field(number).type))
    pq.write_table(changed, tmp_path / "found.parquet")
    output = tmp_path / "boxes.csv"
    command = ["export", f"--detections={tmp_path}/found.parquet", f"--output={output}", "--format=csv"]
    assert cli.main(command) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"boxbeam export: stopped: {tmp_path}/found.parquet: rows from 'a.jpg' to 'a.jpg': ")
    assert fault in printed.err
    assert not output.exists()


def test_wrong_usage_fails_before_anything_is_written(found: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--detections", found, "--output", found.parent / "out"]
    assert "did you mean coco" in refused(capsys, *paths, "--format", "cocoa")
    assert "there are coco, voc" in refused(capsys, *paths, "--format", "parquet")
    assert "goes with --format coco" in refused(capsys, *paths, "--format", "voc", "--ground_truth", "x.json")
    assert "--scores is for --format yolo" in refused(capsys, *paths, "--format", "csv", "--scores")
    assert "did you mean 'cat'" in refused(capsys, *paths, "--format", "csv", "--classes", "cats")
    assert "must be names" in refused(capsys, *paths, "--format", "csv", "--classes", "cat,")
    assert "must be from 0 to 1" in refused(capsys, *paths, "--format", "csv", "--min_score", "50")
    assert "did you mean --min_score" in refused(capsys, *paths, "--format", "csv", "--minscore", "0.5")
    assert "no such file or folder" in refused(
        capsys, "--detections", found / "no", "--output", "x.csv", "--format", "csv"
    )
    assert "is a folder, and csv is one file" in refused(
        capsys, "--detections", found, "--output", found.parent, "--format", "csv"
    )
    assert {path.name for path in found.parent.iterdir()} == {"found"}
