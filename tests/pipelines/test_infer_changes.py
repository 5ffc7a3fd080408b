"""What changes while infer runs: inputs that grow, are replaced or vanish, and the model itself."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from beam_jobs import infer
from od_core.checks.detections import check_detections
from od_core.images import MAX_FILE_BYTES
from od_core.model.detector import open_detector
from od_core.model.tf_session import SessionDetector
from od_core.records.tfrecord import write_record
from pipelines.infer import job as infer_job
from pipelines.infer import worker as infer_worker
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import write_images, write_video
from tests.od_core.model.model_exports import tf2_saved_model
from tests.pipelines.test_infer import example

Rows = list[dict[str, Any]]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A model and inputs of every kind."""
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_images(tmp_path / "in", 4)
    write_video(tmp_path / "in/clip.mkv", 30)
    with open(tmp_path / "in/some.tfrecord", "wb") as file:
        for number in range(3):
            write_record(file, example((tmp_path / f"in/scene_{number:03}.jpg").read_bytes(), f"id{number}"))
    return tmp_path


def run(place: pathlib.Path, output: str = "out", *more: str, model: str = "model.pb") -> int:
    command = ["--model", model, "--label_map", "labels.pbtxt", "--input", "in", "--output", output]
    paths = [word if word.startswith("--") else str(place / word) for word in command]
    return infer.main([*paths, "--isolation", "none", "--progress", "off", *more])


def rows_of(output: pathlib.Path) -> Rows:
    assert check_detections(output).problems == []
    return sorted(
        pq.read_table(sorted(output.glob("*.parquet"))).to_pylist(), key=lambda row: repr(list(row.items())[:6])
    )


def append(path: pathlib.Path) -> None:
    with path.open("ab") as file:
        file.write(b"more of it")


def touch(path: pathlib.Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5_000_000))


