"""The values of the work engine: sources, the pieces they are cut into, items of work, and how each piece ended.

Ask      what a run was asked for
Source   one input as it was found: key (its identity), where it lies, size and time
Piece    a source, or a range of it
Item     pieces that are done together, by one process, into one part file
Failure  why a piece has no result
Joint    what a piece saw at its ends, where pieces are cut on trust
Outcome  how one piece ended, and which rows of its file are its own
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

OUTCOMES = ("done", "empty", "failed")
WORST_LAST = ("empty", "done", "failed")
"""Of an input in pieces, the status that comes last here counts."""

_FAILURES_REPORTED = 5
_BEYOND = 1 << 62

Identity = tuple[str, int, int]
"""Key, size, version of a source."""


class Ask(NamedTuple):
    """What a run was asked for.

    Attributes:
        inputs: files, folders, patterns, list files; local ones absolute.
        output: the output folder; absolute if local.
        overwrite: what the finished dataset holds does not count as done.
        retry_failed: inputs that failed before do not count as done.
        allow_removed: most inputs that the output holds may be gone; their rows will be, too.
    """

    inputs: tuple[str, ...]
    output: str
    overwrite: bool = False
    retry_failed: bool = False
    allow_removed: bool = False


class Source(NamedTuple):
    """One input, as it was found.

    Attributes:
        key: path relative to the input root, with `/` and in Unicode NFC: the identity of the input, whatever its root.
        uri: where it lies, for opening.
        kind: what it is, in the job's own words ("image", "video").
        size: bytes.
        version: changes when the content does: the modification time in milliseconds since 1970, or a digest.
        modified_ms: the modification time, where `version` is a digest of the bytes alone.
    """

    key: str
    uri: str
    kind: str
    size: int
    version: int
    modified_ms: int | None = None

    @property
    def identity(self) -> "Identity":
        """What makes an input the same input: another size or version is another input."""
        return self.key, self.size, self.version


class Piece(NamedTuple):
    """A range of one source: `start` to `stop` of `total`, in a unit only the job knows; the whole is 0 to 1 of 1."""

    source: Source
    start: int = 0
    stop: int = 1
    total: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its source, in whatever unit."""
        return self.start == 0 and self.stop == self.total

    @property
    def span(self) -> tuple[int, int]:
        """Start and stop; those of a whole reach over any others, whatever their unit."""
        return (0, _BEYOND) if self.is_whole else (self.start, self.stop)

    @property
    def weight(self) -> int:
        """Its share of the source's bytes; at least 1, so that empty files count as work too."""
        return max(1, self.source.size * (self.stop - self.start) // self.total)

    def __str__(self) -> str:
        return self.source.key if self.is_whole else f"{self.source.key}[{self.start}:{self.stop}]"


class Joint(NamedTuple):
    """What a piece of a source that was cut on trust saw at its ends; see joints.py.

    Attributes:
        first: must equal `after` of the nearest piece before it that has one, unless either is None.
        after: LAST_END if nothing may follow. A piece without both holds nothing, and has no say.
        broken: why the piece cannot be used; None if it can.
    """

    first: str | None
    after: str | None
    broken: str | None = None


LAST_END = "end"


class Failure(NamedTuple):
    """Why a piece has no result: the step, the kind of error, and a sentence for a person."""

    stage: str
    type: str
    message: str


@dataclasses.dataclass(frozen=True)
class Item:
    """Work for one process at a time.

    Attributes:
        pieces: what is done, in this order: at least one, all of one kind.
        condemned: those that are not to be touched again, and why: they killed their process, and the item cannot be
            taken apart. They get failed rows. Not part of the item's name.
    """

    pieces: tuple[Piece, ...]
    condemned: tuple[tuple[Piece, Failure], ...] = ()

    def __post_init__(self) -> None:
        if not self.pieces:
            raise ValueError("an item needs at least one piece")

    @property
    def weight(self) -> int:
        """Bytes of input."""
        return sum(piece.weight for piece in self.pieces)

    def name(self, fingerprint: str) -> str:
        """What this item's part file is called: a hash of what it covers and of the options (32 hex digits)."""
        digest = hashlib.sha256(fingerprint.encode())
        for source, *span in self.pieces:
            digest.update(json.dumps([*source.identity, *span]).encode())
        return digest.hexdigest()[:32]

    def __str__(self) -> str:
        more = f" and {len(self.pieces) - 1} more" if len(self.pieces) > 1 else ""
        return f"{self.pieces[0]}{more}"


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How one piece ended.

    Attributes:
        piece: what was done. Its uri is only known while the item runs; read back from a file it is empty.
        status: done (rows with something in them), empty (rows, nothing in them), failed (at least one failed row, of
            this piece or of the one before it that keeps it from being read).
        rows: how many rows it has in its file; the rows of a file lie in the order of its outcomes.
        counts: what the job counts ("frames", "detections").
        error: for a failed one, the first reason, as a sentence.
        joint: where the source was cut on trust, what the piece saw at its ends.
    """

    piece: Piece
    status: str
    rows: int
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    error: str | None = None
    joint: Joint | None = None

    def __post_init__(self) -> None:
        if self.status not in OUTCOMES:
            raise ValueError(f"status must be one of {', '.join(OUTCOMES)}, got {self.status!r}")

    def to_json(self) -> list[Any]:
        """A short list for files; see `from_json`."""
        source, *span = self.piece
        fields = [*source.identity, source.kind, *span, self.status, self.rows, dict(self.counts), self.error]
        return [*fields, list(self.joint)] if self.joint else fields

    @classmethod
    def from_json(cls, fields: list[Any]) -> "Outcome":
        """The reverse of `to_json`."""
        key, size, version, kind, start, stop, total, status, rows, counts, error, *joint = fields
        piece = Piece(Source(key, "", kind, size, version), start, stop, total)
        return cls(piece, status, rows, counts, error, Joint(*joint[0]) if joint else None)


def rows_told(fields: list[Any]) -> int:
    """The rows of an outcome in its file form, see `Outcome.to_json`; much cheaper than the whole outcome."""
    rows: int = fields[8]
    return rows


@dataclasses.dataclass(frozen=True)
class ItemReport:
    """What became of one item, for progress and counters; the truth lies in the item's part file.

    `statuses` counts inputs that are whole in the item; of each piece of others `cut` tells the input's key, the
    piece's status, and whether it is the last one. `failures` are its first failed inputs with the reasons, `worker` is
    host and process, `steps` and `chosen` see Ran.
    """

    name: str
    weight: int
    statuses: Mapping[str, int]
    counts: Mapping[str, int]
    seconds: float
    worker: str
    reused: bool = False
    failures: tuple[tuple[str, str], ...] = ()
    pieces: int = 0
    steps: Mapping[str, float] = dataclasses.field(default_factory=dict)
    chosen: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cut: tuple[tuple[str, str, bool], ...] = ()


def report_on(
    item: Item, name: str, outcomes: Iterable[Outcome], *, seconds: float, worker: str, reused: bool = False
) -> ItemReport:
    """Sum up an item's outcomes."""
    statuses = dict.fromkeys(OUTCOMES, 0)
    counts: dict[str, int] = {}
    failures: list[tuple[str, str]] = []
    cut: list[tuple[str, str, bool]] = []
    for outcome in outcomes:
        piece = outcome.piece
        if piece.is_whole:
            statuses[outcome.status] += 1
        else:
            cut.append((piece.source.key, outcome.status, piece.stop == piece.total))
        add_counts(counts, outcome.counts)
        if outcome.status == "failed" and len(failures) < _FAILURES_REPORTED:
            failures.append((str(piece), outcome.error or ""))
    return ItemReport(
        name,
        item.weight,
        statuses,
        counts,
        seconds,
        worker,
        reused,
        tuple(failures),
        pieces=len(item.pieces),
        cut=tuple(cut),
    )


def add_counts(total: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts into `total`, in place."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
