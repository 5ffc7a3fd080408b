"""Pictures and videos for review pages: thumbnails, and originals in a form that a browser shows."""

import os
import pathlib
import urllib.parse
from collections.abc import Generator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from od_core import storage
from od_core.errors import ImageError, InputError
from od_core.images import decode_image, encode_jpeg, read_encoded, read_header
from od_core.local_copies import local_copy
from od_core.video.file import open_video
from od_core.video.frames import MAX_PIXELS, VideoFrame, read_video
from od_core.video.writer import VideoWriter
from pipelines.items import Piece, Source
from pipelines.record_images import record_images

THUMBNAIL_SIDE = 240
PREVIEW_SIDE = 1600
PROXY_SIDE = 960

_THUMBNAIL_QUALITY = 70
_PREVIEW_QUALITY = 85
_PROXY_CRF = 26
_FORMATS_SHOWN = frozenset({"jpeg", "png", "webp", "gif", "bmp"})
_CODECS_PLAYED = frozenset({"h264", "vp8", "vp9", "av1"})
_PIXELS_PLAYED = frozenset({"yuv420p", "yuvj420p"})
_FILES_PLAYED = (".mp4", ".m4v", ".webm")

ImageArray = npt.NDArray[np.uint8]


class Shown(NamedTuple):
    """An original as a page shows it.

    Attributes:
        thumbnail: a JPEG; None where there is none.
        preview: a JPEG in the place of an original that no browser shows, or that lies in a record.
        size: width and height in pixels, upright.
        note: what is the matter with it, "" if nothing is.
    """

    thumbnail: bytes | None = None
    preview: bytes | None = None
    size: tuple[int, int] | None = None
    note: str = ""


def show_image(path: str, *, copy: bool = False) -> Shown:
    """A picture file; `copy`: with a preview, also of what a browser shows, as of pictures on other file systems."""
    try:
        encoded = read_encoded(path)
        copy = copy or storage.is_remote(path) or read_header(encoded).format not in _FORMATS_SHOWN
        return show_encoded(encoded, copy=copy)
    except OSError as error:
        return Shown(note=f"the original cannot be opened: {error.strerror or error}")
    except ImageError as error:
        return Shown(note=f"the original cannot be shown: {error}")


def show_encoded(encoded: bytes, *, copy: bool) -> Shown:
    """The bytes of a picture.

    Raises:
        ImageError: they cannot be decoded.
    """
    image = decode_image(encoded)
    height, width, _ = image.shape
    preview = encode_jpeg(_within(image, PREVIEW_SIDE), _PREVIEW_QUALITY) if copy else None
    return Shown(encode_jpeg(_within(image, THUMBNAIL_SIDE), _THUMBNAIL_QUALITY), preview, (width, height))


class RecordShower:
    """Shows the pictures of records, asked for file by file and in the order in which they lie."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._records: Generator[tuple[int, bytes | None]] = (_ for _ in ())

    def show(self, path: str, record_index: int) -> Shown:
        """One record's picture."""
        try:
            if path != self._path:
                self.close()
                self._records, self._path = self._open(path), path
            for index, encoded in self._records:
                if index == record_index:
                    return (
                        Shown(note="the record has no image") if encoded is None else show_encoded(encoded, copy=True)
                    )
        except OSError as error:
            return Shown(note=f"the original cannot be opened: {error.strerror or error}")
        except InputError as error:
            return Shown(note=f"the original cannot be shown: {error}")
        return Shown(note="the record is not in its file any more")

    def close(self) -> None:
        """Let go of the file."""
        self._records.close()

    @staticmethod
    def _open(path: str) -> Generator[tuple[int, bytes | None]]:
        with storage.open_input(path) as file:
            for record in record_images(Piece(Source(os.path.basename(path), path, "record", 0, 0)), file):
                yield record.row.record_index or 0, record.encoded


class ShownVideo(NamedTuple):
    """A video as a page plays it.

    Attributes:
        thumbnail, size, note: see `Shown`.
        proxy: whether it was written anew.
        start: which time of the original, in seconds, is 0 to the player. What was written anew begins with its first
            frame; a file as it is keeps the times of its container, in which sound may come before the first frame.
    """

    thumbnail: bytes | None = None
    proxy: bool = False
    size: tuple[int, int] | None = None
    note: str = ""
    start: float = 0.0


def show_video(path: str, proxy: pathlib.Path, *, copy: bool = False) -> ShownVideo:
    """A video file. One that browsers do not play is written anew, smaller and in H.264, as `proxy`.

    Args:
        copy: write it anew in any case.
    """
    try:
        with local_copy(path) as local:
            as_it_is = not copy and not storage.is_remote(path) and _plays(local)
            return _shown_video(local, None if as_it_is else proxy)
    except OSError as error:
        return ShownVideo(note=f"the original cannot be opened: {error.strerror or error}")
    except InputError as error:
        return ShownVideo(note=f"the original cannot be played: {error}")


def _plays(path: str) -> bool:
    """Whether every browser plays a local file: by its kind, its codec, and 8 bits in 4:2:0."""
    if not path.lower().endswith(_FILES_PLAYED):
        return False
    with open_video(path, MAX_PIXELS) as video:
        return video.codec in _CODECS_PLAYED and video.stream.codec_context.pix_fmt in _PIXELS_PLAYED


def _shown_video(path: str, proxy: pathlib.Path | None) -> ShownVideo:
    shown = ShownVideo(note="no frame of the original can be decoded")
    if proxy is None:
        for one in read_video(path):
            if isinstance(one, VideoFrame):
                first = _first_frame(one)
                return first._replace(start=min(0.0, first.start))
        return shown
    proxy.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(proxy, crf=_PROXY_CRF) as writer:
        for one in read_video(path):
            if isinstance(one, VideoFrame):
                shown = shown if shown.thumbnail else _first_frame(one)._replace(proxy=True)
                writer.write(_within(one.image, PROXY_SIDE), one.timestamp_us)
    return shown


def _first_frame(frame: VideoFrame) -> ShownVideo:
    height, width, _ = frame.image.shape
    thumbnail = encode_jpeg(_within(frame.image, THUMBNAIL_SIDE), _THUMBNAIL_QUALITY)
    return ShownVideo(thumbnail, size=(width, height), start=(frame.timestamp_us or 0) / 1e6)


def _within(image: ImageArray, side: int) -> ImageArray:
    """The image, made smaller if it is larger than this on a side."""
    height, width, _ = image.shape
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def relative_url(path: str, folder: str) -> str:
    """How a page in a local folder names a file: relative, escaped; "" where it lies on another file system."""
    if storage.is_remote(path):
        return ""
    below = os.path.relpath(os.path.abspath(storage.local_path(path)), os.path.abspath(storage.local_path(folder)))
    return urllib.parse.quote(os.fsencode(below))
