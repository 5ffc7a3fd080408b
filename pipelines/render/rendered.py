"""The table of a rendering: one row for each file that it made, or for an input that could not be rendered."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.schemas import ERROR, FrameError
from pipelines.render.ranges import RenderedRange

RENDERED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("record_index", pa.int64()),
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("detections", pa.int64(), nullable=False),
        pa.field("objects", pa.int64()),
        pa.field("file", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("audio_error", pa.string()),
        pa.field("frame_index", pa.int64()),
        pa.field("detection_index", pa.int32()),
        pa.field("class_id", pa.int32()),
        pa.field("label", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", ERROR),
    ]
)
"""One row per rendered file, or per input that could not be rendered."""


class RenderedRow(NamedTuple):
    """One row of `RENDERED`.

    Attributes:
        key, source, kind, record_index: as in the detections.
        frames: of the video; 1 for a picture, 0 if it failed.
        width, height: of the rendered file in pixels; None if it failed.
        detections: how many are shown, in all frames together.
        objects: how many annotated objects were drawn; None where there is no ground truth for it.
        file: the rendered file, relative to the output folder.
        audio: of a video: whether its sound was "copied" as it is or "encoded" anew; None where it has none.
        audio_error: why sound is missing, or some of it.
        frame_index: of a crop from a video: the frame.
        detection_index, class_id, label, score: of a crop: its place in the row's list of detections, and what it is.
        error: why there is none.
    """

    key: str
    source: str
    kind: str
    record_index: int | None = None
    frames: int = 0
    width: int | None = None
    height: int | None = None
    detections: int = 0
    objects: int | None = None
    file: str | None = None
    audio: str | None = None
    audio_error: str | None = None
    frame_index: int | None = None
    detection_index: int | None = None
    class_id: int | None = None
    label: str | None = None
    score: float | None = None
    error: FrameError | None = None

    @property
    def status(self) -> str:
        """done, or failed where there is an error."""
        return "failed" if self.error else "done"

    def with_frame(self, height: int, width: int, shown: Detections | None, truth: GroundTruth | None) -> "RenderedRow":
        """The row with one more frame, and what is drawn on it; the file is as large as the first of them."""
        return self._replace(
            frames=self.frames + 1,
            width=self.width or width,
            height=self.height or height,
            detections=self.detections + len(shown or ()),
            objects=self.objects if truth is None else (self.objects or 0) + len(truth),
        )

    def with_range(self, one: RenderedRange) -> "RenderedRow":
        """The row with all frames of a range."""
        return self._replace(
            frames=self.frames + len(one.frames),
            width=self.width or one.width,
            height=self.height or one.height,
            detections=self.detections + one.detections,
            objects=self.objects if one.objects is None else (self.objects or 0) + one.objects,
        )


def rendered_table(rows: Sequence[RenderedRow]) -> pa.Table:
    """Rows as a table of schema `RENDERED`."""
    columns = {
        field.name: pa.array([getattr(row, field.name) for row in rows], field.type)
        for field in RENDERED
        if field.name != "error"
    }
    columns["error"] = pa.array([row.error and row.error._asdict() for row in rows], ERROR)
    return pa.table(columns, RENDERED)
