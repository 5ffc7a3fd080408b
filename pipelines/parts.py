"""Row files: Parquet files that say in their footer which pieces of input they cover, and how each ended.

Parts (one per item, in `OUTPUT/_work/parts`) and data files (`OUTPUT/*.parquet`) are both row files. The rows of a
piece lie together, in the order of the outcomes, so that a piece can be taken out of a file by position, whatever the
table holds. The footer's `boxbeam.coverage` is zstd-compressed JSON in base64: a million inputs stay a few megabytes.
"""

import base64
import contextlib
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from pipelines.items import Outcome

COVERAGE = b"boxbeam.coverage"
SCHEMA = b"boxbeam.schema"
OPTIONS = b"boxbeam.options"
PROVENANCE = b"boxbeam.provenance"

# A row group is what a reader holds in memory at once, so it is bounded in rows and in bytes.
MAX_GROUP_ROWS = 1 << 16
MAX_GROUP_BYTES = 64 << 20


class RowWriter:
    """Writes one row file; memory holds at most one row group.

    `write` takes rows in any portions, `finish` says how many of them, in order, belong to which piece.
    """

    def __init__(self, path: pathlib.Path, schema: pa.Schema, metadata: Mapping[bytes, bytes]):
        self._writer = pq.ParquetWriter(
            path,
            schema.with_metadata(dict(metadata)),
            compression="zstd",
            store_schema=True,
            use_dictionary=_worth_a_dictionary(schema),
        )
        self._schema = schema
        self._pending: list[pa.Table] = []
        self._pending_rows = self._pending_bytes = 0
        self._rows = 0
        self.outcomes: list[Outcome] = []

    def write(self, rows: pa.Table) -> None:
        """Add the next rows: of one piece, of several, or a part of one."""
        if not rows.num_rows:
            return
        self._pending.append(rows)
        self._rows += rows.num_rows
        self._pending_rows += rows.num_rows
        self._pending_bytes += rows.nbytes
        if self._pending_rows >= MAX_GROUP_ROWS or self._pending_bytes >= MAX_GROUP_BYTES:
            self._flush()

    def finish(self, outcome: Outcome) -> None:
        """The next `outcome.rows` rows, written already or yet to be, are those of this piece."""
        self.outcomes.append(outcome)

    def close(self) -> None:
        """Write what is left and the footer.

        Raises:
            ValueError: the rows are more or fewer than the outcomes say.
        """
        claimed = sum(outcome.rows for outcome in self.outcomes)
        if self._rows != claimed:
            raise ValueError(f"{self._rows} rows were written, but the pieces finished have {claimed}")
        self._flush()
        self._writer.add_key_value_metadata({COVERAGE: _encode(self.outcomes)})
        self._writer.close()

    def abandon(self) -> None:
        """Close the file handle after a failure; the file is not valid."""
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending), row_group_size=MAX_GROUP_ROWS)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0


@contextlib.contextmanager
def commit_rows(path: str, schema: pa.Schema, metadata: Mapping[bytes, bytes]) -> Iterator[RowWriter]:
    """A RowWriter whose file appears under `path` when the block ends well, and not at all otherwise."""
    with storage.commit(path) as temporary:
        writer = RowWriter(temporary, schema, metadata)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


class RowFile:
    """Reads a row file: its outcomes from the footer, its rows a row group at a time.

    Raises:
        pa.ArrowInvalid, ValueError, TypeError: not a row file, or a damaged one.
        FileNotFoundError: no such file.
    """

    def __init__(self, path: str):
        self.path = path
        self._file = storage.open_input(path)
        try:
            self._parquet = pq.ParquetFile(self._file)
        except BaseException:
            self._file.close()
            raise
        self.metadata: Mapping[bytes, bytes] = self._parquet.metadata.metadata or {}
        self.coverage: list[list[Any]] = _decode(self.metadata[COVERAGE]) if COVERAGE in self.metadata else []
        self._group: tuple[int, pa.Table] | None = None

    @functools.cached_property
    def outcomes(self) -> list[Outcome]:
        """What its coverage says; `coverage` has the same as JSON, which is cheaper where there are many."""
        return [Outcome.from_json(told) for told in self.coverage]

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return int(self._parquet.metadata.num_rows)

    @property
    def bytes(self) -> int:
        """Bytes of the rows, encoded but not compressed."""
        groups = range(self._parquet.metadata.num_row_groups)
        return sum(self._parquet.metadata.row_group(index).total_byte_size for index in groups)

    def rows(self, start: int, stop: int) -> Iterator[pa.Table]:
        """Rows `start` to `stop`, in slices of row groups."""
        for index, first, length in self._groups():
            low, high = max(start, first), min(stop, first + length)
            if low < high:
                yield self._read(index).slice(low - first, high - low)

    def take(self, numbers: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
        """The rows of these numbers, which rise; in tables of one row group each."""
        for index, first, length in self._groups():
            low, high = np.searchsorted(numbers, (first, first + length))
            if low < high:
                yield self._read(index).take(pa.array(numbers[low:high] - first))

    def _groups(self) -> Iterator[tuple[int, int, int]]:
        """The row groups: their numbers, first rows and lengths."""
        first = 0
        for index in range(self._parquet.metadata.num_row_groups):
            length = self._parquet.metadata.row_group(index).num_rows
            yield index, first, length
            first += length

    def _read(self, index: int) -> pa.Table:
        """A row group; the last one is held."""
        if self._group is None or self._group[0] != index:
            self._group = (index, self._parquet.read_row_group(index))
        return self._group[1]

    def close(self) -> None:
        """Let go of the file."""
        self._parquet.close()
        self._file.close()

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_footer(path: str) -> tuple[Mapping[bytes, bytes], list[Outcome]] | None:
    """A row file's metadata and outcomes, without its rows; None where there is none (gone, damaged, foreign)."""
    try:
        with RowFile(path) as file:
            return file.metadata, file.outcomes
    except (pa.ArrowInvalid, FileNotFoundError, ValueError, TypeError):
        return None


def _worth_a_dictionary(schema: pa.Schema) -> list[str]:
    """The paths in a Parquet file of the columns whose values repeat: all but fractions.

    Hardly two scores or edges of boxes are alike. With a dictionary of them, as Parquet has it by default, rows of
    detections take half as much again on disk, and twice the time to write.
    """
    leaves = [leaf for field in schema for leaf in _leaves(field.name, field.type)]
    return [path for path, kind in leaves if not pa.types.is_floating(kind)]


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """The columns that Parquet makes of one of Arrow's (Parquet format, LogicalTypes.md, lists)."""
    if pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    else:
        yield path, kind


def _encode(outcomes: list[Outcome]) -> bytes:
    text = json.dumps([outcome.to_json() for outcome in outcomes], ensure_ascii=False, separators=(",", ":"))
    raw = text.encode()
    packed = pa.Codec("zstd").compress(raw, asbytes=True)
    return b"%d:" % len(raw) + base64.b64encode(packed)


def _decode(value: bytes) -> list[list[Any]]:
    size, _, packed = value.partition(b":")
    raw = pa.Codec("zstd").decompress(base64.b64decode(packed), int(size), asbytes=True)
    outcomes: list[list[Any]] = json.loads(raw)
    return outcomes
