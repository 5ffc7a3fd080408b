"""A folder is there whole, or not at all."""

import json
import pathlib
import subprocess
import sys

import pytest

from od_core.errors import OutputError
from od_core.folder_commit import check_folder, commit_folder


def make(place: pathlib.Path, **files: str) -> None:
    with commit_folder(str(place), "test/1", {"said": 1}) as folder:
        (folder / "sub").mkdir()
        for name, text in files.items():
            (folder / "sub" / name).write_text(text)


def content(place: pathlib.Path) -> dict[str, str]:
    return {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}


def test_the_folder_is_replaced_as_a_whole(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "deep/out"
    make(place, a="1", b="2")
    make(place, b="3")
    files = content(place)
    assert json.loads(files.pop("manifest.json")) == {"boxbeam": "test/1", "said": 1}
    assert files == {"sub/b": "3"}
    assert [path.name for path in place.parent.iterdir()] == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "out"
    make(place, a="1")

    def fail() -> None:
        with commit_folder(str(place), "test/1", {}) as folder:
            (folder / "a").touch()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert content(place)["sub/a"] == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_run_is_cleared_up_by_the_next(tmp_path: pathlib.Path) -> None:
    code = f"""
import os, signal
from od_core.folder_commit import commit_folder
with commit_folder({str(tmp_path / "out")!r}, "test/1", {{}}) as folder:
    (folder / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=pathlib.Path(__file__).parents[2], check=False)
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.rglob("half"))
    make(tmp_path / "out", a="1")
    assert not list(tmp_path.rglob("half"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_at_once_are_not_for_one_folder(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "out"
    with commit_folder(str(place), "test/1", {}) as folder:
        (folder / "first").touch()
        with pytest.raises(OutputError, match="another run is making it"):
            make(place, a="1")
    assert (place / "first").exists()


def test_other_peoples_files_are_not_replaced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text('{"boxbeam": "manifest/1"}')
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="is a file"):
        check_folder(str(tmp_path / "file"), "test/1")
    with pytest.raises(OutputError, match="would be lost"):
        make(tmp_path / "other")
    with pytest.raises(OutputError, match="local disks"):
        check_folder("s3://bucket/out", "test/1")
    make(tmp_path / "empty", a="1")