def between_plan_and_work(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Do something when the inputs are listed and the model is opened for the first of them."""

    def changed(*args: Any, **options: Any) -> Any:
        change()
        monkeypatch.setattr(infer_worker, "open_detector", open_detector)
        return open_detector(*args, **options)

    monkeypatch.setattr(infer_worker, "open_detector", changed)


@pytest.mark.parametrize("change", [append, touch, pathlib.Path.unlink])
def test_an_input_that_changes_before_its_turn_fails_and_the_next_run_does_it_anew(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pathlib.Path], object]
) -> None:
    changing = [place / "in" / name for name in ("scene_001.jpg", "clip.mkv", "some.tfrecord")]
    between_plan_and_work(monkeypatch, lambda: [change(path) for path in changing])
    assert run(place) == 3
    rows = rows_of(place / "out")
    said = "o such file" if change is pathlib.Path.unlink else "it changed while the run went on"
    failed = {row["key"]: row["error"] for row in rows if row["status"] == "failed"}
    failed.pop("some.tfrecord#3", None)  # what was appended is no record either
    assert failed.keys() == {path.name for path in changing}
    assert all(said in error["message"] for error in failed.values())
    assert {row["key"] for row in rows if row["status"] == "done"} >= {f"scene_{n:03}.jpg" for n in (0, 2, 3)}
    assert run(place) == run(place, "fresh")
    assert rows_of(place / "out") == rows_of(place / "fresh")


def test_a_video_that_changes_while_it_is_decoded_has_no_say(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SessionDetector.detect
    seen: list[int] = []

    def detect(self: SessionDetector, images: Any, **options: Any) -> Any:
        if images.any():  # opening looks at a black image
            if not seen:
                touch(place / "in/clip.mkv")
            seen.append(len(images))
        return real(self, images, **options)

    monkeypatch.setattr(SessionDetector, "detect", detect)
    assert run(place) == 3
    failed = [row for row in rows_of(place / "out") if row["status"] == "failed"]
    assert [(row["key"], row["frame_index"]) for row in failed] == [("clip.mkv", None)]
    assert "it changed while the run went on (in place)" in failed[0]["error"]["message"]
    assert run(place) == run(place, "fresh") == 0
    assert rows_of(place / "out") == rows_of(place / "fresh")


def test_a_long_video_that_changes_between_its_ranges_is_done_again_in_the_same_run(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = place / "in/clip.mkv"
    monkeypatch.setattr(infer_job, "_VIDEO_BYTES_PER_RANGE", clip.stat().st_size // 3)
    between_plan_and_work(monkeypatch, lambda: touch(clip))
    assert run(place) == 0
    frames = [row["frame_index"] for row in rows_of(place / "out") if row["key"] == "clip.mkv"]
    assert sorted(frames) == list(range(30))


def test_with_identity_content_bytes_tell_inputs_apart_and_times_do_not(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((place / "in").iterdir())
    between_plan_and_work(monkeypatch, lambda: [touch(path) for path in files])
    assert run(place, "out", "--identity", "content") == 0  # the touched are the same inputs still
    assert run(place, "by_time") == 0
    assert rows_of(place / "out") == rows_of(place / "by_time")
    before = {path.name for path in (place / "out").glob("*.parquet")}
    for path in files:
        touch(path)
    capsys.readouterr()
    assert run(place, "out", "--identity", "content") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert {path.name for path in (place / "out").glob("*.parquet")} == before
    # Bytes of the same number and time, which `time` cannot tell apart.
    for name, other in (("scene_001.jpg", 99), ("clip.mkv", 98)):
        path = place / "in" / name
        content, times = path.read_bytes(), path.stat()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ other]))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    run(place, "out", "--identity", "content")
    report = json.loads((place / "out/run.json").read_text())["this_run"]
    assert (report["failed"], report["frames"], report["done"] + report["empty"]) == (1, 30, 1)  # a JPEG's end is gone
    assert rows_of(place / "out") == (run(place, "fresh"), rows_of(place / "fresh"))[1]
    for output, options, words in (
        ("out", (), "content, now not there"),
        ("by_time", ("--identity", "content"), "not there, now content"),
    ):
        assert run(place, output, *options) == 2
        assert f"made with other options: --identity was {words}" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["frozen graph", "SavedModel"])
@pytest.mark.parametrize("change", ["replaced", "removed", "damaged"])
def test_a_model_that_is_not_the_planned_one_any_more_stops_the_run(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str, change: str
) -> None:
    if form == "SavedModel":
        part = tf2_saved_model(place / "saved") / "variables/variables.data-00000-of-00001"
        model = "saved"
    else:
        part, model = place / "model.pb", "model.pb"
    former = part.read_bytes()
    after = {"replaced": former[:-1] + bytes([former[-1] ^ 1]), "damaged": former[: len(former) // 2]}
    if form == "frozen graph":
        write_frozen_graph(place / "other.pb", "float_image_tensor")
        after["replaced"] = (place / "other.pb").read_bytes()
    between_plan_and_work(monkeypatch, part.unlink if change == "removed" else lambda: part.write_bytes(after[change]))
    assert run(place, model=model) == 1
    printed = capsys.readouterr().err
    assert "the model was replaced or removed while the run went on" in printed
    assert "put the former one back and repeat the command" in printed
    assert "Traceback" not in printed
    part.write_bytes(former)
    assert run(place, model=model) == 0
    assert len(rows_of(place / "out")) == 4 + 30 + 3


def test_a_file_larger_than_any_image_is_not_read(place: pathlib.Path, opened_files: list[str]) -> None:
    with open(place / "in/huge.jpg", "wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(3 << 30)  # sparse: it takes no room
    assert run(place) == 3
    (failed,) = [row for row in rows_of(place / "out") if row["status"] == "failed"]
    assert failed["error"]["message"] == (
        f"a file of 3,221,225,472 bytes, which is more than {MAX_FILE_BYTES >> 20} MiB, more than any image that is"
        " decoded"
    )
    assert "scene_000.jpg" in opened_files
    assert "huge.jpg" not in opened_files
