"""Writing videos: RGB frames to an MP4 that browsers play, every frame at its own time."""

import os
from fractions import Fraction
from types import TracebackType

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from od_core.errors import VideoError
from od_core.video.audio import Audio
from od_core.video.codecs import CODECS, PRESETS
from od_core.video.mp4 import MICROSECOND, Mp4File
from od_core.video.yuv import ImageArray, YuvConverter, YuvPicture


class VideoWriter:
    """Writes one MP4: 8 bits, 4:2:0, BT.709 and tagged so, its index before its pictures; H.264 is of profile High.

    To be used in a `with` block, which finishes the file; after an exception in the block the file is of no use. The
    same frames, times and options give the same bytes. Times are those of `Mp4File`.

    The first frame decides the video's size; see `YuvConverter`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: Fraction | None = None,
        codec: str = "h264",
        crf: int | None = None,
        preset: str = "veryfast",
        threads: int = 1,
        audio: Audio | None = None,
    ) -> None:
        """Nothing is created before the first frame.

        Args:
            path, rate, audio: as for `Mp4File`.
            codec: one of `CODECS`.
            crf: the codec's constant quality, 1 (best) to its `worst_crf`; None for its own. Of H.264, about six more
                halve the size.
            preset: one of `PRESETS`, for H.264.
            threads: of the encoder. Another number may give other bytes.

        Raises:
            ValueError: an option out of range.
        """
        if codec not in CODECS:
            raise ValueError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
        self._codec = CODECS[codec]
        self._crf = self._codec.crf if crf is None else crf
        if not 1 <= self._crf <= self._codec.worst_crf:
            raise ValueError(f"crf must be from 1 to {self._codec.worst_crf}, got {crf}")
        if preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        if rate is not None and rate <= 0:
            raise ValueError(f"rate must be above 0, got {rate}")
        self._preset = preset
        self._threads = threads
        self._file = Mp4File(path, rate=rate, audio=audio)
        self._converter = YuvConverter()
        self._stream: VideoStream | None = None
        self._written = self._encoded = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.abandon()

    def write(self, image: ImageArray | YuvPicture, timestamp_us: int | None = None) -> None:
        """Append a frame, and when it is shown, in microseconds on any scale.

        Args:
            image: uint8 (H, W, 3) RGB; or the picture of it that one `YuvConverter`, which may work ahead in another
                thread, makes for all frames of the video.

        Raises:
            VideoError: a first frame of more than the codec's `max_width` or `max_height`, or one that its encoder does
                not take.
            OSError: the file cannot be written, such as on a full disk.
        """
        try:
            if self._stream is None:
                height, width = (image.height, image.width) if isinstance(image, YuvPicture) else image.shape[:2]
                self._open(height, width, timestamp_us)
            frame = (image if isinstance(image, YuvPicture) else self._converter.convert(image)).frame
            time, frame.duration = self._file.next_time(timestamp_us)
            frame.pts, frame.time_base = time, MICROSECOND
            self._written += 1
            self._mux(frame)
            self._file.mux_audio(time)
        except av.FFmpegError as error:
            raise self._file.failure(error) from error

    def cut(self) -> None:
        """Let the next frame follow the last one by the usual distance, whatever their times are."""
        self._file.cut()

    def close(self) -> None:
        """Finish the file; a second call does nothing.

        Raises:
            VideoError: not one frame was written, or the encoder has lost one.
            OSError: the file cannot be written.
        """
        if not self._file.is_open:
            if self._stream is None:
                raise VideoError(f"{self._file.path}: no video was written, as there was not one frame for it.")
            return
        try:
            self._mux(None)
            if self._encoded != self._written:  # of every codec here one packet is one frame
                raise VideoError(
                    f"{self._file.path}: of {self._written:,} frames the {self._codec.title} encoder gave"
                    f" {self._encoded:,}."
                )
            self._file.finish()
        except av.FFmpegError as error:
            raise self._file.failure(error) from error
        finally:
            self._file.abandon()

    def _open(self, height: int, width: int, origin_us: int | None) -> None:
        codec = self._codec
        frame = f"{self._file.path}: the video's first frame has {width}x{height} pixels, and {codec.title} takes at"
        if height > codec.max_height or width > codec.max_width:
            raise VideoError(f"{frame} most {codec.max_width} x {codec.max_height}. Scale the frames down.")
        if min(height + height % 2, width + width % 2) < codec.min_side:
            raise VideoError(f"{frame} least {codec.min_side} x {codec.min_side}. Choose another codec.")
        self._stream = self._file.begin(lambda container: self._add_encoder(container, height, width), origin_us)

    def _add_encoder(self, container: OutputContainer, height: int, width: int) -> VideoStream:
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes a page about itself to stderr, but errors alone at 1
        options = self._codec.encoder_options(self._crf, self._preset, height * width)
        stream = container.add_stream(self._codec.encoder, rate=self._file.rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = MICROSECOND
        encoder = stream.codec_context
        encoder.time_base = MICROSECOND
        encoder.thread_count = self._threads
        encoder.flags |= Flags.frame_duration  # else the last frame would stay for one at `rate`
        encoder.colorspace = Colorspace.ITU709
        encoder.color_range = ColorRange.MPEG
        encoder.color_primaries = ColorPrimaries.BT709
        encoder.color_trc = ColorTrc.BT709
        return stream

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._stream is not None
        for packet in self._stream.encode(frame):
            self._encoded += 1
            self._file.mux(packet)
