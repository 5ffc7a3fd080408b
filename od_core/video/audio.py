"""The sound of a video on its way into another one: packets as they are, or encoded anew where MP4 cannot hold them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph

from od_core.video.file import OpenVideo, open_video, sentence_end
from od_core.video.frames import MAX_PIXELS

COPIED = frozenset({"aac", "flac", "mp3", "opus"})
"""ffmpeg's names of the compressions that browsers play from an MP4."""

Packet: TypeAlias = "av.Packet[AudioStream]"

_BITS_PER_CHANNEL = 64_000
_FRAME_SAMPLES = 1024  # of AAC
_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_MICROSECOND = Fraction(1, 1_000_000)
# What decoders need before the first sample that is heard: two packets of AAC, 80 ms of Opus (RFC 7845, 4.2).
_PREROLL = Fraction(1, 10)
# Sound that comes later than it should is moved, and silence put before it, from so many seconds on.
_GAP = 0.1


class Audio:
    """The first sound track of an open video. Whatever is wrong with it is told, and never raised.

    Attributes:
        state: "copied" or "encoded" once it is in a video; None before, and where it could not be put there.
        problem: a sentence about what is missing of it; None where nothing is.
    """

    def __init__(self, video: OpenVideo, stream: AudioStream):
        self.state: str | None = None
        self.problem: str | None = None
        self._stream = stream
        self._packets = _packets(video, stream, self._tell)
        self._next: Packet | None = None
        self._has_ended = False
        self._track: _Copy | _Encoding | None = None
        is_copied = stream.codec_context.codec.canonical_name in COPIED
        self._kind: type[_Copy] | type[_Encoding] = _Copy if is_copied else _Encoding

    def join(self, container: OutputContainer, origin_us: int) -> None:
        """Become a track of a video of which nothing is written yet.

        Args:
            container: the video; its header must be written before `mux_until`.
            origin_us: the time, in the original, that is 0 in the video.

        Raises:
            av.FFmpegError, ValueError: there cannot be such a track; see `was_refused`.
        """
        self._track = self._kind(container, self._stream, origin_us * _MICROSECOND)
        self.state = self._kind.state

    def was_refused(self, error: Exception) -> bool:
        """Take note that the container did not take it; returns whether it is worth while to join another one."""
        self.state = self._track = None
        if self._kind is _Copy:
            self._kind = _Encoding
            return True
        reason = sentence_end(str(getattr(error, "strerror", None) or error))
        self._tell(f"The sound ({self._stream.codec_context.name}) cannot be kept: {reason}")
        return False

    def end(self, problem: str) -> None:
        """Add nothing more, for this reason."""
        self._tell(problem)
        self._next, self._has_ended = None, True

    def mux_until(self, time_us: int) -> None:
        """Write what is heard up to a time in the video, in microseconds.

        Raises:
            OSError: the file cannot be written.
        """
        self._mux_while(lambda time: time <= time_us * _MICROSECOND)

    def finish(self) -> None:
        """Write what is left, also what is heard after the last frame.

        Raises:
            OSError: the file cannot be written.
        """
        self._mux_while(lambda time: True)
        if self._track is not None:
            self._mux(None)

    def _mux_while(self, is_due: Callable[[Fraction], bool]) -> None:
        while self._track is not None and not self._has_ended:
            self._next = self._next or next(self._packets, None)
            if self._next is None:
                self._has_ended = True
            elif is_due(self._track.time_of(self._next)):
                packet, self._next = self._next, None
                self._mux(packet)
            else:
                return

    def _mux(self, packet: "Packet | None") -> None:
        assert self._track is not None
        try:
            self._track.mux(packet, self._tell)
        except av.FFmpegError as error:
            if isinstance(error, OSError | MemoryError):
                raise
            self.end(f"The sound is damaged: {sentence_end(str(error.strerror))}")

    def _tell(self, problem: str) -> None:
        self.problem = self.problem or problem


@contextlib.contextmanager
def open_audio(path: str | os.PathLike[str]) -> Iterator[Audio | None]:
    """The sound of a local video, open as long as the block lasts; None where it has none that ffmpeg can decode.

    Raises:
        VideoError: as `open_video`.
    """
    with open_video(path, MAX_PIXELS) as video:
        stream = next((one for one in video.container.streams.audio if one.codec_context is not None), None)
        yield None if stream is None else Audio(video, stream)


def _packets(video: OpenVideo, stream: AudioStream, tell: Callable[[str], None]) -> Iterator[Packet]:
    """The packets of the sound, until the file ends or cannot be read on."""
    source = video.container.demux(stream)
    while True:
        try:
            packet = next(source, None)
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            tell(f"The sound is damaged or cut off: {sentence_end(str(error.strerror))}")
            return
        if packet is None:
            return
        if packet.size:
            yield packet


