"""The demo, whole: from nothing to pictures and numbers; repeated, it finds its work done."""

import json
import pathlib
import subprocess
import sys

import pytest

from beam_jobs import demo
from od_core.checks.detections import check_detections
from od_core.video.frames import VideoFrame, read_video

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["detections", "metrics", "model", "pictures", "records", "scene"]


def test_the_demo_goes_the_whole_way_and_has_nothing_to_do_when_repeated(tmp_path, capsys):
    output = tmp_path / "demo out"
    assert demo.main(["--output", str(output), "--workers", "2"]) == 0
    first = capsys.readouterr().out
    for job in ("convert", "infer", "render"):
        assert f"{job}: finished in " in first
    assert "evaluate: 290 frames evaluated" in first
    assert sorted(path.name for path in output.iterdir()) == FOLDERS  # and nothing hidden

    records = json.loads((output / "records/manifest.json").read_text())
    assert sum(shard["records"] for shard in records["details"]["shards"]) == 40
    assert {shard["split"] for shard in records["details"]["shards"]} == {"train", "val"}
    report = check_detections(output / "detections")
    assert report.problems == []
    assert report.rows_by == {"kind": {"image": 40, "video": 250}, "status": {"done": 290}}
    # The detector has never seen these harbours.
    metrics = json.loads((output / "metrics/metrics.json").read_text())["metrics"]
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] > 0.8
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] > 0.8

    drawn = sorted((output / "pictures/JPEGImages").iterdir())
    assert [path.name for path in drawn] == [f"harbour_{number:03d}.jpg" for number in range(40)]
    original = list(read_video(output / "scene/harbour.mp4"))
    rendered = list(read_video(output / "pictures/harbour.mp4"))
    assert len(rendered) == len(original) == 250
    for before, after in zip(original, rendered, strict=True):
        assert isinstance(before, VideoFrame)
        assert isinstance(after, VideoFrame)
        assert after.timestamp_us == before.timestamp_us
        assert after.image.shape[1] > 2 * before.image.shape[1]  # two pictures side by side

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert demo.main(["--output", str(output)]) == 0
    second = capsys.readouterr().out
    for job, folder in (("convert", "records"), ("infer", "detections"), ("render", "pictures")):
        assert f"{job}: nothing to do: {output}/{folder} is complete" in second
    after = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    changed = {path.relative_to(output).as_posix() for path in before if after[path] != before[path]}
    assert {name.partition("/")[0] for name in changed} == {"metrics"}  # an evaluation is quick, and made anew


def refusal(capsys, *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        demo.main(list(argv))
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.err.count("\n")) == (2, 1)
    return printed.err


def test_a_folder_that_holds_another_scene_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "mine.jpg").write_bytes(b"x")
    assert "scene: is not the scene of this demo" in refusal(capsys, "--output", str(tmp_path))
    assert [path.name for path in (tmp_path / "scene").iterdir()] == ["mine.jpg"]
    assert not (tmp_path / "records").exists()


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("mine")
    said = refusal(capsys, "--output", str(tmp_path))
    assert f"{tmp_path}: holds manifest.json, which is not the demo's; choose another --output" in said
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    said = refusal(capsys, "--output", str(tmp_path / "file"))
    assert said.startswith(f"boxbeam demo: error: {tmp_path}/file: cannot be written (")
    assert "argument --output: must be a path" in refusal(capsys, "--output", "")


def test_a_demo_that_is_stopped_while_it_draws_leaves_no_half_scene(tmp_path):
    """Otherwise its successor would take what is there for the whole scene."""
    stop = (
        "import os, od_core.harbour.sample as sample\n"
        "sample.write_video = lambda *args, **more: os._exit(9)\n"
        "from beam_jobs import demo\n"
        f"demo.main(['--output', {str(tmp_path)!r}])"
    )
    assert subprocess.run([sys.executable, "-c", stop], cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode == 9
    assert not (tmp_path / "scene").exists()
