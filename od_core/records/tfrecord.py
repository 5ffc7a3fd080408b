"""TFRecord files as byte streams: find, read and write records without TensorFlow.

A record is, in little-endian order (tensorflow/core/lib/io/record_writer.h):

    uint64  length
    uint32  masked CRC-32C of the 8 bytes of length
    byte    data[length]
    uint32  masked CRC-32C of the data

where masking is a rotation right by 15 bits plus a constant (tensorflow/core/lib/hash/crc32c.h). A file is such records
end to end, with no header and no index; or all of that as one GZIP stream, which cannot be entered in the middle.

Messages of `RecordError` give byte offsets; the caller knows the file's name and adds it.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import google_crc32c

from od_core.errors import RecordError

HEADER_BYTES = 12
FOOTER_BYTES = 4

# What a tf.train.Example can be at most: protobuf's own limit for one message.
MAX_PAYLOAD_BYTES = 2**31 - 1

_CHUNK_BYTES = 16 * 1024 * 1024

# Up to here one write of a copy costs less than four writes.
_COPIED_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b\x08"


class RecordSpan(NamedTuple):
    """Where a record lies: the byte offset of its header, and the length of its payload in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The byte offset after the record, where the next one begins."""
        return self.offset + HEADER_BYTES + self.length + FOOTER_BYTES


def scan_records(file: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[RecordSpan]:
    """The records of a seekable file that is not compressed, found by hopping from header to header.

    Payloads are neither read nor checked. The file may be read elsewhere (`read_record`) between two steps.

    Args:
        start: the offset of a record, where to begin.
        stop: records that begin at this offset or later are left out.

    Raises:
        RecordError: a damaged header or a file that ends within a record; all records before it have been given, and
            none after it can be found.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    offset = start
    while offset < size and (stop is None or offset < stop):
        file.seek(offset)
        span = RecordSpan(offset, _length_of(_read_up_to(file, HEADER_BYTES), offset))
        if span.end > size:
            raise RecordError(
                f"the file ends within the record at byte {offset}: it should reach to byte {span.end}, "
                f"the file has {size} bytes; it was cut short, or is still being written"
            )
        yield span
        offset = span.end


def read_record(file: BinaryIO, offset: int) -> bytes:
    """The payload of the record whose header begins at `offset` of a seekable file, both checksums verified.

    Raises:
        RecordError: no whole, undamaged record there.
    """
    file.seek(offset)
    content = _read_content(file, offset, _length_of(_read_up_to(file, HEADER_BYTES), offset))
    payload = _payload_of(content, offset)
    if isinstance(payload, RecordError):
        raise payload
    return payload


def read_records(file: BinaryIO) -> Iterator[tuple[int, bytes | RecordError]]:
    """All records of a stream that is read once, front to back, such as `gzip.open(path)`.

    Yields:
        (offset, payload): the header's offset in the uncompressed stream, counted from where `file` stands; a
        `RecordError` in place of a payload whose checksum is wrong. That costs one record, so the rest follow.

    Raises:
        RecordError: damage after which no further record can be found: a wrong header, a stream that ends within a
            record, a broken GZIP stream.
    """
    offset = 0
    while header := _read_up_to(file, HEADER_BYTES, offset):
        length = _length_of(header, offset)
        yield offset, _payload_of(_read_content(file, offset, length), offset)
        offset = RecordSpan(offset, length).end


def write_record(file: BinaryIO, payload: bytes) -> int:
    """Append one record; returns the bytes written, header and footer included."""
    header = struct.pack("<Q", len(payload))
    parts = (header, _masked_crc(header), payload, _masked_crc(payload))
    for part in parts if len(payload) >= _COPIED_BYTES else (b"".join(parts),):
        file.write(part)
    return HEADER_BYTES + len(payload) + FOOTER_BYTES


def is_gzip(file: BinaryIO) -> bool:
    """Whether a GZIP stream begins where a seekable `file` stands; its position is kept.

    A record of 560,927 bytes begins with GZIP's three magic bytes too, so a valid record header counts for more.
    """
    position = file.tell()
    head = _read_up_to(file, HEADER_BYTES)
    file.seek(position)
    return head.startswith(_GZIP_MAGIC) and head[8:] != _masked_crc(head[:8])


def _masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _length_of(header: bytes, offset: int) -> int:
    if len(header) < HEADER_BYTES:
        raise RecordError(
            f"the file ends within the record header at byte {offset}: expected {HEADER_BYTES} bytes, found "
            f"{len(header)}; it was cut short, or is still being written"
        )
    if header[8:] != _masked_crc(header[:8]):
        raise RecordError(
            f"no TFRecord header at byte {offset}: the checksum of the record's length is wrong; from here on the file "
            "is damaged, or it is not a TFRecord file"
        )
    length = int.from_bytes(header[:8], "little")
    if length > MAX_PAYLOAD_BYTES:
        raise RecordError(
            f"the record at byte {offset} claims {length} bytes, more than the {MAX_PAYLOAD_BYTES} that a "
            "tf.train.Example can have; the file is damaged"
        )
    return length


def _read_content(file: BinaryIO, offset: int, length: int) -> bytes:
    """Payload and footer of the record whose header has been read."""
    content = _read_up_to(file, length + FOOTER_BYTES, offset)
    if len(content) < length + FOOTER_BYTES:
        raise RecordError(
            f"the file ends within the record at byte {offset}: expected {length + FOOTER_BYTES} bytes after the "
            f"header, found {len(content)}; it was cut short, or is still being written"
        )
    return content


def _payload_of(content: bytes, offset: int) -> bytes | RecordError:
    payload = content[:-FOOTER_BYTES]
    if content[-FOOTER_BYTES:] == _masked_crc(payload):
        return payload
    return RecordError(
        f"the record at byte {offset} is damaged: the checksum of its {len(payload)} bytes is wrong; other records of "
        "the file are not affected"
    )


def _read_up_to(file: BinaryIO, count: int, offset: int = 0) -> bytes:
    """The next `count` bytes, or fewer at the end of the file; never allocates much more than is there."""
    chunks = []
    try:
        while count and (chunk := file.read(min(count, _CHUNK_BYTES))):
            chunks.append(chunk)
            count -= len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordError(
            f"the GZIP stream breaks off within the record at byte {offset} of the uncompressed data: {error}"
        ) from error
    return b"".join(chunks)