class _Copy:
    """Puts packets into another container as they are, at their times less the origin."""

    state = "copied"

    def __init__(self, container: OutputContainer, stream: AudioStream, origin: Fraction):
        self._container = container
        self._track = container.add_stream_from_template(stream)
        self._unit = stream.time_base or Fraction(1, stream.rate)
        self._origin = round(origin / self._unit)
        self._follows = 0  # the time at which the last packet ended
        self._last: int | None = None

    def time_of(self, packet: Packet) -> Fraction:
        """When a packet is heard in the new video, in seconds."""
        time = packet.dts if packet.pts is None else packet.pts
        return (self._follows if time is None else time - self._origin) * self._unit

    def mux(self, packet: "Packet | None", tell: Callable[[str], None]) -> None:
        """Write a packet; those that end before the video begins are left out."""
        if packet is None:
            return
        time = round(self.time_of(packet) / self._unit)
        self._follows = time + (packet.duration or 0)
        if self._follows * self._unit <= -_PREROLL:
            return
        if self._last is not None and time <= self._last:
            tell("The sound is damaged: its times go back, and what is heard twice is left out.")
            return
        self._last = packet.pts = packet.dts = time
        packet.stream = self._track
        self._container.mux(packet)


class _Encoding:
    """Decodes packets and encodes them as AAC: silence stands for what is missing, from the first frame on."""

    state = "encoded"

    def __init__(self, container: OutputContainer, stream: AudioStream, origin: Fraction):
        decoder = stream.codec_context
        rate = decoder.sample_rate if decoder.sample_rate in _RATES else _RATES[0]
        layout = _LAYOUTS.get(decoder.channels, "stereo")
        self._container = container
        self._track = container.add_stream("aac", rate=rate)
        self._track.layout = layout
        self._track.format = "fltp"
        self._track.time_base = Fraction(1, rate)
        self._track.bit_rate = _BITS_PER_CHANNEL * self._track.layout.nb_channels
        self._unit = stream.time_base or Fraction(1, decoder.sample_rate)
        self._origin = round(origin / self._unit)
        self._follows = Fraction(0)
        self._graph: Graph | None = None
        self._resampling = (
            f"async=1:first_pts=0:min_hard_comp={_GAP}",
            f"sample_rates={rate}:channel_layouts={layout}:sample_fmts=fltp",
        )

    def time_of(self, packet: Packet) -> Fraction:
        """When a packet is heard in the new video, in seconds."""
        time = packet.dts if packet.pts is None else packet.pts
        return self._follows if time is None else (time - self._origin) * self._unit

    def mux(self, packet: "Packet | None", tell: Callable[[str], None]) -> None:
        """Encode and write a packet; None: what was held back."""
        frames = [] if packet is None else _decoded(packet, tell)
        if packet is not None:
            self._follows = self.time_of(packet) + (packet.duration or 0) * self._unit
        for frame in frames:
            self._push(frame)
        if packet is None and self._graph is not None:
            self._graph.push(None)
        for frame in self._pulled():
            self._container.mux(self._track.encode(frame))
        if packet is None:
            self._container.mux(self._track.encode(None))

    def _push(self, frame: AudioFrame) -> None:
        if self._graph is None:
            self._graph = self._made_for(frame)
        time = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        if time is not None:
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round((time - self._origin * self._unit) * frame.sample_rate)
        self._graph.push(frame)

    def _made_for(self, frame: AudioFrame) -> Graph:
        graph = Graph()
        source = graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        )
        resampling, format = self._resampling
        nodes = [source, graph.add("aresample", resampling), graph.add("aformat", format), graph.add("abuffersink")]
        graph.link_nodes(*nodes).configure()
        graph.set_audio_frame_size(_FRAME_SAMPLES)
        return graph

    def _pulled(self) -> Iterator[AudioFrame]:
        while self._graph is not None:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            if isinstance(frame, AudioFrame):
                yield frame


def _decoded(packet: Packet, tell: Callable[[str], None]) -> list[AudioFrame]:
    """What a packet holds: nothing, and a word about it, if it is damaged."""
    frames: list[AudioFrame] = []
    failure: str | None = None
    with av.logging.Capture() as log:
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            failure = str(error.strerror)
    # Many decoders only complain of damage in ffmpeg's log, and put silence in its place.
    complaint = next((line for level, _, line in log if level <= av.logging.ERROR), failure)
    if complaint is not None:
        tell(f"The sound is damaged: {sentence_end(complaint)}")
    return frames
