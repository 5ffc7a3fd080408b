"""Parts of a video, cut anywhere: together they are the sequential decode, or they say that they cannot be."""

import fractions
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from od_core.errors import VideoError
from od_core.video import ranges as video_ranges
from od_core.video.frames import MAX_PIXELS, VideoDamage, VideoFrame, describe_video, read_video
from od_core.video.ranges import END, RangeEnd, read_range
from od_core.video.sampling import EVERY_FRAME, Sampling
from od_core.video.scan import PacketScan, scan_packets
from tests.od_core.video.video_files import (
    Elements,
    assert_same_frames,
    cut_off,
    cut_without_encoding,
    damages_of,
    ffprobe_frames,
    frames_of,
    noisy,
    packets,
    with_zeros,
    write_changing_size,
    write_h264,
    write_streams,
    write_video,
    write_with_cover,
)

Fraction = fractions.Fraction
GROUPS = "keyint=12:min-keyint=4:scenecut=0:bframes=3:b-adapt=0"
H265 = f"log-level=none:pools=none:frame-threads=1:{GROUPS}:open-gop=1"
MPEG = {"g": "12", "bf": "2", "sc_threshold": "1000000000"}
VPX = {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "threads": "1", "cpu-used": "8"}


def _edit_list(path: pathlib.Path) -> pathlib.Path:
    return cut_without_encoding(write_h264(path.with_stem("whole"), noisy(60), GROUPS), path, 17 * 512)


def _joined(path: pathlib.Path) -> pathlib.Path:
    one = write_h264(path, noisy(30), GROUPS)
    one.write_bytes(one.read_bytes() * 2)
    return one


def _uneven(path: pathlib.Path) -> pathlib.Path:
    times = np.cumsum(np.random.default_rng(3).integers(1, 400, 60)).tolist()
    return write_video(path, noisy(60), times=times, time_base=Fraction(1, 1000), codec_options=MPEG)


NASTY: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "open_gop.mkv": lambda path: write_h264(path, noisy(60), f"{GROUPS}:open-gop=1"),
    "open_gop.ts": lambda path: write_h264(path, noisy(60), f"{GROUPS}:open-gop=1"),
    "open_gop_hevc.mp4": lambda path: write_video(path, noisy(60), "libx265", codec_options={"x265-params": H265}),
    "intra_refresh.mkv": lambda path: write_h264(path, noisy(60), "keyint=12:intra-refresh=1:bframes=0"),
    "alt_ref.webm": lambda path: write_video(path, noisy(60), "libvpx-vp9", codec_options=VPX),
    "mpeg2.ts": lambda path: write_video(path, noisy(60), "mpeg2video", codec_options=MPEG),
    "interlaced.ts": lambda path: write_h264(path, noisy(60), f"{GROUPS}:tff=1:interlaced=1"),
    "edit_list.mp4": _edit_list,
    "uneven.mp4": _uneven,
    "cover.mp4": lambda path: write_with_cover(path, noisy(30)),
    "two_streams.mkv": lambda path: write_streams(path, noisy(30), (96, 64)),
    "sizes.ts": lambda path: write_changing_size(path, [noisy(20), noisy(20, width=128, height=80), noisy(20)]),
}
UNCUT: dict[str, tuple[Callable[[pathlib.Path], pathlib.Path], str]] = {
    "joined.ts": (_joined, "same presentation time"),
    "alt_ref_vp8.webm": (lambda path: write_video(path, noisy(40), "libvpx", codec_options=VPX), "no frames"),
    "one_group.mp4": (lambda path: write_h264(path, noisy(40), "keyint=250:scenecut=0"), "only one keyframe"),
    "b_frames.avi": (lambda path: write_video(path, noisy(40), codec_options=MPEG), "no presentation time"),
    "raw.h264": (lambda path: write_h264(path, noisy(40), GROUPS), "no presentation time"),
}
SAMPLINGS = {
    "all": EVERY_FRAME,
    "fps": Sampling(fps=Fraction(7)),
    "every": Sampling(every=5),
    "keyframes": Sampling(keyframes=True),
    "start": Sampling(start=Fraction("1.1")),
    "window": Sampling(every=2, start=Fraction("0.7"), end=Fraction("1.7")),
    "keyframes_from": Sampling(keyframes=True, start=Fraction("0.5")),
    "end": Sampling(end=Fraction("0.9")),
    "nothing": Sampling(start=Fraction(100)),
}


