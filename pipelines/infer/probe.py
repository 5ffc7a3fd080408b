"""A bounded sample of what is still to be done, really done by the model, and thrown away.

Images are taken at even distances, some together. Of videos and records points are set evenly along all their bytes, so
a large one is met more often than a small one, in proportion; what lies at a point is done for a bounded time.

Time is that of the CPU, in all threads: what one core would take that does nothing else, however busy this machine is.
With a GPU it is the clock's.
"""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pipelines.infer.job import InferJob
from pipelines.items import Item, Piece, add_counts
from pipelines.job import Worker
from pipelines.parts import RowWriter

_POINTS = {"image": 8, "video": 12, "record": 6}
_IMAGES_AT_A_POINT = 8
_SECONDS_AT_A_POINT = 2.0
_WARM_UP_SECONDS = 2.0


@dataclasses.dataclass
class KindToDo:
    """What a plan has of one kind of input.

    Attributes:
        pieces, weight: how many, and their bytes.
        amount: what time is taken to grow with: the number of images, the bytes of others.
        heaviest_item: the largest amount in one item.
    """

    pieces: int = 0
    weight: int = 0
    amount: int = 0
    heaviest_item: int = 0


@dataclasses.dataclass(frozen=True)
class Sample:
    """What was done at one point.

    Attributes:
        inputs: of how many inputs.
        weight: bytes of input.
        amount: see KindToDo.
        seconds: see the module.
        counts: what was seen: images, frames, records, detections, failed frames.
    """

    inputs: int
    weight: int
    amount: int
    seconds: float
    counts: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a probe found: how long opening a worker takes, what is to be done, and samples of it by kind."""

    open_seconds: float
    to_do: Mapping[str, KindToDo]
    samples: Mapping[str, Sequence[Sample]]


def run_probe(job: InferJob, items: Iterable[Item], threads: int) -> Probe:
    """Sample what a plan has to do; takes half a minute for each kind of input, less where there is little.

    Args:
        job: what is done.
        items: those of the plan; gone through twice.
        threads: of the worker.

    Raises:
        UsageError: the job cannot run (not a detector, say).
    """
    to_do: dict[str, KindToDo] = {}
    for item in items:
        its_kind = to_do.setdefault(item.pieces[0].source.kind, KindToDo())
        its_kind.pieces += len(item.pieces)
        its_kind.weight += item.weight
        amount = sum(map(_amount, item.pieces))
        its_kind.amount += amount
        its_kind.heaviest_item = max(its_kind.heaviest_item, amount)
    if not to_do:
        return Probe(0.0, {}, {})
    chosen = _at_points(items, to_do)
    with tempfile.TemporaryDirectory(prefix="boxbeam-probe-") as scratch:
        clock = _clock(job)
        started = clock()
        worker = job.open_worker(scratch, threads)
        open_seconds = clock() - started
        try:
            samples = {}
            for kind, points in sorted(chosen.items()):
                _measured(job, worker, points[0], scratch, _WARM_UP_SECONDS)  # the first runs of a model are slow
                samples[kind] = [_measured(job, worker, point, scratch, _SECONDS_AT_A_POINT) for point in points]
        finally:
            worker.close()
    return Probe(open_seconds, to_do, samples)


def _amount(piece: Piece) -> int:
    return 1 if piece.source.kind == "image" else piece.weight


def _at_points(items: Iterable[Item], to_do: Mapping[str, KindToDo]) -> dict[str, list[Item]]:
    """What lies at points that divide a kind evenly; no piece twice."""
    together = {kind: _IMAGES_AT_A_POINT if kind == "image" else 1 for kind in to_do}
    steps = {kind: all_of.amount / (_POINTS[kind] * together[kind]) for kind, all_of in to_do.items()}
    found: dict[str, list[Piece]] = {kind: [] for kind in to_do}
    passed = dict.fromkeys(to_do, 0)
    next_points = {kind: step / 2 for kind, step in steps.items()}
    for piece in (piece for item in items for piece in item.pieces):
        kind = piece.source.kind
        passed[kind] += _amount(piece)
        if passed[kind] > next_points[kind]:
            found[kind].append(piece)
            while next_points[kind] < passed[kind]:
                next_points[kind] += steps[kind]
    return {
        kind: [Item(tuple(pieces[at : at + together[kind]])) for at in range(0, len(pieces), together[kind])]
        for kind, pieces in found.items()
    }


def _clock(job: InferJob) -> Callable[[], float]:
    return time.monotonic if job.on_gpu else time.process_time


class _EnoughSeenError(Exception):
    """The time for a point is over."""


class _Stopwatch:
    """A Watch that lets work go on for so long, and then stops it."""

    def __init__(self, seconds: float, clock: Callable[[], float]):
        self.counts: dict[str, int] = {}
        self.weight = 0
        self.seconds = 0.0
        self._limit = seconds
        self._clock = clock
        self._started = self._clock()

    def begin(self, piece: Piece) -> None:
        pass

    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None:
        if not counts:
            return  # a mere sign of life, perhaps from another thread
        add_counts(self.counts, counts)
        self.weight += weight
        self.seconds = self._clock() - self._started
        if self.seconds > self._limit:
            raise _EnoughSeenError

    def end(self, piece: Piece) -> None:
        self.seconds = self._clock() - self._started


def _measured(job: InferJob, worker: Worker, item: Item, scratch: str, seconds: float) -> Sample:
    watch = _Stopwatch(seconds, _clock(job))
    rows = RowWriter(pathlib.Path(scratch) / "rows.parquet", job.schema, {})
    try:
        worker.run(item, rows, watch)
        weight, amount = item.weight, sum(map(_amount, item.pieces))  # also of what failed as a whole
    except _EnoughSeenError:
        weight = max(1, watch.weight)
        amount = sum(watch.counts.get(name, 0) for name in ("images", "failed_frames")) or weight
    finally:
        rows.abandon()
    return Sample(len(item.pieces), weight, amount, watch.seconds, watch.counts)


def sampled(probe: Probe) -> Iterator[tuple[str, KindToDo, Sequence[Sample]]]:
    """Each kind with what there is of it and its samples, in order of name."""
    for kind, samples in sorted(probe.samples.items()):
        yield kind, probe.to_do[kind], samples
