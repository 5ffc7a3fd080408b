"""Tags: the small plates with a name and a score that stand at boxes, kept ready because they repeat."""

import collections
import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.drawing.palette import Colour
from od_core.drawing.text import Mask, fitting_mask, line_height, text_mask

ImageArray = npt.NDArray[np.uint8]

_CACHE_BYTES = 16 << 20


class Tag(NamedTuple):
    """What stands on a tag and how it looks.

    Attributes:
        name: may be cut short to fit.
        note: what follows it, such as "87%"; kept whole where the room is enough for it. May be empty.
        text_size: height of the font in pixels.
        room: most pixels in width.
        ground, ink: colours of plate and letters.
        edge: colour of a line of `edge_px` pixels around the plate, or None.
    """

    name: str
    note: str
    text_size: int
    room: int
    ground: Colour
    ink: Colour
    edge: Colour | None = None
    edge_px: int = 0


def canvas_of(image: ImageArray, out: ImageArray | None) -> ImageArray:
    """What is drawn on: `out` with the image on it, or a copy of the image, in C order."""
    if out is None:
        return np.array(image, order="C")
    if out is not image:
        out[...] = image
    return out


def tag_picture(tag: Tag) -> ImageArray:
    """The tag as uint8 (h, w, 3) RGB, read-only; kept for the next time."""
    with _lock:
        picture = _pictures.get(tag)
        if picture is not None:
            _pictures.move_to_end(tag)
            return picture
    picture = _painted(tag)
    picture.flags.writeable = False
    with _lock:
        _keep(tag, picture)
    return picture


def blend(ground: ImageArray, mask: Mask, ink: Colour) -> None:
    """Paint `ink` into `ground` (h, w, 3), in place, as far as `mask` (h, w) covers each pixel."""
    cover = mask[..., None].astype(np.uint16)
    ground[...] = (ground * (255 - cover) + np.array(ink, np.uint16) * cover + 127) // 255


def _painted(tag: Tag) -> ImageArray:
    margin = round(0.35 * tag.text_size)
    note = text_mask(tag.note, tag.text_size)
    gap = round(0.35 * tag.text_size) if tag.note else 0
    name = fitting_mask(tag.name, tag.text_size, tag.room - 2 * margin - gap - note.shape[1])
    if not name.shape[1]:
        gap = 0
    width = min(tag.room, 2 * margin + name.shape[1] + gap + note.shape[1])
    mask = np.zeros((line_height(tag.text_size) + 2 * tag.edge_px, width), np.uint8)
    line = mask[tag.edge_px : mask.shape[0] - tag.edge_px]
    for part, left in ((name, margin), (note, margin + name.shape[1] + gap)):
        place = line[:, left : left + part.shape[1]]
        place[...] = part[:, : place.shape[1]]
    picture = np.empty((*mask.shape, 3), np.uint8)
    picture[...] = tag.ground
    blend(picture, mask, tag.ink)
    if tag.edge and tag.edge_px:
        edge = tag.edge_px
        picture[:edge] = picture[-edge:] = picture[:, :edge] = picture[:, -edge:] = tag.edge
    return picture


_pictures: collections.OrderedDict[Tag, ImageArray] = collections.OrderedDict()
_kept_bytes = 0
_lock = threading.Lock()


def _keep(tag: Tag, picture: ImageArray) -> None:
    """Remember a picture, and forget those not used for longest."""
    global _kept_bytes
    if tag in _pictures:
        return
    _pictures[tag] = picture
    _kept_bytes += picture.nbytes
    while _kept_bytes > _CACHE_BYTES and len(_pictures) > 1:
        _kept_bytes -= _pictures.popitem(last=False)[1].nbytes
