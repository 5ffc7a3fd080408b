"""The render job: the originals with the boxes of a detections dataset drawn on them, as JPEG, PNG and MP4 files.

One row for each picture or video says what was drawn and where it lies. The files are written beside the rows, by the
items; `publish` removes those of inputs that are no longer in the detections.
"""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
import importlib.metadata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.schemas import ERROR, FrameError
from pipelines.dataset import Dataset
from pipelines.grouping import ItemLimit, by_limits
from pipelines.items import Ask, Failure, Identity, Item, Outcome, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.parts import read_footer
from pipelines.plan import read_inventory
from pipelines.render_sources import check_inputs, find_inputs, is_compressed
from pipelines.sources import Found

LAYOUTS = ("overlay", "side_by_side")

_DRAWING = "1"
"""How pictures look and are compressed; another number for every change that people would see."""

_RECORD_BYTES_PER_PIECE = 64 << 20
_ITEM_LIMITS = {
    "image": ItemLimit(pieces=256, weight=64 << 20),
    "record": ItemLimit(pieces=16, weight=64 << 20),
    "video": ItemLimit(pieces=16, weight=8 << 20),
}
_VERSIONS_OF = ("boxbeam", "numpy", "pillow", "opencv-python-headless", "av", "pyarrow", "apache-beam")

RENDERED = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("record_index", pa.int64()),
        pa.field("frames", pa.int64(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("detections", pa.int64(), nullable=False),
        pa.field("objects", pa.int64()),
        pa.field("file", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", ERROR),
    ]
)
"""One row per rendered file, or per input that could not be rendered."""


class RenderedRow(NamedTuple):
    """One row of `RENDERED`.

    Attributes:
        key, source, kind, record_index: as in the detections.
        frames: of the video; 1 for a picture, 0 if it failed.
        width, height: of the rendered file in pixels; None if it failed.
        detections: how many boxes were drawn, in all frames together.
        objects: how many annotated objects were drawn; None where there is no ground truth for it.
        file: the rendered file, relative to the output folder.
        error: why there is none.
    """

    key: str
    source: str
    kind: str
    record_index: int | None = None
    frames: int = 0
    width: int | None = None
    height: int | None = None
    detections: int = 0
    objects: int | None = None
    file: str | None = None
    error: FrameError | None = None

    @property
    def status(self) -> str:
        """done, or failed where there is an error."""
        return "failed" if self.error else "done"


def rendered_table(rows: Sequence[RenderedRow]) -> pa.Table:
    """Rows as a table of schema `RENDERED`."""
    columns = {
        field.name: pa.array([getattr(row, field.name) for row in rows], field.type)
        for field in RENDERED
        if field.name != "error"
    }
    columns["error"] = pa.array([row.error and row.error._asdict() for row in rows], ERROR)
    return pa.table(columns, RENDERED)


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """Draw detections; see the engine's Job for what the methods promise. The one input is a detections dataset.

    Attributes:
        layout: one of `LAYOUTS`.
        min_score: detections below are not drawn.
        crf: quality of videos: libx264's constant rate factor.
        originals: folder in which the originals lie by their keys; None: where the detections say.
        ground_truth: what `open_all_ground_truth` takes; empty: only detections are drawn.
    """

    layout: str = "overlay"
    min_score: float = 0.5
    crf: int = 20
    originals: str | None = None
    ground_truth: tuple[str, ...] = ()

    name = "render"
    table = "rendered"
    schema = RENDERED
    schema_version = "boxbeam.rendered/1"
    whole_items = False

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the pictures. Which annotations an input has belongs to its identity, as the original does."""
        return {
            "--layout": self.layout,
            "--min_score": f"{self.min_score:g}",
            "--crf": str(self.crf),
            "--ground_truth": "given" if self.ground_truth else "none",
            "drawing": _DRAWING,
        }

    @property
    def provenance(self) -> Mapping[str, object]:
        """Options and library versions."""
        versions = {package: _version(package) for package in _VERSIONS_OF}
        return {"options": dict(self.options), "versions": versions}

    def check(self, ask: Ask) -> None:
        """See Job."""
        check_inputs(ask, self.originals, self.ground_truth)

    def find(self, ask: Ask) -> Found:
        """See Job."""
        return find_inputs(ask, self.originals, self.ground_truth)

    def cut(self, source: Source) -> Sequence[Piece]:
        """Record files are cut on a grid of bytes: a piece is the records that begin in its range."""
        if source.kind != "record" or source.size <= _RECORD_BYTES_PER_PIECE or is_compressed(source):
            return [Piece(source)]
        grid = range(0, source.size, _RECORD_BYTES_PER_PIECE)
        return [Piece(source, at, min(at + _RECORD_BYTES_PER_PIECE, source.size), source.size) for at in grid]

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """See Job."""
        return by_limits(pieces, _ITEM_LIMITS)

    def spread(self, workers: int) -> Spread:
        """One process per core: drawing holds Python's lock most of the time."""
        return Spread(workers, 1)

    def open_worker(self, output: str, threads: int) -> Worker:
        """See Job."""
        from pipelines.render_worker import RenderWorker

        return RenderWorker(self, output)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row for the whole piece."""
        source, error = piece.source, FrameError(failure.stage, failure.type, failure.message)
        return rendered_table([RenderedRow(source.key, storage.printable(source.uri), source.kind, error=error)])

    def publish(self, output: str, former: Mapping[str, Any], files: Sequence[str]) -> Mapping[str, Any]:
        """Remove the files of inputs that are no longer in the detections: those that rows of ours name."""
        dataset = Dataset(output)
        wanted = set(read_inventory(dataset))
        names = [name for name in storage.names_in(output) if name.startswith(f"{self.table}-")]
        paths = [storage.join(output, name) for name in names if name.endswith(".parquet")]
        footers = {path: read_footer(path) for path in [*paths, *dataset.part_paths()]}
        outcomes = {path: footer[1] for path, footer in footers.items() if footer is not None}
        if any(outcome.piece.source.identity not in wanted for ended in outcomes.values() for outcome in ended):
            storage.remove([storage.join(output, name) for name in _no_longer_named(outcomes, wanted)])
        return {}


def _no_longer_named(outcomes: Mapping[str, Sequence[Outcome]], wanted: Container[Identity]) -> list[str]:
    """The files that only rows of inputs that are not wanted name; `outcomes` by row file."""
    kept: set[str | None] = {None}  # failed rows name no file
    dropped: set[str | None] = set()
    for path, ended in outcomes.items():
        with storage.open_input(path) as file:
            names = pq.read_table(file, columns=["file"]).column(0).to_pylist()
        first = 0
        for outcome in ended:
            is_wanted = outcome.piece.source.identity in wanted
            (kept if is_wanted else dropped).update(names[first : first + outcome.rows])
            first += outcome.rows
    return sorted(name for name in dropped - kept if name is not None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
