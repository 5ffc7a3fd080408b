"""Whole pictures: made smaller, a caption in a corner, and two pictures under one strip of titles."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from od_core.drawing.layout import scale_of
from od_core.drawing.palette import DARK, WHITE, Colour
from od_core.drawing.tags import ImageArray, blend, canvas_of
from od_core.drawing.text import Mask, fitting_mask, line_height

_MOST_HIDDEN = 1 / 3


def fit_within(image: ImageArray, max_side: int | None) -> ImageArray:
    """The image itself, or one made smaller, its height and width at most `max_side` pixels (None: as it is).

    The same shape but for rounding, and at least 1 pixel; each pixel is the mean of those that it stands for.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    if max_side is None or longest <= max_side:
        return image
    size = (max(1, round(width * max_side / longest)), max(1, round(height * max_side / longest)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def caption(
    image: ImageArray, text: str, legend: Sequence[tuple[Colour, str]] = (), *, out: ImageArray | None = None
) -> ImageArray:
    """A copy of the image with a line of text in its lower left corner, white on the darkened picture.

    Lines that would hide more than a third of a low picture are left out.

    Args:
        image: uint8 (H, W, 3) RGB.
        text: such as "frame 123  4.92 s  7 found"; shortened if it is wider than the picture. May be empty.
        legend: colours and their meanings, which follow the text; what does not fit into its line begins another.
        out: the array to draw on, which may be the image itself; None for a new one.
    """
    image = canvas_of(image, out)
    size = scale_of(*image.shape[:2]).text
    margin = round(0.5 * size)
    told: list[tuple[Colour | None, str]] = [(None, text)] if text else []
    lines: list[list[_Segment]] = []
    room = 0
    for colour, words in (*told, *legend):
        segment = _segment(words, colour, size, image.shape[1] - 2 * margin)
        if not lines or segment.width > room:
            lines.append([])
            room = image.shape[1] - 2 * margin
        lines[-1].append(segment)
        room -= segment.width + 2 * margin
    bottom = int(image.shape[0])
    for line in reversed(lines[: int(bottom * _MOST_HIDDEN) // line_height(size)]):
        bottom = _draw_line(image, line, bottom, margin)
    return image


class _Segment(NamedTuple):
    """Some words of a caption, and the colour that they explain."""

    mask: Mask
    colour: Colour | None
    swatch: int

    @property
    def width(self) -> int:
        return int(self.mask.shape[1]) + self.swatch


def _segment(words: str, colour: Colour | None, size: int, room: int) -> _Segment:
    swatch = 0 if colour is None else size + round(0.4 * size)
    return _Segment(fitting_mask(words, size, max(0, room - swatch)), colour, swatch)


def _draw_line(image: ImageArray, line: Sequence[_Segment], bottom: int, margin: int) -> int:
    """Draw a line of a caption that ends above row `bottom`; returns the row above which the next one ends."""
    width = sum(segment.width for segment in line) + 2 * margin * (len(line) - 1)
    high = int(line[0].mask.shape[0])
    if not width or bottom <= 0:
        return bottom
    plate = image[max(0, bottom - high) : bottom, : width + 2 * margin]
    plate >>= 2
    left = margin
    for segment in line:
        if segment.colour is not None:
            side = segment.swatch * 5 // 7
            top = plate.shape[0] - (high + side) // 2
            plate[max(0, top) : max(0, top + side), left : left + side] = segment.colour
        place = plate[:, left + segment.swatch : left + segment.width]
        blend(place, segment.mask[-plate.shape[0] :, : place.shape[1]], WHITE)
        left += segment.width + 2 * margin
    return bottom - high


def side_by_side(
    left: ImageArray, right: ImageArray, titles: tuple[str, str] = ("detections", "ground truth")
) -> ImageArray:
    """Two pictures next to each other under a dark strip with their titles: uint8 (strip + H, 2 W + gap, 3).

    Args:
        left, right: uint8 (H, W, 3) RGB, of the same size.
        titles: of left and right.

    Raises:
        ValueError: pictures of different sizes.
    """
    if left.shape != right.shape:
        raise ValueError(f"the two pictures must have the same shape, got {left.shape} and {right.shape}")
    height, width = left.shape[:2]
    scale = scale_of(height, width)
    margin = round(0.5 * scale.text)
    strip = line_height(scale.text) + margin
    gap = 2 * scale.line
    picture = np.empty((strip + height, 2 * width + gap, 3), np.uint8)
    picture[...] = DARK
    for start, image, title in ((0, left, titles[0]), (width + gap, right, titles[1])):
        picture[strip:, start : start + width] = image
        mask = fitting_mask(title, scale.text, width - 2 * margin)
        top = margin // 2
        blend(picture[top : top + mask.shape[0], start + margin : start + margin + mask.shape[1]], mask, WHITE)
    return picture
