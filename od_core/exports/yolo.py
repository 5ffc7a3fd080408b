"""YOLO: one text file for every image under `labels/`, and the names of the classes in `data.yaml`.

A line is "class x-centre y-centre width height", in units of the image, cut at its border; classes are counted from 0,
in the order of their ids. Images belong into `images/` beside `labels/`, in the same folders.
"""

import json
import pathlib
import re
from collections.abc import Sequence

from od_core import boxes
from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import Classes, number
from od_core.exports.image_files import ImageFiles
from od_core.exports.voc import renamed_note

FOLDER = "labels"
NAMES = "data.yaml"

_NOT_ASCII = re.compile("[^\x20-\x7e]")


class YoloExporter:
    """Writes a file for every image that was looked at, empty ones included.

    Args:
        with_scores: a sixth number in every line. Trainers refuse such lines.
    """

    def __init__(self, folder: pathlib.Path, classes: Classes, *, with_scores: bool = False):
        self._files = ImageFiles(folder / FOLDER, ".txt")
        self._numbers = {class_id: number for number, class_id in enumerate(classes)}
        self._with_scores = with_scores
        names = "".join(f"  {n}: {_yaml(name)}\n" for n, name in enumerate(classes.values()))
        text = f"path: .\ntrain: images\nval: images\nnames:{' {}' if not classes else ''}\n{names}"
        (folder / NAMES).write_text(text, encoding="utf-8")

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        rows = zip(found.classes.tolist(), boxes.clip(found.boxes).tolist(), found.scores.tolist(), strict=True)
        self._files.write(frame.name, "".join(self._line(*row) for row in rows))

    def _line(self, class_id: int, edges: Sequence[float], score: float) -> str:
        ymin, xmin, ymax, xmax = edges
        numbers = [(xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin]
        if self._with_scores:
            numbers.append(score)
        return f"{self._numbers[class_id]} {' '.join(map(number, numbers))}\n"

    def failed(self, frame: DetectedFrame) -> None:
        """No file: an empty one would say that nothing is in the image."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        return renamed_note(self._files)

    def close(self) -> None:
        """Nothing is open."""


def _yaml(text: str) -> str:
    """A string of YAML: one of JSON, but for what is beyond 16 bits, such as emoji, which JSON writes as two halves."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_ASCII.sub(lambda found: _escape(ord(found[0])), quoted)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
