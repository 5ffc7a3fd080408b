"""Videos that tests make, look into and damage."""

import fractions
import json
import pathlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence

import av
import numpy as np

from od_core.video.frames import VideoDamage, VideoFrame

Elements = Sequence[VideoFrame | VideoDamage]


def shaded(count: int, *, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Flat RGB images, each of a grey that tells its number even after lossy compression."""
    return [np.full((height, width, 3), 20 + 7 * number, np.uint8) for number in range(count)]


def numbers(frames: Iterable[VideoFrame]) -> list[int]:
    """The numbers that `shaded` gave to its images."""
    return [round((frame.image.mean() - 20) / 7) for frame in frames]


def noisy(count: int, *, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Noise that moves: it fills every packet of a compressed video with data, so that damage hits something."""
    texture = np.random.default_rng(7).integers(0, 256, (height + count, width + count, 3), np.uint8)
    return [texture[shift : shift + height, shift : shift + width] for shift in range(count)]


def write_video(
    path: pathlib.Path,
    images: Sequence[np.ndarray],
    codec: str = "mpeg4",
    *,
    rate: int = 25,
    times: Sequence[int] | None = None,
    time_base: fractions.Fraction | None = None,
    pixel_format: str = "yuv420p",
    codec_options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    turn: tuple[float, bool, bool] | None = None,
) -> pathlib.Path:
    """A video of RGB images, at a constant rate or at `times` in `time_base`; `turn`: (degrees, hflip, vflip)."""
    with av.open(str(path), "w", container_options=dict(container_options or {})) as out:
        stream = out.add_stream(codec, rate=rate, options=dict(codec_options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1
        if time_base:
            stream.codec_context.time_base = time_base
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_h264(path: pathlib.Path, images: Sequence[np.ndarray], x264: str = "", **more: object) -> pathlib.Path:
    options = {"crf": "20", "preset": "veryfast", "x264-params": f"threads=1:{x264}".rstrip(":")}
    return write_video(path, images, "libx264", codec_options=options, **more)


def write_audio(path: pathlib.Path) -> pathlib.Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    return path


def packets(path: pathlib.Path) -> list[tuple[int, int]]:
    """(position in the file, size) of each video packet, in order of decoding."""
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def with_zeros(path: pathlib.Path, start: int, length: int) -> pathlib.Path:
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    damaged = path.with_stem(f"{path.stem}_zeros_at_{start}")
    damaged.write_bytes(content)
    return damaged


def cut_off(path: pathlib.Path, size: int) -> pathlib.Path:
    short = path.with_stem(f"{path.stem}_cut_at_{size}")
    short.write_bytes(path.read_bytes()[:size])
    return short


def frames_of(elements: Elements) -> list[VideoFrame]:
    return [element for element in elements if isinstance(element, VideoFrame)]


def damages_of(elements: Elements) -> list[VideoDamage]:
    return [element for element in elements if isinstance(element, VideoDamage)]


def assert_same_frames(found: Sequence[VideoFrame], expected: Sequence[VideoFrame]) -> None:
    assert [frame[:2] + frame[3:] for frame in found] == [frame[:2] + frame[3:] for frame in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def numbers_of_elements(elements: Elements) -> list[int | None]:
    """The frames' indices, and None for each damage."""
    return [element.index if isinstance(element, VideoFrame) else None for element in elements]


def write_with_cover(path: pathlib.Path, images: Sequence[np.ndarray]) -> pathlib.Path:
    """A cover picture as the first stream, then the video."""
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = out.add_stream("mpeg4" if images else "aac", rate=10 if images else 16000)
        if images:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        red = av.VideoFrame.from_ndarray(np.full((32, 32, 3), (255, 0, 0), np.uint8), format="rgb24")
        out.mux(cover.encode(red))
        for image in images:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(cover.encode(None))
        out.mux(stream.encode(None))
    return path


def ffprobe_frames(path: pathlib.Path) -> list[dict[str, int]]:
    command = ["ffprobe", "-v", "quiet", "-of", "json", "-select_streams", "v:0", "-show_frames"]
    command += ["-show_entries", "frame=pts,best_effort_timestamp", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["frames"]


def write_streams(path: pathlib.Path, images: Sequence[np.ndarray], widths: Sequence[int]) -> pathlib.Path:
    """A file with a video stream of each width, packets in turn."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=10, options={"g": "5"}) for _ in widths]
        for stream, width in zip(streams, widths, strict=True):
            stream.width, stream.height, stream.pix_fmt = width, images[0].shape[0], "yuv420p"
        for image in images:
            for stream in streams:
                cut = np.ascontiguousarray(image[:, : stream.width])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(cut, format="rgb24")))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def write_changing_size(path: pathlib.Path, parts: Sequence[Sequence[np.ndarray]]) -> pathlib.Path:
    """An H.264 transport stream whose size changes from part to part while its times run on."""
    unit = fractions.Fraction(1, 25)
    with av.open(str(path), "w") as out:
        height, width = parts[0][0].shape[:2]
        stream = out.add_stream("libx264", rate=25, options={"x264-params": "threads=1:keyint=8:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = width, height, "yuv420p", unit
        at = 0
        for part in parts:
            encoder = av.CodecContext.create("libx264", "w")
            encoder.height, encoder.width = part[0].shape[:2]
            encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", unit, fractions.Fraction(25)
            encoder.options = {"x264-params": "threads=1:keyint=8:scenecut=0:bframes=2"}
            frames: list[av.VideoFrame | None] = []
            for image in part:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = at, unit
                frames.append(frame)
                at += 1
            for frame in [*frames, None]:
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    out.mux(packet)
    return path


def cut_without_encoding(source: pathlib.Path, path: pathlib.Path, start: int) -> pathlib.Path:
    """The packets of an MP4 with times `start` ticks lower: an edit list hides the frames that come out below 0."""
    with av.open(str(source)) as read, av.open(str(path), "w") as out:
        template = read.streams.video[0]
        stream = out.add_stream_from_template(template)
        stream.time_base = template.time_base
        for packet in read.demux(template):
            if packet.size:
                packet.pts, packet.dts = (packet.pts or 0) - start, (packet.dts or 0) - start
                packet.stream = stream
                out.mux(packet)
    return path
