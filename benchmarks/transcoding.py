"""Decoding a video and encoding it again, with the settings of render and nothing in between.

    python -m benchmarks.transcoding VIDEO OUTPUT --way frames|arrays

`frames`: PyAV alone, one thread to decode and one to encode; what the decoder gives goes to the encoder as it is.
`arrays`: boxbeam's reader and writer, likewise; frames are RGB arrays in between, as whoever draws on them needs.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import av

from benchmarks.child import answer
from od_core.video.codecs import CODECS
from od_core.video.frames import VideoFrame, describe_video, read_video
from od_core.video.writer import VideoWriter
from pipelines.ordered import prefetch

_AHEAD = 4


def main() -> int:
    """Do it and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--way", choices=("frames", "arrays"), required=True)
    args = parser.parse_args()
    way: Callable[[pathlib.Path, pathlib.Path], int] = _frames if args.way == "frames" else _arrays
    started, cpu = time.perf_counter(), time.process_time()
    frames = way(args.video, args.output)
    answer({"frames": frames, "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu})
    return 0


def _frames(video: pathlib.Path, output: pathlib.Path) -> int:
    count = 0
    with (
        ThreadPoolExecutor(1) as decoder,
        av.open(str(output), "w", container_options={"movflags": "faststart"}) as out,
    ):
        stream: Any = None
        for frame in prefetch(lambda: _decoded(video), decoder, _AHEAD):
            if stream is None:
                options = CODECS["h264"].encoder_options(CODECS["h264"].crf, "veryfast", frame.width * frame.height)
                stream = out.add_stream(
                    "libx264", rate=describe_video(video).average_rate or Fraction(25), options=options
                )
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.thread_count = 1
                stream.codec_context.time_base = frame.time_base
            out.mux(stream.encode(frame))
            count += 1
        out.mux(stream.encode(None))
    return count


def _decoded(video: pathlib.Path) -> Iterator[av.VideoFrame]:
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            frame.pict_type = av.video.frame.PictureType.NONE  # else the encoder repeats the original's keyframes
            yield frame


def _arrays(video: pathlib.Path, output: pathlib.Path) -> int:
    count = 0
    with ThreadPoolExecutor(1) as decoder, VideoWriter(output, rate=describe_video(video).average_rate) as writer:
        for frame in prefetch(lambda: read_video(video), decoder, _AHEAD):
            if isinstance(frame, VideoFrame):
                writer.write(frame.image, frame.timestamp_us)
                count += 1
    return count


if __name__ == "__main__":
    sys.exit(main())
