"""Image files as upright uint8 RGB arrays: what a file holds, and its pixels or a clear reason why not.

The content decides what a file is, never its name. Pillow reads headers, EXIF and every format; the pixels of JPEGs can
come from another decoder, because detectors are sensitive to which one it was (see `Detector.decode_jpeg`).

Pixels are treated as TensorFlow's decoders treat them when asked for three channels: grey is repeated, 16-bit channels
give their high byte, and alpha is dropped, not blended: a transparent pixel shows the colour stored under it. Of
animations and multi-page files the first frame is taken. Upright means that EXIF's Orientation has been applied.
"""

import io
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from od_core import storage
from od_core.errors import ImageError
from od_core.jpeg_header import plain_jpeg_size

ImageArray = npt.NDArray[np.uint8]

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"},
)

# Twice the size at which Pillow warns (89,478,485 px: a quarter of a GiB of RGB), which is where Pillow itself refuses.
# A file of a few kilobytes can claim 65,535 x 65,535 px; decoding needs 7 bytes a pixel, so this line is at 1.3 GB.
MAX_PIXELS = 178_956_970

# As many bytes as the pixels of the largest image take: no file that is worth decoding is larger.
MAX_FILE_BYTES = 3 * MAX_PIXELS

# Opened by class, not by Image.open, which tries every plugin it knows and has a size limit of its own.
_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
}

# First bytes -> format.
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)

# (bytes, at this offset) -> what people hand in by mistake.
_OTHERS = (
    (b"ftypavif", 4, "an AVIF image, which is not supported: convert it to JPEG or PNG"),
    (b"ftypheic", 4, "a HEIC photo, which is not supported: convert it to JPEG or PNG"),
    (b"ftypmif1", 4, "a HEIF photo, which is not supported: convert it to JPEG or PNG"),
    (b"ftyp", 4, "an MP4 or QuickTime video"),
    (b"\x1aE\xdf\xa3", 0, "a Matroska or WebM video"),
    (b"AVI ", 8, "an AVI video"),
    (b"\0\0\0\x0cjP  ", 0, "a JPEG 2000 image, which is not supported: convert it to JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", 0, "a JPEG XL image, which is not supported: convert it to JPEG or PNG"),
    (b"8BPS", 0, "a Photoshop file, which is not supported: convert it to JPEG or PNG"),
    (b"\0\0\1\0", 0, "an icon, which is not supported: convert it to PNG"),
    (b"%PDF", 0, "a PDF"),
    (b"PK\x03\x04", 0, "a ZIP archive"),
    (b"\x1f\x8b", 0, "a gzip file"),
    (b"version https://git-lfs", 0, "a Git LFS pointer: run `git lfs pull` to get the file itself"),
)

_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


class ImageHeader(NamedTuple):
    """What an image file says about itself.

    format: jpeg, png, gif, bmp, webp or tiff; width, height: in pixels, upright; orientation: EXIF's, 1 to 8, of the
    pixels as stored (1 where it is absent or invalid).
    """

    format: str
    width: int
    height: int
    orientation: int


def read_encoded(path: str) -> bytes:
    """The bytes of an image file; of one that is larger than any image that is decoded, none are read.

    Raises:
        OSError: as `storage.open_input`.
        ImageError: it is larger.
    """
    with storage.open_input(path) as file:
        refuse_too_large(file.seek(0, os.SEEK_END))
        file.seek(0)
        return file.read(MAX_FILE_BYTES)


def refuse_too_large(size: int) -> None:
    """Raise ImageError if no image that is decoded is a file of so many bytes."""
    if size > MAX_FILE_BYTES:
        most = f"{MAX_FILE_BYTES >> 20:,} MiB, more than any image that is decoded"
        raise ImageError(f"a file of {size:,} bytes, which is more than {most}")


