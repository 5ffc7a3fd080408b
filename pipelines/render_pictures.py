"""One picture of a rendering: boxes over the image, or beside the ground truth."""

import dataclasses
import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from od_core.detections import Detections
from od_core.drawing import caption, draw_detections, draw_ground_truth, side_by_side
from od_core.errors import ImageError
from od_core.ground_truth import GroundTruth
from od_core.images import encode_jpeg
from pipelines.render_names import PNG_EXTENSIONS

ImageArray = npt.NDArray[np.uint8]

NO_TRUTH = "no ground truth"

_FOUND, _TRUTH = "detections", "ground truth"
_JPEG_QUALITY = 90
_LONGEST_JPEG_SIDE = 65_535
# Level 6, Pillow's own, takes three times as long for a tenth less.
_PNG_LEVEL = 3


@dataclasses.dataclass(frozen=True)
class Painter:
    """How pictures are composed.

    Attributes:
        layout: "overlay" or "side_by_side".
        with_truth: whether there is a ground truth; where a picture is not in it, the picture says so.
    """

    layout: str
    with_truth: bool

    def paint(
        self,
        image: ImageArray,
        shown: Detections | None,
        truth: GroundTruth | None,
        labels: Mapping[int, str],
        text: str = "",
    ) -> ImageArray:
        """The picture: uint8, of the image's shape, or for two side by side as `od_core.drawing.side_by_side` has it.

        Args:
            image: uint8 (H, W, 3) RGB, upright.
            shown: all of these are drawn; None where nobody has looked.
            truth: what is annotated, with the class ids of the detections; None where nobody has annotated.
            labels: class id -> name.
            text: a caption.
        """
        if self.layout == "side_by_side":
            left = _captioned(_with_found(image, shown, labels), text)
            titles = (_FOUND, _TRUTH if truth is not None else NO_TRUTH)
            return side_by_side(left, _with_truth(image, truth, labels), titles)
        if self.with_truth and truth is None:
            text = f"{text}  {NO_TRUTH}" if text else NO_TRUTH
        return _captioned(_with_found(_with_truth(image, truth, labels), shown, labels), text)


def encoded(picture: ImageArray, extension: str) -> bytes:
    """A picture as a file with this ending: PNG, else JPEG.

    Raises:
        ImageError: larger than a JPEG can be.
    """
    if extension.lower() in PNG_EXTENSIONS:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", compress_level=_PNG_LEVEL)
        return file.getvalue()
    height, width = picture.shape[:2]
    if max(height, width) > _LONGEST_JPEG_SIDE:
        raise ImageError(
            f"the picture would have {width} x {height} pixels, and a JPEG has at most {_LONGEST_JPEG_SIDE} a side;"
            " --layout overlay takes half the width"
        )
    return encode_jpeg(picture, _JPEG_QUALITY)


def _with_found(image: ImageArray, shown: Detections | None, labels: Mapping[int, str]) -> ImageArray:
    return image if shown is None else draw_detections(image, shown, labels, min_score=float("-inf"))


def _with_truth(image: ImageArray, truth: GroundTruth | None, labels: Mapping[int, str]) -> ImageArray:
    return image if truth is None else draw_ground_truth(image, truth, labels)


def _captioned(image: ImageArray, text: str) -> ImageArray:
    return caption(image, text) if text else image
