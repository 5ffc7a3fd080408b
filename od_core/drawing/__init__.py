"""Pictures for people: boxes with their labels drawn on images, captions, and two pictures side by side.

Every function takes uint8 (H, W, 3) RGB and gives a new array, or where it takes an `out`, that one: an array of the
same shape in C order, which may be the image itself. Line width and text size follow the picture's size.
"""

from od_core.drawing.annotate import (
    draw_detections,
    draw_ground_truth,
    draw_judged_detections,
    draw_judged_ground_truth,
)
from od_core.drawing.blur import blur
from od_core.drawing.compose import caption, fit_within, side_by_side
from od_core.drawing.palette import VERDICT_COLOURS, colour_of
from od_core.drawing.shapes import draw_shapes

__all__ = [
    "VERDICT_COLOURS",
    "blur",
    "caption",
    "colour_of",
    "draw_detections",
    "draw_ground_truth",
    "draw_judged_detections",
    "draw_judged_ground_truth",
    "draw_shapes",
    "fit_within",
    "side_by_side",
]
