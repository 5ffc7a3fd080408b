"""Data files: the rows of many pieces, taken out of parts and of former data files, in order of their inputs."""

import collections
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from od_core import storage
from pipelines.dataset import fingerprint, metadata
from pipelines.items import Outcome
from pipelines.job import Job
from pipelines.manifest import DataFile
from pipelines.parts import RowFile, RowWriter

# A data file of this many bytes in memory is about 100 to 250 MB on disk.
TARGET_FILE_BYTES = 512 << 20
# Its footer, which tells of each, is read in one go.
MAX_FILE_PIECES = 1 << 17
_OPEN_FILES = 16


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
    files: collections.OrderedDict[str, RowFile] = collections.OrderedDict()
    with storage.commit(storage.join(output, layout.name)) as temporary:
        writer = RowWriter(temporary, job.schema, metadata(job, provenance))
        try:
            for neighbours in _neighbours(rows):
                first, last = neighbours[0], neighbours[-1]
                file = files.pop(first.path, None) or RowFile(first.path)
                files[first.path] = file
                if len(files) > _OPEN_FILES:
                    files.popitem(last=False)[1].close()
                for table in file.rows(first.first_row, last.first_row + last.outcome.rows):
                    writer.write(table.cast(job.schema))
                for one in neighbours:
                    writer.finish(one.outcome)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        finally:
            for file in files.values():
                file.close()
        return DataFile(
            layout.name,
            rows=sum(one.outcome.rows for one in rows),
            bytes=temporary.stat().st_size,
            sha256=_sha256(temporary),
            inputs=len(rows),
        )


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
