"""What the engine asks of a job: how to find its inputs, cut them into pieces, and do an item.

A job is a small picklable value: it travels to workers. What is heavy (a model, a connection) is opened by
`open_worker`, once per process, and stays there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from pipelines.items import Item, Piece, Source
from pipelines.parts import RowWriter
from pipelines.sources import Wanted


class ItemLimit(NamedTuple):
    """How much one item holds at most (but always at least one piece)."""

    pieces: int
    weight: int


class Spread(NamedTuple):
    """How one machine's parallelism is used: item processes, and threads within each."""

    processes: int
    threads: int


class Failure(NamedTuple):
    """Why a piece has no result: the step, the kind of error, and a sentence for a person."""

    stage: str
    type: str
    message: str


class Watch(Protocol):
    """Through this a worker says how far it is. A worker that stays silent for too long is taken for hung."""

    def begin(self, piece: Piece) -> None:
        """Work on this piece begins; if the process dies now, it is a suspect."""

    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None:
        """More was done: counts for people, and bytes of input for the progress bar."""

    def end(self, piece: Piece) -> None:
        """All that could harm the process is over for this piece."""


class Worker(Protocol):
    """The item side of a job, opened once per process."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """What is known of where the rows come from only now that the worker is open: JSON values."""

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        """Do an item: write the rows of its pieces in order and `finish` each. Input that is bad becomes failed rows.

        The result must depend on the item and the job's options alone.
        """

    def close(self) -> None:
        """Give everything back."""


class Job(Protocol):
    """A kind of work the engine can spread, repeat and finish."""

    @property
    def name(self) -> str:
        """The word on the command line: "infer"."""

    @property
    def table(self) -> str:
        """What the rows are; data files are named after it: "detections"."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of the rows."""

    @property
    def schema_version(self) -> str:
        """Its published name: "boxbeam.detections/1"."""

    @property
    def options(self) -> Mapping[str, str]:
        """Every option that changes the result, by the name a person knows it by."""

    @property
    def provenance(self) -> Mapping[str, object]:
        """Where the rows come from, for the files' metadata: JSON values."""

    @property
    def wanted(self) -> Wanted:
        """Which files are input."""

    def cut(self, source: Source) -> Sequence[Piece]:
        """A source as pieces that can be done apart. Called while planning: must not read the whole source."""

    def item_limit(self, kind: str) -> ItemLimit:
        """How many pieces of this kind make an item of 10 to 60 seconds."""

    def spread(self, workers: int) -> Spread:
        """How to use `workers` cores of one machine."""

    def open_worker(self, threads: int) -> Worker:
        """Open the item side in this process. Raises UsageError when the job as a whole cannot run."""

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """The row or rows that say that a piece has no result."""
