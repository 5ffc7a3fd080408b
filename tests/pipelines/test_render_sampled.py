"""render: videos of which not every frame was looked at, and the sound of videos."""

import pathlib
from fractions import Fraction

import av
import numpy as np
import pytest

from od_core.detections import Detections
from od_core.drawing import blur, caption, draw_detections
from od_core.schemas import FrameError, FrameRow
from od_core.video.frames import VideoFrame, read_video
from od_core.video.writer import VideoWriter
from tests.blocks_scene import write_video
from tests.od_core.video.test_video_audio import beep, codecs, make
from tests.pipelines.render_files import LABELS, found_in, render_it, row_of, tell

# Frames that were passed over


def sampled(tmp_path: pathlib.Path, *numbers: int, count: int = 12) -> list[FrameRow]:
    """A video of which these frames were looked at."""
    scenes = write_video(tmp_path / "in/clip.mp4", count)
    return [row_of("clip.mp4", scenes[n], "video", frame_index=n, timestamp_us=n * 40_000) for n in numbers]


def frames_of(path: pathlib.Path) -> list[VideoFrame]:
    return [frame for frame in read_video(path) if isinstance(frame, VideoFrame)]


def picture(frame: VideoFrame, found: Detections | None, words: str) -> np.ndarray:
    image = frame.image if found is None else draw_detections(frame.image, found, LABELS.labels)
    return caption(image, f"0:00.{40 * frame.index:03}  frame {frame.index}  {words}")


def bytes_of(pictures: list[tuple[np.ndarray, int]], path: pathlib.Path) -> bytes:
    with VideoWriter(path, rate=Fraction(25)) as writer:
        for image, time in pictures:
            writer.write(image, time)
    return path.read_bytes()


def test_boxes_stay_until_the_next_frame_that_was_looked_at(tmp_path: pathlib.Path) -> None:
    rows = sampled(tmp_path, 1, 4, 7)
    tell(tmp_path, *rows)
    (row,) = render_it(tmp_path).values()
    assert (row["frames"], row["detections"]) == (12, sum(len(one.detections or ()) for one in rows))
    pictures = []
    for frame in frames_of(tmp_path / "in/clip.mp4"):
        # Nothing is known before the first; after the last, no longer than rows are apart.
        held = next((one for one in reversed(rows) if one.frame_index <= frame.index < one.frame_index + 3), None)  # type: ignore[operator]
        found, words = None, "not looked at"
        if held is not None:
            found, words = held.detections, f"{len(held.detections or ())} found"
            words += "" if held.frame_index == frame.index else f" in frame {held.frame_index}"
        pictures.append((picture(frame, found, words), frame.index * 40_000))
    assert (tmp_path / "out/clip.mp4").read_bytes() == bytes_of(pictures, tmp_path / "expected.mp4")


def test_boxes_do_not_stay_over_what_failed(tmp_path: pathlib.Path) -> None:
    error = FrameError("detect", "DetectError", "the model failed")
    rows = sampled(tmp_path, 0, 2, 6, 9)
    damage = FrameRow("clip.mp4", "", "video", error=FrameError("decode", "VideoError", "damaged here", 3))
    tell(tmp_path, rows[0], rows[1], damage, rows[2]._replace(detections=None, error=error), rows[3])
    render_it(tmp_path)
    found = dict.fromkeys((0, 1), rows[0].detections) | {2: rows[1].detections, 9: rows[3].detections}
    found |= dict.fromkeys((10, 11), rows[3].detections)  # 3 frames apart at most: 6 and 9
    pictures = []
    for frame in frames_of(tmp_path / "in/clip.mp4"):
        here = found.get(frame.index)
        words = "failed" if frame.index == 6 else "not looked at"
        if here is not None:
            words = f"{len(here)} found" + {1: " in frame 0", 10: " in frame 9", 11: " in frame 9"}.get(frame.index, "")
        pictures.append((picture(frame, here, words), frame.index * 40_000))
    assert (tmp_path / "out/clip.mp4").read_bytes() == bytes_of(pictures, tmp_path / "expected.mp4")