def read_header(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of an image file, without decoding its pixels.

    Raises:
        ImageError: not an image of a supported format, damaged, or of more than `max_pixels`.
    """
    size = _plain_jpeg_size(encoded, max_pixels)
    if size is not None:
        return ImageHeader("jpeg", *size, 1)
    with quiet_pillow:
        return _opened(encoded, max_pixels)[1]


def verify_pixels(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
    """See that `decode_image` can decode the pixels of an image file.

    Of a JPEG all compressed data is decoded, but to a picture of an eighth of its height and width: the step from
    coefficients to pixels, which takes most of the time, cannot fail.

    Raises:
        ImageError: as `decode_image`.
    """
    with quiet_pillow:
        image, header = _opened(encoded, max_pixels)
        if header.format == "jpeg":
            image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
            try:
                image.load()
                return
            except MemoryError:
                raise
            except Exception:  # to be told of the whole image
                image = _opened(encoded, max_pixels)[0]
        _loaded(image, header.format)


def decode_image(
    encoded: bytes, *, decode_jpeg: Callable[[bytes], ImageArray] | None = None, max_pixels: int = MAX_PIXELS
) -> ImageArray:
    """The pixels of an image file: uint8 (H, W, 3), RGB, upright, C-contiguous.

    Args:
        encoded: the whole file.
        decode_jpeg: JPEG bytes -> uint8 (H, W, 3) as stored, EXIF not applied; raises ImageError. Pillow by default.
        max_pixels: refuse larger images before anything is allocated for them.

    Raises:
        ImageError: as `read_header`, or the pixels are cut off or damaged; nothing is ever filled in.
    """
    if decode_jpeg is not None and (size := _plain_jpeg_size(encoded, max_pixels)) is not None:
        return np.ascontiguousarray(_jpeg_pixels(encoded, size, decode_jpeg))
    with quiet_pillow:
        image, header = _opened(encoded, max_pixels)
        if header.format == "jpeg" and decode_jpeg is not None:
            pixels = _jpeg_pixels(encoded, image.size, decode_jpeg)
        else:
            pixels = _loaded(image, header.format)
    # Pillow applies a TIFF's orientation by itself when it loads the pixels.
    return np.ascontiguousarray(pixels if header.format == "tiff" else upright_pixels(pixels, header.orientation))


def _plain_jpeg_size(encoded: bytes, max_pixels: int) -> tuple[int, int] | None:
    """Width and height of a JPEG that Pillow need not be asked about; see `plain_jpeg_size`."""
    size = plain_jpeg_size(encoded)
    return size if size is not None and size[0] * size[1] <= max_pixels else None


def _jpeg_pixels(encoded: bytes, size: tuple[int, int], decode_jpeg: Callable[[bytes], ImageArray]) -> ImageArray:
    """What a decoder makes of a JPEG of this width and height."""
    pixels = decode_jpeg(encoded)
    if pixels.shape != (size[1], size[0], 3):
        raise ImageError(f"the JPEG's header says {size[0]} x {size[1]} px, its decoder gave {pixels.shape = }")
    return pixels


def encode_png(image: ImageArray, level: int = 0) -> bytes:
    """uint8 (H, W, 3) RGB, or (H, W) grey, as a PNG.

    By default its pixels are stored, not compressed: for handing over, not for keeping. That is ten times faster than
    Pillow at its lowest level. `level` is zlib's, up to 9. Chunks of length, name, content and CRC; each row of pixels
    behind a zero, which says that it is not filtered (PNG specification, third edition, 5 and 9).
    """
    height, width = image.shape[:2]
    colour = 2 if image.ndim == 3 else 0  # RGB or grey
    rows = np.zeros((height, 1 + image.size // height), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)  # 8 bits a channel
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
        for name, content in chunks
    )


def encode_jpeg(image: ImageArray, quality: int = 90) -> bytes:
    """uint8 (H, W, 3) RGB as a JPEG, for people to look at; the same pixels always give the same bytes.

    Colours are kept for every pixel (4:4:4): halved, as is usual, thin coloured lines and letters would blur.

    Args:
        image: neither height nor width above 65,535, JPEG's limit.
        quality: 1 to 95, as Pillow and libjpeg count.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _opened(encoded: bytes, max_pixels: int) -> tuple[ImageFile.ImageFile, ImageHeader]:
    """The file opened by Pillow, pixels not loaded, and its header."""
    image_format = _format(encoded)
    try:
        image = _PLUGINS[image_format](io.BytesIO(encoded))
    except MemoryError:
        raise
    except Exception as error:  # a plugin may raise anything on damaged bytes
        raise _damaged(image_format, encoded, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"a {image_format.upper()} that claims {width:,} x {height:,} px, more than the {max_pixels:,} px that are "
            "decoded: scale it down or cut it up"
        )
    orientation = _orientation(image, encoded)
    if orientation >= 5 and image_format != "tiff":  # Pillow gives a TIFF's size as it is to be seen
        width, height = height, width
    return image, ImageHeader(image_format, width, height, orientation)


def looks_like_image(head: bytes) -> bool:
    """Whether a file with these first bytes is an image of a supported format, or would be if it were whole."""
    try:
        _format(head)
    except ImageError:
        return False
    return True


def _format(encoded: bytes) -> str:
    for magic, image_format in _MAGIC:
        if encoded.startswith(magic):
            return image_format
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    raise ImageError(
        f"not a supported image but {_description(encoded)}; expected JPEG, PNG, GIF, BMP, WebP or TIFF"
        if encoded
        else "an empty file (0 bytes); expected an image"
    )


def _description(encoded: bytes) -> str:
    """What bytes that are no image look like, for a person."""
    for magic, offset, what in _OTHERS:
        if encoded.startswith(magic, offset):
            return what
    head = encoded[:256]
    if not any(head):
        return f"{len(encoded):,} bytes that start with zeros: a file whose content was never written"
    if _TEXT.issuperset(head):
        start = " ".join(head.decode("ascii").split())[:40]
        kind = "HTML or XML: a web page saved under an image's name" if start.startswith("<") else "plain text"
        return f"{kind} (it starts with {start!r})"
    return f"unknown content (it starts with {encoded[:8].hex(' ')})"


def _orientation(image: ImageFile.ImageFile, encoded: bytes) -> int:
    try:
        if isinstance(image, PngImagePlugin.PngImageFile) and "exif" not in image.info:
            image.info["exif"] = _png_exif(encoded)
        # Not image.getexif(): that of a PNG decodes all pixels, to see whether EXIF comes after them.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF is common, and no reason to refuse pixels that are whole
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _png_exif(encoded: bytes) -> bytes | None:
    """The content of a PNG's eXIf chunk, which may come before its pixels or after."""
    place = 8
    while place + 8 <= len(encoded):
        length, name = struct.unpack_from(">I4s", encoded, place)
        if name == b"eXIf":
            return encoded[place + 8 : place + 8 + length]
        place += 12 + length
    return None


def _loaded(image: ImageFile.ImageFile, image_format: str) -> ImageArray:
    """The pixels as Pillow decodes them: uint8 (H, W, 3)."""
    try:
        image.load()
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.mode not in ("I", "F"):
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # a plugin may raise anything on damaged bytes
        raise _damaged(image_format, f"{image.width} x {image.height} px", error) from error
    raise ImageError(
        f"a {image_format.upper()} of 32-bit numbers (mode {image.mode}), whose range is not known: "
        "convert it to 8 or 16 bits a channel"
    )


def _damaged(image_format: str, where: bytes | str, error: Exception) -> ImageError:
    size = f"{len(where):,} bytes" if isinstance(where, bytes) else where
    return ImageError(f"a damaged or cut-off {image_format.upper()} ({size}): {error or type(error).__name__}")


def upright_pixels(pixels: ImageArray, orientation: int) -> ImageArray:
    """Pixels (H, W, 3) or (H, W) as EXIF's Orientation says they are to be seen (EXIF 2.32, 4.6.4): a view."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


class _PillowWarnings:
    """A context in which Pillow's warnings stay inside: what they tell is an ImageError here, or of no consequence.

    Every function here enters it. Who reads many images can stay in it meanwhile: entering it from outside costs as
    much as reading a header, from inside next to nothing.

    `warnings.catch_warnings` changes and restores what all threads share, and two threads in it at once may restore
    each other's state. So the first thread in sets the filter and the last one out takes it away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


quiet_pillow = _PillowWarnings()
