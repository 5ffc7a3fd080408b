"""One video of a rendering: its frames with their boxes, as they are decoded, into a video of its own."""

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from od_core.video import VideoFrame, describe_video
from od_core.video_writer import VideoWriter
from pipelines.job import Watch
from pipelines.render_follower import Follower
from pipelines.render_originals import Originals
from pipelines.render_pictures import Painter
from pipelines.render_rendered import RenderedRow
from pipelines.render_rows import DetectionRow
from pipelines.render_views import View, Viewer

if TYPE_CHECKING:
    from pipelines.render import RenderJob


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
        found = Follower(rows, "frame_index")
        position = 0
        rate = describe_video(path).average_rate
        with contextlib.closing(self._originals.frames(path)) as frames:
            with VideoWriter(target, rate=rate, crf=self._job.crf) as video:
                last_written = -1
                for frame in frames:
                    told = found.at(frame.index)
                    if told is not None:
                        told.refuse_other_size(frame.image)
                    view = self._viewer.view(told, row.key, frame.index)
                    boxes = 0
                    if self._viewer.wants(view):
                        if frame.index != last_written + 1:
                            video.cut()
                        last_written = frame.index
                        picture = self._painter.paint(frame.image, view, _captions(frame, view))
                        video.write(picture, frame.timestamp_us)
                        row = row.with_frame(picture, view.shown, view.truth)
                        boxes = len(view.shown or ())
                    step = max(0, (frame.byte_position or 0) - position)
                    position += step
                    watch.advance({"frames": 1, "boxes": boxes}, step)
                found.refuse_rest("frame", "video")
        return row


def _captions(frame: VideoFrame, view: View) -> list[str]:
    """What the caption says of a frame: its time, its number, and what was found."""
    state = "not looked at"
    if view.shown is not None:
        state = f"{len(view.shown)} found"
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
