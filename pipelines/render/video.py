"""One video of a rendering: its frames with their boxes, as they are decoded, into a video of its own."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from od_core.video import VideoFrame, describe_video
from od_core.video_audio import Audio, open_audio
from od_core.video_writer import VideoWriter
from pipelines.job import Watch
from pipelines.render.follower import Follower
from pipelines.render.originals import Originals
from pipelines.render.pictures import Painter
from pipelines.render.rendered import RenderedRow
from pipelines.render.rows import DetectionRow
from pipelines.render.views import View, Viewer

if TYPE_CHECKING:
    from pipelines.render.job import RenderJob


class VideoRenderer:
    """Renders videos, one at a time; holds a few frames."""

    def __init__(self, job: "RenderJob", viewer: Viewer, painter: Painter, originals: Originals):
        self._job = job
        self._viewer = viewer
        self._painter = painter
        self._originals = originals

    def render(
        self,
        row: RenderedRow,
        rows: Iterable[DetectionRow],
        path: str,
        target: str | os.PathLike[str],
        watch: Watch,
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
        rate = describe_video(path).average_rate
        last_written = -1
        with self._audio_of(path) as audio:
            with VideoWriter(target, rate=rate, crf=self._job.crf, audio=audio) as video:
                for frame, view, step in self.frames(row.key, rows, path):
                    boxes = 0
                    if self._viewer.wants(view):
                        if self._job.only != "all" and frame.index != last_written + 1:
                            video.cut()
                        last_written = frame.index
                        picture = self._painter.paint(frame.image, view, _captions(frame, view))
                        video.write(picture, frame.timestamp_us)
                        shown = view.shown if view.held_from is None else None
                        row = row.with_frame(picture, shown, view.truth)
                        boxes = len(shown or ())
                    watch.advance({"frames": 1, "boxes": boxes}, step)
            if audio is not None:
                row = row._replace(audio=audio.state, audio_error=audio.problem)
        return row

    def _audio_of(self, path: str) -> contextlib.AbstractContextManager[Audio | None]:
        """The sound of a video; None where it is not wanted, or frames are left out that it would go with."""
        return open_audio(path) if self._job.audio and self._job.only == "all" else contextlib.nullcontext()

    def frames(self, key: str, rows: Iterable[DetectionRow], path: str) -> Iterator[tuple[VideoFrame, View, int]]:
        """Every frame, what is to be seen in it, and the bytes of the file that it took.

        Frames of which there is no row are held, left out, or come without detections, as the job says.

        Raises:
            InputError: as `render`; the end of a video that ends too early is known only after its last frame.
        """
        found = Follower(rows, "frame_index")
        position = 0
        with contextlib.closing(self._originals.frames(path)) as frames:
            for frame in frames:
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
            found.refuse_rest("frame", "video")


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
