"""Which frames of a video are wanted: definitions that depend on the video alone, so any way of reading it agrees.

The clock of a video starts at 0 with its first frame and runs on by what the container says: a frame's presentation
time, or where it has none its decoding time. Where times go back (recordings joined without care) it stands still and
runs on from there, so it never goes back. docs/video.md tells people the same.
"""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from od_core.errors import UsageError, VideoError


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Which frames are wanted: at most one of the first three, between `start` and `end`.

    Attributes:
        fps: of each point of a grid, 0, 1/fps, 2/fps, ... seconds, the frame nearest to it, of two the earlier one; no
            frame twice. A point after the last frame has none.
        every: those whose index is a multiple of it.
        keyframes: those that the container marks as decodable on their own.
        start, end: seconds of the video's clock; frames before `start`, and from `end` on, are left out. Grid and index
            count from the start of the video all the same: a window changes nothing within it.

    Raises:
        UsageError: these do not go together.
    """

    fps: Fraction | None = None
    every: int | None = None
    keyframes: bool = False
    start: Fraction = Fraction(0)
    end: Fraction | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in self._choices if value]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: give one of them")
        if self.end is not None and self.end <= self.start:
            raise UsageError(f"--end {seconds_text(self.end)} is not after --start {seconds_text(self.start)}")

    @property
    def _choices(self) -> list[tuple[str, object]]:
        return [("--fps", self.fps), ("--every", self.every), ("--keyframes", self.keyframes)]

    @property
    def is_all(self) -> bool:
        """Whether every frame is wanted."""
        return not self.options

    @property
    def skips(self) -> bool:
        """Whether frames can be left undecoded."""
        return self.keyframes or self.start > 0

    @property
    def options(self) -> Mapping[str, str]:
        """What is not as by default, as text that is equal for equal samplings."""
        texts = {
            "--fps": None if self.fps is None else str(self.fps),
            "--every": str(self.every) if self.every and self.every > 1 else None,
            "--keyframes": "yes" if self.keyframes else None,
            "--start": f"{seconds_text(self.start)} s" if self.start else None,
            "--end": None if self.end is None else f"{seconds_text(self.end)} s",
        }
        return {name: text for name, text in texts.items() if text is not None}


EVERY_FRAME = Sampling()


class Sampler:
    """A Sampling for a video whose times count in `unit` seconds; instants are whole numbers of that unit.

    The window is from instant `first` up to, not including, `stop` (None: to the end).
    """

    def __init__(self, sampling: Sampling, unit: Fraction):
        self._sampling = sampling
        self.first = math.ceil(sampling.start / unit)
        self.stop = None if sampling.end is None else math.ceil(sampling.end / unit)
        # Half an instant times this is a place on the grid.
        self._grid = None if sampling.fps is None else sampling.fps * unit / 2

    @property
    def looks_ahead(self) -> bool:
        """Whether `takes` needs to know the next frame."""
        return self._grid is not None

    @property
    def needs_times(self) -> bool:
        """Whether frames must have times to be chosen."""
        return self._grid is not None or self.first > 0 or self.stop is not None

    def is_before(self, at: int) -> bool:
        """Whether the window begins later."""
        return at < self.first

    def is_over(self, at: int) -> bool:
        """Whether the window ended before."""
        return self.stop is not None and at >= self.stop

    def takes(self, index: int, *, is_keyframe: bool, before: int | None, at: int, after: int | None) -> bool:
        """Whether a frame is wanted.

        Args:
            index: of the frame.
            is_keyframe: whether the container marks its packet.
            before, at, after: instants of the frame before it, its own, and of the next; None where there is none.
        """
        if self.is_before(at) or self.is_over(at):
            return False
        if self._sampling.keyframes:
            return is_keyframe
        if self._grid is not None:
            return self._is_nearest(before, at, after)
        return index % (self._sampling.every or 1) == 0

    def _is_nearest(self, before: int | None, at: int, after: int | None) -> bool:
        """Whether the last point of the grid that is not nearer to the next frame is nearer than to the one before."""
        grid = self._grid or Fraction(1)
        high = at + (at if after is None else after)
        point = high * grid.numerator // grid.denominator
        return before is None or point * grid.denominator > (before + at) * grid.numerator


class Clock:
    """Tells the instants of frames; see the module's docstring."""

    def __init__(self, name: str):
        self._name = name
        self._ticks = 0
        self._latest: int | None = None
        self._frames = 0

    def tick(self, time: int | None, sampler: Sampler) -> int:
        """The instant of the next frame, whose time is `time`.

        Raises:
            VideoError: instants are needed, but the first two frames have no times.
        """
        self._frames += 1
        if time is None:
            if self._latest is None and self._frames > 1 and sampler.needs_times:
                raise VideoError(
                    f"{self._name}: its frames have no times (it is a raw stream), so none can be chosen by time; use"
                    " --every or --keyframes without --start and --end, or put it into a container first"
                )
            return self._ticks
        if self._latest is not None:
            self._ticks += max(0, time - self._latest)
        self._latest = time
        return self._ticks


def seconds_text(seconds: Fraction) -> str:
    """Seconds as a decimal where that is exact, else as a fraction."""
    decimal = Decimal(seconds.numerator) / seconds.denominator
    return f"{decimal.normalize():f}" if Fraction(decimal) == seconds else str(seconds)
