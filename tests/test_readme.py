"""The README's commands and snippets work when pasted, with the paths of a model and inputs that exist."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from od_core.sample_model import SAMPLE_LABEL_MAP, write_frozen_graph
from od_core.sample_scene import write_images, write_video

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder that holds what the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "exported/saved_model").mkdir(parents=True)
    write_frozen_graph(folder / "exported/saved_model/frozen_inference_graph.pb")
    (folder / "labels.pbtxt").write_text(SAMPLE_LABEL_MAP)
    write_images(folder / "photos", 3)
    write_video(folder / "clips/one.mp4", 20)
    (folder / "photo.jpg").write_bytes((folder / "photos/scene_000.jpg").read_bytes())
    (folder / ".venv").symlink_to(pathlib.Path(sys.executable).parents[1])
    return folder


def blocks(language: str, heading: str) -> list[str]:
    section = README.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_with_your_own_model(place: pathlib.Path) -> None:
    (commands,) = blocks("", "With your own model")
    lines = commands.splitlines()
    assert len(lines) == 2
    for line in lines:
        done = subprocess.run(line, shell=True, cwd=place, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    (snippet,) = blocks("python", "With your own model")
    printed = run_python(snippet, place).splitlines()
    assert len(printed) == 23
    assert all("'red'" in line for line in printed)


def test_from_python(place: pathlib.Path) -> None:
    (snippet,) = blocks("python", "From Python")
    printed = run_python(snippet, place).splitlines()
    assert [line.split()[0] for line in printed] == ["red", "green", "blue"]


def run_python(snippet: str, folder: pathlib.Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(README.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", snippet]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