def test_frames_that_were_passed_over_can_be_left_out_and_the_others_keep_their_times(tmp_path: pathlib.Path) -> None:
    rows = sampled(tmp_path, 1, 4, 9)
    tell(tmp_path, *rows)
    (row,) = render_it(tmp_path, unsampled="skip").values()
    assert row["frames"] == 3
    originals = frames_of(tmp_path / "in/clip.mp4")
    pictures = [
        (picture(originals[n], one.detections, f"{len(one.detections or ())} found"), n * 40_000)
        for n, one in zip((1, 4, 9), rows, strict=True)
    ]
    assert (tmp_path / "out/clip.mp4").read_bytes() == bytes_of(pictures, tmp_path / "expected.mp4")
    assert [frame.timestamp_us for frame in frames_of(tmp_path / "out/clip.mp4")] == [0, 120_000, 320_000]


def test_what_is_held_is_no_error_and_is_not_cut_out(tmp_path: pathlib.Path) -> None:
    tell(tmp_path, *sampled(tmp_path, 0, 6))
    (row,) = render_it(tmp_path, only="detections").values()
    assert row["frames"] == 12
    assert len(render_it(tmp_path, "crops", crops=True)) == 1  # by key: one video
    assert len(list((tmp_path / "crops").rglob("*.jpg"))) == len(list((tmp_path / "crops").rglob("00000[06]-*.jpg")))


def test_between_two_frames_the_places_of_both_are_blurred(tmp_path: pathlib.Path) -> None:
    rows = sampled(tmp_path, 0, 8, count=9)
    tell(tmp_path, *rows)
    render_it(tmp_path, blur=("green",), boxes=False, crf=1)
    frame = frames_of(tmp_path / "out/clip.mp4")[4].image.astype(int)
    original = frames_of(tmp_path / "in/clip.mp4")[4].image
    green = [one.detections.boxes[one.detections.classes == 2] for one in rows if one.detections]
    expected = blur(original, np.concatenate(green)).astype(int)
    once = blur(original, green[0]).astype(int)
    assert np.abs(frame - expected).mean() < np.abs(frame - once).mean()


# Sound


def with_sound(tmp_path: pathlib.Path, name: str, codec: str, **options: float) -> pathlib.Path:
    (tmp_path / "in").mkdir(exist_ok=True)
    source = make(tmp_path / "in" / name, codec, **options)  # type: ignore[arg-type]
    rows = [FrameRow(name, "", "video", n, width=64, height=48, detections=Detections.empty()) for n in range(0, 40, 2)]
    tell(tmp_path, *rows)
    return source


@pytest.mark.parametrize(
    ("name", "codec", "state"), [("a.mkv", "libopus", "copied"), ("a.mov", "pcm_s16le", "encoded")]
)
@pytest.mark.parametrize("unsampled", ["hold", "skip"])
def test_a_video_keeps_its_sound(tmp_path: pathlib.Path, name: str, codec: str, state: str, unsampled: str) -> None:
    source = with_sound(tmp_path, name, codec, video_at=0.2)
    (row,) = render_it(tmp_path, unsampled=unsampled).values()
    assert (row["audio"], row["audio_error"], row["status"]) == (state, None, "done")
    assert beep(tmp_path / "out" / str(row["file"])) == pytest.approx(beep(source), abs=0.004)


def test_sound_can_be_left_out_and_goes_with_whole_videos_only(tmp_path: pathlib.Path) -> None:
    with_sound(tmp_path, "a.mp4", "aac")
    assert render_it(tmp_path, audio=False)["a.mp4"]["audio"] is None
    assert codecs(tmp_path / "out/a.mp4") == ["h264"]
    scene = write_video(tmp_path / "in/b.mp4", 2)[0]
    rows = [FrameRow("a.mp4", "", "video", n, width=64, height=48, detections=found_in(scene)) for n in (3, 5, 6)]
    tell(tmp_path, *rows)
    assert render_it(tmp_path, "some", only="detections", unsampled="plain")["a.mp4"]["audio"] is None
    assert codecs(tmp_path / "some/a.mp4") == ["h264"]


def test_damaged_sound_is_told_in_the_row_of_a_video_that_is_done(tmp_path: pathlib.Path) -> None:
    source = with_sound(tmp_path, "a.mkv", "ac3")
    with av.open(str(source)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(source.read_bytes())
    for position, size in places[5:12]:
        content[position + 10 : position + size] = bytes(size - 10)
    source.write_bytes(content)
    (row,) = render_it(tmp_path).values()
    assert (row["status"], row["frames"], row["audio"], row["error"]) == ("done", 40, "encoded", None)
    assert str(row["audio_error"]).startswith("The sound is damaged: ")
