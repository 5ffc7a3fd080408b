"""What the engine asks of a job: how to find its inputs, cut them into pieces, and do an item.

A job is a small picklable value: it travels to workers. What is heavy (a model, a connection) is opened by
`open_worker`, once per process, and stays there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.manifest import DataFile, Manifest
from pipelines.parts import RowWriter
from pipelines.sources import Found


class Spread(NamedTuple):
    """How one machine's parallelism is used: item processes, and threads within each."""

    processes: int
    threads: int


class Ran(NamedTuple):
    """What is told of an item for people; it is not part of the result.

    Attributes:
        steps: seconds spent in each step, added up over threads.
        chosen: what the worker found best so far by measuring, by a name for a person: {"batch size at 640x480": 4}.
    """

    steps: Mapping[str, float]
    chosen: Mapping[str, int] = {}


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

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> Ran | None:
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
    def whole_items(self) -> bool:
        """Whether an item makes one thing of its pieces (a shard): then it is done whole or not at all.

        Such an item is never taken apart, and is done anew when one of its pieces is to be.
        """

    @property
    def failed_counts(self) -> Mapping[str, int]:
        """What `failed_rows` of a piece add to the job's counts."""

    def check(self, ask: Ask) -> None:
        """Refuse in the first second what `find` would refuse later. Raises UsageError."""

    def find(self, ask: Ask) -> Found:
        """Every input, in order of key. Writes nothing. Raises UsageError."""

    def cut(self, source: Source) -> Sequence[Piece]:
        """A source as pieces that can be done apart. Called while planning: must not read the whole source."""

    def is_step(self, piece: Piece) -> bool:
        """Whether a piece that `cut` made has no result of its own: its worker leaves something, in the work folder,
        that the piece of the whole source needs.

        When all steps of a source are done, or could not be, the whole source is done as one piece, `Piece(source)`.
        """

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """Pieces, in order of key and start, as items of 10 to 60 seconds; see `grouping.by_limits`."""

    def spread(self, workers: int) -> Spread:
        """How to use `workers` cores of one machine."""

    def open_worker(self, output: str, threads: int) -> Worker:
        """Open the item side in this process, for a run into `output`.

        Raises UsageError when the job as a whole cannot run.
        """

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """The row or rows that say that a piece has no result."""

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        """Put what items made beside their rows into place; called when all is done, before the manifest is written.

        Called at the end of every run, also of one that had nothing to do, and again after a kill. Where
        `former.files` are `files`, no row has changed: what had to be read out of rows stands in `former.details`.

        Args:
            former: the manifest there is; None if there is none.
            files: the data files in the output that will make up the dataset.

        Returns:
            The details of the manifest to come: JSON values.
        """
