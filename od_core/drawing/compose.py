"""Whole pictures: made smaller, a caption in a corner, and two pictures under one strip of titles."""

import cv2
import numpy as np

from od_core.drawing.layout import scale_of
from od_core.drawing.palette import DARK, WHITE
from od_core.drawing.tags import ImageArray, blend
from od_core.drawing.text import fitting_mask, line_height


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


def caption(image: ImageArray, text: str) -> ImageArray:
    """A copy of the image with a line of text in its lower left corner, white on the darkened picture.

    Args:
        image: uint8 (H, W, 3) RGB.
        text: such as "frame 123  4.92 s  7 found"; shortened if it is wider than the picture.
    """
    image = np.array(image, order="C")
    size = scale_of(*image.shape[:2]).text
    margin = round(0.5 * size)
    mask = fitting_mask(text, size, image.shape[1] - 2 * margin)
    if not mask.shape[1]:
        return image
    plate = np.zeros((mask.shape[0], mask.shape[1] + 2 * margin), np.uint8)
    plate[:, margin : margin + mask.shape[1]] = mask
    corner = image[-plate.shape[0] :, : plate.shape[1]]
    corner >>= 2
    blend(corner, plate[-corner.shape[0] :], WHITE)
    return image


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
