"""Lines of text as coverage masks, in the fonts that come with OpenCV: the same pixels on every machine.

They hold Latin, Greek, Cyrillic, Chinese, Japanese, Korean, Hebrew and Arabic letters; anything else is shown as "?".
OpenCV draws characters in the order of the string and each on its own, so words from right to left are turned round
here; Arabic letters stay unjoined.
"""

import functools
import threading
import unicodedata

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]

_FONT = "sans"
_WEIGHT = 500
_ASCENT, _DESCENT = 0.95, 0.27  # of the font's size: holds capitals with an accent, and a "g"
_LONGEST = 200  # characters; no tag is wider than its picture anyway
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_lock = threading.Lock()


def line_height(size: int) -> int:
    """Pixels from the top to the bottom of a line, accents and descenders included."""
    return int(np.ceil(_ASCENT * size)) + int(np.ceil(_DESCENT * size))


def text_mask(text: str, size: int) -> Mask:
    """How much of each pixel a line of text covers, 0 to 255: (line_height(size), W), W to the end of the last letter.

    Args:
        text: any string; line breaks become spaces, what cannot be shown becomes "?".
        size: height of the font in pixels.
    """
    shown = _in_visual_order(_printable(text))
    with _lock:
        (_, _, width, _) = cv2.getTextSize((0, 0), shown, (0, 0), _font(), size, _WEIGHT)
        # Italics and accents reach beyond the width that is measured; what stays empty is cut off again.
        mask = np.zeros((line_height(size), width + 2 * size), np.uint8)
        cv2.putText(mask, shown, (0, int(np.ceil(_ASCENT * size))), 255, _font(), size, _WEIGHT)
    columns = np.flatnonzero(mask.any(axis=0))
    return np.ascontiguousarray(mask[:, : columns[-1] + 1 if len(columns) else 0])


def fitting_mask(text: str, size: int, room: int) -> Mask:
    """As `text_mask`, at most `room` pixels wide: a text that is longer ends early, with an ellipsis."""
    mask = text_mask(text, size)
    text = text[:_LONGEST]
    while mask.shape[1] > room and text:
        keep = min(len(text) - 1, len(text) * room // mask.shape[1])
        text = text[:keep].rstrip()
        mask = text_mask(f"{text}…", size)
    return np.ascontiguousarray(mask[:, : max(0, room)])


@functools.cache
def _font() -> "cv2.FontFace":
    return cv2.FontFace(_FONT)


def _printable(text: str) -> str:
    """The text in composed characters, nothing but letters, signs and spaces in it.

    OpenCV would end the text at a NUL, and crash on half a surrogate pair, as in file names that are not UTF-8.
    """
    composed = unicodedata.normalize("NFC", text[:_LONGEST])
    visible = (" " if character.isspace() else character for character in composed if not _is_format(character))
    return "".join(character if character.isprintable() else _REPLACEMENT for character in visible)


def _is_format(character: str) -> bool:
    """Whether it only tells how others are to be set, such as a direction mark or a zero-width joiner."""
    return unicodedata.category(character) == "Cf"


def _in_visual_order(text: str) -> str:
    """The characters from left to right as they are to be seen: enough of Unicode's UAX 9 for a name.

    Runs of one direction are told by their letters; spaces and signs between two letters of one direction go with them.
    """
    directions = [_direction(character) for character in text]
    if "R" not in directions:
        return text
    base = next(direction for direction in directions if direction)
    for index, direction in enumerate(directions):
        if not direction:
            before = next((d for d in reversed(directions[:index]) if d), base)
            after = next((d for d in directions[index:] if d), base)
            directions[index] = before if before == after else base
    runs: list[tuple[str, str]] = []
    for character, direction in zip(text, directions, strict=True):
        if runs and runs[-1][0] == direction:
            runs[-1] = direction, runs[-1][1] + character
        else:
            runs.append((direction, character))
    shown = [_reversed(run) if direction == "R" else run for direction, run in runs]
    return "".join(reversed(shown) if base == "R" else shown)


def _direction(character: str) -> str:
    """L, R, or nothing for spaces and signs."""
    kind = unicodedata.bidirectional(character)
    return {"L": "L", "EN": "L", "AN": "L", "R": "R", "AL": "R"}.get(kind, "")


def _reversed(run: str) -> str:
    """From the last letter to the first, marks still behind their letter."""
    letters: list[str] = []
    for character in run:
        if letters and unicodedata.combining(character):
            letters[-1] += character
        else:
            letters.append(character)
    return "".join(reversed(letters))
