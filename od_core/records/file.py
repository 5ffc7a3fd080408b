"""One TFRecord file read from front to back, compressed or not, with its SHA-256."""

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

from od_core import storage
from od_core.errors import RecordError
from od_core.records.tfrecord import is_gzip, read_records

_NAME = re.compile(r"\.(tf_?records?|records?)(-\d+-of-\d+)?(\.gz)?$|(?<!\.data)-\d{5}-of-\d{5}$", re.IGNORECASE)
_DRAIN_BYTES = 1 << 20


def is_record_name(path: str) -> bool:
    """Whether a file is one of TFRecords by its name: a.tfrecord, a.record-00000-of-00010, train-00000-of-00010, ...

    Checkpoints of TensorFlow, model.ckpt.data-00000-of-00001, are none.
    """
    return _NAME.search(path) is not None


def record_files(path: str) -> Sequence[str]:
    """The TFRecord files at a path: one, those in a folder, those that a pattern matches; empty for anything else."""
    if storage.stat(path) is not None:
        return [path] if is_record_name(path) else []
    if storage.is_folder(path):
        return [storage.join(path, name) for name in sorted(storage.names_in(path)) if is_record_name(name)]
    found = storage.glob(path)[1] if storage.has_wildcard(path) else []
    return [info.path for info in found if is_record_name(info.path)]


class FileRecord(NamedTuple):
    """One record: its position, from 0; the byte offset of its header, uncompressed; its bytes, or why not."""

    ordinal: int
    offset: int
    payload: bytes | RecordError


class RecordFile:
    """Reads a file once; afterwards `sha256` and `size` are those of the whole file as it lies there.

    Attributes:
        is_gzip: whether it is compressed.
        size: bytes read so far.
        damage: why no more records could be found; None where the file was read to its end.
    """

    def __init__(self, path: str, advance: Callable[[int], None] = lambda count: None):
        """`advance` hears of bytes as they are read. Raises OSError: no such file, or not a regular one."""
        self._file = storage.open_input(path)
        self._advance = advance
        self._digest = hashlib.sha256()
        self.is_gzip = is_gzip(self._file)
        self.size = 0
        self.damage: RecordError | None = None

    def records(self) -> Iterator[FileRecord]:
        """All records; closes the file at the end."""
        raw = cast(BinaryIO, self)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self.is_gzip else raw
        with self._file:
            try:
                for ordinal, (offset, payload) in enumerate(read_records(stream)):
                    yield FileRecord(ordinal, offset, payload)
            except RecordError as error:
                self.damage = error
            while self.read(_DRAIN_BYTES):
                pass

    def read(self, count: int = -1) -> bytes:
        """The next bytes of the file as it lies there."""
        chunk = self._file.read(count)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._advance(len(chunk))
        return chunk

    @property
    def sha256(self) -> str:
        """Of the bytes read so far, hexadecimal."""
        return self._digest.hexdigest()
