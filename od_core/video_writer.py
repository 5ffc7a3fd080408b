"""Writing videos: RGB frames to an MP4 that browsers play, every frame at its own time."""

import collections
import contextlib
import os
from fractions import Fraction
from types import TracebackType

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video_audio import Audio

ImageArray = npt.NDArray[np.uint8]

PRESETS = {
    "ultrafast": 0,
    "superfast": 0,
    "veryfast": 10,
    "faster": 20,
    "fast": 30,
    "medium": 40,
    "slow": 50,
    "slower": 60,
    "veryslow": 60,
}
"""libx264's presets, from fast and large to slow and small -> how many frames each looks ahead."""

MAX_SIDE = 16384
"""The most pixels in width or height that libx264 encodes."""

_MICROSECOND = Fraction(1, 1_000_000)
_DEFAULT_RATE = Fraction(25)
_LARGEST_JUMP_US = 100_000  # sound that is off by more is heard to be
# MP4 holds the time from one frame to the next in 32 bits, of which ffmpeg uses 31: 35 minutes in microseconds.
_LONGEST_STEP_US = 30 * 60 * 1_000_000
# The frames looked ahead at are held in memory: 190 MB of them, whatever their size, but never fewer than 4.
_LOOKAHEAD_PIXELS = 1 << 27
_FEWEST_AHEAD = 4
# The colour of two by two pixels is their mean: lines of two pixels keep theirs, and sharper filters would ring beside
# them. The flags give the same numbers on every processor.
_HALVING = Interpolation.AREA | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class VideoWriter:
    """Writes one MP4: H.264 High, 8 bits, 4:2:0, BT.709 and tagged so, its index before its pictures.

    To be used in a `with` block, which finishes the file; after an exception in the block the file is of no use. The
    same frames, times and options give the same bytes.

    Times start at 0 with the first frame and keep their distances to the microsecond. A frame whose time is missing, or
    not later than that of the frame before it, follows that one by the usual distance: the shorter of the last two, or
    one frame at `rate` as long as there was none. Where times go back or repeat, later ones count from there. The last
    frame stays for the usual distance, and none for longer than half an hour.

    The first frame decides the video's size, with the last column and row repeated where it is odd. Frames of other
    sizes are scaled to fit into it, black on both sides.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: Fraction | None = None,
        crf: int = 20,
        preset: str = "veryfast",
        threads: int = 1,
        audio: Audio | None = None,
    ) -> None:
        """Nothing is created before the first frame.

        Args:
            path: of a local file, whatever its ending; replaced if it exists.
            rate: frames per second, for frames without times; None for 25.
            crf: libx264's constant quality, 1 (best) to 51; about six more halve the size.
            preset: one of `PRESETS`.
            threads: of the encoder. Another number may give other bytes.
            audio: sound that goes with the frames by their times; must stay open until the file is finished. It tells
                what became of it, and ends where the frames' times jump.

        Raises:
            ValueError: an option out of range.
        """
        if not 1 <= crf <= 51:
            raise ValueError(f"crf must be from 1 to 51, got {crf}")
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        if rate is not None and rate <= 0:
            raise ValueError(f"rate must be above 0, got {rate}")
        self._path = os.fspath(path)
        self._rate = rate or _DEFAULT_RATE
        self._options = {
            "crf": str(crf),
            "preset": preset,
            "profile": "high",
            # Without B-frames an MP4 needs no edit list, which players treat differently; pictures for review are
            # stepped through, so keyframes are close to each other.
            "bf": "0",
            "g": "60",
            # With macroblock-tree rate control x264 (core 165) gives other bytes for equal frames about once in a
            # thousand short videos; without it, it never was seen to.
            "x264-params": "mbtree=0",
        }
        self._threads = threads
        self._clock = _Clock(self._rate)
        self._to_yuv = VideoReformatter()
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._audio = audio

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._abandon()

    def write(self, image: ImageArray, timestamp_us: int | None = None) -> None:
        """Append a frame: uint8 (H, W, 3) RGB, and when it is shown, in microseconds on any scale.

        Raises:
            VideoError: a first frame larger than `MAX_SIDE`, or one that libx264 does not take.
            OSError: the file cannot be written, such as on a full disk.
        """
        try:
            stream = self._stream or self._open(image.shape[0], image.shape[1], timestamp_us)
            frame = self._encodable(_fitted(image, stream.height, stream.width))
            time, frame.duration = self._clock.next(timestamp_us)
            frame.pts, frame.time_base = time, _MICROSECOND
            self._mux(frame)
            if self._audio is not None:
                if self._clock.jumped_us > _LARGEST_JUMP_US:
                    self._audio.end(f"The sound ends at {time / 1e6:.3f} s, where the times of the frames jump.")
                self._audio.mux_until(time)
        except av.FFmpegError as error:
            raise self._failure(error) from error

    def cut(self) -> None:
        """Let the next frame follow the last one by the usual distance, whatever their times are."""
        self._clock.cut()

    def close(self) -> None:
        """Finish the file; a second call does nothing.

        Raises:
            VideoError: not one frame was written.
            OSError: the file cannot be written.
        """
        if self._container is None:
            if self._stream is None:
                raise VideoError(f"{self._path}: no video was written, as there was not one frame for it.")
            return
        try:
            self._mux(None)
            if self._audio is not None:
                self._audio.finish()
            self._container.close()
        except av.FFmpegError as error:
            raise self._failure(error) from error
        finally:
            self._abandon()

    def _open(self, height: int, width: int, origin_us: int | None) -> VideoStream:
        if max(height, width) > MAX_SIDE:
            raise VideoError(
                f"{self._path}: the video's first frame has {width}x{height} pixels, and H.264 takes at most {MAX_SIDE}"
                " in width and height. Scale the frames down."
            )
        if self._audio is not None and origin_us is None:
            self._audio.end("The sound is left out: the frames have no times by which it could go with them.")
        while self._audio is not None and origin_us is not None:
            self._stream = self._begin(height, width)
            assert self._container is not None
            try:
                self._audio.join(self._container, origin_us)
                self._container.start_encoding()
                return self._stream
            except (av.FFmpegError, ValueError) as error:
                if isinstance(error, OSError | MemoryError):
                    raise
                self._abandon()
                if not self._audio.was_refused(error):
                    break
        self._audio = None
        self._stream = self._begin(height, width)
        return self._stream

    def _begin(self, height: int, width: int) -> VideoStream:
        """A container of which nothing is written yet, and its video stream."""
        # The prefix keeps ffmpeg from reading a colon in the path as the name of a protocol.
        self._container = av.open(f"file:{self._path}", "w", format="mp4", container_options={"movflags": "faststart"})
        ahead = min(PRESETS[self._options["preset"]], max(_FEWEST_AHEAD, _LOOKAHEAD_PIXELS // (height * width)))
        options = self._options | {"rc-lookahead": str(ahead)}
        stream = self._container.add_stream("libx264", rate=self._rate, options=options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = _MICROSECOND
        encoder = stream.codec_context
        encoder.time_base = _MICROSECOND
        encoder.thread_count = self._threads
        encoder.flags |= Flags.frame_duration  # else the last frame would stay for one at `rate`
        encoder.colorspace = Colorspace.ITU709
        encoder.color_range = ColorRange.MPEG
        encoder.color_primaries = ColorPrimaries.BT709
        encoder.color_trc = ColorTrc.BT709
        return stream

    def _encodable(self, image: ImageArray) -> av.VideoFrame:
        return self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            dst_color_primaries=ColorPrimaries.BT709,
            dst_color_trc=ColorTrc.BT709,
            interpolation=_HALVING,
            threads=1,
        )

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None
        assert self._stream is not None
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _abandon(self) -> None:
        """Let go of the file as it is."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError):  # told already, or less telling than what made the caller give up
                container.close()

    def _failure(self, error: av.FFmpegError) -> Exception:
        """ffmpeg's error as one of ours, but one of the system or of memory as it is."""
        if isinstance(error, OSError | MemoryError):
            return error
        return VideoError(f"{self._path}: the video cannot be encoded: {error.strerror}.")


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


def _fitted(image: ImageArray, height: int, width: int) -> ImageArray:
    """The image in a size: padded by a column or row, or, if that is not enough, scaled and centred on black."""
    rows, columns = image.shape[:2]
    if (rows + rows % 2, columns + columns % 2) == (height, width):
        if (rows, columns) != (height, width):
            image = np.pad(image, ((0, height - rows), (0, width - columns), (0, 0)), mode="edge")
        return np.ascontiguousarray(image)
    scale = min(height / rows, width / columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    fitted = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    fitted[top : top + size[1], left : left + size[0]] = scaled
    return fitted
