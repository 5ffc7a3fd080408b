"""CSV: a line for every box, the columns that training scripts know first; one without a box for an image without."""

import csv
import pathlib
from collections.abc import Sequence

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import number, pixel_boxes, size_of

COLUMNS = (
    *("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"),
    *("score", "class_id", "key", "frame_index", "timestamp_us"),
)


class CsvExporter:
    """Writes UTF-8 with commas, quoted where need be. Boxes are in pixels, with fractions."""

    def __init__(self, path: pathlib.Path):
        self._file = open(path, "w", encoding="utf-8", newline="")  # noqa: SIM115  # closed in close()
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        height, width = size_of(frame)
        name, moment = frame.name, (frame.key, frame.frame_index, frame.timestamp_us)
        if not len(found):
            self._writer.writerow((name, width, height, *[""] * 7, *moment))
        columns = (frame.labels, pixel_boxes(frame, found), found.scores.tolist(), found.classes.tolist())
        for label, (ymin, xmin, ymax, xmax), score, class_id in zip(*columns, strict=True):
            edges = (number(xmin), number(ymin), number(xmax), number(ymax))
            self._writer.writerow((name, width, height, label, *edges, number(score), class_id, *moment))

    def failed(self, frame: DetectedFrame) -> None:
        """No line: one without a box would say that nothing is in the image."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self.close()
        return []

    def close(self) -> None:
        """See Exporter."""
        self._file.close()