class Video(NamedTuple):
    path: pathlib.Path
    scan: PacketScan
    whole: Elements


def opened(path: pathlib.Path) -> Video:
    return Video(path, scan_packets(path, max_pixels=MAX_PIXELS), list(read_video(path)))


class Ranges(NamedTuple):
    """What several ranges gave; `doubt` is why the video is to be decoded whole after all."""

    elements: Elements
    doubt: str | None


def read_ranges(video: Video, cuts: Sequence[int], sampling: Sampling = EVERY_FRAME, total: int = 1000) -> Ranges:
    """The video in ranges, each read on its own, and whether they join."""
    elements: list[VideoFrame | VideoDamage] = []
    seam: str | None = None
    for start, stop in zip([0, *cuts], [*cuts, total], strict=True):
        *found, end = read_range(video.path, video.scan, start, stop, total, sampling=sampling)
        assert isinstance(end, RangeEnd)
        elements += found
        if end.broken:
            return Ranges(elements, end.broken)
        if end.first is None and end.after is None:
            continue
        if seam is not None and end.first != seam:
            return Ranges(elements, "seams differ")
        seam = end.after
    return Ranges(elements, None if seam in (None, END) else "the end is missing")


def sampled(video: Video, sampling: Sampling) -> Elements:
    return list(read_video(video.path, sampling=sampling))


def assert_same(found: Elements, expected: Elements) -> None:
    assert damages_of(found) == damages_of(expected)
    assert_same_frames(frames_of(found), frames_of(expected))


cuts = st.lists(st.integers(1, 999), max_size=4, unique=True).map(sorted)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Video]:
    """A nasty video by its name, made once."""
    folder, videos = tmp_path_factory.mktemp("nasty"), dict[str, Video]()

    def make(name: str) -> Video:
        if name not in videos:
            maker = NASTY.get(name) or UNCUT[name][0]
            videos[name] = opened(maker(folder / name))
        return videos[name]

    return make


class TestNastyVideos:
    @pytest.mark.parametrize("name", NASTY)
    @settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts=cuts)
    def test_any_cut_gives_the_sequential_decode(
        self, made: Callable[[str], Video], name: str, cuts: list[int]
    ) -> None:
        video = made(name)
        found = read_ranges(video, cuts)
        assert found.doubt is None
        assert_same(found.elements, video.whole)

    @pytest.mark.parametrize("name", [*NASTY, *UNCUT])
    @pytest.mark.parametrize("sampling", SAMPLINGS)
    def test_samplings_agree_with_the_sequential_decode(
        self, made: Callable[[str], Video], name: str, sampling: str
    ) -> None:
        video = made(name)
        if name == "raw.h264" and SAMPLINGS[sampling].options.keys() & {"--fps", "--start", "--end"}:
            with pytest.raises(VideoError, match="have no times"):
                read_ranges(video, [400], SAMPLINGS[sampling])
            return
        expected = sampled(video, SAMPLINGS[sampling])
        for cuts in ([400], [150, 300, 301, 800]):
            found = read_ranges(video, cuts, SAMPLINGS[sampling])
            if found.doubt is None:
                assert_same(found.elements, expected)
            else:  # frames are skipped here whose number nobody could then know, or keyframes are none
                assert name in ("interlaced.ts", "intra_refresh.mkv"), found.doubt
                assert sampling in ("keyframes", "keyframes_from", "start", "window")

    @pytest.mark.parametrize("name", UNCUT)
    def test_what_cannot_be_cut_is_all_in_the_first_range(self, made: Callable[[str], Video], name: str) -> None:
        video = made(name)
        assert UNCUT[name][1] in (video.scan.refusal or "")
        first = list(read_range(video.path, video.scan, 0, 500, 1000, sampling=EVERY_FRAME))
        assert first.pop() == RangeEnd(None, END)
        assert_same(first, video.whole)  # type: ignore[arg-type]
        second = list(read_range(video.path, video.scan, 500, 1000, 1000, sampling=EVERY_FRAME))
        assert second == [RangeEnd(None, None)]

    @pytest.mark.parametrize("name", [*NASTY, *UNCUT])
    def test_frames_are_those_of_ffprobe(self, made: Callable[[str], Video], name: str) -> None:
        if not shutil.which("ffprobe"):
            pytest.skip("ffprobe, which tells the expected times, is not installed (apt-get install ffmpeg)")
        video = made(name)
        unit = describe_video(video.path).time_base
        told = ffprobe_frames(video.path)
        assert damages_of(video.whole) == []
        assert len(video.whole) == len(told)
        for frame, expected in zip(frames_of(video.whole), told, strict=True):
            if frame.timestamp_us is not None:
                assert abs(frame.timestamp_us - expected["best_effort_timestamp"] * unit * 1_000_000) <= Fraction(1, 2)

    def test_the_edit_list_hides_frames(self, made: Callable[[str], Video]) -> None:
        video = made("edit_list.mp4")
        assert 0 < video.scan.is_shown.sum() < len(video.scan.is_shown) - 1  # the last is empty
        assert len(video.whole) == video.scan.is_shown.sum() == 60 - 17


