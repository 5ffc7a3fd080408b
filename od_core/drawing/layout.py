"""How large lines and letters are on a picture, and where tags stand so that they hide each other little."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.intp]


class Scale(NamedTuple):
    """Pixels of a picture's line width, of the shade beside a line, and of its font's height."""

    line: int
    shade: int
    text: int


def scale_of(height: int, width: int) -> Scale:
    """Sizes that look alike on pictures of any size, but never below what can be read."""
    side = (height * width) ** 0.5
    line = max(2 if side >= 160 else 1, round(side / 420))
    return Scale(line, max(1, line // 3), max(11, round(side / 60)))


def outer_pixels(boxes: npt.NDArray[np.float32], height: int, width: int, line: int) -> Pixels:
    """Where boxes lie with their lines, (N, 4) rows [top, left, bottom, right] in whole pixels, ends exclusive.

    Lines are centred on the edges of the box but never leave the picture; edges given in the wrong order are swapped.
    """
    first, last = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    size = np.array([height, width])
    near = np.rint(np.clip(first, 0, 1).astype(np.float64) * size).astype(np.intp) - line // 2
    far = np.rint(np.clip(last, 0, 1).astype(np.float64) * size).astype(np.intp) + (line - line // 2)
    near = np.clip(near, 0, np.maximum(size - line, 0))
    return np.concatenate([near, np.clip(far, np.minimum(near + line, size), size)], axis=1)


def is_in_picture(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether any of a normalised box, (N, 4), lies within the picture, (N,); a box without area counts as a point."""
    first, last = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    return np.asarray(((last >= 0) & (first <= 1)).all(axis=1))


def place_tags(boxes: Pixels, sizes: Pixels, height: int, width: int) -> Pixels:
    """Where tags stand, (N, 2) rows [top, left], all within the picture if they fit into it at all.

    Above its box if that hides no tag placed before; else the first of the other corners that hides none, else the
    place that hides least. So the order of boxes is that of their importance.

    Args:
        boxes: (N, 4), as `outer_pixels` gives them.
        sizes: (N, 2), heights and widths of the tags.
        height, width: of the picture.
    """
    (top, left, bottom, right), (high, wide) = boxes.T, sizes.T
    places = np.stack(
        [
            np.stack([top - high, left], axis=1),  # above
            np.stack([top, left], axis=1),  # inside
            np.stack([top - high, right - wide], axis=1),
            np.stack([bottom, left], axis=1),  # below
            np.stack([bottom - high, left], axis=1),
            np.stack([top, right - wide], axis=1),
            np.stack([bottom, right - wide], axis=1),
            np.stack([bottom - high, right - wide], axis=1),
        ],
        axis=1,
    )  # (N, 8, 2)
    places = np.clip(places, 0, np.maximum(np.array([height, width]) - sizes, 0)[:, None])
    taken = np.empty((len(boxes), 4), np.intp)
    for index, (choices, size) in enumerate(zip(places, sizes, strict=True)):
        before = taken[:index]
        shared = np.minimum(choices[:, None] + size, before[:, 2:]) - np.maximum(choices[:, None], before[:, :2])
        hidden = np.clip(shared, 0, None).prod(axis=2).sum(axis=1)
        chosen = choices[int(hidden.argmin())]
        taken[index, :2], taken[index, 2:] = chosen, chosen + size
    return taken[:, :2]
