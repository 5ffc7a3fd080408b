"""render: long videos in ranges that are joined without a seam, whatever becomes of the run in between."""

import ctypes
import dataclasses
import hashlib
import itertools
import json
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from od_core.detections import Detections
from od_core.errors import RunStoppedError
from od_core.schemas import FrameRow
from od_core.video.frames import VideoFrame, read_video
from pipelines.dataset import fingerprint
from pipelines.items import Piece
from pipelines.job import Watch, Worker
from pipelines.render import originals
from pipelines.render.job import RenderJob
from pipelines.render.video import VideoRenderer
from pipelines.render.worker import RenderWorker
from tests.blocks_scene import draw_scene
from tests.od_core.video.video_files import noisy, write_h264
from tests.pipelines.render_files import render_it, row_of, run_it, tell, write_pngs

GROUPS_OF_10 = "keyint=10:min-keyint=10:scenecut=0:bframes=2:open-gop=1"
COUNT = 100


def told(name: str, count: int = COUNT, *, width: int = 96, height: int = 64) -> list[FrameRow]:
    """A box that moves with the frames; none in some of them."""
    return [
        FrameRow(
            name,
            "",
            "video",
            number,
            timestamp_us=number * 40_000,
            width=width,
            height=height,
            detections=Detections.best_first(
                [[0.1, 0.004 * number, 0.9, 0.5]][: number % 7], [0.9][: number % 7], [1][: number % 7]
            ),
        )
        for number in range(count)
    ]


