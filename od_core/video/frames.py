"""Videos: every frame of one local file, in order of output, just as a single ffmpeg decoder gives them."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt

from od_core.errors import VideoError
from od_core.video.decode import Tag, decoded_packets, microseconds, numbered_packets, over_limit
from od_core.video.file import OpenVideo, open_video, video_streams
from od_core.video.pixels import RgbConverter
from od_core.video.sampling import EVERY_FRAME, Clock, Sampler, Sampling

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

# More packets than any decoder takes before it gives the frame of the first.
_MAX_DELAY = 256


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


def read_video(
    path: str | os.PathLike[str],
    *,
    sampling: Sampling = EVERY_FRAME,
    max_pixels: int = MAX_PIXELS,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[VideoFrame | VideoDamage]:
    """Yield the wanted frames of a video, and among them one VideoDamage for each stretch that is damaged or cut off.

    One decoder works in one thread, from the start on, so indices, times and pixels are the same on every run, for
    damaged files too. Frames that the decoder could patch up come as frames, after the VideoDamage. Frames that are not
    wanted are decoded, as others are built upon them, but not made into images; damage is told where it lies within
    the sampling's window. The file is opened when the first element is asked for, and closed when the iterator ends or
    is closed.

    Args:
        path: a regular local file; its name and ending do not matter.
        sampling: which frames are wanted.
        max_pixels: most pixels (width x height) that a frame may have.
        alive: called again and again while work goes on, wanted frames or not.

    Raises:
        VideoError: the file cannot be opened or read, is not a video, has no video stream or not one decodable frame,
            has frames of more than max_pixels, or has no times where the sampling needs them.
    """
    with open_video(path, max_pixels) as video:
        yield from _Reading(video, sampling, alive).elements()


def describe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """What is in a video file, found by opening it and decoding its first frame.

    Raises:
        VideoError: as read_video does.
    """
    with open_video(path, MAX_PIXELS) as video:
        reason = None
        for packet in decoded_packets(video, numbered_packets(video)):
            reason = reason or packet.complaint
            if packet.frames:
                break
        else:
            raise VideoError(_no_frame(video, reason))
        first = packet.frames[0]
        rotation = round(-first.rotation / 90) % 4 * 90
        duration_us = microseconds(video.stream.duration, video.time_base)
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


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A frame of which the next one tells whether it is wanted."""

    index: int
    frame: av.VideoFrame
    tag: Tag
    before: int | None
    at: int


class _Reading:
    """One pass over a video."""

    def __init__(self, video: OpenVideo, sampling: Sampling, alive: Callable[[], None]) -> None:
        self._video = video
        self._alive = alive
        self._sampler = Sampler(sampling, video.time_base)
        self._clock = Clock(video.name)
        self._converter = RgbConverter(video.name)
        self._damage = _DamageReport(video.time_base)

    def elements(self) -> Iterator[VideoFrame | VideoDamage]:
        """See read_video."""
        at: int | None = None
        waiting: _Waiting | None = None
        for index, (frame, tag) in enumerate(self._frames()):
            found = self._damage.before_frame(index, tag, is_corrupt=frame.is_corrupt)
            before, at = at, self._clock.tick(frame.dts if frame.pts is None else frame.pts, self._sampler)
            if waiting is not None:
                yield from self._wanted(waiting, at)
            waiting = _Waiting(index, frame, tag, before, at)
            if self._sampler.is_over(at):
                return
            if found and not self._sampler.is_before(at):
                yield found
            if not self._sampler.looks_ahead:
                yield from self._wanted(waiting, None)
                waiting = None
        if waiting is not None:
            yield from self._wanted(waiting, None)
        found = self._damage.at_end()
        if at is None:
            raise VideoError(_no_frame(self._video, found.message if found else None))
        if found and not self._sampler.is_before(at):
            yield found

    def _frames(self) -> Iterator[tuple[av.VideoFrame, Tag]]:
        """Every frame with the tag of its packet; what packets are found guilty of is noted."""
        for packet in decoded_packets(self._video, numbered_packets(self._video)):
            self._alive()
            if packet.complaint:
                self._damage.add(packet.tag, packet.complaint)
            for frame in packet.frames:
                if frame.width * frame.height > self._video.max_pixels:
                    raise VideoError(over_limit(self._video, frame.width, frame.height))
                yield frame, frame.opaque if isinstance(frame.opaque, Tag) else packet.tag

    def _wanted(self, waiting: _Waiting, after: int | None) -> Iterator[VideoFrame]:
        index, frame, tag = waiting.index, waiting.frame, waiting.tag
        if self._sampler.takes(index, is_keyframe=tag.is_keyframe, before=waiting.before, at=waiting.at, after=after):
            timestamp_us = microseconds(frame.pts, self._video.time_base)
            yield VideoFrame(index, timestamp_us, self._converter.upright_rgb(frame), tag.position)


def _no_frame(video: OpenVideo, reason: str | None) -> str:
    reason = reason or "The stream is empty."
    return f"{video.name}: not one frame of its {video.codec} video could be decoded. {reason}"


class _DamageReport:
    """Turns complaints about packets into stretches of damage, told once each, before the first frame concerned.

    Order is that of the packets: a frame decoded after a damaged packet may have been built upon it, even if it is
    shown earlier.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._untold: list[tuple[Tag, str]] = []
        self._damaged = collections.deque[int](maxlen=_MAX_DELAY)
        self._is_open = False
        self._last_good: int | None = None

    def add(self, tag: Tag, complaint: str) -> None:
        self._damaged.append(tag.ordinal)
        if len(self._untold) < _MAX_DELAY:  # without a single frame in so many packets, it is all one stretch
            self._untold.append((tag, complaint))

    def before_frame(self, index: int, tag: Tag, *, is_corrupt: bool) -> VideoDamage | None:
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

    def _start(self, due: list[tuple[Tag, str]]) -> VideoDamage | None:
        if not due or self._is_open:
            return None
        self._is_open = True
        tag, complaint = due[0]
        return VideoDamage(self._last_good, microseconds(tag.pts, self._time_base), complaint)
