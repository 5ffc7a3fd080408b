"""One video of a rendering: its frames with their boxes, as they are decoded, into a video of its own.

A long video is rendered in ranges, each a video of its own that depends on the original alone, which are then joined.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from od_core import storage
from od_core.local_copies import local_copy
from od_core.video.audio import Audio, open_audio
from od_core.video.frames import VideoFrame, describe_video
from od_core.video.join import JoinedFrame, VideoJoiner
from od_core.video.ranges import RangeEnd
from od_core.video.writer import VideoWriter
from od_core.video.yuv import YuvConverter, YuvPicture
from pipelines.items import Piece
from pipelines.job import Watch
from pipelines.ordered import prefetch
from pipelines.render.choices import RenderChoices
from pipelines.render.follower import Follower
from pipelines.render.originals import Originals
from pipelines.render.pictures import Painter
from pipelines.render.ranges import RenderedRange
from pipelines.render.rendered import RenderedRow
from pipelines.render.rows import DetectionRow
from pipelines.render.views import View, Viewer

_DRAWN_AHEAD = 2  # an 8K frame takes 50 MB


class _Drawn(NamedTuple):
    """A frame on its way into a video.

    Attributes:
        index, timestamp_us: of the frame in the original.
        picture: ready to be encoded; None for a frame that is left out.
        view: what is on it.
        follows: whether the frame before it is the one before it in the video too.
        step: the bytes of the original that it took.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    timestamp_us: int | None
    picture: YuvPicture | None
    view: View
    follows: bool
    step: int


class VideoRenderer:
    """Renders videos, one at a time; holds a few frames and one thread.

    Encoding takes longest, so its thread does nothing else: that one draws, and converts what it has drawn.
    """

    def __init__(self, job: RenderChoices, viewer: Viewer, painter: Painter, originals: Originals):
        self._job = job
        self._viewer = viewer
        self._painter = painter
        self._originals = originals
        self._pencil = ThreadPoolExecutor(1, "boxbeam-draw")

    def close(self) -> None:
        """End the thread."""
        self._pencil.shutdown()

    def render(
        self, row: RenderedRow, rows: Iterable[DetectionRow], path: str, target: str | os.PathLike[str], watch: Watch
    ) -> RenderedRow:
        """Write a video.

        Args:
            row: of the video, without anything that is only known afterwards.
            rows: of its detections, in order.
            path: of the original, a local file.
            target: likewise of the video to be written.
            watch: told of every frame.

        Returns:
            The row, complete.

        Raises:
            InputError: the original cannot be decoded, or is not the one that the detections were made from.
        """
        with self._audio_of(path) as audio, self._writer(path, target, audio) as video:
            with self._drawn(lambda: self.frames(row.key, rows, path)) as frames:
                for frame in frames:
                    row = _write(video, frame, row, watch)
        return row if audio is None else row._replace(audio=audio.state, audio_error=audio.problem)

    def render_range(
        self,
        row: RenderedRow,
        rows_from: Callable[[int], Iterable[DetectionRow]],
        path: str,
        piece: Piece,
        target: str,
        watch: Watch,
    ) -> RenderedRange:
        """Write a part of a video as a video of its own, without sound; none where nothing of it is to be seen.

        Args:
            row, path, watch: as for `render`.
            rows_from: the rows of the video's detections, in order, but maybe not those that say nothing of frames from
                a number on.
            piece: the part.
            target: where it goes, local or remote.

        Raises:
            InputError: as for `render`.
        """
        scan = self._originals.scan(path, piece, lambda: watch.advance({}))
        done = RenderedRange()
        if scan.refusal and piece.start:
            return done  # the first range gives everything
        first = 0 if scan.refusal else scan.span(piece.start, piece.stop, piece.total).start
        found = Follower(rows_from(0 if piece.stop == piece.total else first), "frame_index")
        found.at(first - 1)

        def frames() -> Iterator[tuple[VideoFrame, View, int]]:
            elements = self._originals.range_frames(path, scan, piece, lambda: watch.advance({}))
            is_last = piece.stop == piece.total or bool(scan.refusal)
            return self._viewed(row.key, found, elements, piece.start, done, is_last=is_last)

        with self._drawn(frames) as drawn:
            begun = next((frame for frame in drawn if _is_written(frame, watch)), None)
            if begun is not None:
                with storage.commit(target) as temporary, self._writer(path, temporary, None) as video:
                    for frame in itertools.chain([begun], drawn):
                        row = _write(video, frame, row, watch)
                        if frame.picture is not None:
                            done.frames.append((frame.index, frame.timestamp_us))
        done.width, done.height, done.detections, done.objects = row.width, row.height, row.detections, row.objects
        return done

    def join(
        self,
        row: RenderedRow,
        ranges: Sequence[tuple[RenderedRange, str]],
        path: str,
        target: str | os.PathLike[str],
        watch: Watch,
    ) -> RenderedRow:
        """Write a video of its ranges, as `render` would: their packets are copied, the sound comes from the original.

        Args:
            row, path, target, watch: as for `render`.
            ranges: all of them that have a video, each with the path of that.

        Raises:
            VideoError: they cannot follow each other, such as where the size of the frames changes.
        """
        last = -1
        with self._audio_of(path) as audio:
            with VideoJoiner(target, rate=describe_video(path).average_rate, audio=audio) as video:
                for one, place in ranges:
                    with local_copy(place) as part:
                        numbers = [last, *(index for index, _ in one.frames)]
                        video.append(part, self._joined(one, numbers, watch))
                    last = numbers[-1]
                    row = row.with_range(one)
        return row if audio is None else row._replace(audio=audio.state, audio_error=audio.problem)

    def _joined(self, one: RenderedRange, numbers: Sequence[int], watch: Watch) -> Iterator[JoinedFrame]:
        """The frames of a range; `numbers` has that of the frame before them, and then theirs."""
        for (index, timestamp_us), before in zip(one.frames, numbers, strict=False):
            watch.advance({})
            yield JoinedFrame(timestamp_us, is_cut=self._job.only != "all" and index != before + 1)

    def _writer(self, path: str, target: str | os.PathLike[str], audio: Audio | None) -> VideoWriter:
        rate = describe_video(path).average_rate
        return VideoWriter(target, rate=rate, codec=self._job.codec, crf=self._job.crf, audio=audio)

    def _audio_of(self, path: str) -> contextlib.AbstractContextManager[Audio | None]:
        """The sound of a video; None where it is not wanted, or frames are left out that it would go with."""
        return open_audio(path) if self._job.audio and self._job.only == "all" else contextlib.nullcontext()

    def frames(self, key: str, rows: Iterable[DetectionRow], path: str) -> Iterator[tuple[VideoFrame, View, int]]:
        """Every frame, what is to be seen in it, and the bytes of the file that it took.

        Frames of which there is no row are held, left out, or come without detections, as the job says.

        Raises:
            InputError: as `render`; the end of a video that ends too early is known only after its last frame.
        """
        return self._viewed(key, Follower(rows, "frame_index"), self._originals.frames(path), 0, RenderedRange())

    def _viewed(
        self,
        key: str,
        found: Follower,
        elements: Generator[VideoFrame | RangeEnd, None, None],
        position: int,
        ends: RenderedRange,
        *,
        is_last: bool = True,
    ) -> Iterator[tuple[VideoFrame, View, int]]:
        """See `frames`; what is told at the end of a range is noted in `ends`."""
        with contextlib.closing(elements):
            for frame in elements:
                if isinstance(frame, RangeEnd):
                    ends.first, ends.after, ends.broken = frame
                    continue
                told = found.at(frame.index)
                if told is not None:
                    told.refuse_other_size(frame.image)
                step = max(0, (frame.byte_position or 0) - position)
                position += step
                before = found.before() if told is None and self._job.unsampled == "hold" else None
                if before is not None:
                    yield frame, self._viewer.held_view(before, found.after(), key, frame.index), step
                elif told is not None or self._job.unsampled != "skip":
                    yield frame, self._viewer.view(told, key, frame.index), step
            if is_last and not ends.broken:
                found.refuse_rest("frame", "video")

    @contextlib.contextmanager
    def _drawn(self, frames: Callable[[], Iterator[tuple[VideoFrame, View, int]]]) -> Iterator[Iterator[_Drawn]]:
        """The frames with what is drawn on them, made in a thread of its own."""

        def drawn() -> Iterator[_Drawn]:
            last_written = -1
            converter = YuvConverter()
            for frame, view, step in frames():
                picture = None
                follows = frame.index == last_written + 1
                if self._viewer.wants(view):
                    picture = converter.convert(self._painter.paint(frame.image, view, _captions(frame, view)))
                    last_written = frame.index
                yield _Drawn(frame.index, frame.timestamp_us, picture, view, follows or self._job.only == "all", step)

        with contextlib.closing(prefetch(drawn, self._pencil, _DRAWN_AHEAD)) as ahead:
            yield ahead


