"""The options of convert that are for some annotation formats only: what is refused, and how."""

import pathlib

import pytest

from beam_jobs import convert
from tests.pipelines.made_annotations import picture, write_files


def refusal(capsys: pytest.CaptureFixture[str], place: pathlib.Path, *arguments: str) -> str:
    """What a command line is refused with, before anything is written."""
    argv = [f"--output={place}/out", "--isolation=none", "--progress=off", *arguments]
    try:
        status: object = convert.main(argv)
    except SystemExit as stopped:
        status = stopped.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert not (place / "out").exists()
    return said.err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--csv_columns=filename", "must be like filename=image,class=label, got 'filename'"),
        ("--csv_columns=filename=,class=a", "must be like filename=image,class=label"),
        ("--csv_columns=class=a,class=b", "names class twice"),
        ("--csv_boxes=metres", "invalid choice: 'metres'"),
        ("--min_score=1.5", "must be from 0 to 1, got '1.5'"),
        ("--min_score=nan", "must be a number, got 'nan'"),
        ("--dont_care=keep", "invalid choice: 'keep'"),
        ("--min_scor=0.5", "unknown option --min_scor; did you mean --min_score?"),
        ("--format=yolov8", "invalid choice: 'yolov8'"),
    ],
)
def test_values_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, argument: str, message: str
) -> None:
    assert message in refusal(capsys, tmp_path, f"--input={tmp_path}", argument)


YOLO = {"data.yaml": "names: [cat]", "images/a.jpg": picture(), "labels/a.txt": "0 0.5 0.5 0.5 0.5"}
TABLE = "image,label,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,3,4\n"


@pytest.mark.parametrize(
    ("files", "given", "arguments", "message"),
    [
        (YOLO, "", ["--min_score=0.5"], "--min_score is for annotations of the format detections, and"),
        (YOLO, "", ["--dont_care=drop"], "--dont_care is for annotations of the format kitti"),
        (YOLO, "images", [], "say --format images for images without annotations"),
        (YOLO, "", ["--masks"], "--masks needs COCO annotations, these are yolo"),
        ({"b.csv": TABLE}, "b.csv", [], "perhaps it is --csv_columns filename=image,class=label."),
        ({"b.csv": TABLE}, "b.csv", ["--csv_columns=filename=imag"], "no column 'imag'"),
        ({"b.csv": TABLE}, "b.csv", ["--csv_columns=filename=image,class=label"], "say it with --images DIR"),
        ({"b.csv": TABLE}, "b.csv", ["--class_descriptions=c.csv"], "is for annotations of the format open_images"),
    ],
)
def test_options_that_do_not_fit_the_annotations(
    capsys: pytest.CaptureFixture[str],
    tmp_path: pathlib.Path,
    files: dict[str, bytes | str],
    given: str,
    arguments: list[str],
    message: str,
) -> None:
    write_files(tmp_path / "in", files)
    assert message in refusal(capsys, tmp_path, f"--input={tmp_path}/in/{given}".rstrip("/"), *arguments)
