"""Joining encoded videos: packets of one after those of the other, none encoded again."""

import os
from collections.abc import Iterable
from fractions import Fraction
from types import TracebackType
from typing import NamedTuple

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video.audio import Audio
from od_core.video.mp4 import MICROSECOND, Mp4File


class JoinedFrame(NamedTuple):
    """When a frame is shown in the original, in microseconds; `is_cut`: it follows the one before by the usual distance
    all the same.
    """

    timestamp_us: int | None
    is_cut: bool = False


class VideoJoiner:
    """Makes one MP4 of several that `VideoWriter` wrote with the same options; times and sound as `VideoWriter` does.

    To be used in a `with` block, which finishes the file; after an exception in the block the file is of no use.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, rate: Fraction | None = None, audio: Audio | None = None
    ) -> None:
        """Nothing is created before the first part. Arguments are those of `Mp4File`."""
        self._file = Mp4File(path, rate=rate, audio=audio)
        self._stream: VideoStream | None = None

    def __enter__(self) -> "VideoJoiner":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None and self._file.is_open:
                self._file.finish()
        except av.FFmpegError as failure:
            raise self._file.failure(failure) from failure
        finally:
            self._file.abandon()

    def append(self, part: str | os.PathLike[str], frames: Iterable[JoinedFrame]) -> None:
        """Add all frames of a video.

        Args:
            part: a local file.
            frames: when each of its frames is shown, in order.

        Raises:
            VideoError: it cannot follow the parts before: another size or compression, or other frames than told.
            OSError: a file cannot be read or written.
        """
        try:
            with av.open(f"file:{os.fspath(part)}") as container:
                (source,) = container.streams.video
                packets = (packet for packet in container.demux(source) if packet.size)
                for packet, frame in zip(packets, frames, strict=True):
                    stream = self._stream or self._open(source, frame.timestamp_us)
                    if stream.codec_context.extradata != source.codec_context.extradata or _size(stream) != _size(
                        source
                    ):
                        raise VideoError(f"{os.fspath(part)}: is of another size or compression than what it follows.")
                    if frame.is_cut:
                        self._file.cut()
                    packet.stream = stream
                    packet.time_base = MICROSECOND
                    packet.pts, packet.duration = self._file.next_time(frame.timestamp_us)
                    packet.dts = packet.pts
                    self._file.mux(packet)
                    self._file.mux_audio(packet.pts)
        except av.FFmpegError as error:
            raise self._file.failure(error) from error
        except ValueError as error:
            raise VideoError(f"{os.fspath(part)}: has other frames than it was made of.") from error

    def _open(self, source: VideoStream, origin_us: int | None) -> VideoStream:
        def add_copy(container: OutputContainer) -> VideoStream:
            stream: VideoStream = container.add_stream_from_template(source)
            stream.time_base = MICROSECOND
            return stream

        self._stream = self._file.begin(add_copy, origin_us)
        return self._stream


def _size(stream: VideoStream) -> tuple[int, int]:
    return stream.width, stream.height
