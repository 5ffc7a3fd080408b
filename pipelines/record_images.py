"""The images of a TFRecord file, or of the records that begin in a range of its bytes."""

import contextlib
import gzip
import itertools
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from od_core import storage
from od_core.errors import RecordError
from od_core.records.examples import parse_image_example
from od_core.records.tfrecord import is_gzip, read_record, read_records, scan_records
from od_core.schemas import FrameError, FrameRow
from pipelines.items import Piece


class RecordImage(NamedTuple):
    """One record: its row so far, its encoded image (None where the row already says why not), and its bytes."""

    row: FrameRow
    encoded: bytes | None
    weight: int


def record_images(piece: Piece, file: BinaryIO) -> Iterator[RecordImage]:
    """The records that begin in the piece's range of bytes, in order; record_index counts from the start of the file.

    A record that is damaged becomes a failed row; damage after which no record can be found is one failed row, and the
    end.

    Args:
        piece: all of the file, or a byte range (start and stop of total).
        file: the file's bytes, seekable; used here alone.

    Raises:
        RecordError: such damage lies before the range, where it has its row; no record of the range can be found.
    """
    whole = piece.start == 0 and piece.stop == piece.total
    records = _every_payload(file) if whole else _payloads_between(file, piece.start, piece.stop)
    for ordinal, payload in records:
        yield _image(piece, ordinal, payload)


def _every_payload(file: BinaryIO) -> Iterator[tuple[int, bytes | RecordError]]:
    """Ordinal and payload of every record of a file, compressed or not."""
    with contextlib.ExitStack() as stack:
        unpacked = cast(BinaryIO, stack.enter_context(gzip.open(file))) if is_gzip(file) else file
        ordinal = -1
        try:
            for ordinal, (_, payload) in enumerate(read_records(unpacked)):
                yield ordinal, payload
        except RecordError as error:
            yield ordinal + 1, error


def _payloads_between(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, bytes | RecordError]]:
    """Those of the records that begin in a range of bytes: the ones before are hopped over.

    Raises:
        RecordError: that does not lead to the range, because of damage before it.
    """
    spans = scan_records(file, stop=stop)
    reached = 0
    for ordinal in itertools.count():
        try:
            span = next(spans, None)
        except RecordError as error:
            if reached < start:
                raise RecordError(f"its records cannot be found, as record {ordinal} is in the way: {error}") from error
            yield ordinal, error
            return
        if span is None:
            return
        reached = span.end
        if span.offset >= start:
            yield ordinal, _payload_at(file, span.offset)


def _payload_at(file: BinaryIO, offset: int) -> bytes | RecordError:
    try:
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
