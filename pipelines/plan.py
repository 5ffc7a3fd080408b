"""The plan: what was asked, less what the output already covers, grouped into items of work."""

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from pipelines.dataset import Dataset
from pipelines.items import Identity, Item, Outcome, Piece, Source
from pipelines.job import Job
from pipelines.parts import read_footer
from pipelines.sources import match

Spans = list[tuple[int, int]]


class Ask(NamedTuple):
    """What a run was asked for.

    Attributes:
        inputs: files, folders, patterns, list files; local ones absolute.
        output: the output folder; absolute if local.
        overwrite: what the finished dataset holds does not count as done.
        retry_failed: inputs that failed before do not count as done.
    """

    inputs: tuple[str, ...]
    output: str
    overwrite: bool = False
    retry_failed: bool = False


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        sources: every input that was found, sorted by key.
        pieces: those still to be done.
        items: the same, grouped; heavy ones first, so that a run does not end waiting for one of them.
        ignored: files that are no input, counted by extension.
    """

    sources: list[Source]
    pieces: list[Piece]
    items: list[Item]
    ignored: dict[str, int]

    @property
    def weight(self) -> int:
        """Bytes of input to be done."""
        return sum(item.weight for item in self.items)


def make_plan(job: Job, ask: Ask) -> Plan:
    """Find the inputs and see what is left to do.

    Raises:
        UsageError: see `sources.match`.
    """
    matched = match(ask.inputs, job.wanted)
    covered = covered_spans(job, ask)
    pieces = [
        rest
        for source in matched.sources
        for piece in job.cut(source)
        for rest in uncovered(piece, covered.get(source.identity, []))
    ]
    items = sorted(group(pieces, job), key=lambda item: -item.weight)
    return Plan(matched.sources, pieces, items, matched.ignored)


def covered_spans(job: Job, ask: Ask) -> dict[Identity, Spans]:
    """Which spans of which inputs the output already holds, in parts or in data files."""
    spans: dict[Identity, Spans] = collections.defaultdict(list)
    dataset = Dataset(ask.output)
    manifest = dataset.manifest()
    finished: Iterable[Outcome] = ()
    if manifest is not None and not ask.overwrite:
        footers = (read_footer(dataset.data_path(file)) for file in manifest.files)
        finished = (outcome for footer in footers if footer for outcome in footer[1])
    for outcome in finished:
        if not (ask.retry_failed and outcome.status == "failed"):
            _add(spans, outcome)
    for part in dataset.parts_of(job):
        for outcome in part.outcomes:
            _add(spans, outcome)
    return spans


def _add(spans: dict[Identity, Spans], outcome: Outcome) -> None:
    source, start, stop, _ = outcome.piece
    spans[source.identity].append((start, stop))


def uncovered(piece: Piece, spans: Spans) -> Iterator[Piece]:
    """What is left of a piece when `spans` of its source are taken away, in order."""
    start = piece.start
    for low, high in sorted(spans):
        if low >= high or high <= start or low >= piece.stop:
            continue
        if low > start:
            yield piece._replace(start=start, stop=low)
        start = max(start, high)
    if start < piece.stop:
        yield piece._replace(start=start)


def group(pieces: Iterable[Piece], job: Job) -> Iterator[Item]:
    """Neighbouring pieces of one kind as items, within the job's limits."""
    open_groups: dict[str, list[Piece]] = {}
    weights: dict[str, int] = {}
    for piece in pieces:
        kind = piece.source.kind
        limit = job.item_limit(kind)
        waiting = open_groups.setdefault(kind, [])
        if waiting and (len(waiting) >= limit.pieces or weights[kind] + piece.weight > limit.weight):
            yield Item(tuple(waiting))
            waiting = open_groups[kind] = []
        if not waiting:
            weights[kind] = 0
        waiting.append(piece)
        weights[kind] += piece.weight
    for waiting in open_groups.values():
        yield Item(tuple(waiting))


_INVENTORY = pa.schema([("key", pa.string()), ("size", pa.int64()), ("mtime_ms", pa.int64())])


def write_inventory(dataset: Dataset, sources: Sequence[Source]) -> None:
    """Note which inputs this run was asked for: at the end, each must have an outcome."""
    columns = [
        pa.array([source.key for source in sources], pa.string()),
        pa.array([source.size for source in sources], pa.int64()),
        pa.array([source.mtime_ms for source in sources], pa.int64()),
    ]
    with storage.commit(dataset.inventory) as temporary:
        pq.write_table(pa.table(columns, _INVENTORY), temporary, compression="zstd")


def read_inventory(dataset: Dataset) -> list[Identity]:
    """The identities that `write_inventory` noted, in order of key."""
    with storage.open_input(dataset.inventory) as file:
        table = pq.read_table(file)
    return list(zip(*(table.column(name).to_pylist() for name in _INVENTORY.names), strict=True))
