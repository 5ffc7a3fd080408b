"""Boxes with their tags on an image: what a detector found, or what people annotated, and the verdicts on both."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.drawing.layout import Pixels, Scale, is_in_picture, outer_pixels, place_tags, scale_of
from od_core.drawing.palette import DARK, UNKNOWN, VERDICT_COLOURS, WHITE, Colour, colour_of, ink_on
from od_core.drawing.tags import ImageArray, Tag, canvas_of, tag_picture
from od_core.drawing.text import line_height
from od_core.ground_truth import GroundTruth
from od_core.metrics.verdicts import Reason, Verdict, Verdicts

# A picture lower or narrower than this many tags are high would be hidden by them.
_FEWEST_TAGS = 6
_WIDEST_TAG = 24  # in heights of the font: about 40 letters
_DASH, _GAP = 4, 3  # in line widths


def draw_detections(
    image: ImageArray,
    detections: Detections,
    labels: Mapping[int, str],
    *,
    min_score: float = 0.5,
    limit: int | None = None,
    out: ImageArray | None = None,
) -> ImageArray:
    """A copy of the image with a coloured frame around everything found, and a tag with name and score at it.

    The best detections lie on top and have first choice of a place for their tags. A picture lower or narrower than
    six tags are high gets frames alone.

    Args:
        image: uint8 (H, W, 3) RGB.
        detections: in units of this image, upright.
        labels: class id -> name, as `LabelMap.labels`; a class without a name is shown as its number.
        min_score: the lowest score that is drawn.
        limit: most detections drawn; None for all.
        out: the array to draw on, which may be the image itself; None for a new one.
    """
    shown = detections.best(min_score=min_score, limit=limit)
    canvas, colours = canvas_of(image, out), list(map(colour_of, shown.classes.tolist()))
    return _with_detections(canvas, shown, labels, colours, [""] * len(shown))


def draw_judged_detections(
    image: ImageArray,
    detections: Detections,
    verdicts: Verdicts | None,
    labels: Mapping[int, str],
    *,
    out: ImageArray | None = None,
) -> ImageArray:
    """As `draw_detections`, all of them, but coloured by verdict; the tags of wrong ones say why they are wrong.

    Args:
        image, detections, labels, out: as for `draw_detections`.
        verdicts: on these detections; None where there are none: then all are grey.
    """
    canvas = canvas_of(image, out)
    if verdicts is None:
        return _with_detections(canvas, detections, labels, [UNKNOWN] * len(detections), [""] * len(detections))
    colours = [VERDICT_COLOURS[Verdict(verdict)] for verdict in verdicts.found.tolist()]
    notes = [
        Reason(reason).word if reason else "" if verdict == Verdict.TP else Verdict.IGNORED.word
        for verdict, reason in zip(verdicts.found.tolist(), verdicts.reasons.tolist(), strict=True)
    ]
    return _with_detections(canvas, detections, labels, colours, notes)


def draw_judged_ground_truth(
    image: ImageArray,
    ground_truth: GroundTruth,
    verdicts: Verdicts,
    labels: Mapping[int, str],
    *,
    with_found: bool = True,
    out: ImageArray | None = None,
) -> ImageArray:
    """As `draw_ground_truth`, but coloured by verdict; the tags of objects that no detection found say "missed".

    Args:
        image, ground_truth, labels, out: as for `draw_ground_truth`.
        verdicts: on these objects.
        with_found: draw also those that were found; their detections stand for them on one picture with both.
    """
    judged = [Verdict(verdict) for verdict in verdicts.truth.tolist()]
    notes = ["missed" if verdict == Verdict.FN else _note(ground_truth, i) for i, verdict in enumerate(judged)]
    shown = [with_found or verdict != Verdict.TP for verdict in judged]
    colours = [VERDICT_COLOURS[one] for one in judged]
    return _with_objects(canvas_of(image, out), ground_truth, labels, colours, notes, shown)


def draw_ground_truth(
    image: ImageArray, ground_truth: GroundTruth, labels: Mapping[int, str], *, out: ImageArray | None = None
) -> ImageArray:
    """A copy of the image with a frame around every annotated object, and a dark tag with its name at it.

    Objects that do not count in full have a dashed frame and say why: "crowd", "group" or "difficult". Names are those
    of the label map, or as annotated (in grey) where it has none.

    Args:
        image, labels, out: as for `draw_detections`.
        ground_truth: in units of this image, upright.
    """
    colours = list(map(colour_of, ground_truth.classes.tolist()))
    notes = [_note(ground_truth, index) for index in range(len(ground_truth))]
    return _with_objects(canvas_of(image, out), ground_truth, labels, colours, notes, [True] * len(ground_truth))


def _with_detections(
    canvas: ImageArray, shown: Detections, labels: Mapping[int, str], colours: Sequence[Colour], notes: Sequence[str]
) -> ImageArray:
    """The canvas with frames in these colours; notes follow the scores on the tags."""
    scale = scale_of(*canvas.shape[:2])
    told = zip(shown.classes.tolist(), shown.scores.tolist(), colours, notes, strict=True)
    tags = [
        _filled_tag(
            labels.get(class_id) or f"class {class_id}", f"{_percent(score)} {note}".rstrip(), colour, scale, canvas
        )
        for class_id, score, colour, note in told
    ]
    return _drawn(canvas, shown.boxes, colours, tags, [False] * len(shown))


def _with_objects(
    canvas: ImageArray,
    truth: GroundTruth,
    labels: Mapping[int, str],
    colours: Sequence[Colour],
    notes: Sequence[str],
    shown: Sequence[bool],
) -> ImageArray:
    """The canvas with frames in these colours around objects that are to be shown; notes follow the names on tags."""
    scale = scale_of(*canvas.shape[:2])
    kept = [index for index in range(len(truth)) if shown[index]]
    tags = []
    for index in kept:
        class_id = int(truth.classes[index])
        annotated = truth.labels[index] if truth.labels else None
        name = labels.get(class_id) or annotated or ("unknown" if class_id < 1 else f"class {class_id}")
        tags.append(Tag(name, notes[index], scale.text, _room(scale, canvas), DARK, WHITE, colours[index], scale.shade))
    dashed = [bool(_note(truth, index)) for index in kept]
    return _drawn(canvas, truth.boxes[kept], [colours[index] for index in kept], tags, dashed)


def _filled_tag(name: str, note: str, colour: Colour, scale: Scale, image: ImageArray) -> Tag:
    return Tag(name, note, scale.text, _room(scale, image), colour, ink_on(colour))


def _room(scale: Scale, image: ImageArray) -> int:
    return min(int(image.shape[1]), _WIDEST_TAG * scale.text)


def _percent(score: float) -> str:
    """A score as people read it; of one below 1%, or that is no probability, more digits."""
    if not 0 <= score <= 1:
        return f"{score:.3g}"
    return f"{score:.1%}" if score < 0.01 else f"{score:.0%}"


def _note(ground_truth: GroundTruth, index: int) -> str:
    """Why an annotated object does not count in full; empty if it does."""
    flags = (
        ("crowd", ground_truth.is_crowd),
        ("group", ground_truth.group_of),
        ("difficult", ground_truth.difficult),
    )
    return ", ".join(word for word, values in flags if values[index])


def _drawn(
    image: ImageArray,
    boxes: npt.NDArray[np.float32],
    colours: Sequence[Colour],
    tags: Sequence[Tag],
    dashed: Sequence[bool],
) -> ImageArray:
    """Draw frames and tags, given in order of importance, on the image; boxes wholly outside are left out."""
    height, width = image.shape[:2]
    scale = scale_of(height, width)
    visible = np.flatnonzero(is_in_picture(boxes))
    frames = outer_pixels(boxes[visible], height, width, scale.line)
    for frame, index in zip(reversed(frames.tolist()), reversed(visible.tolist()), strict=True):
        _draw_frame(image, frame, colours[index], scale, is_dashed=dashed[index])
    if min(height, width) >= _FEWEST_TAGS * line_height(scale.text):
        _draw_tags(image, frames, [tag_picture(tags[index]) for index in visible.tolist()])
    return image


def _draw_tags(image: ImageArray, frames: Pixels, pictures: Sequence[ImageArray]) -> None:
    sizes = np.array([picture.shape[:2] for picture in pictures], np.intp).reshape(-1, 2)
    places = place_tags(frames, sizes, *image.shape[:2])
    for (top, left), picture in zip(reversed(places.tolist()), reversed(pictures), strict=True):
        place = image[top : top + picture.shape[0], left : left + picture.shape[1]]
        place[...] = picture[: place.shape[0], : place.shape[1]]


def _draw_frame(image: ImageArray, frame: Sequence[int], colour: Colour, scale: Scale, *, is_dashed: bool) -> None:
    """A line within `frame` (top, left, bottom, right), with the ground beside it at half its brightness.

    The shade sets the line off from any ground: against a bright one by itself, on a dark one the line is the brighter.
    """
    line, shade = scale.line, scale.shade
    top, left, bottom, right = frame
    for bar in (*_sides(top - shade, left - shade, bottom + shade, right + shade, shade), *_sides_within(frame, scale)):
        _shade(image, *bar)
    for side in _sides(top, left, bottom, right, line):
        for y0, x0, y1, x1 in _dashes(side, line) if is_dashed else (side,):
            if y0 < y1 and x0 < x1:  # of a frame no wider than its line, some sides are empty
                cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), colour, cv2.FILLED)


def _sides_within(frame: Sequence[int], scale: Scale) -> list[tuple[int, int, int, int]]:
    """The shade along the inner side of a frame's line; nothing where the line leaves no room for it."""
    line = scale.line
    top, left, bottom, right = frame[0] + line, frame[1] + line, frame[2] - line, frame[3] - line
    if min(bottom - top, right - left) < 2 * scale.shade:
        return []
    return _sides(top, left, bottom, right, scale.shade)


