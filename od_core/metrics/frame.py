"""One frame as a metric sees it: what is there, and what was found."""

from typing import NamedTuple

from od_core.detections import Detections, IntArray
from od_core.ground_truth import GroundTruth


class EvaluatedFrame(NamedTuple):
    """An image or video frame with its ground truth and its detections, classes numbered by one label map.

    Attributes:
        name: unique among all frames. The order of names is the order of images where equal scores leave it open, so
            frame numbers in it are padded with zeros.
        height, width: pixels, of the upright image.
        truth: the objects annotated in it; classes that a metric does not know are left out by it.
        found: the detections in it, likewise.
        verified: classes that somebody has looked for in the whole image, whether they are there or not (the
            image-level labels of Open Images); None where there are no such labels.
        slices: names of the parts of the data that it belongs to.
    """

    name: str
    height: int
    width: int
    truth: GroundTruth
    found: Detections
    verified: IntArray | None = None
    slices: tuple[str, ...] = ()
