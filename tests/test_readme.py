"""The README's commands and snippets work when pasted, with the paths of a model and inputs that exist."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from beam_jobs import convert
from od_core.harbour.sample import LABEL_MAP, MODEL, write_images, write_video
from od_core.records.index import RECORD_INDEX
from tests.pipelines.evaluation_files import failed_row, found_row, write_detections

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
RECORDS_PAGE = README.parent / "docs/records-format.md"
LABELS = {"sailboat", "ferry", "cargo ship", "tugboat", "buoy"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that holds what the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "exported/saved_model").mkdir(parents=True)
    shutil.copy(MODEL, folder / "exported/saved_model")
    shutil.copy(LABEL_MAP, folder / "labels.pbtxt")
    write_images(folder / "VOC2012", 3)
    shutil.copytree(folder / "VOC2012/JPEGImages", folder / "photos")
    shutil.copy(folder / "photos/harbour_000.jpg", folder / "photo.jpg")
    (folder / "clips").mkdir()
    write_video(folder / "clips/one.mp4", 5)
    (folder / ".venv").symlink_to(pathlib.Path(sys.executable).parents[1])
    return folder


def blocks(language: str, heading: str, page: pathlib.Path = README) -> list[str]:
    section = page.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run_commands(commands: str, folder: pathlib.Path) -> int:
    lines = commands.splitlines()
    for line in lines:
        done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return len(lines)


def test_with_your_own_model(place: pathlib.Path) -> None:
    (commands,) = blocks("", "With your own model")
    assert run_commands(commands, place) == 2
    (snippet,) = blocks("python", "With your own model")
    printed = run_python(snippet, place).splitlines()
    assert len(printed) == 8
    assert all("buoy" in line for line in printed)


def test_with_your_own_annotations(place: pathlib.Path) -> None:
    (commands,) = blocks("", "With your own annotations")
    commands = commands.replace("found/", "found_again/")  # the former test's is of other inputs
    assert run_commands(commands, place) == 4
    assert sorted(path.name for path in (place / "pictures").glob("*.jpg")) == [
        f"harbour_{number:03d}.jpg" for number in range(3)
    ]


def test_from_python(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    detecting, looping, evaluating = blocks("python", "From Python")
    printed = run_python(detecting, place).splitlines()
    assert printed
    assert all(any(line.startswith(label) for label in LABELS) for line in printed)
    assert (place / "drawn.jpg").read_bytes().startswith(b"\xff\xd8")
    # One object, found with an overlap of 0.875: right at 8 of the 10 thresholds from 0.5 to 0.95.
    write_detections(tmp_path / "found", [found_row("a.jpg", (2, (0.0, 0.0, 0.5, 1.0), 0.5)), failed_row("b.jpg")])
    assert run_python(looping, tmp_path) == "a.jpg ('dog',) [0.5] [[0.  0.  0.5 1. ]]\n"
    assert float(run_python(evaluating, place)) == pytest.approx(0.8)


def test_the_page_about_records(place: pathlib.Path) -> None:
    command = ["--input", str(place / "VOC2012"), "--output", str(place / "records"), "--progress", "off"]
    assert convert.main(command) == 0  # the same as above, and so nothing to do where that ran before
    (snippet,) = blocks("python", "Index", RECORDS_PAGE)
    key, format, size = run_python(snippet.replace('"==", "val"', '"!=", ""'), place).split()
    assert (key, format) == ("harbour_000.jpg", "jpeg")
    assert int(size) == (place / "photo.jpg").stat().st_size
    table = RECORDS_PAGE.read_text(encoding="utf-8").split("## Index\n")[1]
    named = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert [name for name in RECORD_INDEX.names if name in named or name in ("split", "shard")] == sorted(
        named, key=RECORD_INDEX.names.index
    )
    assert set(RECORD_INDEX.names[RECORD_INDEX.names.index("objects") + 1 :]) <= set(named)


def run_python(snippet: str, folder: pathlib.Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(README.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", snippet]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
