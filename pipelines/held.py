"""What an output holds already, in data files and in parts: outcomes in order of their inputs, however many."""

import heapq
import itertools
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa

from od_core import storage
from pipelines.dataset import Dataset, fingerprint
from pipelines.items import Identity, Outcome, rows_told
from pipelines.job import Job
from pipelines.manifest import DataFile, Manifest
from pipelines.ordered import ordered_map
from pipelines.parts import OPTIONS, PROVENANCE, RowFile
from pipelines.spool import SortedSpool

Wanted = TypeVar("Wanted")

_REMOTE_LOOKS = 32


class HeldFile:
    """One row file of an output, and what is taken of it.

    Attributes:
        path: where it lies.
        data_file: what the manifest says of it; None for a part.
        bytes: of its rows, encoded, not compressed; `bytes_per_row` is the share of each.
        outcomes: how many it has.
        taken: how many of them become part of the dataset; for finalize to count.
    """

    __slots__ = ("bytes", "bytes_per_row", "data_file", "outcomes", "path", "taken")

    def __init__(self, path: str, data_file: DataFile | None):
        self.path = path
        self.data_file = data_file
        self.bytes_per_row = 0.0
        self.bytes = self.outcomes = self.taken = 0


class Held(NamedTuple):
    """An outcome, and where its rows lie; in this order: by input, then by place.

    `told` is the outcome as its file tells it, `file` the number of the file in `HeldOutcomes.files`.
    """

    key: str
    size: int
    version: int
    file: int
    position: int
    first_row: int
    told: list[Any]

    @property
    def outcome(self) -> Outcome:
        """How the piece ended."""
        return Outcome.from_json(self.told)


class HeldOutcomes:
    """Every outcome in the data files of a manifest and in a job's parts, in order of key.

    Attributes:
        files: data files first, in the order of the manifest, then parts, in the order of their names.
        provenance: what the parts say of where their rows come from.
    """

    def __init__(self, job: Job, dataset: Dataset, manifest: Manifest | None):
        """Read all footers.

        Args:
            job: whose parts, of its present options, count.
            dataset: the output.
            manifest: whose data files count; None for none.
        """
        data_files = manifest.files if manifest is not None else ()
        self.files = [HeldFile(dataset.data_path(file), file) for file in data_files]
        self.provenance: dict[str, Any] = {}
        self._spool = SortedSpool(self._read(job, dataset))

    def _read(self, job: Job, dataset: Dataset) -> Iterator[Held]:
        for number, file in enumerate(self.files):
            yield from _held(number, _look_into(file)[2])
        wanted = fingerprint(job).encode()
        for part, metadata, coverage in _looked_into([HeldFile(path, None) for path in dataset.part_paths()]):
            if metadata.get(OPTIONS) == wanted:
                self.files.append(part)
                self.provenance.update(json.loads(metadata[PROVENANCE]))
                yield from _held(len(self.files) - 1, coverage)

    def by_input(
        self, wanted: Iterable[tuple[Identity, Wanted]]
    ) -> Iterator[tuple[Identity, Wanted | None, list[Held]]]:
        """Bring together what is wanted and what is held of it.

        Args:
            wanted: inputs, each once, in order of key.

        Yields:
            Every identity that is wanted or held, in order; with what came with it, or None if it is not wanted; and
            what is held of it.
        """
        asked = ((identity, False, content) for identity, content in wanted)
        held = ((identity, True, list(group)) for identity, group in itertools.groupby(self._spool, _identity))
        merged: Iterable[tuple[Identity, bool, Any]] = heapq.merge(asked, held)  # no two are equal before the content
        for identity, both in itertools.groupby(merged, operator.itemgetter(0)):
            content, outcomes = None, []
            for _, is_held, found in both:
                if is_held:
                    outcomes = found
                else:
                    content = found
            yield identity, content, outcomes


def _identity(held: Held) -> Identity:
    return held[:3]


_Looked = tuple[HeldFile, Mapping[bytes, bytes], list[list[Any]]]


def _looked_into(parts: list[HeldFile]) -> Iterator[_Looked]:
    """`_look_into` for each in order; on an object store, where each look is a journey, several at a time."""
    if not parts or not storage.is_remote(parts[0].path):
        yield from map(_look_into, parts)
        return
    with ThreadPoolExecutor(_REMOTE_LOOKS) as threads:
        yield from ordered_map(_look_into, parts, threads, ahead=2 * _REMOTE_LOOKS)


def _look_into(file: HeldFile) -> _Looked:
    """Metadata and coverage of a file; nothing where it is gone, damaged or foreign."""
    try:
        with RowFile(file.path) as rows:
            file.bytes = rows.bytes
            file.bytes_per_row = file.bytes / max(1, rows.num_rows)
            file.outcomes = len(rows.coverage)
            return file, rows.metadata, rows.coverage
    except (pa.ArrowInvalid, FileNotFoundError, ValueError, TypeError):
        return file, {}, []


def _held(file: int, coverage: list[list[Any]]) -> Iterator[Held]:
    first_row = 0
    for position, told in enumerate(coverage):
        key, size, version = told[:3]
        yield Held(key, size, version, file, position, first_row, told)
        first_row += rows_told(told)
