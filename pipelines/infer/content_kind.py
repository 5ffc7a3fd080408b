"""What a file is by its content, where its name does not tell; the file is opened for real when it is its turn."""

import errno
import io
import os

from PIL import GifImagePlugin

from od_core import storage
from od_core.errors import ImageError, RecordError, StorageError
from od_core.images import looks_like_image, read_encoded
from od_core.records.tfrecord import HEADER_BYTES, scan_records

_HEAD_BYTES = 1024
_TS_PACKET = 188
_GIF_MAGIC = b"GIF8"

# (bytes, at this offset) of the containers that cameras and tools write most.
_VIDEOS = (
    (b"ftyp", 4),  # MP4, QuickTime; the images with it (AVIF, HEIC) are told by their brand
    (b"\x1aE\xdf\xa3", 0),  # Matroska, WebM
    (b"AVI ", 8),
    (b"\0\0\x01\xba", 0),  # MPEG program stream
    (b"FLV\x01", 0),
    (b"OggS", 0),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0),  # ASF
)
_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def content_kind(path: str) -> str | None:
    """image, video, record, or None for something else, also for what is no regular file.

    A file that cannot be read is taken for an image, and so is a link that leads nowhere, perhaps to a folder of a disk
    that is not there: if it cannot be read in its turn either, it will fail by its name. Nothing would be left of it if
    what a disk does for a moment made it no input at all.
    """
    try:
        with storage.open_input(path) as file:
            head = file.read(_HEAD_BYTES)
            if len(head) >= HEADER_BYTES:
                file.seek(0)
                try:
                    next(scan_records(file, stop=1))
                except RecordError:
                    pass
                else:
                    return "record"
    except FileNotFoundError:
        return "image" if not storage.is_remote(path) and os.path.islink(storage.local_path(path)) else None
    except (OSError, StorageError) as error:
        return None if isinstance(error, OSError) and error.errno == errno.EINVAL else "image"
    if head.startswith(_GIF_MAGIC):
        return gif_kind(path)
    if looks_like_image(head):
        return "image"
    if any(head.startswith(magic, offset) for magic, offset in _VIDEOS) and head[8:12] not in _IMAGE_BRANDS:
        return "video"
    is_transport_stream = len(head) > 2 * _TS_PACKET and head[0] == head[_TS_PACKET] == head[2 * _TS_PACKET] == 0x47
    return "video" if is_transport_stream else None


def gif_kind(path: str) -> str:
    """video for a GIF that moves, else image; also where it cannot be read now, when it will fail for a reason."""
    try:
        return "video" if is_animated(read_encoded(path)) else "image"
    except (OSError, ImageError):
        return "image"


def is_animated(encoded: bytes) -> bool:
    """Whether these bytes are a GIF of several frames; False where they are damaged."""
    try:
        return bool(GifImagePlugin.GifImageFile(io.BytesIO(encoded)).is_animated)
    except (OSError, SyntaxError, EOFError, ValueError):
        return False
