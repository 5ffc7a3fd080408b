"""Frames in, an MP4 out that players show as it was meant: every frame, its time, its colours; the same bytes again."""

import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
import pytest

from od_core import storage
from od_core.errors import StorageError, VideoError
from od_core.video.frames import VideoFrame, describe_video, read_video
from od_core.video.writer import VideoWriter

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def shaded(count: int, *, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Flat RGB images, each of a grey that tells its number even after lossy compression."""
    return [np.full((height, width, 3), 20 + 7 * number, np.uint8) for number in range(count)]


def moving(count: int) -> list[np.ndarray]:
    texture = np.random.default_rng(7).integers(0, 256, (64 + count, 96 + count, 3), np.uint8)
    return [texture[shift : shift + 64, shift : shift + 96] for shift in range(count)]


def written(
    path: pathlib.Path, images: Sequence[np.ndarray], times: Sequence[int | None] | None = None, **options: object
) -> list[VideoFrame]:
    """The frames of a video that was written and read again."""
    with VideoWriter(path, **options) as video:  # type: ignore[arg-type]
        for image, time in zip(images, times or [None] * len(images), strict=True):
            video.write(image, time)
    frames = list(read_video(path))
    assert all(isinstance(frame, VideoFrame) for frame in frames)
    return frames  # type: ignore[return-value]


def times_of(path: pathlib.Path, times: Sequence[int | None], **options: object) -> list[int | None]:
    return [frame.timestamp_us for frame in written(path, shaded(len(times)), times, **options)]


def boxes_of(path: pathlib.Path) -> list[str]:
    """The names of the file's outermost boxes, in order (ISO/IEC 14496-12, 4.2)."""
    content, names, place = path.read_bytes(), [], 0
    while place < len(content):
        names.append(content[place + 4 : place + 8].decode("ascii"))
        place += int.from_bytes(content[place : place + 4], "big")
    return names


class TestTimes:
    def test_every_frame_comes_back_in_order_at_its_time(self, tmp_path: pathlib.Path) -> None:
        times = [0, 40_000, 41_001, 41_002, 1_000_003, 1_033_370, 9_999_999]
        frames = written(tmp_path / "v.mp4", shaded(7), times)
        assert [frame.timestamp_us for frame in frames] == times
        assert [round((frame.image.mean() - 20) / 7) for frame in frames] == list(range(7))

    @pytest.mark.parametrize("start", [5_000_000, -80_000, 36_000_000_000, 1])
    def test_the_first_frame_is_at_zero(self, tmp_path: pathlib.Path, start: int) -> None:
        assert times_of(tmp_path / "v.mp4", [start, start + 40_000, start + 90_000]) == [0, 40_000, 90_000]

    def test_without_times_frames_follow_at_the_rate(self, tmp_path: pathlib.Path) -> None:
        assert times_of(tmp_path / "v.mp4", [None] * 3) == [0, 40_000, 80_000]
        assert times_of(tmp_path / "v.mp4", [None] * 3, rate=Fraction(30000, 1001)) == [0, 33_367, 66_734]

    @pytest.mark.parametrize(
        ("given_ms", "kept_ms"),
        [
            ([0, 50, None, 150, 200], [0, 50, 100, 150, 200]),
            ([None, None, 700, 750], [0, 40, 80, 130]),
            ([0, 50, 100, 100, 150], [0, 50, 100, 150, 200]),
            ([0, 50, 100, 0, 60, 120], [0, 50, 100, 150, 210, 270]),
            ([0, 50, None, 90, 140], [0, 50, 100, 150, 200]),
            ([0, 50, 100, 90_000, None, 90_100], [0, 50, 100, 90_000, 90_050, 90_100]),
            ([7, None], [0, 40]),
        ],
    )
    def test_times_that_are_missing_repeat_or_go_back_are_replaced(
        self, tmp_path: pathlib.Path, given_ms: list[int | None], kept_ms: list[int]
    ) -> None:
        times = [None if time is None else 1000 * time for time in given_ms]
        assert times_of(tmp_path / "v.mp4", times) == [1000 * time for time in kept_ms]

    def test_a_pause_of_years_is_half_an_hour(self, tmp_path: pathlib.Path) -> None:
        year = 365 * 86_400 * 1_000_000
        assert times_of(tmp_path / "v.mp4", [0, 40_000, year, year + 40_000]) == [
            0,
            40_000,
            1_800_040_000,
            1_800_080_000,
        ]

    def test_the_last_frame_stays_as_long_as_is_usual(self, tmp_path: pathlib.Path) -> None:
        times_of(tmp_path / "v.mp4", [0, 100_000, 200_000])
        assert describe_video(tmp_path / "v.mp4").duration_us == 300_000
        times_of(tmp_path / "one.mp4", [0], rate=Fraction(10))
        assert describe_video(tmp_path / "one.mp4").duration_us == 100_000


class TestPictures:
    PATCHES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (230, 159, 0), (86, 180, 233))

    def bars(self, height: int) -> np.ndarray:
        return np.repeat(np.repeat(np.array([self.PATCHES], np.uint8), 32, axis=1), height, axis=0)

    def patches_of(self, image: np.ndarray) -> np.ndarray:
        return np.array([image[8:-8, 32 * index + 8 : 32 * index + 24].mean(axis=(0, 1)) for index in range(7)])

    @pytest.mark.parametrize("height", [64, 720])
    def test_colours_are_kept(self, tmp_path: pathlib.Path, height: int) -> None:
        frames = written(tmp_path / "v.mp4", [self.bars(height)] * 3)
        assert np.abs(self.patches_of(frames[2].image) - self.PATCHES).max() < 3

    @needs_ffmpeg
    def test_colours_are_the_same_for_others(self, tmp_path: pathlib.Path) -> None:
        written(tmp_path / "v.mp4", [self.bars(64)] * 3)
        command = ["ffmpeg", "-v", "error", "-i", "v.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        raw = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
        images = np.frombuffer(raw, np.uint8).reshape(3, 64, 224, 3)
        assert np.abs(self.patches_of(images[2]) - self.PATCHES).max() < 3

    def test_lines_of_two_pixels_keep_their_colour(self, tmp_path: pathlib.Path) -> None:
        image = np.full((64, 96, 3), 128, np.uint8)
        image[20:22, 10:80] = image[30:60, 40:42] = (213, 94, 0)
        last = written(tmp_path / "v.mp4", [image] * 3)[-1].image.astype(int)
        assert np.abs(last[20:22, 12:78] - (213, 94, 0)).mean() < 5
        assert np.abs(last[32:58, 40:42] - (213, 94, 0)).mean() < 5

    def test_quality_decides_error_and_size(self, tmp_path: pathlib.Path) -> None:
        images = [np.repeat(image[..., :1], 3, axis=2) for image in moving(6)]  # grey: colours are halved anyway
        errors, sizes = [], []
        for crf in (5, 20, 40):
            frames = written(tmp_path / "v.mp4", images, crf=crf)
            pairs = zip(frames, images, strict=True)
            errors.append(np.mean([np.abs(frame.image.astype(int) - image).mean() for frame, image in pairs]))
            sizes.append((tmp_path / "v.mp4").stat().st_size)
        assert errors[0] < 3
        assert errors == sorted(errors)
        assert sizes == sorted(sizes, reverse=True)

    @pytest.mark.parametrize("size", [(1, 1), (3, 5), (47, 64), (48, 63), (33, 17)])
    def test_odd_sizes_get_their_last_row_and_column_twice(self, tmp_path: pathlib.Path, size: tuple[int, int]) -> None:
        height, width = size
        image = np.full((height, width, 3), 90, np.uint8)
        image[-1] = 200
        frames = written(tmp_path / "v.mp4", [image] * 2, crf=5)
        assert frames[1].image.shape == (height + height % 2, width + width % 2, 3)
        assert np.abs(frames[1].image[-1].astype(int) - 200).max() < 6

    @pytest.mark.parametrize(
        ("size", "inside"),
        [
            ((24, 32), (slice(0, 48), slice(0, 64))),  # half as large
            ((96, 64), (slice(0, 48), slice(16, 48))),  # higher
            ((30, 120), (slice(16, 32), slice(0, 64))),  # wider
            ((1, 5000), (slice(23, 24), slice(0, 64))),
        ],
    )
    def test_other_sizes_are_fitted_into_the_first(
        self, tmp_path: pathlib.Path, size: tuple[int, int], inside: tuple[slice, slice]
    ) -> None:
        first, other = np.full((48, 64, 3), 60, np.uint8), np.full((*size, 3), 200, np.uint8)
        frames = written(tmp_path / "v.mp4", [first, other, first], crf=1)
        expected = np.zeros((48, 64, 3), int)
        expected[inside] = 200
        assert [frame.image.shape for frame in frames] == [(48, 64, 3)] * 3
        assert np.abs(frames[1].image - expected).mean() < 4
        assert np.abs(frames[2].image.astype(int) - 60).max() < 5

    def test_views_can_be_written(self, tmp_path: pathlib.Path) -> None:
        image = moving(1)[0]
        written(tmp_path / "view.mp4", [image[::-1, ::-1]])
        written(tmp_path / "copy.mp4", [np.ascontiguousarray(image[::-1, ::-1])])
        assert (tmp_path / "view.mp4").read_bytes() == (tmp_path / "copy.mp4").read_bytes()


class TestFile:
    @needs_ffprobe
    def test_it_is_what_browsers_play(self, tmp_path: pathlib.Path) -> None:
        times = [0, 40_000, 81_001, 120_000, 500_000]
        written(tmp_path / "v.mp4", moving(5), times)
        command = ["ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_streams", "-show_frames", "v.mp4"]
        told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
        (stream,) = told["streams"]
        expected = {
            "codec_name": "h264",
            "codec_tag_string": "avc1",
            "profile": "High",
            "pix_fmt": "yuv420p",
            "width": 96,
            "height": 64,
            "color_range": "tv",
            "color_space": "bt709",
            "color_transfer": "bt709",
            "color_primaries": "bt709",
            "nb_read_frames": "5",
            "start_pts": 0,
        }
        assert {name: stream[name] for name in expected} == expected
        assert [round(float(frame["pts_time"]) * 1e6) for frame in told["frames"]] == times

    @needs_ffprobe
    @pytest.mark.parametrize("size", [(64, 96), (47, 33)])
    @pytest.mark.parametrize(("codec", "tag"), [("vp9", "vp09"), ("av1", "av01")])
    def test_other_codecs_hold_the_same_frames_at_the_same_times(
        self, tmp_path: pathlib.Path, codec: str, tag: str, size: tuple[int, int]
    ) -> None:
        times = [0, 40_000, 81_001, 120_000, 500_000, *range(600_000, 3_000_000, 40_000)]
        images = [np.full((*size, 3), 60 + 2 * number, np.uint8) for number in range(len(times))]
        frames = written(tmp_path / "v.mp4", images, times, codec=codec)
        assert [frame.timestamp_us for frame in frames] == times
        assert max(abs(f.image.mean() - image.mean()) for f, image in zip(frames, images, strict=True)) < 3
        written(tmp_path / "again.mp4", images, times, codec=codec)
        assert (tmp_path / "v.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
        assert boxes_of(tmp_path / "v.mp4").index("moov") < boxes_of(tmp_path / "v.mp4").index("mdat")
        command = ["ffprobe", "-v", "error", "-of", "json", "-count_packets", "-show_streams", "v.mp4"]
        told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout)
        (stream,) = told["streams"]
        expected = {"codec_name": codec, "codec_tag_string": tag, "pix_fmt": "yuv420p", "color_space": "bt709"}
        assert {name: stream[name] for name in expected} == expected
        assert (stream["width"], stream["height"]) == (size[1] + size[1] % 2, size[0] + size[0] % 2)
        assert stream["nb_read_packets"] == str(len(times))  # one for each frame: so ranges can be joined

    def test_the_index_comes_before_the_pictures(self, tmp_path: pathlib.Path) -> None:
        written(tmp_path / "v.mp4", moving(5))
        names = boxes_of(tmp_path / "v.mp4")
        assert names[0] == "ftyp"
        assert names.index("moov") < names.index("mdat")

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_same_frames_give_the_same_bytes(self, tmp_path: pathlib.Path, threads: int) -> None:
        for name in ("one.mp4", "other.mp4"):
            written(tmp_path / name, moving(70), range(0, 70 * 33_000, 33_000), threads=threads)
        assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "other.mp4").read_bytes()

    def test_keyframes_are_close_enough_to_step_through(self, tmp_path: pathlib.Path) -> None:
        written(tmp_path / "v.mp4", [shaded(1)[0]] * 130)
        with av.open(str(tmp_path / "v.mp4")) as container:
            keys = [n for n, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
        assert keys == [0, 60, 120]

    @pytest.mark.parametrize("name", ["noending", "http:x.mp4", "%03d.mp4", "ž 日.mp4", "not-utf8-\udcff.mp4"])
    def test_any_name(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.chdir(tmp_path)
        written(pathlib.Path(name), shaded(2))
        assert os.listdir(tmp_path) == [name]

    def test_an_older_file_is_replaced(self, tmp_path: pathlib.Path) -> None:
        (tmp_path / "v.mp4").write_bytes(bytes(1_000_000))
        assert len(written(tmp_path / "v.mp4", shaded(2))) == 2
        assert (tmp_path / "v.mp4").stat().st_size < 10_000


class TestErrors:
    def test_no_frame(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(VideoError, match=r"v\.mp4: no video was written, as there was not one frame"):
            with VideoWriter(tmp_path / "v.mp4"):
                pass
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("size", [(2, 16386), (16385, 2)])
    def test_too_large(self, tmp_path: pathlib.Path, size: tuple[int, int]) -> None:
        with pytest.raises(VideoError, match=rf"{size[1]}x{size[0]} pixels, and H.264 takes at most 16384 x 16384"):
            with VideoWriter(tmp_path / "v.mp4") as video:
                video.write(np.zeros((*size, 3), np.uint8))

    def test_too_small(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(VideoError, match=r"96x1 pixels, and AV1 takes at least 4 x 4. Choose another codec"):
            written(tmp_path / "v.mp4", [np.zeros((1, 96, 3), np.uint8)], codec="av1")

    def test_a_frame_that_the_encoder_loses_is_missed(self, tmp_path: pathlib.Path) -> None:
        class Forgetful:
            def __init__(self, stream: av.VideoStream):
                self.stream = stream

            def encode(self, frame: av.VideoFrame | None) -> list[av.Packet]:
                return self.stream.encode(frame)[:-1] if frame is None else self.stream.encode(frame)

        def write_all(video: VideoWriter) -> None:
            with video:
                for image in shaded(5):
                    video.write(image)
                    video._stream = video._stream if isinstance(video._stream, Forgetful) else Forgetful(video._stream)  # type: ignore[assignment]

        with pytest.raises(VideoError, match=r"v\.mp4: of 5 frames the H.264 encoder gave 4"):
            write_all(VideoWriter(tmp_path / "v.mp4"))

    def test_an_error_of_the_caller_goes_through_and_closes_the_file(self, tmp_path: pathlib.Path) -> None:
        def fail_after(count: int, video: VideoWriter) -> None:
            with video:
                for image in shaded(count):
                    video.write(image)
                raise KeyError

        before = len(os.listdir("/proc/self/fd"))
        videos = [VideoWriter(tmp_path / f"{count}.mp4") for count in (0, 20)]
        for count, video in zip((0, 20), videos, strict=True):
            with pytest.raises(KeyError):
                fail_after(count, video)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_closing_twice(self, tmp_path: pathlib.Path) -> None:
        video = VideoWriter(tmp_path / "v.mp4")
        video.write(shaded(1)[0])
        video.close()
        size = (tmp_path / "v.mp4").stat().st_size
        video.close()
        assert (tmp_path / "v.mp4").stat().st_size == size

    def test_a_missing_folder(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(FileNotFoundError):
            with VideoWriter(tmp_path / "none" / "v.mp4") as video:
                video.write(shaded(1)[0])

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
    def test_a_full_disk_is_told_by_storage(self, tmp_path: pathlib.Path) -> None:
        def fill_disk() -> None:
            with storage.commit(str(tmp_path / "v.mp4")) as temporary:
                temporary.unlink()
                temporary.symlink_to("/dev/full")
                written(temporary, moving(20))

        with pytest.raises(StorageError, match="free some space"):
            fill_disk()
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"crf": 0}, "crf must be from 1 to 51, got 0"),
            ({"crf": 52}, "crf must be from 1 to 51, got 52"),
            ({"crf": 64, "codec": "vp9"}, "crf must be from 1 to 63, got 64"),
            ({"codec": "h265"}, "codec must be one of h264, vp9, av1, got 'h265'"),
            ({"preset": "quick"}, "preset must be one of ultrafast, .*, got 'quick'"),
            ({"threads": 0}, "threads must be at least 1, got 0"),
            ({"rate": Fraction(0)}, "rate must be above 0, got 0"),
        ],
    )
    def test_wrong_options(self, tmp_path: pathlib.Path, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            VideoWriter(tmp_path / "v.mp4", **options)  # type: ignore[arg-type]
