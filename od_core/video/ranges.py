"""Parts of a video, each decoded on its own, with the very frames that decoding the whole would give.

A range is taken for good only where its decoder does what the packet scan expects, and where it shows the same pixels
as its neighbour at the seam; else the reader says so, and the video is to be decoded whole. The rules were found by
experiment on 167 videos; docs/video.md tells them.
"""

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av

from od_core.errors import VideoError
from od_core.video.decode import NumberedPacket, Tag, decoded_packets, microseconds, numbered_packets, over_limit
from od_core.video.file import OpenVideo, open_video
from od_core.video.frames import MAX_PIXELS, VideoDamage, VideoFrame, read_video
from od_core.video.pixels import RgbConverter
from od_core.video.sampling import Sampler, Sampling
from od_core.video.scan import PacketScan

# Frames that two ranges both decode at their seam.
_SEAM_FRAMES = 4
# A seek may land some packets early, never this many.
_SEEK_WINDOW = 4096
END = "end"
"""The seam after the last frame."""


class RangeEnd(NamedTuple):
    """The last element of a range: what its seams look like.

    Attributes:
        first: the seam with the range before, as text; None if it begins where none ends.
        after: the seam with the range after; END after the last frame; None if it ends where none begins.
        broken: why the range cannot be trusted: the video is to be decoded whole. None if it can.
    """

    first: str | None
    after: str | None
    broken: str | None = None


class _BrokenError(Exception):
    """The range is not as its packets made expect."""


