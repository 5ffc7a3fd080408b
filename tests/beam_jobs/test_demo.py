"""The demo, whole: from nothing to a dataset that agrees with what was drawn; repeated, it finds its work done."""

import json
import pathlib
import subprocess
import sys

import pytest

from beam_jobs import demo
from od_core.detections_check import check_detections

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_the_demo_finds_every_block_and_has_nothing_to_do_when_repeated(tmp_path, capsys):
    output = tmp_path / "demo out"
    assert demo.main(["--output", str(output), "--workers", "2"]) == 0
    first = capsys.readouterr().out
    assert "infer: finished in " in first
    # A scene holds three blocks, every fourth only two: 24 images and 100 frames.
    assert "3. compared with what was drawn: 341 of 341 blocks found" in first

    report = check_detections(output / "detections")
    assert report.problems == []
    assert (report.rows, report.keys, report.detections) == (124, 25, 341)
    assert report.rows_by == {"kind": {"image": 24, "video": 100}, "status": {"done": 124}}
    assert report.labels == {"red": 124, "green": 124, "blue": 93}
    assert sorted(path.name for path in output.iterdir()) == ["detections", "model", "sample"]  # and nothing hidden
    ran = json.loads((output / "detections" / "run.json").read_text())
    assert (ran["status"], ran["processes"], ran["threads"]) == ("finished", 1, 2)
    assert (ran["this_run"]["images"], ran["this_run"]["frames"], ran["incidents"]) == (24, 100, 0)

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert demo.main(["--output", str(output)]) == 0
    second = capsys.readouterr().out
    assert f"infer: nothing to do: {output}/detections is complete" in second
    assert "341 of 341 blocks found" in second
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def refusal(capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        demo.main(list(argv))
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.err.count("\n")) == (2, 1)
    return printed.err


def test_a_folder_that_holds_another_sample_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "mine.jpg").write_bytes(b"x")
    assert "sample: holds something else than the sample of this demo" in refusal(capsys, "--output", str(tmp_path))
    assert [path.name for path in (tmp_path / "sample").iterdir()] == ["mine.jpg"]
    assert not (tmp_path / "detections").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    said = refusal(capsys, "--output", str(tmp_path / "file"))
    assert said.startswith(f"boxbeam demo: error: {tmp_path}/file: cannot be written (")
    assert "argument --output: must be a path" in refusal(capsys, "--output", "")


def test_a_demo_that_is_stopped_while_it_draws_leaves_no_half_sample(tmp_path):
    """Otherwise its successor would take what is there for the whole sample."""
    stop = (
        "import os, od_core.sample_scene as scene\n"
        "scene.write_video = lambda *args, **more: os._exit(9)\n"
        "from beam_jobs import demo\n"
        f"demo.main(['--output', {str(tmp_path)!r}])"
    )
    assert subprocess.run([sys.executable, "-c", stop], cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode == 9
    assert not (tmp_path / "sample").exists()
