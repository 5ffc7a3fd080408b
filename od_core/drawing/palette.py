"""One colour for every class, and one for every verdict, the same in every picture of every run."""

import colorsys
import functools
from collections.abc import Mapping

from od_core.metrics.verdicts import Verdict

Colour = tuple[int, int, int]
"""RGB, 0..255."""

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
DARK: Colour = (28, 28, 30)
"""Ground of titles and of ground truth's tags."""

UNKNOWN: Colour = (160, 160, 160)
"""For an object whose class is not in the label map."""

# Okabe and Ito, "Color Universal Design" (2008): told apart also without red, green or blue cones. Their black is left
# out, and the first two are those furthest apart, as most detectors have few classes.
_UNIVERSAL: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (213, 94, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
)
VERDICT_COLOURS: Mapping[Verdict, Colour] = {
    Verdict.TP: (86, 180, 233),
    Verdict.FP: (213, 94, 0),
    Verdict.FN: (240, 228, 66),
    Verdict.IGNORED: UNKNOWN,
}
"""Three of Okabe and Ito's, and grey. Their green would be too close to grey without green cones, so blue is right."""

_LIGHTNESS = (0.72, 0.5, 0.82)
_GOLDEN_RATIO = 0.618034  # steps of this around the hues never come back close to one of the last few


@functools.lru_cache(maxsize=4096)
def colour_of(class_id: int) -> Colour:
    """The colour of a class: that of Okabe and Ito for ids 1 to 7, then hues spread evenly, grey for ids below 1."""
    if class_id < 1:
        return UNKNOWN
    if class_id <= len(_UNIVERSAL):
        return _UNIVERSAL[class_id - 1]
    step = class_id - len(_UNIVERSAL) - 1
    lightness = _LIGHTNESS[step % len(_LIGHTNESS)]
    red, green, blue = colorsys.hls_to_rgb((0.83 + step * _GOLDEN_RATIO) % 1, lightness, 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(ground: Colour) -> Colour:
    """Black or white: whichever stands out more from the ground (WCAG 2.2, contrast ratio of relative luminances)."""
    red, green, blue = (
        (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in ground)
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE
