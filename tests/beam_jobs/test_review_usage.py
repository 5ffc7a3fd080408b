"""review's command line: what it takes, prints and refuses."""

import pathlib

import pytest

from beam_jobs import cli, review
from tests.pipelines.evaluation_files import failed_row, found_row, write_detections

BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def found(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_detections(tmp_path / "found", [found_row("a.jpg", (1, BOX, 0.9)), failed_row("b.jpg")])


def test_it_says_what_to_open(found: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = found.parent / "pages"
    assert cli.main(["review", "--detections", str(found), "--output", str(pages), "--workers", "1"]) == 0
    assert capsys.readouterr().out == (
        f"review: 2 items, 1 detection with a score of at least 0.05: open {pages}/index.html\n"
        "  1 failure among the detections' rows, listed in the overview\n"
        "  2 originals cannot be shown, as the pages say; moved? give --source_root\n"
    )
    assert (pages / "index.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min_score", "7"], "must be from 0 to 1"),
        (["--workers", "0"], "at least 1"),
        (["--groundtruth", "x"], "did you mean --ground_truth"),
        (["--ground_truth", "/no/where"], "no such file or folder"),
        (["--evaluation", "/no/where"], "--evaluation is what boxbeam evaluate wrote"),
        (["--source_root", "/no/where"], "no such file or folder"),
    ],
)
def test_wrong_usage_fails_before_anything_is_written(
    found: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        paths = ["--detections", str(found), "--output", str(found.parent / "pages")]
        status: object = review.main([*paths, *arguments])
    except SystemExit as stopped:
        status = stopped.code
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert printed.err.startswith("boxbeam review: error: ")
    assert message in printed.err
    assert {path.name for path in found.parent.iterdir()} == {"found"}
