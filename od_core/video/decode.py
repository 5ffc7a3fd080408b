"""Packets through one decoder: every frame with the packet it came of, and all that ffmpeg complains of on the way."""

import itertools
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video.file import OpenVideo, sentence_end

# H.264 keeps at most 16 reference pictures, so this many packets after a keyframe none of them is older than it.
_PACKETS_OF_OLD_REFERENCES = 32
_OVER_LIMIT = re.compile(r"Picture size (\d+)x(\d+) exceeds specified max pixel count")


class Tag(NamedTuple):
    """Goes into the decoder with a packet and comes out with its frame: times could not tell whose frame it is."""

    ordinal: int
    position: int | None
    pts: int | None
    is_keyframe: bool = False


class NumberedPacket(NamedTuple):
    """A packet of the video stream (None: the end), its ordinal, and what is wrong with the file there."""

    ordinal: int
    packet: "av.Packet[VideoStream] | None"
    complaint: str | None


class DecodedPacket(NamedTuple):
    """The frames, of this or of earlier packets, that the decoder gave for a packet, and what was wrong with it."""

    tag: Tag
    frames: list[av.VideoFrame]
    complaint: str | None


def over_limit(video: OpenVideo, width: int, height: int) -> str:
    """Why frames of this size are refused."""
    return (
        f"{video.name}: has frames of {width}x{height}, {width * height} pixels; the limit is {video.max_pixels}."
        " Scale the video down, or raise the limit."
    )


def microseconds(time: int | None, unit: Fraction) -> int | None:
    """`time` x `unit` seconds in whole microseconds, halves rounded up, by integers alone."""
    if time is None:
        return None
    numerator, denominator = time * unit.numerator * 1_000_000, unit.denominator
    return (2 * numerator + denominator) // (2 * denominator)


def decoded_packets(video: OpenVideo, packets: Iterable[NumberedPacket]) -> Iterator[DecodedPacket]:
    """Packets through the decoder; for the end, what it held back. The first one should be a keyframe."""
    since_keyframe = 0
    for ordinal, packet, complaint in packets:
        tag = Tag(ordinal, None, None)
        if packet is not None:
            tag = Tag(ordinal, packet.pos, packet.pts, packet.is_keyframe)
        since_keyframe = 0 if tag.is_keyframe else since_keyframe + 1
        frames: list[av.VideoFrame] = []
        # An empty packet would tell the decoder that nothing follows.
        if packet is None or packet.size:
            frames, grievance = _decode(
                video, packet, tag, is_after_keyframe=since_keyframe < _PACKETS_OF_OLD_REFERENCES
            )
            complaint = complaint or grievance
        yield DecodedPacket(tag, frames, complaint)


def numbered_packets(video: OpenVideo) -> Iterator[NumberedPacket]:
    """Every packet of the stream from where the container stands, numbered from 0, and then the end.

    Raises:
        VideoError: the file cannot be read on.
    """
    source = video.container.demux(video.stream)
    is_transport_stream = video.container.format.name == "mpegts"
    is_previous_marked = False
    packet, complaint = _next_packet(video, source)
    for ordinal in itertools.count():
        if packet is None:
            yield NumberedPacket(ordinal, None, complaint)
            return
        following, next_complaint = _next_packet(video, source)
        is_marked = packet.is_corrupt
        if is_transport_stream:
            # ffmpeg finds the gap while it puts together the packet after the one that it then marks. Where two streams
            # were joined, their counters jump just as if data were missing, but there a keyframe comes next.
            is_marked, is_previous_marked = is_previous_marked, is_marked
            is_marked &= not (packet.is_keyframe or (following is not None and following.is_keyframe))
        if is_marked:
            complaint = complaint or "The file is damaged or cut off here: data are missing."
        yield NumberedPacket(ordinal, packet, complaint)
        packet, complaint = following, next_complaint


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
    video: OpenVideo, packet: "av.Packet[VideoStream] | None", tag: Tag, *, is_after_keyframe: bool
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
            raise VideoError(over_limit(video, int(match[1]), int(match[2])))
    if is_after_keyframe:
        # Where a video was cut or joined at a keyframe, the next packets still strike older references off the list.
        lines = [line for line in lines if not line.startswith("mmco: unref short failure")]
    reason = next(iter(lines), failure)
    return frames, f"The {video.codec} data are damaged here: {sentence_end(reason)}" if reason else None
