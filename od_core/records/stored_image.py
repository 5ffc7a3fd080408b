"""How an image file goes into a record: as it is wherever TensorFlow then sees the right picture, else encoded anew."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from od_core.errors import ImageError
from od_core.images import (
    ImageArray,
    ImageHeader,
    decode_image,
    encode_jpeg,
    encode_png,
    read_header,
    upright_pixels,
    verify_pixels,
)

EXIF = ("rotate", "keep", "fail")
VERIFY = ("decode", "header")

TURNED, SCALED, MADE_PNG = "images_turned_upright", "images_scaled", "images_stored_as_png"

# What TensorFlow's decode_image gives as one picture with the right colours. A GIF or WebP is a stack of frames to it,
# a BMP's palette is lost, a TIFF unknown: these are stored as PNG, whose pixels are the same.
_STORED_AS_THEY_ARE = ("jpeg", "png")
_PNG_LEVEL = 6

# The EXIF orientation that takes back another: those that do not turn by a quarter take back themselves.
AS_STORED = {6: 8, 8: 6, **{orientation: orientation for orientation in (1, 2, 3, 4, 5, 7)}}


class ImageRules(NamedTuple):
    """What is done to images.

    Attributes:
        exif: one of `EXIF`: images with an EXIF orientation are turned upright, kept as they are, or refused.
        max_side: larger images are scaled down until neither side is longer, in pixels; None scales none.
        jpeg_quality: of JPEGs that are encoded anew, 1 to 95.
        verify: one of `VERIFY`: whether the pixels of files that stay as they are are decoded, to see that they can be.
    """

    exif: str = "rotate"
    max_side: int | None = None
    jpeg_quality: int = 95
    verify: str = "decode"


DEFAULT_RULES = ImageRules()


class StoredImage(NamedTuple):
    """An image as it goes into a record.

    Attributes:
        encoded: the file.
        format: what it is: "jpeg" or "png".
        width, height: in pixels, as a decoder that knows no EXIF sees it.
        orientation: EXIF orientation that the original had.
        original_format: what it was.
        changes: why it is not the original file, byte for byte: `TURNED`, `SCALED`, `MADE_PNG`.
        full_size: width and height before it was scaled; None where it was not.
    """

    encoded: bytes
    format: str
    width: int
    height: int
    orientation: int
    original_format: str
    changes: tuple[str, ...] = ()
    full_size: tuple[int, int] | None = None

    @property
    def is_upright(self) -> bool:
        """Whether its pixels are as a person is to see them."""
        return self.orientation == 1 or TURNED in self.changes


def stored_image(encoded: bytes, rules: ImageRules = DEFAULT_RULES) -> StoredImage:
    """An image file as a record takes it.

    TensorFlow's decoders ignore EXIF orientation, and only JPEG and PNG are always one picture to them. Of these, a
    file that needs neither turning nor scaling stays as it is; else a JPEG becomes a JPEG (4:4:4) and everything else a
    PNG, without metadata. Of animations that is the first frame.

    Raises:
        ImageError: not an image, damaged, or refused by the rules.
    """
    header = read_header(encoded)
    if header.orientation != 1 and rules.exif == "fail":
        raise ImageError(
            f"its EXIF orientation is {header.orientation}; store it upright, or choose --exif rotate or keep"
        )
    is_turned = header.orientation != 1 and rules.exif == "rotate"
    width, height = header.width, header.height
    if header.orientation >= 5 and not is_turned:
        width, height = height, width
    scaled = _scaled_size(width, height, rules.max_side)
    reasons = {
        TURNED: is_turned,
        SCALED: scaled != (width, height),
        MADE_PNG: header.format not in _STORED_AS_THEY_ARE,
    }
    changes = tuple(reason for reason, applies in reasons.items() if applies)
    if not changes:
        if rules.verify == "decode":
            verify_pixels(encoded)
        return StoredImage(encoded, header.format, width, height, header.orientation, header.format)
    pixels = _pixels(encoded, header, is_turned, scaled)
    is_jpeg = header.format == "jpeg"
    anew = encode_jpeg(pixels, rules.jpeg_quality) if is_jpeg else encode_png(pixels, _PNG_LEVEL)
    full_size = (width, height) if reasons[SCALED] else None
    format = "jpeg" if is_jpeg else "png"
    return StoredImage(anew, format, *scaled, header.orientation, header.format, changes, full_size)


def _scaled_size(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    if max_side is None or max(width, height) <= max_side:
        return width, height
    scale = max_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pixels(encoded: bytes, header: ImageHeader, is_turned: bool, size: tuple[int, int]) -> ImageArray:
    pixels = decode_image(encoded)
    if not is_turned:
        pixels = upright_pixels(pixels, AS_STORED[header.orientation])
    if size != (pixels.shape[1], pixels.shape[0]):
        # Pillow's, not OpenCV's: the same bytes on every machine.
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS))
    return np.ascontiguousarray(pixels)
