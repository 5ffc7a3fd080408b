"""What every export format does: it takes frames one at a time, in order, and holds next to nothing of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from od_core import boxes
from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.errors import UsageError

Classes = Mapping[int, str]
"""Class id -> name, in the order of the ids: all that the label map has, and all that occur."""


class Exporter(Protocol):
    """Writes one file or folder. `finish` ends it; after an exception what was written is of no use."""

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """Add a frame that was looked at; `found` are its detections, none perhaps."""

    def failed(self, frame: DetectedFrame) -> None:
        """Add a frame, a stretch of a video, or a whole file that could not be looked at."""

    def finish(self) -> Sequence[str]:
        """End the output; what a person should know of it, each half a sentence with a count."""

    def close(self) -> None:
        """Let go of files, finished or not."""


def number(x: float) -> str:
    """A number in nine significant digits, those that bring a float32 back exactly; never as "1e-05", which some
    readers take for no number.
    """
    text = f"{x:.9g}"
    return text if "e" not in text else np.format_float_positional(float(text), trim="-")


def size_of(frame: DetectedFrame) -> tuple[int, int]:
    """Height and width in pixels.

    Raises:
        UsageError: the row does not say.
    """
    if frame.height is None or frame.width is None:
        raise UsageError(f"the detections do not say how large '{frame.name}' is, which this format needs to know")
    return frame.height, frame.width


def pixel_boxes(frame: DetectedFrame, found: Detections) -> list[list[float]]:
    """The boxes in pixels, rows [ymin, xmin, ymax, xmax].

    Raises:
        UsageError: the row does not say how large the image is.
    """
    edges: list[list[float]] = boxes.to_pixels(found.boxes, *size_of(frame)).tolist()
    return edges
