"""Long videos through infer's command line: in ranges, stopped in the middle, and whole where ranges do not fit."""

import itertools
import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_jobs import infer
from od_core.checks.detections import check_detections
from od_core.detections import Detections
from od_core.errors import RunStoppedError
from od_core.model.detector import Signature
from pipelines.grouping import ItemLimit
from pipelines.infer import job as infer_job
from pipelines.infer import worker as infer_worker
from tests.od_core.video.video_files import noisy, write_h264

Run = Callable[..., int]
Read = tuple[str, int]
GROUPS_OF_10 = "keyint=10:min-keyint=10:scenecut=0:bframes=2:open-gop=1"


class MeanDetector:
    """Stands in for a model: one box per image, whose edges tell its mean and its corner."""

    signature = Signature("frozen_graph", "image_tensor", "image_tensor:0", {}, None)

    def detect(self, images: np.ndarray, **_: object) -> list[Detections]:
        means = images.reshape(len(images), -1).mean(axis=1) / 255
        corners = images[:, 0, 0, 0] / 255
        boxes = np.stack([np.zeros_like(means), np.zeros_like(means), means, corners], axis=1).astype(np.float32)
        return [Detections(box[None], np.ones(1, np.float32), np.ones(1, np.int32)) for box in boxes]

    def decode_jpeg(self, encoded: bytes) -> np.ndarray:
        raise NotImplementedError

    def close(self) -> None:
        pass


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run infer in this process on tmp_path/in."""
    monkeypatch.setattr(infer_worker, "open_detector", lambda path, **_: MeanDetector())
    (tmp_path / "model.pb").write_bytes(b"not opened")
    (tmp_path / "labels.pbtxt").write_text("item { id: 1 name: 'mean' }")

    def run_it(output: str, *more: str) -> int:
        return infer.main(
            [
                *("--model", str(tmp_path / "model.pb"), "--label_map", str(tmp_path / "labels.pbtxt")),
                *("--input", str(tmp_path / "in"), "--output", str(tmp_path / output)),
                *("--isolation", "none", "--workers", "1", "--progress", "plain", *more),
            ]
        )

    return run_it


@pytest.fixture
def video(tmp_path: pathlib.Path) -> pathlib.Path:
    """100 frames in 10 groups."""
    (tmp_path / "in").mkdir()
    return write_h264(tmp_path / "in/long.mkv", noisy(100), GROUPS_OF_10)


@pytest.fixture
def short_ranges(video: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Call it, and videos are cut into so many ranges."""

    def cut(ranges: int) -> None:
        monkeypatch.setattr(infer_job, "_VIDEO_BYTES_PER_RANGE", -(-video.stat().st_size // ranges))
        one_each = {kind: ItemLimit(1, 1) for kind in ("image", "video", "record")}
        monkeypatch.setattr(infer_job, "_ITEM_LIMITS", one_each)

    return cut


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Read]:
    """Which ranges (by their start) and whole videos (start -1) were read, in order."""
    seen: list[Read] = []
    read_range, read_video = infer_worker.read_range, infer_worker.read_video

    def range_seen(path: str, scan: Any, start: int, *more: Any, **options: Any) -> Iterator[Any]:
        seen.append((pathlib.Path(path).name, start))
        return read_range(path, scan, start, *more, **options)

    def video_seen(path: str, **options: Any) -> Iterator[Any]:
        seen.append((pathlib.Path(path).name, -1))
        return read_video(path, **options)

    monkeypatch.setattr(infer_worker, "read_range", range_seen)
    monkeypatch.setattr(infer_worker, "read_video", video_seen)
    return seen


def damage(video: pathlib.Path) -> None:
    """Spoil the 44th packet for the decoder; the container stays as it is."""
    with av.open(str(video)) as container:
        packet = bytes(next(itertools.islice(container.demux(video=0), 44, None)))
    content = video.read_bytes()
    at = content.index(packet)
    video.write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    assert check_detections(output).problems == []
    return pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()


def counts_of(output: pathlib.Path) -> dict[str, int]:
    return json.loads((output / "manifest.json").read_text())["counts"]


@pytest.mark.parametrize("options", [(), ("--keyframes", "--start", "1.3")])
def test_rows_are_the_same_for_any_number_of_ranges(
    run: Run,
    tmp_path: pathlib.Path,
    short_ranges: Callable[[int], None],
    reads: list[Read],
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    write_h264(tmp_path / "in/short.mp4", noisy(50), GROUPS_OF_10)
    assert run("in_1", *options) == 0
    for ranges in (3, 14):  # of 14, some hold no keyframe and so nothing
        short_ranges(ranges)
        reads.clear()
        assert run(f"in_{ranges}", *options) == 0
        assert [start >= 0 for name, start in reads if name == "long.mkv"] == [True] * ranges
        printed = capsys.readouterr().out
        assert "2 inputs: 2 done, 0 empty, 0 failed" in printed
    one = rows_of(tmp_path / "in_1")
    assert {row["key"] for row in one} == {"long.mkv", "short.mp4"}
    for ranges in (3, 14):
        assert rows_of(tmp_path / f"in_{ranges}") == one
        assert counts_of(tmp_path / f"in_{ranges}") == counts_of(tmp_path / "in_1")
        report = json.loads((tmp_path / f"in_{ranges}/run.json").read_text())
        assert {name: report["this_run"][name] for name in ("done", "empty", "failed")} == {
            "done": 2,
            "empty": 0,
            "failed": 0,
        }


def test_rows_in_ranges_are_those_of_the_video_decoded_whole(
    run: Run, tmp_path: pathlib.Path, short_ranges: Callable[[int], None], reads: list[Read]
) -> None:
    assert run("whole") == 0
    assert reads == [("long.mkv", -1)]
    short_ranges(5)
    assert run("ranges") == 0
    assert rows_of(tmp_path / "ranges") == rows_of(tmp_path / "whole")
    assert [row["frame_index"] for row in rows_of(tmp_path / "whole")] == list(range(100))
    assert run("ranges") == 0  # there is nothing to do
    assert len(reads) == 6


@pytest.mark.shared
def test_real_videos_give_the_same_rows_whole_and_in_ranges(
    run: Run, tmp_path: pathlib.Path, shared: pathlib.Path, reads: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MeanDetector.detect
    monkeypatch.setattr(MeanDetector, "detect", lambda self, images, **more: real(self, images[:, ::8, ::8], **more))
    (tmp_path / "in").symlink_to(shared / "data/videos")
    assert run("whole") == 3  # some are there to fail
    assert {start for _, start in reads} == {-1}
    reads.clear()
    on_grid = infer_job.on_grid
    monkeypatch.setattr(infer_job, "on_grid", lambda source, _: on_grid(source, -(-source.size // 3)))
    monkeypatch.setattr(infer_job, "_VIDEO_BYTES_PER_RANGE", 1)
    assert run("ranges") == 3
    assert len({name for name, start in reads if start > 0}) >= 22
    assert rows_of(tmp_path / "ranges") == rows_of(tmp_path / "whole")
    assert counts_of(tmp_path / "ranges") == counts_of(tmp_path / "whole")


def test_stopped_in_the_middle_of_a_video_only_unfinished_ranges_are_done_again(
    run: Run,
    tmp_path: pathlib.Path,
    short_ranges: Callable[[int], None],
    reads: list[Read],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short_ranges(5)
    assert run("at_once") == 0
    starts = [start for _, start in reads]
    assert len(set(starts)) == 5
    reads.clear()
    read_range = infer_worker.read_range

    def stopped(path: str, scan: Any, start: int, *more: Any, **options: Any) -> Iterator[Any]:
        for number, element in enumerate(read_range(path, scan, start, *more, **options)):
            if len(reads) == 3 and number == 5:
                raise RunStoppedError("SIGINT")
            yield element

    with monkeypatch.context() as patch:
        patch.setattr(infer_worker, "read_range", stopped)
        assert run("out") == 130
    assert [start for _, start in reads] == starts[:3]
    assert not (tmp_path / "out/manifest.json").exists()
    reads.clear()
    short_ranges(3)  # other ranges do not matter: what is done is known by its place in the file
    assert run("out") == 0
    assert min(start for _, start in reads) == starts[2]
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "at_once")
    assert counts_of(tmp_path / "out") == counts_of(tmp_path / "at_once")


def test_a_damaged_video_is_decoded_whole(
    run: Run,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    short_ranges: Callable[[int], None],
    reads: list[Read],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(video)
    assert run("whole") == 3
    reads.clear()
    capsys.readouterr()
    short_ranges(5)
    assert run("ranges") == 3
    assert [start for _, start in reads][-1] == -1
    printed = capsys.readouterr()
    assert "long.mkv is to be done in one go, as pieces of it may not fit together: The h264 data" in printed.err
    assert "1 input: 0 done, 0 empty, 1 failed" in printed.out
    rows = rows_of(tmp_path / "ranges")
    assert rows == rows_of(tmp_path / "whole")
    assert counts_of(tmp_path / "ranges") == counts_of(tmp_path / "whole")
    failed, *_ = (row["error"] for row in rows if row["status"] == "failed")
    assert 35 <= failed["last_frame_index"] <= 50
    reads.clear()
    assert run("ranges") == 3
    assert reads == []
    assert run("ranges", "--retry_failed") == 3
    assert rows_of(tmp_path / "ranges") == rows


def test_stopped_before_the_second_go_the_run_continues_with_it(
    run: Run,
    video: pathlib.Path,
    tmp_path: pathlib.Path,
    short_ranges: Callable[[int], None],
    reads: list[Read],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(video)
    short_ranges(5)

    def stopped(path: str, **options: Any) -> Iterator[Any]:
        raise RunStoppedError("SIGINT")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(infer_worker, "read_video", stopped)
        assert run("out") == 130
    reads.clear()
    assert run("out") == 3
    assert reads == [("long.mkv", -1)]
    assert run("fresh") == 3
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "fresh")


def test_a_long_video_that_cannot_be_cut_is_done_by_its_first_range(
    run: Run, video: pathlib.Path, tmp_path: pathlib.Path, short_ranges: Callable[[int], None]
) -> None:
    write_h264(video, noisy(60), "keyint=250:scenecut=0")
    assert run("whole") == 0
    short_ranges(4)
    assert run("ranges") == 0
    assert rows_of(tmp_path / "ranges") == rows_of(tmp_path / "whole")


def test_a_long_file_that_is_no_video_is_one_failed_row(
    run: Run, video: pathlib.Path, tmp_path: pathlib.Path, short_ranges: Callable[[int], None]
) -> None:
    short_ranges(4)
    video.write_bytes(np.random.default_rng(1).bytes(video.stat().st_size))
    assert run("out") == 3
    (row,) = rows_of(tmp_path / "out")
    assert (row["key"], row["frame_index"], row["status"]) == ("long.mkv", None, "failed")
    assert counts_of(tmp_path / "out")["failed"] == 1


def test_a_range_whose_work_breaks_down_costs_only_itself(
    run: Run,
    tmp_path: pathlib.Path,
    short_ranges: Callable[[int], None],
    reads: list[Read],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short_ranges(5)
    assert run("good") == 0
    lost = sorted(start for _, start in reads)[2]
    read_range = infer_worker.read_range

    def breaking(path: str, scan: Any, start: int, *more: Any, **options: Any) -> Iterator[Any]:
        if start == lost:
            raise ArithmeticError("no such luck")
        return read_range(path, scan, start, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(infer_worker, "read_range", breaking)
        assert run("out") == 3
    good, rows = rows_of(tmp_path / "good"), rows_of(tmp_path / "out")
    assert counts_of(tmp_path / "out")["failed_frames"] == 1
    (failed,) = (row for row in rows if row["status"] == "failed")
    assert failed["error"]["message"] == ("the part from 40% to 60% of the file's bytes: ArithmeticError: no such luck")
    place = rows.index(failed)
    left = len(rows) - place - 1
    assert rows[:place] == good[:place]
    assert rows[place + 1 :] == good[-left:]
    assert 30 <= place < 100 - left <= 70
    assert run("out", "--retry_failed") == 0
    assert rows_of(tmp_path / "out") == good


def test_an_error_in_the_model_that_nobody_foresaw_leaves_no_decoder_waiting(
    run: Run, tmp_path: pathlib.Path, short_ranges: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    short_ranges(1)  # each video an item of its own
    write_h264(tmp_path / "in/bad.mkv", noisy(60, width=64), GROUPS_OF_10)
    real = MeanDetector.detect

    def detect(self: MeanDetector, images: np.ndarray, **_: object) -> list[Detections]:
        if images.shape[2] == 64:
            raise ArithmeticError("no such luck")
        return real(self, images)

    monkeypatch.setattr(MeanDetector, "detect", detect)
    assert run("out") == 3
    failed, *rows = rows_of(tmp_path / "out")
    assert (failed["key"], failed["error"]["message"]) == ("bad.mkv", "ArithmeticError: no such luck")
    assert [(row["key"], row["frame_index"]) for row in rows] == [("long.mkv", index) for index in range(100)]
    counts = counts_of(tmp_path / "out")
    assert (counts["failed"], counts["failed_frames"], counts["frames"]) == (1, 1, 100)
