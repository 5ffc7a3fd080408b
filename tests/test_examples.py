"""The examples run as they are, on the harbour and its detector."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from beam_jobs import convert, evaluate, infer
from docs.make_notebook import cells_of
from od_core.harbour.sample import LABEL_MAP, MODEL, write_images
from od_core.images import read_header

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with a few harbours, converted and looked through."""
    folder = tmp_path_factory.mktemp("examples")
    write_images(folder / "scene", 6, seed=50)
    labelled = ["--label_map", str(LABEL_MAP), "--progress", "off"]
    scene, records, found = (str(folder / name) for name in ("scene", "records", "found"))
    assert convert.main(["--input", scene, "--output", records, "--splits", "val=1", *labelled]) == 0
    assert infer.main(["--model", str(MODEL), "--input", scene, "--output", found, *labelled]) == 0
    return folder


def run(example: str, *arguments: object) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, f"examples/{example}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_detect_and_draw(place: pathlib.Path) -> None:
    picture = place / "scene/JPEGImages/harbour_000.jpg"
    printed = run("detect_and_draw", MODEL, LABEL_MAP, picture, place / "drawn.jpg")
    assert printed
    assert all(" at x 0." in line for line in printed)
    header = read_header((place / "drawn.jpg").read_bytes())
    assert (header.format, header.width, header.height) == ("jpeg", 640, 384)


def test_evaluate_in_a_loop_gives_the_numbers_of_the_job(place: pathlib.Path) -> None:
    printed = run("evaluate_in_a_loop", MODEL, place / "records")
    numbers = dict(line.strip().split(" = ") for line in printed if " = " in line)
    assert float(numbers["PascalBoxes_Precision/mAP@0.5IOU"]) > 0.8
    command = ["--detections", place / "found", "--ground_truth", place / "records", "--output", place / "scores"]
    assert evaluate.main([*map(str, command), "--numbers_only"]) == 0
    metrics = json.loads((place / "scores/metrics.json").read_text())["metrics"]
    assert {name: f"{value:.4f}" for name, value in metrics.items()} == numbers


def test_read_detections_counts_labels(place: pathlib.Path) -> None:
    printed = [line.split(maxsplit=1) for line in run("read_detections", place / "found")]
    assert {label for _, label in printed} <= {"sailboat", "ferry", "cargo ship", "tugboat", "buoy"}
    assert sum(int(count) for count, _ in printed) > 20


def test_loop_over_detections_names_what_is_in_every_image(place: pathlib.Path) -> None:
    printed = dict(line.split(": ") for line in run("loop_over_detections", place / "found"))
    assert sorted(printed) == [f"JPEGImages/harbour_{number:03d}.jpg" for number in range(6)]
    assert all("buoy" in labels for labels in printed.values())


def test_read_records(place: pathlib.Path) -> None:
    first, *objects, last = run("read_records", place / "records", "harbour_003.jpg")
    header = read_header((place / "scene/JPEGImages/harbour_003.jpg").read_bytes())
    assert first == f"val jpeg {header.width} {header.height}"
    annotation = (place / "scene/Annotations/harbour_003.xml").read_text()
    assert len(objects) == annotation.count("<object>") > 0
    count = sum(path.read_text().count("<object>") for path in (place / "scene/Annotations").glob("*.xml"))
    assert last == f"{2 * count} boxes in two epochs of 6 images"


def test_the_whole_chain(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    printed = run("chain")
    assert any("mAP@.50IOU" in line for line in printed)
    (folder,) = tmp_path.glob("boxbeam-*")
    assert (folder / "pages/index.html").exists()
    assert (folder / "pictures/JPEGImages/harbour_002.jpg").exists()


def test_the_notebook_is_the_chain() -> None:
    """Made anew by make pictures whenever examples/chain.py changes."""
    notebook = json.loads((REPOSITORY / "examples/chain.ipynb").read_text())
    cells = cells_of((REPOSITORY / "examples/chain.py").read_text())
    assert [("".join(cell["source"]), cell["cell_type"] == "code") for cell in notebook["cells"]] == [
        (cell.source, cell.is_code) for cell in cells
    ]
    kinds = [
        kind for cell in notebook["cells"] for output in cell.get("outputs", ()) for kind in output.get("data", ())
    ]
    assert kinds == ["image/jpeg"] * 2
