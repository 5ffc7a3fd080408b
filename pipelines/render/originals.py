"""The originals of a rendering: their pixels, decoded in a thread, or why there are none."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core import storage
from od_core.errors import ImageError, InputError, RecordError
from od_core.images import decode_image, read_encoded
from od_core.local_copies import local_copy
from od_core.source_root import SourceRoot
from od_core.video.frames import MAX_PIXELS, VideoDamage, VideoFrame, read_video
from od_core.video.ranges import RangeEnd, read_range
from od_core.video.sampling import EVERY_FRAME
from od_core.video.scan import PacketScan, scan_packets
from pipelines.items import Identity, Piece
from pipelines.job import Watch
from pipelines.ordered import ordered_map, prefetch
from pipelines.reading import Reading
from pipelines.record_images import RecordImage, record_images

ImageArray = npt.NDArray[np.uint8]

_FRAMES_AHEAD = 4
_IMAGES_AHEAD = 3


class RecordPicture(NamedTuple):
    """A record of the original: its number and key, its image or why there is none, and its bytes.

    `image` is None for one that is not wanted.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    key: str
    image: ImageArray | InputError | None
    weight: int


def _decoded(asked: tuple[RecordImage, bool]) -> RecordPicture:
    record, is_wanted = asked
    image: ImageArray | InputError | None = None
    if not is_wanted:
        pass
    elif record.encoded is None:
        image = RecordError(record.row.error.message if record.row.error else "the record has no image")
    else:
        try:
            image = decode_image(record.encoded)
        except ImageError as error:
            image = error
    return RecordPicture(record.row.record_index or 0, record.row.key, image, record.weight)


class Originals:
    """Reads originals; holds one thread.

    Args:
        source_root: where those lie that were moved.
    """

    def __init__(self, source_root: SourceRoot):
        self._source_root = source_root
        self._decoder = ThreadPoolExecutor(1, "boxbeam-decode")
        self._scan: tuple[Identity, PacketScan] | None = None

    def images(self, pieces: Sequence[Piece], watch: Watch) -> Iterator[ImageArray | InputError]:
        """The pixels of each, or why it has none."""

        def decoded(piece: Piece) -> ImageArray | InputError:
            watch.begin(piece)
            try:
                with self._opening(piece):
                    encoded = read_encoded(piece.source.uri)
                return decode_image(encoded)
            except InputError as error:
                return error

        return ordered_map(decoded, pieces, self._decoder, _IMAGES_AHEAD)

    def records(self, piece: Piece, is_wanted: Callable[[RecordImage], bool]) -> Iterator[RecordPicture]:
        """The records that begin in a piece of a file, in order; `is_wanted` is asked of each, some records ahead.

        Those that are not wanted come without an image.
        """
        with self._opening(piece), storage.open_input(piece.source.uri) as file:
            asked = ((record, is_wanted(record)) for record in record_images(piece, file))
            yield from ordered_map(_decoded, asked, self._decoder, _IMAGES_AHEAD)

    def frames(self, path: str) -> Generator[VideoFrame | RangeEnd, None, None]:
        """The frames of a local video; what is damaged between them, the detections tell."""
        return self._undamaged(lambda: read_video(path))

    def scan(self, path: str, piece: Piece, alive: Callable[[], None]) -> PacketScan:
        """The packets of a local video; those of the last one are kept, as its next range may well be next."""
        if self._scan is None or self._scan[0] != piece.source.identity:
            self._scan = piece.source.identity, scan_packets(path, max_pixels=MAX_PIXELS, alive=alive)
        return self._scan[1]

    def range_frames(
        self, path: str, scan: PacketScan, piece: Piece, alive: Callable[[], None]
    ) -> Generator[VideoFrame | RangeEnd, None, None]:
        """The frames of a part of a local video, and then its end; see `od_core.video.ranges`."""
        span = piece.start, piece.stop, piece.total
        return self._undamaged(lambda: read_range(path, scan, *span, sampling=EVERY_FRAME, alive=alive))

    def _undamaged(
        self, elements: Callable[[], Iterator[VideoFrame | VideoDamage | RangeEnd]]
    ) -> Generator[VideoFrame | RangeEnd, None, None]:
        with contextlib.closing(prefetch(elements, self._decoder, _FRAMES_AHEAD)) as ahead:
            for one in ahead:
                if not isinstance(one, VideoDamage):
                    yield one

    @contextlib.contextmanager
    def local(self, piece: Piece) -> Iterator[str]:
        """The original of a video as a local file."""
        with contextlib.ExitStack() as stack:
            with self._opening(piece):
                storage.open_input(piece.source.uri).close()
                path = stack.enter_context(local_copy(piece.source.uri))
            yield path

    @contextlib.contextmanager
    def _opening(self, piece: Piece) -> Iterator[None]:
        """In a block that does nothing but read the original."""
        try:
            with Reading(piece.source.uri):
                yield
        except InputError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            place = storage.printable(piece.source.uri)
            gone = f"the original lies no longer at {place}; give its folder with --source_root"
            if self._source_root.folders:
                gone = f"the original is not where --source_root says: there is no {place}"
            raise InputError(gone) from error

    def close(self) -> None:
        """End the thread."""
        self._decoder.shutdown()
