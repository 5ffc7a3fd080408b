"""Videos: every frame of one local file, in order of output, just as a single ffmpeg decoder gives them."""

import collections
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video_file import OpenVideo, open_video, sentence_end, video_streams
from od_core.video_pixels import RgbConverter

VIDEO_EXTENSIONS = frozenset(
    f".{ending}"
    for ending in (
        *("264", "265", "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "ivf", "m1v"),
        *("m2t", "m2ts", "m2v", "m4v", "mj2", "mkv", "mov", "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "nut", "obu"),
        *("ogv", "qt", "rm", "rmvb", "swf", "ts", "vc1", "vob", "webm", "wmv", "wtv", "y4m"),
    )
)
"""Endings by which videos are found in a folder. GIF and APNG are left to images, though read_video reads them too."""

MAX_PIXELS = 8192 * 8192
"""Twice the 36 million pixels that the top levels of HEVC and AV1 allow for 8K; such a frame takes 200 MB as RGB."""

# H.264 keeps at most 16 reference pictures, so this many packets after a keyframe none of them is older than it.
_PACKETS_OF_OLD_REFERENCES = 32
# More packets than any decoder takes before it gives the frame of the first.
_MAX_DELAY = 256
_OVER_LIMIT = re.compile(r"Picture size (\d+)x(\d+) exceeds specified max pixel count")


class VideoFrame(NamedTuple):
    """One picture of a video.

    Attributes:
        index: order of output, from 0: the one reliable name of a frame, as times can be missing, repeat or go back.
        timestamp_us: presentation time in microseconds as the container says; None where it says nothing.
        image: uint8 (H, W, 3) RGB, upright, C-contiguous, writable. Its size can change within a video.
        byte_position: where in the file the frame's packet begins; None when unknown.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    timestamp_us: int | None
    image: npt.NDArray[np.uint8]
    byte_position: int | None


class VideoDamage(NamedTuple):
    """A stretch of a video that could not be decoded, or not in full; the next faultless frame ends it.

    Attributes:
        after_index: index of the last faultless frame before it; None at the start.
        timestamp_us: presentation time of its first damaged packet in microseconds; None when unknown.
        message: one sentence for a person.
    """

    after_index: int | None
    timestamp_us: int | None
    message: str


class VideoInfo(NamedTuple):
    """What a video file says about itself, and what its first frame shows.

    Attributes:
        container: ffmpeg's name of the file format, such as "matroska,webm".
        codec: ffmpeg's name of the compression, such as "h264".
        width, height: pixels of the first frame, upright.
        rotation: degrees clockwise by which the stored frame is turned to stand upright: 0, 90, 180 or 270.
        average_rate: frames per second; None when unknown.
        time_base: unit of the container's times, in seconds.
        duration_us: as declared, in microseconds; None when nothing is declared.
        declared_frames: None when nothing is declared. Often wrong: only decoding tells.
        size_bytes: of the file.
        video_streams: how many there are, cover pictures not counted; the first one is read.
    """

    container: str
    codec: str
    width: int
    height: int
    rotation: int
    average_rate: Fraction | None
    time_base: Fraction
    duration_us: int | None
    declared_frames: int | None
    size_bytes: int
    video_streams: int


def read_video(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Iterator[VideoFrame | VideoDamage]:
    """Yield every frame of a video, and among them one VideoDamage for each stretch that is damaged or cut off.

    One decoder works in one thread, so indices, times and pixels are the same on every run, for damaged files too.
    Frames that the decoder could patch up come as frames, after the VideoDamage. The file is opened when the first
    element is asked for, and closed when the iterator ends or is closed.

    Args:
        path: a regular local file; its name and ending do not matter.
        max_pixels: most pixels (width x height) that a frame may have.

    Raises:
        VideoError: the file cannot be opened or read, is not a video, has no video stream or not one decodable frame,
            or has frames of more than max_pixels.
    """
    with open_video(path, max_pixels) as video:
        damage = _DamageReport(video.time_base)
        converter = RgbConverter(video.name)
        index = 0
        for packet in _decoded_packets(video):
            if packet.complaint:
                damage.add(packet.tag, packet.complaint)
            for frame in packet.frames:
                if frame.width * frame.height > max_pixels:
                    raise VideoError(_over_limit(video, frame.width, frame.height))
                tag = frame.opaque if isinstance(frame.opaque, _Tag) else packet.tag
                found = damage.before_frame(index, tag, is_corrupt=frame.is_corrupt)
                if found:
                    yield found
                timestamp_us = _microseconds(frame.pts, video.time_base)
                yield VideoFrame(index, timestamp_us, converter.upright_rgb(frame), tag.position)
                index += 1
        found = damage.at_end()
        if not index:
            raise VideoError(_no_frame(video, found.message if found else None))
        if found:
            yield found


def describe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """What is in a video file, found by opening it and decoding its first frame.

    Raises:
        VideoError: as read_video does.
    """
    with open_video(path, MAX_PIXELS) as video:
        reason = None
        for packet in _decoded_packets(video):
            reason = reason or packet.complaint
            if packet.frames:
                break
        else:
            raise VideoError(_no_frame(video, reason))
        first = packet.frames[0]
        rotation = round(-first.rotation / 90) % 4 * 90
        duration_us = _microseconds(video.stream.duration, video.time_base)
        return VideoInfo(
            container=video.container.format.name,
            codec=video.codec,
            width=first.height if rotation in (90, 270) else first.width,
            height=first.width if rotation in (90, 270) else first.height,
            rotation=rotation,
            average_rate=video.stream.average_rate,
            time_base=video.time_base,
            duration_us=video.container.duration if duration_us is None else duration_us,
            declared_frames=video.stream.frames or None,
            size_bytes=video.size_bytes,
            video_streams=len(video_streams(video.container)),
        )


class _Tag(NamedTuple):
    """Goes into the decoder with a packet and comes out with its frame: times could not tell whose frame it is."""

    ordinal: int
    position: int | None
    pts: int | None


class _DecodedPacket(NamedTuple):
    """The frames, of this or of earlier packets, that the decoder gave for a packet, and what was wrong with it."""

    tag: _Tag
    frames: list[av.VideoFrame]
    complaint: str | None


def _no_frame(video: OpenVideo, reason: str | None) -> str:
    reason = reason or "The stream is empty."
    return f"{video.name}: not one frame of its {video.codec} video could be decoded. {reason}"


def _over_limit(video: OpenVideo, width: int, height: int) -> str:
    return (
        f"{video.name}: has frames of {width}x{height}, {width * height} pixels; the limit is {video.max_pixels}."
        " Scale the video down, or raise the limit."
    )


def _microseconds(time: int | None, unit: Fraction) -> int | None:
    """`time` x `unit` seconds in whole microseconds, halves rounded up, by integers alone."""
    if time is None:
        return None
    numerator, denominator = time * unit.numerator * 1_000_000, unit.denominator
    return (2 * numerator + denominator) // (2 * denominator)


def _decoded_packets(video: OpenVideo) -> Iterator[_DecodedPacket]:
    """Every packet of the stream through the decoder, and at the end, as if of one more packet, what it held back."""
    since_keyframe = 0
    for ordinal, (packet, complaint) in enumerate(_packets(video)):
        tag = _Tag(ordinal, None, None) if packet is None else _Tag(ordinal, packet.pos, packet.pts)
        since_keyframe = 0 if packet is not None and packet.is_keyframe else since_keyframe + 1
        frames: list[av.VideoFrame] = []
        # An empty packet would tell the decoder that nothing follows.
        if packet is None or packet.size:
            frames, grievance = _decode(
                video, packet, tag, is_after_keyframe=since_keyframe < _PACKETS_OF_OLD_REFERENCES
            )
            complaint = complaint or grievance
        yield _DecodedPacket(tag, frames, complaint)


def _packets(video: OpenVideo) -> Iterator[tuple["av.Packet[VideoStream] | None", str | None]]:
    """Every packet of the stream, and then None, each with what is wrong with the file there."""
    source = video.container.demux(video.stream)
    is_transport_stream = video.container.format.name == "mpegts"
    is_previous_marked = False
    packet, complaint = _next_packet(video, source)
    while packet is not None:
        following, next_complaint = _next_packet(video, source)
        is_marked = packet.is_corrupt
        if is_transport_stream:
            # ffmpeg finds the gap while it puts together the packet after the one that it then marks. Where two streams
            # were joined, their counters jump just as if data were missing, but there a keyframe comes next.
            is_marked, is_previous_marked = is_previous_marked, is_marked
            is_marked &= not (packet.is_keyframe or (following is not None and following.is_keyframe))
        if is_marked:
            complaint = complaint or "The file is damaged or cut off here: data are missing."
        yield packet, complaint
        packet, complaint = following, next_complaint
    yield None, complaint


def _next_packet(
    video: OpenVideo, source: Iterator["av.Packet[VideoStream]"]
) -> tuple["av.Packet[VideoStream] | None", str | None]:
    """The next packet, None at the end, and what is wrong with the file there."""
    demuxer = video.container.format.name
    packet = None
    with av.logging.Capture() as log:
        try:
            packet = next(source, None)
        except av.error.InvalidDataError as error:
            log.append((av.logging.ERROR, demuxer, str(error.strerror)))
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise VideoError(f"{video.name}: cannot be read on: {sentence_end(str(error.strerror))}") from error
    # Parsers write here too, but what they dislike the decoder will name as well; other streams are not our concern.
    lines = [line for level, author, line in log if level <= av.logging.ERROR and author == demuxer]
    if packet is None and _is_cut_off(video):
        lines.append("its index names frames beyond its end")
    return packet, f"The file is damaged or cut off here: {sentence_end(lines[0])}" if lines else None


def _is_cut_off(video: OpenVideo) -> bool:
    """Whether the file is shorter than its index says: ffmpeg takes that for a normal end if it falls between packets.

    Only MP4 and its kin are asked: their index alone lists every packet with its place.
    """
    entries = video.stream.index_entries
    if not video.container.format.name.startswith("mov,") or not len(entries):
        return False
    return entries[-1].pos + entries[-1].size > video.size_bytes


def _decode(
    video: OpenVideo, packet: "av.Packet[VideoStream] | None", tag: _Tag, *, is_after_keyframe: bool
) -> tuple[list[av.VideoFrame], str | None]:
    """Frames that the decoder gives for a packet (for None: all that it held back), and what it complains of."""
    frames: list[av.VideoFrame] = []
    failure = None
    with av.logging.Capture() as log:
        try:
            if packet is None:
                frames = video.stream.codec_context.decode(None)
            else:
                packet.opaque = tag
                frames = packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            failure = error.strerror
    lines = [line for level, _, line in log if level <= av.logging.ERROR]
    for line in lines:
        if match := _OVER_LIMIT.search(line):
            raise VideoError(_over_limit(video, int(match[1]), int(match[2])))
    if is_after_keyframe:
        # Where a video was cut or joined at a keyframe, the next packets still strike older references off the list.
        lines = [line for line in lines if not line.startswith("mmco: unref short failure")]
    reason = next(iter(lines), failure)
    return frames, f"The {video.codec} data are damaged here: {sentence_end(reason)}" if reason else None


class _DamageReport:
    """Turns complaints about packets into stretches of damage, told once each, before the first frame concerned.

    Order is that of the packets: a frame decoded after a damaged packet may have been built upon it, even if it is
    shown earlier.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._untold: list[tuple[_Tag, str]] = []
        self._damaged = collections.deque[int](maxlen=_MAX_DELAY)
        self._is_open = False
        self._last_good: int | None = None

    def add(self, tag: _Tag, complaint: str) -> None:
        self._damaged.append(tag.ordinal)
        if len(self._untold) < _MAX_DELAY:  # without a single frame in so many packets, it is all one stretch
            self._untold.append((tag, complaint))

    def before_frame(self, index: int, tag: _Tag, *, is_corrupt: bool) -> VideoDamage | None:
        """What to tell before the frame that came of packet `tag`; to be called for every frame."""
        is_damaged = tag.ordinal in self._damaged
        if is_corrupt and not is_damaged:
            self.add(tag, "The decoder says that this frame is damaged.")
        due = [entry for entry in self._untold if entry[0].ordinal <= tag.ordinal]
        self._untold = [entry for entry in self._untold if entry[0].ordinal > tag.ordinal]
        found = self._start(due)
        if not is_damaged and not is_corrupt:
            self._is_open = False
            self._last_good = index
        return found

    def at_end(self) -> VideoDamage | None:
        """What to tell after the last frame."""
        return self._start(self._untold)

    def _start(self, due: list[tuple[_Tag, str]]) -> VideoDamage | None:
        if not due or self._is_open:
            return None
        self._is_open = True
        tag, complaint = due[0]
        return VideoDamage(self._last_good, _microseconds(tag.pts, self._time_base), complaint)
