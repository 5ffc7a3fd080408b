"""A folder is there whole, or not at all."""

import json
import pathlib
import subprocess
import sys

import pytest

from od_core import storage
from od_core.errors import OutputError
from od_core.folder_commit import check_folder, commit_folder
from tests.memory_files import MemoryFiles


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
    make(tmp_path / "empty", a="1")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryFiles:
    made = MemoryFiles()
    monkeypatch.setattr(storage, "_remote", made)
    return made


def test_on_an_object_store_the_manifest_goes_first_and_comes_last(bucket: MemoryFiles) -> None:
    for names in ("ab", "bc"):
        with commit_folder("mem://b/out", "test/1", {"said": 1}) as folder:
            (folder / "sub").mkdir()
            for name in names:
                (folder / "sub" / name).write_text(name * 2)
    manifest = bucket.files.pop("mem://b/out/manifest.json")
    assert json.loads(manifest) == {"boxbeam": "test/1", "said": 1}
    assert bucket.files == {"mem://b/out/sub/b": b"bb", "mem://b/out/sub/c": b"cc"}
    first, *between, last = bucket.log[-5:]
    assert first == ("remove", "mem://b/out/manifest.json")
    assert sorted(between) == [("remove", "mem://b/out/sub/a"), *(("upload", f"mem://b/out/sub/{n}") for n in "bc")]
    assert last == ("upload", "mem://b/out/manifest.json")


def test_on_an_object_store_a_failure_changes_nothing(bucket: MemoryFiles) -> None:
    def fail() -> None:
        with commit_folder("mem://b/out", "test/1", {}) as folder:
            (folder / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert bucket.log == []


def test_other_peoples_files_on_an_object_store_are_not_replaced(bucket: MemoryFiles) -> None:
    bucket.files["mem://b/mine/photo.jpg"] = b""
    for path in ("mem://b/mine", "mem://b/mine/photo.jpg"):
        with pytest.raises(OutputError, match="choose another --output"):
            check_folder(path, "test/1")
