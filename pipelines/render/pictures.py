"""One picture of a rendering: boxes over the image, or beside the ground truth."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from od_core.drawing import (
    VERDICT_COLOURS,
    blur,
    caption,
    colour_of,
    draw_detections,
    draw_ground_truth,
    draw_judged_detections,
    draw_judged_ground_truth,
    draw_shapes,
    fit_within,
    side_by_side,
)
from od_core.drawing.palette import UNKNOWN, Colour
from od_core.errors import ImageError
from od_core.images import encode_jpeg
from od_core.metrics.verdicts import Verdict, Verdicts
from pipelines.render.names import PNG_EXTENSIONS
from pipelines.render.views import View

ImageArray = npt.NDArray[np.uint8]

NO_TRUTH = "no ground truth"

_WORDS = {
    Verdict.TP: "true positive",
    Verdict.FP: "false positive",
    Verdict.FN: "missed",
    Verdict.IGNORED: "ignored",
}
_FOUND, _TRUTH = "detections", "ground truth"
_JPEG_QUALITY = 90
_LONGEST_JPEG_SIDE = 65_535
# Level 6, Pillow's own, takes three times as long for a tenth less.
_PNG_LEVEL = 3


class Painter:
    """Composes pictures.

    Args:
        layout: "overlay" or "side_by_side".
        with_truth: whether there is a ground truth; where a picture is not in it, the picture says so.
        by_verdict: colour by verdict, and say in a caption what the colours mean.
        with_boxes: draw boxes, and write captions; else there is nothing but the image on a picture.
        max_side: the most pixels in width or height of what is drawn on; larger images are made smaller first.
    """

    def __init__(
        self,
        layout: str,
        *,
        with_truth: bool,
        by_verdict: bool = False,
        with_boxes: bool = True,
        max_side: int | None = None,
    ):
        self._layout = layout
        self._with_boxes = with_boxes
        self._by_verdict = by_verdict
        self._with_truth = with_truth
        self._max_side = max_side
        self._labels: Mapping[int, str] = {}

    def begin(self, labels: Mapping[int, str]) -> None:
        """From now on classes have these names."""
        self._labels = labels

    def paint(self, image: ImageArray, view: View, captions: Sequence[str] = ()) -> ImageArray:
        """The picture: uint8, of the image's shape, or for two side by side as `od_core.drawing.side_by_side` has it.

        Args:
            image: uint8 (H, W, 3) RGB, upright.
            view: what is to be seen in it.
            captions: what a line of text says; empty for none.
        """
        whole = image if view.hidden is None else blur(image, view.hidden)
        canvas, truth = fit_within(whole, self._max_side), view.truth
        if not self._with_boxes:
            return canvas
        if canvas is image:
            canvas = np.array(image, order="C")
        text = "  ".join(captions)
        legend = _legend(view.verdicts) if self._by_verdict and view.verdicts is not None else []
        full = (whole.shape[0], whole.shape[1])
        if self._layout == "side_by_side":
            left, right = canvas, canvas.copy()
            self._draw_found(left, view, full)
            _draw_caption(left, text, legend)
            self._draw_objects(right, view, with_found=True)
            return side_by_side(left, right, (_FOUND, _TRUTH if truth is not None else NO_TRUTH))
        if self._with_truth and truth is None:
            text = f"{text}  {NO_TRUTH}" if text else NO_TRUTH
        self._draw_objects(canvas, view, with_found=False)
        self._draw_found(canvas, view, full)
        _draw_caption(canvas, text, legend)
        return canvas

    def _draw_found(self, canvas: ImageArray, view: View, size: tuple[int, int]) -> None:
        """Draw what was found; `size`: height and width of the image before it was made smaller."""
        if view.shown is None:
            return
        if not self._by_verdict:
            colours = list(map(colour_of, view.shown.classes.tolist()))
        elif view.verdicts is None:
            colours = [UNKNOWN] * len(view.shown)
        else:
            colours = [VERDICT_COLOURS[Verdict(verdict)] for verdict in view.verdicts.found.tolist()]
        draw_shapes(canvas, view.shown, colours, size, out=canvas)
        if self._by_verdict:
            draw_judged_detections(canvas, view.shown, view.verdicts, self._labels, out=canvas)
        else:
            draw_detections(canvas, view.shown, self._labels, min_score=-math.inf, out=canvas)

    def _draw_objects(self, canvas: ImageArray, view: View, *, with_found: bool) -> None:
        """Draw what is annotated; found objects that are coloured by verdict only if `with_found`."""
        if view.truth is None:
            return
        if self._by_verdict and view.verdicts is not None:
            draw_judged_ground_truth(canvas, view.truth, view.verdicts, self._labels, with_found=with_found, out=canvas)
        else:
            draw_ground_truth(canvas, view.truth, self._labels, out=canvas)


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


def _draw_caption(canvas: ImageArray, text: str, legend: Sequence[tuple[Colour, str]]) -> None:
    if text or legend:
        caption(canvas, text, legend, out=canvas)


def _legend(verdicts: Verdicts) -> list[tuple[Colour, str]]:
    """What the colours mean, and how often they are there; the same entries on every picture."""
    counts = {verdict: int((verdicts.found == verdict).sum()) for verdict in _WORDS}
    counts[Verdict.FN] = int((verdicts.truth == Verdict.FN).sum())
    return [(VERDICT_COLOURS[verdict], f"{counts[verdict]} {word}") for verdict, word in _WORDS.items()]