def _sides(top: int, left: int, bottom: int, right: int, width: int) -> list[tuple[int, int, int, int]]:
    """The four bars of a frame, none over another: (top, left, bottom, right), ends exclusive."""
    lower, inner_right = max(bottom - width, top), max(right - width, left)
    upper, inner_left = min(top + width, lower), min(left + width, inner_right)
    return [
        (top, left, upper, right),
        (lower, left, bottom, right),
        (upper, left, lower, inner_left),
        (upper, inner_right, lower, right),
    ]


def _dashes(bar: tuple[int, int, int, int], line: int) -> list[tuple[int, int, int, int]]:
    """A bar as dashes, the first at its one end and the last at the other."""
    top, left, bottom, right = bar
    is_level = right - left >= bottom - top
    length = right - left if is_level else bottom - top
    dash = min(_DASH * line, length)
    count = max(2, round((length - dash) / ((_DASH + _GAP) * line)) + 1)
    starts = [step * (length - dash) // (count - 1) for step in range(count)]
    if is_level:
        return [(top, left + start, bottom, left + start + dash) for start in starts]
    return [(top + start, left, top + start + dash, right) for start in starts]


def _shade(image: ImageArray, top: int, left: int, bottom: int, right: int) -> None:
    """Halve the brightness of what lies in the image of a bar."""
    image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] >>= 1