def read_range(
    path: str | os.PathLike[str],
    scan: PacketScan,
    start: int,
    stop: int,
    total: int,
    *,
    sampling: Sampling,
    max_pixels: int = MAX_PIXELS,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[VideoFrame | VideoDamage | RangeEnd]:
    """Yield the wanted frames of a part of a video, and then a RangeEnd.

    Ranges that join, and of which neighbours agree about their seam (`after` of one is `first` of the next that holds
    frames) while none is broken, together give what `read_video` gives of an undamaged video. Of a video that cannot be
    cut, the range that begins at 0 gives everything, by `read_video`.

    Args:
        path: as for read_video.
        scan: of this file.
        start, stop, total: the part as a share of the video's bytes.
        sampling, max_pixels, alive: as for read_video.

    Raises:
        VideoError: the file cannot be opened or read, or has frames of more than max_pixels.
    """
    if scan.refusal:
        if start == 0:
            yield from read_video(path, sampling=sampling, max_pixels=max_pixels, alive=alive)
        yield RangeEnd(None, END if start == 0 else None)
        return
    try:
        yield from _RangeReading(path, scan, sampling, max_pixels, alive).elements(scan.span(start, stop, total))
    except _BrokenError as error:
        yield RangeEnd(None, None, str(error))


class _Shown(NamedTuple):
    place: int
    frame: av.VideoFrame
    tag: Tag


class _RangeReading:
    def __init__(
        self,
        path: str | os.PathLike[str],
        scan: PacketScan,
        sampling: Sampling,
        max_pixels: int,
        alive: Callable[[], None],
    ) -> None:
        self._path = path
        self._scan = scan
        self._sampling = sampling
        self._max_pixels = max_pixels
        self._alive = alive
        self._converter = RgbConverter(os.fspath(path))
        self._end = len(scan.order)

    def elements(self, span: range) -> Iterator[VideoFrame | RangeEnd]:
        """The wanted frames of the span, and the RangeEnd."""
        sampler = Sampler(self._sampling, self._scan.unit)
        window = self._scan.window(sampler)
        first, last = max(span.start, window.start), min(span.stop, window.stop)
        if first >= last:
            yield RangeEnd(None, None)
            return
        if self._sampling.keyframes:
            yield from self._keyframes(list(self._scan.chosen(sampler, range(first, last))))
            return
        if first == window.start:
            self._prove_jump(first)
        places = range(first, last)
        chosen = places if self._sampling.is_all else frozenset(self._scan.chosen(sampler, places))
        before, after = _Seam(first), _Seam(last)
        for shown in self._stretch(first, last):
            if first > window.start:
                before.add(shown, self._converter)
            after.add(shown, self._converter)
            if shown.place in chosen:
                yield self._image(shown)
        seam_after = END if last == self._end else after.text if last < window.stop else None
        yield RangeEnd(before.text if first > window.start else None, seam_after)

    def _image(self, shown: _Shown) -> VideoFrame:
        rgb = self._converter.upright_rgb(shown.frame)
        return VideoFrame(shown.place, microseconds(shown.frame.pts, self._scan.unit), rgb, shown.tag.position)

    def _stretch(self, first: int, last: int, *, lead: int = 1) -> Iterator[_Shown]:
        """Frames `first` to `last`, and some more for the seam, decoded from `lead` keyframes before on.

        Raises:
            _BrokenError: anything but the expected frames came, or the decoder complained.
        """
        number = self._scan.border_at(first)
        border = self._scan.borders[number]
        lead_in = self._scan.borders[max(0, number - lead)]
        stop = min(last + _SEAM_FRAMES, self._end)
        expected = None if border.ordinal else 0
        with self._open_at(lead_in.ordinal) as (video, packets):
            for packet in decoded_packets(video, packets):
                self._alive()
                if packet.complaint and packet.tag.ordinal >= border.ordinal:
                    raise _BrokenError(packet.complaint)
                for frame in packet.frames:
                    shown = self._shown(video, frame)
                    if expected is None and shown.tag.ordinal == border.ordinal:
                        expected = border.place
                    if expected is None:  # of the lead-in
                        continue
                    if shown.place != expected or frame.is_corrupt:
                        raise _BrokenError(f"Frame {expected} did not come as its packets made expect.")
                    if shown.place >= first:
                        yield shown
                    expected += 1
                    if expected == stop:
                        return
        raise _BrokenError(f"Frame {expected} did not come as its packets made expect.")

    def _shown(self, video: OpenVideo, frame: av.VideoFrame) -> _Shown:
        if frame.width * frame.height > self._max_pixels:
            raise VideoError(over_limit(video, frame.width, frame.height))
        if not isinstance(frame.opaque, Tag):
            raise _BrokenError("A frame came of no packet.")
        return _Shown(int(self._scan.places[frame.opaque.ordinal]), frame, frame.opaque)

    def _prove_jump(self, first: int) -> None:
        """Make sure that decoding can begin in the middle although nobody decodes what comes before.

        The frames before are counted by their packets, which must be right for the first group of the video; and the
        first frames must not depend on how far back decoding begins.

        Raises:
            _BrokenError: it cannot.
        """
        number = self._scan.border_at(first)
        if number == 0:
            return  # all frames before are decoded too
        self._seam_after_head()
        place = self._scan.borders[number].place
        if number > 1 and self._seam(place, lead=1) != self._seam(place, lead=2):
            raise _BrokenError("Its frames depend on what comes long before them.")

    def _seam(self, place: int, *, lead: int) -> str:
        """The seam before a frame, as it looks when decoding begins `lead` keyframes before."""
        seam = _Seam(place)
        for shown in self._stretch(place, place, lead=lead):
            seam.add(shown, self._converter)
        return seam.text

    def _seam_after_head(self, frames: int = _SEAM_FRAMES) -> str:
        """Decode the first group of the video, which must be as expected; returns the seam with the second."""
        place = self._scan.borders[1].place
        seam = _Seam(place, frames)
        for shown in self._stretch(0, place):
            if shown.frame.interlaced_frame:
                raise _BrokenError("It is interlaced: two packets can be one frame.")
            seam.add(shown, self._converter)
        return seam.text

    def _keyframes(self, chosen: list[int]) -> Iterator[VideoFrame | RangeEnd]:
        """These frames, which are keyframes, each decoded alone."""
        if chosen:
            second = self._scan.borders[1]
            alone = _Seam(second.place, 1)
            for shown in self._alone([second.ordinal]):
                alone.add(shown, self._converter)
            if alone.text != self._seam_after_head(1):
                raise _BrokenError("Its keyframes depend on what comes before them.")
            for shown in self._alone([int(self._scan.order[place]) for place in chosen]):
                yield self._image(shown)
        yield RangeEnd(None, None)

    def _alone(self, ordinals: list[int]) -> Iterator[_Shown]:
        """The frames of these keyframe packets; nothing else is decoded."""
        wanted = set(ordinals)
        with self._open_at(ordinals[0]) as (video, packets):
            for numbered in packets:
                self._alive()
                if numbered.ordinal in wanted:
                    yield self._decoded_alone(video, numbered)
                if numbered.ordinal == ordinals[-1]:
                    return

    def _decoded_alone(self, video: OpenVideo, numbered: NumberedPacket) -> _Shown:
        end = NumberedPacket(numbered.ordinal, None, None)
        decoded = list(decoded_packets(video, [numbered, end]))
        video.stream.codec_context.flush_buffers()
        shown = [self._shown(video, frame) for packet in decoded for frame in packet.frames]
        complaint = next((packet.complaint for packet in decoded if packet.complaint), None)
        if complaint or len(shown) != 1 or shown[0].tag.ordinal != numbered.ordinal or shown[0].frame.is_corrupt:
            raise _BrokenError(complaint or "One of its keyframes cannot be decoded alone.")
        return shown[0]

    @contextlib.contextmanager
    def _open_at(self, ordinal: int) -> Iterator[tuple[OpenVideo, Iterator[NumberedPacket]]]:
        """The video and its packets from this one on, all of them those of the scan."""
        time = self._scan.time_to_seek(ordinal)
        if ordinal and time is not None:
            with open_video(self._path, self._max_pixels) as video:
                packets = self._sought(video, ordinal, time)
                if packets is not None:
                    yield video, self._checked(packets)
                    return
        with open_video(self._path, self._max_pixels) as video:
            yield video, itertools.islice(self._checked(numbered_packets(video)), ordinal, None)

    def _sought(self, video: OpenVideo, ordinal: int, time: int) -> Iterator[NumberedPacket] | None:
        """The packets from this one on, by a seek; None where seeking does not lead there."""
        try:
            video.container.seek(time, stream=video.stream, backward=True, any_frame=False)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            return None
        packets = numbered_packets(video)
        for numbered in itertools.islice(packets, _SEEK_WINDOW):
            if self._scan.is_of(numbered._replace(ordinal=ordinal)):
                here = itertools.chain([numbered], packets)
                return (one._replace(ordinal=number) for number, one in enumerate(here, ordinal))
        return None

    def _checked(self, packets: Iterator[NumberedPacket]) -> Iterator[NumberedPacket]:
        for numbered in packets:
            self._alive()
            if not self._scan.is_of(numbered):
                raise _BrokenError("Its packets are not those that were there a moment ago.")
            yield numbered


class _Seam:
    """The text that tells whether two decoders agree about the frames from a place on."""

    def __init__(self, place: int, frames: int = _SEAM_FRAMES) -> None:
        self._places = range(place, place + frames)
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, shown: _Shown, converter: RgbConverter) -> None:
        """Take a frame into account, if it is one of those at the seam."""
        if shown.place in self._places:
            image = converter.upright_rgb(shown.frame)
            self._hash.update(f"{shown.place} {shown.frame.pts} {image.shape} ".encode())
            self._hash.update(image.data)

    @property
    def text(self) -> str:
        return f"{self._places.start}:{self._hash.hexdigest()}"
