"""The sound of videos: heard at the same moments as before, whatever the container, and never a reason to fail."""

import pathlib
from fractions import Fraction

import av
import numpy as np
import pytest

from od_core.video.audio import open_audio
from od_core.video.frames import VideoFrame, read_video
from od_core.video.writer import VideoWriter

RATE = 48_000
BEEP_AT, BEEP_FOR = 0.6, 0.2  # seconds of the sound


def make(
    path: pathlib.Path,
    codec: str,
    *,
    frames: int = 40,
    seconds: float = 1.6,
    audio_at: float = 0.0,
    video_at: float = 0.0,
    layout: str = "stereo",
    rate: int = RATE,
) -> pathlib.Path:
    """A video of 25 frames a second with silence, a beep and silence, which begin at these times."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264" if path.suffix != ".avi" else "mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=rate)
        sound.layout = layout
        sound.format = sound.codec.audio_formats[0]
        times = np.arange(round(seconds * rate)) / rate
        wave = np.sin(2 * np.pi * 1000 * times) * 0.6 * ((times >= BEEP_AT) & (times < BEEP_AT + BEEP_FOR))
        resampler = av.AudioResampler(sound.format.name, layout, rate, frame_size=sound.frame_size or 1024)
        channels = len(av.AudioLayout(layout).channels)
        unit = Fraction(1, 25 if path.suffix == ".avi" else 90_000)
        packets = []
        for start in range(0, len(wave), 4800):
            part = np.tile(wave[start : start + 4800].astype(np.float32), (channels, 1))
            frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start + round(audio_at * rate), Fraction(1, rate)
            packets += [packet for one in resampler.resample(frame) for packet in sound.encode(one)]
        packets += [packet for one in resampler.resample(None) for packet in sound.encode(one)] + sound.encode(None)
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 5, np.uint8), format="rgb24")
            picture.pts, picture.time_base = round((video_at + number / 25) / unit), unit
            video.codec_context.time_base = unit
            packets += video.encode(picture)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    return path


def copy(source: pathlib.Path, target: pathlib.Path) -> tuple[str | None, str | None]:
    """Write the frames and the sound of a video; what became of the sound."""
    with open_audio(source) as audio:
        with VideoWriter(target, rate=Fraction(25), preset="ultrafast", audio=audio) as writer:
            for frame in read_video(source):
                if isinstance(frame, VideoFrame):
                    writer.write(frame.image, frame.timestamp_us)
        return (None, None) if audio is None else (audio.state, audio.problem)


def codecs(path: pathlib.Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.codec.canonical_name for stream in container.streams]


def beep(path: pathlib.Path) -> tuple[float, float]:
    """When the beep begins and ends, in seconds after the first frame."""
    with av.open(str(path)) as container:
        first = min(frame.pts * frame.time_base for frame in container.decode(video=0))
    loud: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = av.AudioResampler("flt", "mono", frame.sample_rate).resample(frame)[0].to_ndarray()[0]
            places = np.flatnonzero(np.abs(samples) > 0.2)
            loud += (float(frame.pts * frame.time_base - first) + places / frame.sample_rate).tolist()
    return min(loud), max(loud)


COPIED = [
    ("mp4", "aac"),
    ("ts", "aac"),
    ("mkv", "libopus"),
    ("mkv", "flac"),
    ("mkv", "libmp3lame"),
    ("avi", "libmp3lame"),
]
ENCODED = [("mkv", "pcm_s16le"), ("mkv", "ac3"), ("avi", "pcm_s16le"), ("mov", "pcm_s16le"), ("ts", "mp2")]


@pytest.mark.parametrize(("ending", "codec"), COPIED + ENCODED)
def test_the_beep_is_heard_at_the_same_moment(tmp_path: pathlib.Path, ending: str, codec: str) -> None:
    source = make(tmp_path / f"a.{ending}", codec)
    is_copied = (ending, codec) in COPIED
    assert copy(source, tmp_path / "b.mp4") == ("copied" if is_copied else "encoded", None)
    assert codecs(tmp_path / "b.mp4") == ["h264", codecs(source)[1] if is_copied else "aac"]
    assert beep(tmp_path / "b.mp4") == pytest.approx(beep(source), abs=0.004)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(("audio_at", "video_at"), [(0.5, 0.0), (0.0, 0.4), (10.3, 10.0), (0.02, 0.0)])
def test_sound_that_begins_before_or_after_the_frames(
    tmp_path: pathlib.Path, codec: str, audio_at: float, video_at: float
) -> None:
    source = make(tmp_path / "a.mkv", codec, audio_at=audio_at, video_at=video_at)
    assert copy(source, tmp_path / "b.mp4")[1] is None
    assert beep(tmp_path / "b.mp4") == pytest.approx(beep(source), abs=0.004)
    assert beep(source)[0] == pytest.approx(BEEP_AT + audio_at - video_at, abs=0.03)
    frames = [frame.timestamp_us for frame in read_video(tmp_path / "b.mp4") if isinstance(frame, VideoFrame)]
    assert frames == [40_000 * number for number in range(40)]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_goes_on_after_the_last_frame(tmp_path: pathlib.Path, codec: str) -> None:
    copy(make(tmp_path / "a.mkv", codec, frames=5), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(1.6, abs=0.03)
    assert beep(tmp_path / "b.mp4")[1] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("layout", "rate"), [("mono", 8_000), ("5.1", 48_000), ("stereo", 96_000)])
def test_channels_are_kept_and_odd_rates_are_changed(tmp_path: pathlib.Path, layout: str, rate: int) -> None:
    source = make(tmp_path / "a.mkv", "pcm_s16le", layout=layout, rate=rate)
    assert copy(source, tmp_path / "b.mp4") == ("encoded", None)
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert (context.layout.name, context.sample_rate) == (layout, min(rate, 48_000))
    assert beep(tmp_path / "b.mp4") == pytest.approx(beep(source), abs=0.004)


def test_sound_that_the_container_does_not_take_is_encoded_anew(tmp_path: pathlib.Path) -> None:
    source = make(tmp_path / "a.mkv", "libmp3lame", layout="mono", rate=8_000)  # no MP4 has MP3 of so few samples
    assert copy(source, tmp_path / "b.mp4") == ("encoded", None)
    assert codecs(tmp_path / "b.mp4") == ["h264", "aac"]
    assert beep(tmp_path / "b.mp4") == pytest.approx(beep(source), abs=0.004)


def test_sound_that_cannot_be_kept_is_told_and_the_video_is_written_without(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("od_core.video.audio._LAYOUTS", {2: "22.2"})  # AAC has no such
    state, problem = copy(make(tmp_path / "a.mkv", "pcm_s16le"), tmp_path / "b.mp4")
    assert state is None
    assert problem is not None
    assert problem.startswith("The sound (pcm_s16le) cannot be kept: ")
    assert codecs(tmp_path / "b.mp4") == ["h264"]


def test_the_same_sound_gives_the_same_bytes_and_the_index_comes_first(tmp_path: pathlib.Path) -> None:
    source = make(tmp_path / "a.mp4", "aac")
    copy(source, tmp_path / "b.mp4")
    copy(source, tmp_path / "again.mp4")
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    content = (tmp_path / "b.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_video_without_sound_has_none(tmp_path: pathlib.Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)
    assert copy(tmp_path / "a.mp4", tmp_path / "b.mp4") == (None, None)
    assert codecs(tmp_path / "b.mp4") == ["h264"]


@pytest.mark.parametrize(
    ("ending", "codec"), [("ts", "mp2"), ("mkv", "ac3"), ("ts", "aac"), ("mkv", "aac"), ("mkv", "flac")]
)
def test_damaged_sound_never_fails_a_video(tmp_path: pathlib.Path, ending: str, codec: str) -> None:
    source = make(tmp_path / f"a.{ending}", codec)
    with av.open(str(source)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(source.read_bytes())
    rng = np.random.default_rng(0)
    for position, size in places[5:12]:
        content[position + 20 : position + size] = rng.bytes(max(0, size - 20))
    source.write_bytes(content)
    state, problem = copy(source, tmp_path / "b.mp4")
    assert state is not None
    assert problem is None or problem.startswith("The sound is damaged")
    assert problem is not None or state == "copied"
    frames = [frame for frame in read_video(tmp_path / "b.mp4") if isinstance(frame, VideoFrame)]
    assert len(frames) == 40


def test_sound_ends_where_the_times_of_the_frames_jump(tmp_path: pathlib.Path) -> None:
    part = make(tmp_path / "a.ts", "aac").read_bytes()
    (tmp_path / "twice.ts").write_bytes(part + part)  # times begin anew in the middle
    state, problem = copy(tmp_path / "twice.ts", tmp_path / "b.mp4")
    assert state == "copied"
    assert problem is not None
    assert "times" in problem
    frames = [frame.timestamp_us for frame in read_video(tmp_path / "b.mp4") if isinstance(frame, VideoFrame)]
    assert frames == [40_000 * number for number in range(80)]
    assert beep(tmp_path / "b.mp4")[0] == pytest.approx(beep(part_file(tmp_path, part))[0], abs=0.004)


def part_file(tmp_path: pathlib.Path, content: bytes) -> pathlib.Path:
    (tmp_path / "part.ts").write_bytes(content)
    return tmp_path / "part.ts"


def test_sound_without_times_of_frames_is_left_out(tmp_path: pathlib.Path) -> None:
    source = make(tmp_path / "a.mp4", "aac")
    with open_audio(source) as audio:
        with VideoWriter(tmp_path / "b.mp4", audio=audio) as writer:
            writer.write(np.zeros((48, 64, 3), np.uint8))
    assert audio is not None
    assert (audio.state, audio.problem) == (
        None,
        "The sound is left out: the frames have no times by which it could go with them.",
    )
    assert codecs(tmp_path / "b.mp4") == ["h264"]
