"""The infer job on the images of a ground truth, for an evaluation: the same rows, found by way of the annotations."""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
import itertools
import posixpath
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.annotations.record_truth import RecordTruth
from od_core.annotations.stored_truth import StoredFiles, find_stored_truth
from od_core.errors import UsageError
from pipelines.infer.job import InferJob, kind_of
from pipelines.items import Ask, Source
from pipelines.sources import Found

_LOOKED_AT = 100


@dataclasses.dataclass(frozen=True)
class InferTruth(InferJob):
    """Detect objects in the images of a ground truth; the inputs of the run are its paths, not the images'.

    Of a record dataset these are the shards of some splits, as whole files, likewise of other TFRecords. Of other
    ground truth they are the images and videos that its rows name.

    Attributes:
        splits: of record datasets; empty for all there are.
        images: the image folder of annotations; None for the one that the format's conventions lead to.
    """

    splits: tuple[str, ...] = ()
    images: str | None = None

    def check(self, ask: Ask) -> None:
        """See Job: looks at the first images, or at every shard."""
        for path in ask.inputs:
            _refuse_nothing(path, list(itertools.islice(self._sources(path), _LOOKED_AT)))

    def find(self, ask: Ask) -> Found:
        """See Job."""
        found: dict[str, Source] = {}
        for number, path in enumerate(ask.inputs):
            sources = list(self._sources(path))
            _refuse_nothing(path, sources)
            for source in sources:
                # Shards of two datasets can have one name; the rows of both are told apart by the records' own keys.
                key = f"{number}/{source.key}" if source.kind == "record" and len(ask.inputs) > 1 else source.key
                if found.setdefault(key, source._replace(key=key)).uri != source.uri:
                    raise UsageError(
                        f"two images of the ground truth are called {key!r}: {found[key].uri} and {source.uri};"
                        " evaluate them one after the other"
                    )
        return Found([found[key] for key in sorted(found)], {})

    def _sources(self, path: str) -> Iterator[Source]:
        stored = None
        if storage.stat(path) is not None or storage.is_folder(path):
            stored = find_stored_truth(path)
        if stored is not None and stored.form == "records":
            yield from _shards(stored, self.splits)
        else:
            yield from self._images(path)

    def _images(self, path: str) -> Iterator[Source]:
        key = None
        truth = open_ground_truth(path, images=self.images, splits=self.splits)
        if isinstance(truth, RecordTruth):
            yield from (_source(posixpath.basename(file), file, "record") for file in truth.paths)
            return
        for table in truth.tables():
            usable = table.filter(pc.equal(table.column("status"), "done"))
            for row in usable.select(["key", "source", "kind"]).to_pylist():
                if row["key"] != key:  # a video has a row a frame
                    key = row["key"]
                    yield _source(key, row["source"], kind_of(row["source"]) or row["kind"])


def _refuse_nothing(path: str, sources: Sequence[Source]) -> None:
    """Refuse ground truth of which not one image is there."""
    if not sources:
        raise UsageError(f"{path}: the ground truth names no image: there is nothing to find objects in")
    if not any(source.size for source in sources):
        raise UsageError(
            f"{path}: its images are not where they should be, such as {storage.printable(sources[0].uri)}: name their"
            " folder with --images, or evaluate --detections"
        )


def _shards(stored: StoredFiles, splits: Sequence[str]) -> Iterator[Source]:
    names: set[str] = set()
    for path in stored.paths:
        with storage.open_input(path) as file:
            table = pq.read_table(file, columns=["split", "shard"])
        if splits:
            table = table.filter(pc.is_in(table.column("split"), pa.array(splits)))
        names.update(name for name in pc.unique(table.column("shard")).to_pylist() if name is not None)
    for name in sorted(names):
        source = _source(name, storage.join(stored.folder, name), "record")
        if not source.size:
            raise UsageError(
                f"{source.uri}: this shard is in the index, but not in the folder: convert again, or evaluate"
                " --detections"
            )
        yield source


def _source(key: str, uri: str, kind: str) -> Source:
    """An image, video or shard; one that is not there is an input too, and will fail by its name."""
    info = storage.stat(uri)
    return Source(key, uri, kind, info.size if info else 0, info.mtime_ms if info else 0)
