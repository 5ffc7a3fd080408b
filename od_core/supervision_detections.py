"""Detections as `supervision.Detections`, for its trackers, zones and annotators.

supervision is not among boxbeam's requirements: pip install supervision.
"""

from typing import TYPE_CHECKING

import numpy as np

from od_core import boxes
from od_core.detected_frames import DetectedFrame
from od_core.errors import UsageError

if TYPE_CHECKING:
    import supervision


def as_supervision(frame: DetectedFrame) -> "supervision.Detections":
    """What was found in a frame: corners in pixels, scores, class ids, and names as `data["class_name"]`.

    A frame that failed has none; `frame.error` tells it from one in which nothing was found.

    Raises:
        UsageError: supervision is not installed, or the row does not say how large the image is.
    """
    try:
        import supervision
    except ImportError as error:
        raise UsageError(
            "detections in the form of supervision need the package supervision, which is not installed:"
            " pip install supervision"
        ) from error
    found = frame.detections
    if found is None:
        return supervision.Detections.empty()
    if frame.height is None or frame.width is None:
        raise UsageError(f"the detections do not say how large '{frame.name}' is, so there are no pixels to count in")
    corners = boxes.to_pixels(found.boxes, frame.height, frame.width)[:, [1, 0, 3, 2]]
    return supervision.Detections(
        xyxy=corners.astype(np.float32),
        confidence=found.scores,
        class_id=found.classes.astype(int),
        data={"class_name": np.array(frame.labels, dtype=str)},
    )
