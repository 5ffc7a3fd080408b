"""The plan: what was asked, less what the output already covers, grouped into items of work."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.errors import OutputError
from pipelines.dataset import Dataset
from pipelines.held import Held, HeldOutcomes
from pipelines.items import Ask, Identity, Item, Outcome, Piece, Source
from pipelines.job import Job
from pipelines.joints import counts_for, misfits
from pipelines.sources import no_preparation
from pipelines.spool import SortedSpool

Spans = list[tuple[int, int]]

_FEWEST_TO_MISS = 20


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
        sources: every input that was found, sorted by key.
        items: what is still to be done; heavy ones first, so that a run does not end waiting for one of them.
        ignored: files that are no input, counted by extension.
        kinds: how many inputs there are, by kind.
        open_kinds: those of which something is still to be done.
        source_bytes: of all inputs.
        weight: bytes of input to be done.
        pieces: how many pieces are in the items.
        prepare: see Found.
        held: what the output has; where nothing is to be done, it is what finalize finds as well.
    """

    sources: Collection[Source]
    items: Collection[Item]
    ignored: Mapping[str, int]
    kinds: Mapping[str, int]
    open_kinds: Mapping[str, int]
    source_bytes: int
    weight: int
    pieces: int
    prepare: Callable[[str], None] = no_preparation
    held: HeldOutcomes | None = None

    @property
    def open_inputs(self) -> int:
        """How many inputs have something to be done."""
        return sum(self.open_kinds.values())


class _Tally:
    """Counts what passes, in order of key."""

    def __init__(self) -> None:
        self.kinds: collections.Counter[str] = collections.Counter()
        self.open_kinds: collections.Counter[str] = collections.Counter()
        self.source_bytes = self.weight = self.pieces = 0
        self.held = self.vanished = 0
        self.first_vanished = ""
        self._last = ("", False, False)

    def input(self, key: str, *, is_wanted: bool, is_held: bool) -> None:
        """An input that is wanted, or held: more than once, if it is held as it was before it changed."""
        last, was_wanted, was_held = self._last
        if key != last:
            self.end()
            was_wanted = was_held = False
        self._last = (key, was_wanted or is_wanted, was_held or is_held)

    def end(self) -> None:
        """There is no more of the last input."""
        key, is_wanted, is_held = self._last
        self.held += is_held
        if is_held and not is_wanted:
            self.first_vanished = self.first_vanished if self.vanished else key
            self.vanished += 1

    def source(self, source: Source) -> None:
        self.kinds[source.kind] += 1
        self.source_bytes += source.size

    def items(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self.weight += item.weight
            self.pieces += len(item.pieces)
            yield item


def make_plan(job: Job, ask: Ask) -> Plan:
    """Find the inputs and see what is left to do; memory holds a bounded share of them at a time.

    Raises:
        UsageError: see `Job.find`; or most inputs that the output holds something of are gone.
    """
    found = job.find(ask)
    dataset = Dataset(ask.output)
    held = HeldOutcomes(job, dataset, None if ask.overwrite else dataset.manifest())
    tally = _Tally()
    pieces = _left(job, ask, found.sources, held, tally)
    items = _whole_items(job, pieces, tally) if job.whole_items else job.group(piece for piece, _ in pieces)
    by_weight = SortedSpool(tally.items(items), key=_heavy_first, size=_pieces_of)
    if not ask.allow_removed:
        _refuse_vanished(tally, ask.output)
    return Plan(
        found.sources,
        by_weight,
        found.ignored,
        tally.kinds,
        tally.open_kinds,
        tally.source_bytes,
        tally.weight,
        tally.pieces,
        found.prepare,
        held,
    )


def _refuse_vanished(tally: _Tally, output: str) -> None:
    """A folder that has lost most of its files is more often an accident than meant."""
    tally.end()
    if tally.vanished >= _FEWEST_TO_MISS and 2 * tally.vanished > tally.held:
        raise OutputError(
            f"{output}: {tally.vanished:,} of the {tally.held:,} inputs it has rows of are no longer among the inputs,"
            f" such as {tally.first_vanished}. Is a disk not mounted, or a folder moved or left out of --input? If they"
            " are gone for good, give --allow_removed: their rows are then removed. Nothing was changed"
        )


def _heavy_first(item: Item) -> int:
    return -item.weight


def _pieces_of(item: Item) -> int:
    return len(item.pieces)


def _left(
    job: Job, ask: Ask, sources: Iterable[Source], held: HeldOutcomes, tally: _Tally
) -> Iterator[tuple[Piece, bool]]:
    """The pieces to be done, in order of key; where items are whole every piece, and whether it is to be done."""
    wanted = ((source.identity, source) for source in sources)
    for (key, *_), source, here in held.by_input(wanted):
        tally.input(key, is_wanted=source is not None, is_held=bool(here))
        if source is None:
            continue
        tally.source(source)
        is_open = False
        for piece, rests in _asked(job, source, [one.outcome for one in here if not _is_to_be_again(one, held, ask)]):
            is_open = is_open or bool(rests)
            if job.whole_items:
                yield piece, bool(rests)
            else:
                yield from ((rest, True) for rest in rests)
        if is_open:
            tally.open_kinds[source.kind] += 1


def _is_to_be_again(one: Held, held: HeldOutcomes, ask: Ask) -> bool:
    """Whether a failure in the finished dataset is to be tried again; those in parts are of this very attempt."""
    return ask.retry_failed and held.files[one.file].data_file is not None and one.outcome.status == "failed"


def _asked(job: Job, source: Source, outcomes: Sequence[Outcome]) -> Iterator[tuple[Piece, list[Piece]]]:
    """The pieces of a source, and what is left of each; its steps until all are done, and then the whole."""
    results = [outcome for outcome in outcomes if not job.is_step(outcome.piece)]
    unfit = misfits(results)
    spans = [outcome.piece.span for outcome in results if counts_for(outcome, unfit)]
    whole = Piece(source)
    pieces = [whole] if unfit else job.cut(source)
    if any(map(job.is_step, pieces)):
        steps = [outcome.piece.span for outcome in outcomes if job.is_step(outcome.piece)]
        left = [rest for piece in pieces for rest in uncovered(piece, steps)]
        pieces = left if left and any(uncovered(whole, spans)) else [whole]
    for piece in pieces:
        yield piece, list(uncovered(piece, spans))


def _whole_items(job: Job, pieces: Iterable[tuple[Piece, bool]], tally: _Tally) -> Iterator[Item]:
    """The items of which a piece is to be done."""
    done: set[Piece] = set()

    def noted() -> Iterator[Piece]:
        for piece, is_open in pieces:
            if not is_open:
                done.add(piece)
            yield piece

    for item in job.group(noted()):
        if not done.issuperset(item.pieces):
            yield item


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
_INVENTORY_ROWS = 1 << 14


def prepare_work(dataset: Dataset, plan: Plan) -> None:
    """Note which inputs were asked for (at the end, each must have an outcome), and what workers need to know."""
    sources = iter(plan.sources)
    with (
        storage.commit(dataset.inventory) as temporary,
        pq.ParquetWriter(temporary, _INVENTORY, compression="zstd") as writer,
    ):
        while rows := [source.identity for source in itertools.islice(sources, _INVENTORY_ROWS)]:
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), _INVENTORY, strict=True)
            ]
            writer.write_table(pa.table(columns, _INVENTORY))
    plan.prepare(dataset.path)


def read_inventory(dataset: Dataset) -> Iterator[Identity]:
    """The identities that `prepare_work` noted, in order of key."""
    with storage.open_input(dataset.inventory) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_INVENTORY_ROWS):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