def with_false_keyframes(source: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Every sixth packet of a copy says that it is a keyframe."""
    with av.open(str(source)) as read, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        for ordinal, packet in enumerate(read.demux(video=0)):
            if packet.size:
                packet.is_keyframe = ordinal % 6 == 0
                packet.stream = stream
                out.mux(packet)
    return path


class TestDoubt:
    """What is not as expected is noticed, whichever range it lies in."""

    def test_keyframes_that_are_none(self, tmp_path: pathlib.Path) -> None:
        options = {"g": "250", "sc_threshold": "1000000000"}
        made = write_video(tmp_path / "made.mp4", noisy(40), codec_options=options)
        video = opened(with_false_keyframes(made, tmp_path / "false.mp4"))
        assert len(video.scan.borders) == 7
        assert video.scan.refusal is None
        for cuts in ([900, 950], [200, 400, 600, 800]):
            assert read_ranges(video, cuts).doubt == "seams differ"
        for sampling in (Sampling(keyframes=True), Sampling(start=Fraction("1.1"))):
            assert read_ranges(video, [], sampling).doubt

    @settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cuts=cuts, hurt=st.integers(1, 58))
    def test_damage(self, made: Callable[[str], Video], cuts: list[int], hurt: int) -> None:
        whole = made("open_gop.mkv")
        position, size = packets(whole.path)[hurt]
        video = opened(with_zeros(whole.path, position + size // 3, size // 2 + 8))
        found = read_ranges(video, cuts)
        assert found.doubt or not damages_of(video.whole)
        if found.doubt is None:
            assert_same(found.elements, video.whole)

    def test_a_file_cut_off(self, made: Callable[[str], Video]) -> None:
        whole = made("open_gop.mkv")
        video = opened(cut_off(whole.path, packets(whole.path)[40][0] + 10))
        assert "cut off" in (video.scan.refusal or "")
        assert_same(read_ranges(video, [300, 600]).elements, video.whole)

    def test_a_file_that_was_replaced(self, tmp_path: pathlib.Path) -> None:
        video = opened(write_h264(tmp_path / "v.mkv", noisy(40), GROUPS))
        write_h264(tmp_path / "v.mkv", noisy(40)[::-1], GROUPS)
        for cuts in ([], [500]):
            assert "not those that were there" in (read_ranges(video, cuts).doubt or "")

    def test_a_file_that_grew(self, tmp_path: pathlib.Path) -> None:
        long = write_h264(tmp_path / "long.ts", noisy(60), GROUPS).read_bytes()
        path = tmp_path / "v.ts"
        path.write_bytes(long[: len(long) * 2 // 3 // 188 * 188])
        scan = scan_packets(path, max_pixels=MAX_PIXELS)
        path.write_bytes(long)
        assert read_ranges(Video(path, scan, ()), [500]).doubt


class TestReading:
    def test_without_a_usable_seek_packets_are_read_from_the_start(
        self, made: Callable[[str], Video], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        video = made("open_gop.ts")
        monkeypatch.setattr(video_ranges, "_SEEK_WINDOW", 0)
        found = read_ranges(video, [300, 600, 900])
        assert found.doubt is None
        assert_same(found.elements, video.whole)

    def test_a_range_decodes_little_beside_its_own_frames(self, tmp_path: pathlib.Path) -> None:
        video = opened(write_h264(tmp_path / "v.mkv", noisy(240), GROUPS))
        seen: list[None] = []
        *found, _ = read_range(
            video.path, video.scan, 500, 600, 1000, sampling=EVERY_FRAME, alive=lambda: seen.append(None)
        )
        assert 12 <= len(found) <= 36
        # Each packet counts when it is read and when it is decoded: a group before, some frames after, what a decoder
        # holds back.
        assert len(seen) < 2 * (len(found) + 12 + 30)

    @pytest.mark.parametrize(
        ("sampling", "frames", "packets"),
        [
            (Sampling(keyframes=True), 20, 12 + 2 + 20 * 2),  # the first group proves it, then each one by itself
            # The first group again, then two groups before, once more from one further back, and up to the end.
            (Sampling(start=Fraction("9.2")), 10, 12 + 3 * 12 + 4 * 12 + 3 * 12),
            (Sampling(start=Fraction("4.8"), end=Fraction("5")), 5, 12 + 3 * 12 + 4 * 12 + 3 * 12),
            (Sampling(end=Fraction("0.4")), 10, 10 + 12),
        ],
    )
    def test_what_is_not_needed_is_not_decoded(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling, frames: int, packets: int
    ) -> None:
        video = opened(write_h264(tmp_path / "v.mkv", noisy(240), GROUPS))
        decoded = 0
        real = video_ranges.decoded_packets

        def counted(*args: object) -> object:
            nonlocal decoded
            for packet in real(*args):  # type: ignore[arg-type]
                decoded += 1
                yield packet

        monkeypatch.setattr(video_ranges, "decoded_packets", counted)
        found = read_ranges(video, [], sampling)
        assert found.doubt is None
        assert len(found.elements) == frames
        assert decoded <= packets + 4 * 6  # what a decoder holds back, and the seams

    def test_frames_above_the_limit(self, made: Callable[[str], Video]) -> None:
        video = made("sizes.ts")
        with pytest.raises(VideoError, match="has frames of 128x80"):
            list(read_range(video.path, video.scan, 300, 1000, 1000, sampling=EVERY_FRAME, max_pixels=96 * 64))

    def test_nothing_stays_open(self, made: Callable[[str], Video]) -> None:
        video = made("open_gop.ts")
        before = len(list(pathlib.Path("/proc/self/fd").iterdir()))
        reader = read_range(video.path, video.scan, 300, 1000, 1000, sampling=EVERY_FRAME)
        next(reader)
        reader.close()
        read_ranges(video, [300])
        assert len(list(pathlib.Path("/proc/self/fd").iterdir())) == before


@pytest.mark.shared
class TestRealVideos:
    def test_any_cut_gives_the_sequential_decode(self, shared: pathlib.Path) -> None:
        random = np.random.default_rng(11)
        joined = set()
        for path in sorted((shared / "data" / "videos").glob("*.*")):
            scan = scan_packets(path, max_pixels=MAX_PIXELS)
            if scan.refusal:
                continue
            joined.add(path.name)
            video = Video(path, scan, list(read_video(path)))
            found = read_ranges(video, sorted(random.choice(np.arange(1, 1000), 3, replace=False).tolist()))
            assert found.doubt is None, (path.name, found.doubt)
            assert_same(found.elements, video.whole)
            found = read_ranges(video, [500], Sampling(keyframes=True))
            assert found.doubt is None, (path.name, found.doubt)
            wanted = scan.places[np.flatnonzero(scan.is_keyframe & scan.is_shown)]
            assert_same(found.elements, [video.whole[place] for place in wanted])
        assert {"bikes.mp4", "bikes_h264.ts", "bikes_vfr.mp4", "bikes_vp9.webm", "bikes_wmv2.wmv"} <= joined
        assert len(joined) >= 9
