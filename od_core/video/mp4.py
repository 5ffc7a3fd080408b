"""An MP4 in the making: encoded frames get their times in the file here, and sound goes beside them."""

import collections
import contextlib
import os
from collections.abc import Callable
from fractions import Fraction

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video.audio import Audio

MICROSECOND = Fraction(1, 1_000_000)

_DEFAULT_RATE = Fraction(25)
_LARGEST_JUMP_US = 100_000  # sound that is off by more is heard to be
# MP4 holds the time from one frame to the next in 32 bits, of which ffmpeg uses 31: 35 minutes in microseconds.
_LONGEST_STEP_US = 30 * 60 * 1_000_000


class Mp4File:
    """One MP4, its index before its pictures: `begin` it, then for every frame `next_time` and `mux`, then `finish`.

    Times start at 0 with the first frame and keep their distances to the microsecond. A frame whose time is missing, or
    not later than that of the frame before it, follows that one by the usual distance: the shorter of the last two, or
    one frame at `rate` as long as there was none. Where times go back or repeat, later ones count from there. The last
    frame stays for the usual distance, and none for longer than half an hour.
    """

    def __init__(self, path: str | os.PathLike[str], *, rate: Fraction | None, audio: Audio | None) -> None:
        """Nothing is created yet.

        Args:
            path: of a local file, whatever its ending; replaced if it exists.
            rate: frames per second, for frames without times; None for 25.
            audio: sound that goes with the frames by their times; must stay open until the file is finished. It tells
                what became of it, and ends where the frames' times jump.
        """
        self.path = os.fspath(path)
        self.rate = rate or _DEFAULT_RATE
        self._audio = audio
        self._clock = _Clock(self.rate)
        self._container: OutputContainer | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is begun and not finished."""
        return self._container is not None

    def begin(self, add_video: Callable[[OutputContainer], VideoStream], origin_us: int | None) -> VideoStream:
        """Create the file; returns its video stream.

        Args:
            add_video: adds that stream to the container; called again where the sound had to be left out.
            origin_us: when the first frame is shown, in the original; None if that is not known.
        """
        if self._audio is not None and origin_us is None:
            self._audio.end("The sound is left out: the frames have no times by which it could go with them.")
        while self._audio is not None and origin_us is not None:
            container = self._create()
            stream = add_video(container)
            try:
                self._audio.join(container, origin_us)
                container.start_encoding()
                return stream
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError | MemoryError):
                    raise
                self.abandon()
                if not self._audio.was_refused(error):
                    break
        self._audio = None
        return add_video(self._create())

    def cut(self) -> None:
        """Let the next frame follow the last one by the usual distance, whatever their times are."""
        self._clock.cut()

    def next_time(self, timestamp_us: int | None) -> tuple[int, int]:
        """When the next frame is shown in the file, and for how long if none follows, both in microseconds."""
        return self._clock.next(timestamp_us)

    def mux(self, packet: "Packet[VideoStream]") -> None:
        """Write a packet of the video."""
        assert self._container is not None
        self._container.mux(packet)

    def mux_audio(self, time_us: int) -> None:
        """Write the sound up to the frame that `next_time` gave this time."""
        if self._audio is not None:
            if self._clock.jumped_us > _LARGEST_JUMP_US:
                self._audio.end(f"The sound ends at {time_us / 1e6:.3f} s, where the times of the frames jump.")
            self._audio.mux_until(time_us)

    def finish(self) -> None:
        """Write what is left of the sound, and the index."""
        assert self._container is not None
        if self._audio is not None:
            self._audio.finish()
        self._container.close()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError):  # told already, or less telling than what made the caller give up
                container.close()

    def failure(self, error: av.FFmpegError) -> Exception:
        """ffmpeg's error as one of ours, but one of the system or of memory as it is."""
        if isinstance(error, OSError | MemoryError):
            return error
        return VideoError(f"{self.path}: the video cannot be encoded: {error.strerror}.")

    def _create(self) -> OutputContainer:
        # The prefix keeps ffmpeg from reading a colon in the path as the name of a protocol.
        self._container = av.open(f"file:{self.path}", "w", format="mp4", container_options={"movflags": "faststart"})
        return self._container


class _Clock:
    """Gives frames their times in the file, strictly rising from 0; all in microseconds."""

    def __init__(self, rate: Fraction) -> None:
        self._nominal = max(1, min(round(1_000_000 / rate), _LONGEST_STEP_US))
        self._steps = collections.deque[int](maxlen=2)  # the last distances: a pause between two frames is not usual
        self._time: int | None = None  # of the frame before, in the file
        self._origin: int | None = None  # the time, as given, that is 0 in the file
        self._first_origin: int | None = None
        self.jumped_us = 0
        """How far the time that is 0 in the file is now from what it was at first."""

    def cut(self) -> None:
        """The next frame's time says nothing of its distance to the last."""
        self._origin = None

    def next(self, timestamp_us: int | None) -> tuple[int, int]:
        """(time in the file, duration if no later frame tells otherwise) of the next frame."""
        time = 0
        if self._time is not None:
            usual = self._time + min(self._steps, default=self._nominal)
            time = usual if timestamp_us is None or self._origin is None else timestamp_us - self._origin
            time = min(time if time > self._time else usual, self._time + _LONGEST_STEP_US)
            self._steps.append(time - self._time)
        if timestamp_us is not None:
            self._origin = timestamp_us - time
            if self._first_origin is None:
                self._first_origin = self._origin
            self.jumped_us = abs(self._origin - self._first_origin)
        self._time = time
        return time, min(self._steps, default=self._nominal)