def _is_written(frame: _Drawn, watch: Watch) -> bool:
    """Whether a frame is not left out; one that is, is told here."""
    if frame.picture is None:
        watch.advance({"frames": 1, "boxes": 0}, frame.step)
    return frame.picture is not None


def _write(video: VideoWriter, frame: _Drawn, row: RenderedRow, watch: Watch) -> RenderedRow:
    """Write a frame, unless it is left out; returns the row with it."""
    if not _is_written(frame, watch):
        return row
    assert frame.picture is not None
    if not frame.follows:
        video.cut()
    video.write(frame.picture, frame.timestamp_us)
    shown = frame.view.shown if frame.view.held_from is None else None
    watch.advance({"frames": 1, "boxes": len(shown or ())}, frame.step)
    written = frame.picture.frame  # of even size
    return row.with_frame(written.height, written.width, shown, frame.view.truth)


def _captions(frame: VideoFrame, view: View) -> list[str]:
    """What the caption says of a frame: its time, its number, and what was found."""
    state = "not looked at"
    if view.shown is not None:
        state = f"{len(view.shown)} found"
        if view.held_from is not None:
            state += f" in frame {view.held_from}"
    elif view.has_failed:
        state = "failed"
    time = [] if frame.timestamp_us is None else [_clock(frame.timestamp_us)]
    return [*time, f"frame {frame.index}", state]


def _clock(timestamp_us: int) -> str:
    """A time as people read it: 0:04.920, 1:02:03.004."""
    milliseconds = round(abs(timestamp_us) / 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if timestamp_us < 0 else ""
    return f"{sign}{f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02}.{milliseconds:03}"
