"""Data files: the rows of many pieces, taken out of parts and of former data files, in order of their inputs."""

import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from od_core import storage
from pipelines.dataset import fingerprint, metadata
from pipelines.items import Outcome
from pipelines.job import Job
from pipelines.manifest import DataFile
from pipelines.parts import MAX_GROUP_BYTES, MAX_GROUP_ROWS, RowFile, RowWriter

# A data file of this many bytes in memory is about 100 to 250 MB on disk.
TARGET_FILE_BYTES = 512 << 20
# Its footer, which tells of each, is read in one go.
MAX_FILE_PIECES = 1 << 17
# So many rows that follow each other in a file are worth being read by themselves.
_LONG_RUN = 256


class Slice(NamedTuple):
    """The rows of one piece, and the row file they lie in."""

    key: str
    start: int
    path: str
    first_row: int
    outcome: Outcome
    bytes: int


class Layout(NamedTuple):
    """A data file that is to be written: its name, which is a digest of what it covers, and its rows in order."""

    name: str
    rows: Sequence[Slice]

    def to_json(self) -> list[Any]:
        """For a file; see `from_json`."""
        return [self.name, [(*one[:4], one.outcome.to_json(), one.bytes) for one in self.rows]]

    @classmethod
    def from_json(cls, fields: list[Any]) -> "Layout":
        """The reverse of `to_json`."""
        name, rows = fields
        return cls(name, [Slice._make((*place, Outcome.from_json(told), size)) for *place, told, size in rows])


WriteFiles = Callable[[Mapping[str, object], Iterable[Layout]], list[DataFile]]
"""Given what the files are to say of where their rows come from: writes them, and tells of each, in order."""


def layouts(job: Job, slices: Iterable[Slice], first: int) -> Iterator[Layout]:
    """Deal rows out to as many files as it takes, numbered from `first`."""
    for ordinal, rows in enumerate(_by_size(slices), first):
        digest = hashlib.sha256(fingerprint(job).encode())
        for one in rows:
            digest.update(json.dumps(one.outcome.to_json()).encode())
        yield Layout(f"{job.table}-{ordinal:05d}-{digest.hexdigest()[:12]}.parquet", rows)


def write_here(output: str, job: Job) -> WriteFiles:
    """Write files one after the other, in this process."""

    def write(provenance: Mapping[str, object], files: Iterable[Layout]) -> list[DataFile]:
        return [write_data_file(output, job, provenance, layout) for layout in files]

    return write


def _by_size(slices: Iterable[Slice]) -> Iterator[list[Slice]]:
    rows: list[Slice] = []
    size = 0
    for one in slices:
        if rows and (size + one.bytes > TARGET_FILE_BYTES or len(rows) >= MAX_FILE_PIECES):
            yield rows
            rows, size = [], 0
        rows.append(one)
        size += one.bytes
    if rows:
        yield rows


def write_data_file(output: str, job: Job, provenance: Mapping[str, object], layout: Layout) -> DataFile:
    """Write one file into the output; written again it is the same."""
    rows = layout.rows
    with storage.commit(storage.join(output, layout.name)) as temporary:
        writer = RowWriter(temporary, job.schema, metadata(job, provenance))
        try:
            for together in _portions(rows):
                for table in _rows_of(together, job.schema):
                    writer.write(table)
                for one in together:
                    writer.finish(one.outcome)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        return DataFile(
            layout.name,
            rows=sum(one.outcome.rows for one in rows),
            bytes=temporary.stat().st_size,
            sha256=_sha256(temporary),
            inputs=len(rows),
        )


def _rows_of(slices: Sequence[Slice], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of slices, in order: streamed out of the file they all follow each other in, else gathered."""
    if len({one.path for one in slices}) == 1 and not _breaks(slices):
        with RowFile(slices[0].path) as file:
            for table in file.rows(slices[0].first_row, slices[-1].first_row + slices[-1].outcome.rows):
                yield table.cast(schema)
        return
    counts = np.array([one.outcome.rows for one in slices], np.int64)
    starts = np.array([one.first_row for one in slices], np.int64)
    file_numbers = {path: number for number, path in enumerate(dict.fromkeys(one.path for one in slices))}
    owners = np.repeat([file_numbers[one.path] for one in slices], counts)
    numbers = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    by_file = np.lexsort((numbers, owners))
    ends = np.cumsum(np.bincount(owners, minlength=len(file_numbers)))
    tables = []
    for path, wanted in zip(file_numbers, np.split(numbers[by_file], ends[:-1]), strict=True):
        with RowFile(path) as file:
            tables += [table.cast(schema) for table in file.take(wanted)]
    if tables:
        yield pa.concat_tables(tables).take(np.argsort(by_file))


def _breaks(slices: Sequence[Slice]) -> bool:
    return any(one.first_row + one.outcome.rows != other.first_row for one, other in itertools.pairwise(slices))


def _portions(rows: Iterable[Slice]) -> Iterator[list[Slice]]:
    """Slices that are read together: those that follow each other in one file, or as many as memory is to hold.

    Rows of images that were dealt out to hundreds of files come from another file each: one by one, every file would
    be opened again for almost every row.
    """
    scattered: list[Slice] = []
    count = size = 0
    for neighbours in _neighbours(rows):
        here, bytes_here = sum(one.outcome.rows for one in neighbours), sum(one.bytes for one in neighbours)
        is_long = here >= _LONG_RUN
        if scattered and (is_long or count + here > MAX_GROUP_ROWS or size + bytes_here > MAX_GROUP_BYTES):
            yield scattered
            scattered, count, size = [], 0, 0
        if is_long:
            yield neighbours
        else:
            scattered += neighbours
            count, size = count + here, size + bytes_here
    if scattered:
        yield scattered


def _neighbours(rows: Iterable[Slice]) -> Iterator[list[Slice]]:
    """Slices that follow each other in one file, taken together: they are read in one go."""
    together: list[Slice] = []
    for one in rows:
        if together:
            last = together[-1]
            if one.path != last.path or one.first_row != last.first_row + last.outcome.rows:
                yield together
                together = []
        together.append(one)
    if together:
        yield together


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
