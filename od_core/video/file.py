"""Opening a video file: confined to that one file, one decoder in one thread, nothing guessed."""

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from od_core.errors import VideoError

# Demuxers of self-contained files. The others follow references (HLS, concat, SDP), take text for pictures, or number
# files on their own.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,gif,apng,h264,hevc,m4v,mpegvideo,ivf,mjpeg,"
    "yuv4mpegpipe,dv,rm,obu,av1,vc1,nut,swf,wtv"
)
_GENERATE_TIMES = 1  # AVFMT_FLAG_GENPTS in libavformat/avformat.h
_FILE_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"))


@dataclasses.dataclass(frozen=True)
class OpenVideo:
    """A container confined to its file, and its video stream with the decoder set up."""

    name: str
    size_bytes: int
    max_pixels: int
    container: InputContainer
    stream: VideoStream
    time_base: Fraction

    @property
    def codec(self) -> str:
        return self.stream.codec_context.codec.canonical_name


@contextlib.contextmanager
def open_video(path: str | os.PathLike[str], max_pixels: int) -> Iterator[OpenVideo]:
    """Open a video so that ffmpeg can reach no other file; closed when the block is left."""
    name = os.fspath(path)
    _hear_ffmpeg()
    descriptor = _open_regular_file(name)
    try:
        size_bytes = os.fstat(descriptor).st_size
        container = _open_container(name, descriptor)
    finally:
        os.close(descriptor)  # ffmpeg has its own duplicate
    with container:
        # PyAV sets this flag, which invents wrong times for AVI, MPEG-PS, raw and packed streams.
        container.flags &= ~_GENERATE_TIMES
        streams = video_streams(container)
        if not streams:
            raise VideoError(f"{name}: holds no video; {_stream_list(container)}.")
        stream = streams[0]
        decoder = stream.codec_context
        if decoder is None or stream.time_base is None:
            raise VideoError(f"{name}: ffmpeg has no decoder for its video stream.")
        # With threads, the decoder drops the last frames of damaged files, and not always the same ones.
        decoder.thread_type = ThreadType.NONE
        decoder.thread_count = 1
        decoder.copy_opaque = True
        # The decoder sees sizes rounded up to whole blocks; its limit is there to save the memory for absurd ones.
        decoder.options = {"max_pixels": str(2 * max_pixels + 65536)}
        if decoder.name == "h264":
            # Without it, streams that do not declare how they reorder frames lose one at the start.
            decoder.options |= {"strict": "1"}
        yield OpenVideo(name, size_bytes, max_pixels, container, stream, stream.time_base)


def _hear_ffmpeg() -> None:
    """Let ffmpeg's errors come through av.logging, where Capture() takes those of the calling thread alone."""
    level = av.logging.get_level()
    if level is None or level < av.logging.ERROR:
        av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # what repeats another thread's line would be skipped as well


def _open_regular_file(name: str) -> int:
    """A descriptor of the file; VideoError for all that is not a regular file with something in it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a named pipe could block
    except OSError as error:
        raise VideoError(f"{name}: cannot be opened: {error.strerror}.") from error
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise VideoError(f"{name}: is an empty file; expected a video.")
    kind = next((kind for is_kind, kind in _FILE_KINDS if is_kind(status.st_mode)), "no regular file")
    raise VideoError(f"{name}: is {kind}; expected a regular file with a video in it.")


def _open_container(name: str, descriptor: int) -> InputContainer:
    # The formats keep playlists and texts out, the protocol whatever other file a format may still refer to.
    options = {"fd": str(descriptor), "protocol_whitelist": "fd", "format_whitelist": _CONTAINERS}
    with av.logging.Capture() as log:
        try:
            # Titles and the like are not used, and old files have them in other encodings than UTF-8.
            # No timeout: a disk or machine that pauses would fail a good video. Work that hangs is its pool's concern.
            return av.open("fd:", "r", options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(_why_not_opened(name, log, error)) from error


def _why_not_opened(name: str, log: list[tuple[int, str, str]], error: av.FFmpegError) -> str:
    """ffmpeg's refusal of a file, in words."""
    refused = next((demuxer for _, demuxer, line in log if "not on whitelist" in line), None)
    if any("m3u8/hls" in line for _, _, line in log):  # all that it says of a playlist without a playlist's ending
        refused = "hls"
    if refused in ("hls", "concat", "sdp"):
        return f"{name}: is a playlist ({refused}), which only names other files; give the video files themselves."
    if refused is not None:
        kind = "a picture, or pictures without a container" if refused.endswith("_pipe") else "something else"
        return f"{name}: expected a video, got {kind} (ffmpeg calls the format {refused})."
    reason = sentence_end(log[-1][2] if log else str(error.strerror))
    return f"{name}: is no video that ffmpeg knows, or it is damaged or cut off: {reason}"


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The streams that are moving pictures: the cover of a song is an attached one."""
    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _stream_list(container: InputContainer) -> str:
    kinds = ["a cover picture" if stream.type == "video" else stream.type for stream in container.streams]
    return f"its streams are: {', '.join(kinds)}" if kinds else "it has no streams at all"


def sentence_end(line: str) -> str:
    """A line of ffmpeg's log, to end a sentence with."""
    return line.strip().rstrip(".") + "."
