"""The render job: the originals with the boxes of a detections dataset drawn on them, as JPEG, PNG and MP4 files.

One row for each picture or video says what was drawn and where it lies. The files are written beside the rows, by the
items; `publish` removes those of inputs that are no longer in the detections.
"""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.schemas import FrameError
from od_core.version import version_of
from pipelines.dataset import Dataset, fingerprint
from pipelines.grouping import ItemLimit, by_limits
from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.manifest import DataFile, Manifest
from pipelines.plan import read_inventory
from pipelines.render.choices import RenderChoices
from pipelines.render.cutting import is_range, pieces_of
from pipelines.render.names import file_of
from pipelines.render.rendered import RENDERED, RenderedRow, rendered_table
from pipelines.render.sources import check_inputs, find_inputs
from pipelines.sources import Found

_ITEM_LIMITS = {
    "image": ItemLimit(pieces=256, weight=64 << 20),
    "record": ItemLimit(pieces=16, weight=64 << 20),
    "video": ItemLimit(pieces=16, weight=8 << 20),
}
_VERSIONS_OF = ("boxbeam", "numpy", "pillow", "opencv-python-headless", "av", "pyarrow", "apache-beam")


@dataclasses.dataclass(frozen=True)
class RenderJob(RenderChoices):
    """Draw detections; see the engine's Job for what the methods promise. The one input is a detections dataset."""

    name = "render"
    table = "rendered"
    schema = RENDERED
    schema_version = "boxbeam.rendered/2"
    whole_items = False
    failed_counts: ClassVar[Mapping[str, int]] = {}

    @property
    def provenance(self) -> Mapping[str, object]:
        """Options and library versions."""
        versions = {package: version_of(package) for package in _VERSIONS_OF}
        return {"options": dict(self.options), "versions": versions}

    def check(self, ask: Ask) -> None:
        """See Job."""
        check_inputs(ask, self)

    def find(self, ask: Ask) -> Found:
        """See Job."""
        return find_inputs(ask, self)

    def cut(self, source: Source) -> Sequence[Piece]:
        """See Job."""
        return pieces_of(source, self)

    def is_step(self, piece: Piece) -> bool:
        """See Job."""
        return is_range(piece)

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """See Job. Every range of a video is an item: after a kill only those under way are done again."""
        steps: list[Item] = []

        def others() -> Iterator[Piece]:
            for piece in pieces:
                if is_range(piece):
                    steps.append(Item((piece,)))
                else:
                    yield piece

        for item in by_limits(others(), _ITEM_LIMITS):
            yield item
            yield from steps
            steps.clear()
        yield from steps

    def spread(self, workers: int) -> Spread:
        """One process per core: drawing holds Python's lock most of the time."""
        return Spread(workers, 1)

    def open_worker(self, output: str, threads: int) -> Worker:
        """See Job."""
        from pipelines.render.worker import RenderWorker

        return RenderWorker(self, output, fingerprint(self))

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row for the whole piece."""
        source, error = piece.source, FrameError(failure.stage, failure.type, failure.message)
        return rendered_table([RenderedRow(source.key, storage.printable(source.uri), source.kind, error=error)])

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        """Remove files that no row names: their inputs are gone, not chosen now, or failed in the middle.

        And what was being written into their folders when a run was killed.
        """
        dataset = Dataset(output)
        prefix, stay = f"{self.table}-", {file.name for file in files}
        others = [
            storage.join(output, name)
            for name in storage.names_in(output)
            if name.startswith(prefix) and name.endswith(".parquet") and name not in stay
        ]
        if others or self._has_other_parts(dataset):
            dropped = _files_named_in([*others, *dataset.part_paths()])
            kept = _files_named_in([storage.join(output, name) for name in stay])
            storage.remove([storage.join(output, name) for name in sorted(dropped - kept)])
        if self.crops:
            _remove_crops_of_failed_videos(output, files)
        if not storage.is_remote(output):  # else it is the engine that does it, for all folders
            for folder in sorted({posixpath.dirname(name) for name in _files_named_in(dataset.part_paths())} - {""}):
                storage.remove_leftovers(storage.join(output, folder))
        return {}

    def _has_other_parts(self, dataset: Dataset) -> bool:
        """Whether parts of former runs, of inputs that were other ones then, or of other options, lie there."""
        wanted = set(read_inventory(dataset))
        parts = list(dataset.parts_of(self))
        return len(parts) < len(dataset.part_paths()) or any(
            outcome.piece.source.identity not in wanted for part in parts for outcome in part.outcomes
        )


def _files_named_in(paths: Iterable[str]) -> set[str]:
    """The rendered files that rows of these files name."""
    names: set[str] = set()
    for path in paths:
        with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
            if "file" in parquet.schema_arrow.names:  # parts of another job, which --overwrite replaces, name none
                names.update(pc.unique(parquet.read(["file"]).column(0).drop_null()).to_pylist())
    return names


def _remove_crops_of_failed_videos(output: str, files: Iterable[DataFile]) -> None:
    """Remove what was cut out of videos before they failed; their rows do not know of it."""
    folders: set[str] = set()
    for file in files:
        with storage.open_input(storage.join(output, file.name)) as opened:
            rows = pq.read_table(opened, columns=["key"], filters=[("status", "=", "failed"), ("kind", "=", "video")])
        folders.update(file_of(key, "video") for key in rows.column("key").to_pylist())
    if not folders:
        return
    paths = [info.path for info in storage.walk(output)]
    names = [path.removeprefix(f"{output.rstrip('/')}/").partition("/")[2] for path in paths]  # below those of classes
    storage.remove([path for path, name in zip(paths, names, strict=True) if posixpath.dirname(name) in folders])