def with_sound(silent: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    command = ["ffmpeg", "-v", "error", "-i", silent, "-f", "lavfi", "-i", "sine=300:duration=4", "-c:v", "copy"]
    subprocess.run([*map(str, command), "-c:a", "aac", str(path)], check=True, timeout=60)
    silent.unlink()
    return path


@pytest.fixture
def video(tmp_path: pathlib.Path) -> pathlib.Path:
    """100 frames in 10 groups, with B-frames and sound, and what was found in it."""
    (tmp_path / "in").mkdir()
    path = with_sound(write_h264(tmp_path / "silent.mkv", noisy(COUNT), GROUPS_OF_10), tmp_path / "in/long.mkv")
    tell(tmp_path, *told("long.mkv"))
    return path


def ranges_of(video: pathlib.Path, count: int) -> int:
    """The bytes of a range, where so many are wanted."""
    return -(-video.stat().st_size // count)


@pytest.fixture
def whole_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which videos were decoded as a whole."""
    seen: list[str] = []

    def seen_read(path: str, **options: Any) -> Iterator[Any]:
        seen.append(pathlib.Path(path).name)
        return read_video(path, **options)

    monkeypatch.setattr(originals, "read_video", seen_read)
    return seen


def seen_in(path: pathlib.Path) -> tuple[list[tuple[int, int | None, str]], list[tuple[int, int]]]:
    """Every frame (number, time, pixels) and every packet of sound (time, bytes) of a video."""
    frames = [frame for frame in read_video(path) if isinstance(frame, VideoFrame)]
    with av.open(str(path)) as container:
        sound = [(p.pts, p.size) for p in container.demux(audio=0) if p.size] if container.streams.audio else []
    return [(f.index, f.timestamp_us, hashlib.sha256(f.image).hexdigest()) for f in frames], sound  # type: ignore[misc]


def keyframes(path: pathlib.Path) -> list[int]:
    with av.open(str(path)) as container:
        return [n for n, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]


def close_to(one: pathlib.Path, other: pathlib.Path) -> None:
    """The same frames but for what compression makes of them."""
    pairs = zip(read_video(one), read_video(other), strict=True)
    for a, b in pairs:
        assert isinstance(a, VideoFrame)
        assert isinstance(b, VideoFrame)
        assert a.timestamp_us == b.timestamp_us
        assert np.abs(a.image.astype(int) - b.image).mean() < 20  # of the frame before or after: 60 and more


def test_ranges_join_to_what_one_piece_gives(
    tmp_path: pathlib.Path, video: pathlib.Path, whole_reads: list[str]
) -> None:
    (whole,) = render_it(tmp_path, "whole").values()
    assert (whole["frames"], whole["audio"], whole_reads) == (COUNT, "copied", ["long.mkv"])
    assert render_it(tmp_path, "ranges", range_bytes=ranges_of(video, 4)) == {"long.mkv": whole}
    assert whole_reads == ["long.mkv"]
    paths = tmp_path / "whole/long.mkv.mp4", tmp_path / "ranges/long.mkv.mp4"
    (frames, sound), (joined, joined_sound) = map(seen_in, paths)
    assert [frame[:2] for frame in joined] == [frame[:2] for frame in frames]
    assert joined_sound == sound
    close_to(*paths)
    assert keyframes(paths[0]) == [0, 60]
    assert len(keyframes(paths[1])) == 4  # one at each seam
    command = ["ffmpeg", "-v", "warning", "-i", paths[1], "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=60).stderr == b""


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: pathlib.Path, video: pathlib.Path) -> None:
    job = RenderJob(range_bytes=ranges_of(video, 7))
    rows = [run_it(tmp_path, f"by_{count}", job, count) for count in (1, 2)]
    rows.append(run_it(tmp_path, "by_beam", job, runner="FnApiRunner"))  # as a cluster does: planned by a worker
    assert rows[0] == rows[1] == rows[2]
    files = [(tmp_path / f"by_{name}/long.mkv.mp4").read_bytes() for name in ("1", "2", "beam")]
    assert files[0] == files[1] == files[2]
    report = json.loads((tmp_path / "by_2/manifest.json").read_text())["counts"]
    assert (report["inputs"], report["done"], report["frames"]) == (1, 1, COUNT)


@pytest.mark.parametrize("method", ["render_range", "join"])
def test_a_run_that_is_stopped_goes_on_where_it_was(
    tmp_path: pathlib.Path, video: pathlib.Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    job = RenderJob(range_bytes=ranges_of(video, 4))
    expected = run_it(tmp_path, "undisturbed", job)
    calls: list[str] = []

    def spied(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def spy(*args: Any) -> Any:
            calls.append(name)
            if name == method and calls.count(name) == (3 if name == "render_range" else 1):
                raise RunStoppedError("SIGINT")
            return original(*args)

        return spy

    for name in ("render_range", "join"):
        monkeypatch.setattr(VideoRenderer, name, spied(name, getattr(VideoRenderer, name)))
    with pytest.raises(RunStoppedError):
        run_it(tmp_path, "out", job)
    assert run_it(tmp_path, "out", job) == expected
    # What was under way is done again, and nothing else.
    assert (calls.count("render_range"), calls.count("join")) == ((5, 1) if method == "render_range" else (4, 2))
    assert (tmp_path / "out/long.mkv.mp4").read_bytes() == (tmp_path / "undisturbed/long.mkv.mp4").read_bytes()


@dataclasses.dataclass(frozen=True)
class DeadlyRangeJob(RenderJob):
    """render, but for a range that kills its process."""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _DeadlyRangeWorker(self, output, fingerprint(self))


class _DeadlyRangeWorker(RenderWorker):
    def _range(self, piece: Piece, watch: Watch) -> None:
        if piece.start and piece.stop < piece.total:
            ctypes.string_at(0)
        super()._range(piece, watch)


def test_where_a_range_cannot_be_done_the_video_is_rendered_whole(tmp_path: pathlib.Path, video: pathlib.Path) -> None:
    expected = render_it(tmp_path, "whole")
    assert run_it(tmp_path, "out", DeadlyRangeJob(range_bytes=ranges_of(video, 3)), 2) == expected
    assert (tmp_path / "out/long.mkv.mp4").read_bytes() == (tmp_path / "whole/long.mkv.mp4").read_bytes()


def test_a_video_whose_ranges_do_not_fit_is_rendered_whole(
    tmp_path: pathlib.Path, video: pathlib.Path, whole_reads: list[str]
) -> None:
    with av.open(str(video)) as container:
        packet = bytes(next(itertools.islice(container.demux(video=0), 44, None)))
    content = video.read_bytes()
    at = content.index(packet)
    video.write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])
    tell(tmp_path, *told("long.mkv", COUNT - 1))
    expected = render_it(tmp_path, "whole")
    assert expected["long.mkv"]["frames"] == COUNT - 1
    whole_reads.clear()
    assert render_it(tmp_path, "ranges", range_bytes=ranges_of(video, 4)) == expected
    assert whole_reads == ["long.mkv"]
    assert (tmp_path / "ranges/long.mkv.mp4").read_bytes() == (tmp_path / "whole/long.mkv.mp4").read_bytes()


def test_a_video_that_cannot_be_cut_is_decoded_once(tmp_path: pathlib.Path, whole_reads: list[str]) -> None:
    (tmp_path / "in").mkdir()
    video = write_h264(tmp_path / "in/one.mp4", noisy(40), "keyint=1000:scenecut=0")
    tell(tmp_path, *told("one.mp4", 40))
    expected = render_it(tmp_path, "whole")
    whole_reads.clear()
    assert render_it(tmp_path, "ranges", range_bytes=ranges_of(video, 4)) == expected
    assert whole_reads == []  # the first range has everything
    assert seen_in(tmp_path / "ranges/one.mp4") == seen_in(tmp_path / "whole/one.mp4")


@pytest.mark.parametrize(
    "options",
    [{"only": "detections"}, {"unsampled": "skip"}, {"unsampled": "hold"}, {"codec": "vp9"}, {"codec": "av1"}],
    ids=lambda options: "-".join(options.values()),
)
def test_times_are_those_of_one_piece_whatever_is_left_out(tmp_path: pathlib.Path, options: dict[str, str]) -> None:
    (tmp_path / "in").mkdir()
    steps = np.random.default_rng(3).integers(1, 400, COUNT)
    video = write_h264(
        tmp_path / "in/vfr.mkv",
        noisy(COUNT),
        GROUPS_OF_10,
        times=np.cumsum(steps).tolist(),
        time_base=Fraction(1, 1000),
    )
    rows = told("vfr.mkv")
    tell(tmp_path, *(rows[::3] if "unsampled" in options else rows))
    (whole,) = render_it(tmp_path, "whole", **options).values()
    (joined,) = render_it(tmp_path, "ranges", range_bytes=ranges_of(video, 6), **options).values()
    assert joined == whole
    assert int(joined["frames"]) > 30  # type: ignore[call-overload]
    close_to(tmp_path / "whole/vfr.mkv.mp4", tmp_path / "ranges/vfr.mkv.mp4")


def test_a_video_without_rows_is_empty(tmp_path: pathlib.Path, video: pathlib.Path) -> None:
    write_pngs(tmp_path / "in", "a.png")
    tell(tmp_path, row_of("a.png", draw_scene(0)))
    rows = render_it(tmp_path, range_bytes=ranges_of(video, 3))
    assert list(rows) == ["a.png"]
    counts = json.loads((tmp_path / "out/manifest.json").read_text())["counts"]
    assert (counts["done"], counts["empty"]) == (1, 1)


def test_another_video_than_that_of_the_detections_fails_once(tmp_path: pathlib.Path, video: pathlib.Path) -> None:
    more = [*told("long.mkv"), *told("long.mkv", 130)[100:]]
    tell(tmp_path, *more)
    expected = render_it(tmp_path, "whole")
    assert expected["long.mkv"]["error"]["message"].startswith("it ends before the detections do")  # type: ignore[index]
    assert render_it(tmp_path, "ranges", range_bytes=ranges_of(video, 4)) == expected
