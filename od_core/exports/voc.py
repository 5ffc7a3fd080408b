"""Pascal VOC: one XML file for every image, as the VOC development kit has it and annotation tools read it.

Boxes are in pixels, with fractions, edges as they are (no "+ 1"): what boxbeam and the TF Object Detection API read
back. VOC's annotations know no scores; they are there as <score>, which readers pass over.
"""

import pathlib
import posixpath
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import number, pixel_boxes, size_of
from od_core.exports.image_files import ImageFiles

FOLDER = "Annotations"

# XML 1.0 has no way to write these, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class VocExporter:
    """Writes `Annotations/` with a file for every image that was looked at, empty ones included."""

    def __init__(self, folder: pathlib.Path):
        self._files = ImageFiles(folder / FOLDER, ".xml")

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        folder, name = posixpath.split(frame.name)
        height, width = size_of(frame)
        objects = "".join(
            f"  <object>\n    <name>{_text(label)}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n"
            f"    <difficult>0</difficult>\n    <score>{number(score)}</score>\n"
            f"    <bndbox>{_edges(edges)}</bndbox>\n  </object>\n"
            for label, score, edges in zip(frame.labels, found.scores.tolist(), pixel_boxes(frame, found), strict=True)
        )
        self._files.write(
            frame.name,
            f"<annotation>\n  <folder>{_text(folder)}</folder>\n  <filename>{_text(name)}</filename>\n"
            f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
            f"  <segmented>0</segmented>\n{objects}</annotation>\n",
        )

    def failed(self, frame: DetectedFrame) -> None:
        """No file: an empty one would say that nothing is in the image."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        return renamed_note(self._files)

    def close(self) -> None:
        """Nothing is open."""


def renamed_note(files: ImageFiles) -> list[str]:
    """That some files have an image's whole name."""
    if not files.renamed:
        return []
    return [f"{files.renamed:,} images differ from another one in their ending only: their files have the whole name"]


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _edges(edges: Sequence[float]) -> str:
    ymin, xmin, ymax, xmax = map(number, edges)
    return f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
