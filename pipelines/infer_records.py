"""The images of a TFRecord file, or of the records that begin in a range of its bytes."""

import gzip
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from od_core import storage
from od_core.errors import RecordError
from od_core.examples import parse_image_example
from od_core.records import is_gzip, read_record, read_records, scan_records
from od_core.schemas import FrameError, FrameRow
from pipelines.items import Piece


class RecordImage(NamedTuple):
    """One record: its row so far, its encoded image (None where the row already says why not), and its bytes."""

    row: FrameRow
    encoded: bytes | None
    weight: int


def record_images(piece: Piece, path: str) -> Iterator[RecordImage]:
    """The records that begin in the piece's range of bytes, in order; record_index counts from the start of the file.

    A record that is damaged becomes a failed row; damage after which no record can be found is one failed row, and the
    end.

    Args:
        piece: all of the file, or a byte range (start and stop of total).
        path: a local path with the file's bytes.
    """
    ordinal = 0
    try:
        with open(path, "rb") as file:
            if is_gzip(file):
                with gzip.open(file) as unpacked:
                    for ordinal, (_, payload) in enumerate(read_records(cast(BinaryIO, unpacked))):
                        yield _image(piece, ordinal, payload)
                return
            whole = piece.total == 1
            for ordinal, span in enumerate(scan_records(file, stop=None if whole else piece.stop)):
                if whole or span.offset >= piece.start:
                    yield _image(piece, ordinal, _payload(path, span.offset))
    except RecordError as error:
        yield _failed(piece, ordinal, error)


def _payload(path: str, offset: int) -> bytes | RecordError:
    try:
        with open(path, "rb") as file:
            return read_record(file, offset)
    except RecordError as error:
        return error


def _image(piece: Piece, ordinal: int, payload: bytes | RecordError) -> RecordImage:
    if isinstance(payload, RecordError):
        return _failed(piece, ordinal, payload)
    try:
        example = parse_image_example(payload)
    except RecordError as error:
        return _failed(piece, ordinal, error, weight=len(payload))
    key = example.source_id or example.filename or f"{piece.source.key}#{ordinal}"
    return RecordImage(_row(piece, ordinal, key), example.encoded, len(payload))


def _failed(piece: Piece, ordinal: int, error: RecordError, weight: int = 0) -> RecordImage:
    row = _row(piece, ordinal, f"{piece.source.key}#{ordinal}")
    return RecordImage(row._replace(error=FrameError(error.stage, type(error).__name__, str(error))), None, weight)


def _row(piece: Piece, ordinal: int, key: str) -> FrameRow:
    return FrameRow(key, storage.printable(piece.source.uri), "record", 0, ordinal)
