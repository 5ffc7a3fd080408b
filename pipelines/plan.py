"""The plan: what was asked, less what the output already covers, grouped into items of work."""

import collections
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from pipelines.dataset import Dataset
from pipelines.items import Ask, Identity, Item, Outcome, Piece, Source
from pipelines.job import Job
from pipelines.joints import counts_for, misfits
from pipelines.parts import read_footer
from pipelines.sources import no_preparation

Spans = list[tuple[int, int]]


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        sources: every input that was found, sorted by key.
        pieces: those still to be done.
        items: the same, grouped; heavy ones first, so that a run does not end waiting for one of them.
        ignored: files that are no input, counted by extension.
        prepare: see Found.
    """

    sources: list[Source]
    pieces: list[Piece]
    items: list[Item]
    ignored: dict[str, int]
    prepare: Callable[[str], None] = no_preparation

    @property
    def weight(self) -> int:
        """Bytes of input to be done."""
        return sum(item.weight for item in self.items)


def make_plan(job: Job, ask: Ask) -> Plan:
    """Find the inputs and see what is left to do.

    Raises:
        UsageError: see `Job.find`.
    """
    found = job.find(ask)
    covered, unfit = covered_spans(job, ask)
    asked = (
        piece
        for source in found.sources
        for piece in ([Piece(source)] if source.identity in unfit else job.cut(source))
    )

    def left(pieces: Iterable[Piece]) -> list[Piece]:
        return [rest for piece in pieces for rest in uncovered(piece, covered.get(piece.source.identity, []))]

    if job.whole_items:
        items = [item for item in job.group(asked) if left(item.pieces)]
        pieces = [piece for item in items for piece in item.pieces]
    else:
        pieces = left(asked)
        items = list(job.group(pieces))
    items.sort(key=lambda item: -item.weight)
    return Plan(found.sources, pieces, items, found.ignored, found.prepare)


class Coverage(NamedTuple):
    """What an output already holds, in parts or in data files.

    Attributes:
        spans: of each input, what is done of it.
        unfit: inputs whose pieces do not fit together (see joints.py): what was done of them in pieces is not counted.
    """

    spans: Mapping[Identity, Spans]
    unfit: Collection[Identity]


def covered_spans(job: Job, ask: Ask) -> Coverage:
    """Which spans of which inputs the output already holds."""
    spans: dict[Identity, Spans] = collections.defaultdict(list)
    cut: list[Outcome] = []
    for outcome in _outcomes(job, ask):
        if outcome.joint is None and outcome.piece.is_whole:
            spans[outcome.piece.source.identity].append(outcome.piece.span)
        else:
            cut.append(outcome)
    unfit = misfits(cut)
    for outcome in cut:
        if counts_for(outcome, unfit):
            spans[outcome.piece.source.identity].append(outcome.piece.span)
    return Coverage(spans, unfit.keys())


def _outcomes(job: Job, ask: Ask) -> Iterator[Outcome]:
    dataset = Dataset(ask.output)
    manifest = dataset.manifest()
    finished: Iterable[Outcome] = ()
    if manifest is not None and not ask.overwrite:
        footers = (read_footer(dataset.data_path(file)) for file in manifest.files)
        finished = (outcome for footer in footers if footer for outcome in footer[1])
    for outcome in finished:
        if not (ask.retry_failed and outcome.status == "failed"):
            yield outcome
    for part in dataset.parts_of(job):
        yield from part.outcomes


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


_INVENTORY = pa.schema([("key", pa.string()), ("size", pa.int64()), ("version", pa.int64())])


def prepare_work(dataset: Dataset, plan: Plan) -> None:
    """Note which inputs were asked for (at the end, each must have an outcome), and what workers need to know."""
    sources = plan.sources
    columns = [
        pa.array([source.key for source in sources], pa.string()),
        pa.array([source.size for source in sources], pa.int64()),
        pa.array([source.version for source in sources], pa.int64()),
    ]
    with storage.commit(dataset.inventory) as temporary:
        pq.write_table(pa.table(columns, _INVENTORY), temporary, compression="zstd")
    plan.prepare(dataset.path)


def read_inventory(dataset: Dataset) -> list[Identity]:
    """The identities that `prepare_work` noted, in order of key."""
    with storage.open_input(dataset.inventory) as file:
        table = pq.read_table(file)
    return list(zip(*(table.column(name).to_pylist() for name in _INVENTORY.names), strict=True))
