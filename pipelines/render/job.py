"""The render job: the originals with the boxes of a detections dataset drawn on them, as JPEG, PNG and MP4 files.

One row for each picture or video says what was drawn and where it lies. The files are written beside the rows, by the
items; `publish` removes those of inputs that are no longer in the detections.
"""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
import importlib.metadata
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.schemas import FrameError
from od_core.score_limits import ScoreLimits
from od_core.source_root import NOT_MOVED, SourceRoot
from od_core.video_codecs import CODECS
from pipelines.dataset import Dataset
from pipelines.grouping import ItemLimit, by_limits, on_grid
from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.manifest import DataFile, Manifest
from pipelines.plan import read_inventory
from pipelines.render.classes import ids_of
from pipelines.render.names import file_of
from pipelines.render.rendered import RENDERED, RenderedRow, rendered_table
from pipelines.render.sources import check_inputs, find_inputs, is_compressed
from pipelines.sources import Found

LAYOUTS = ("overlay", "side_by_side")

COLOUR_BY = ("class", "verdict")

UNSAMPLED = ("hold", "skip", "plain")
"""Frames of which there is no row: with what was found in the frame before, not at all, without detections."""

ONLY = ("all", "detections", "errors")
"""What is rendered: everything; that in which something is shown; that with a wrong detection or a missed object."""

_DRAWING = "1"
"""How pictures look and are compressed; another number for every change that people would see."""

_RECORD_BYTES_PER_PIECE = 64 << 20
# About a minute of good video. Each range decodes up to one group of pictures more than its own frames.
_VIDEO_BYTES_PER_RANGE = 64 << 20
_ITEM_LIMITS = {
    "image": ItemLimit(pieces=256, weight=64 << 20),
    "record": ItemLimit(pieces=16, weight=64 << 20),
    "video": ItemLimit(pieces=16, weight=8 << 20),
}
_VERSIONS_OF = ("boxbeam", "numpy", "pillow", "opencv-python-headless", "av", "pyarrow", "apache-beam")


@dataclasses.dataclass(frozen=True)
class RenderJob:
    """Draw detections; see the engine's Job for what the methods promise. The one input is a detections dataset.

    Attributes:
        layout: one of `LAYOUTS`.
        colour_by: one of `COLOUR_BY`.
        crops: write every detection as a picture of its own, and nothing else.
        crop_margin: how much around a detection, as a share of its height and width on every side.
        boxes: draw boxes and captions; else only what is blurred tells pictures from originals.
        blur: names or ids of classes that are made unrecognisable.
        min_score: detections below are not drawn, blurred or cut out.
        class_scores: the same for some classes: their names or ids, and the score.
        only: one of `ONLY`: which pictures, and which frames of videos, are rendered.
        iou: the overlap by which a detection finds an object; see `verdicts_of`.
        sample: how many pictures and videos are rendered, chosen by their keys; None: all.
        seed: of the sample.
        max_side: the most pixels in width or height of what is drawn on; None: those of the original.
        unsampled: one of `UNSAMPLED`.
        audio: whether videos keep their sound.
        codec: compression of videos: one of `od_core.video_codecs.CODECS`.
        crf: their constant quality; None for the codec's own.
        source_root: where originals lie that were moved.
        range_bytes: videos of more are rendered in ranges of about so many bytes, whatever the number of workers.
        ground_truth: what `open_all_ground_truth` takes; empty: only detections are drawn.
    """

    layout: str = "overlay"
    colour_by: str = "class"
    crops: bool = False
    crop_margin: float = 0.0
    boxes: bool = True
    blur: tuple[str, ...] = ()
    min_score: float = 0.5
    class_scores: tuple[tuple[str, float], ...] = ()
    only: str = "all"
    iou: float = 0.5
    sample: int | None = None
    seed: int = 0
    max_side: int | None = None
    unsampled: str = "hold"
    audio: bool = True
    codec: str = "h264"
    crf: int | None = None
    source_root: SourceRoot = NOT_MOVED
    range_bytes: int = _VIDEO_BYTES_PER_RANGE
    ground_truth: tuple[str, ...] = ()

    name = "render"
    table = "rendered"
    schema = RENDERED
    schema_version = "boxbeam.rendered/2"
    whole_items = False

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the pictures. Which annotations an input has belongs to its identity, as the original does.

        Options that came later are left out where they change nothing, so that older outputs can be continued.
        """
        scores = [f"{self.min_score:g}", *(f"{name}={score:g}" for name, score in sorted(self.class_scores))]
        later = {
            "--colour_by": self.colour_by if self.colour_by != "class" else None,
            "--crops": f"with a margin of {self.crop_margin:g}" if self.crops else None,
            "--boxes": None if self.boxes else "off",
            "--blur": ", ".join(sorted(self.blur)) or None,
            "--only": self.only if self.only != "all" else None,
            "--iou": f"{self.iou:g}" if self.needs_verdicts else None,
            "--sample": f"{self.sample} of seed {self.seed}" if self.sample is not None else None,
            "--unsampled": self.unsampled if self.unsampled != "hold" else None,
            "--audio": None if self.audio else "off",
            "--codec": self.codec if self.codec != "h264" else None,
            "--max_side": str(self.max_side) if self.max_side is not None else None,
        }
        return {
            "--layout": self.layout,
            "--min_score": ",".join(scores),
            "--crf": str(CODECS[self.codec].crf if self.crf is None else self.crf),
            "--ground_truth": "given" if self.ground_truth else "none",
            "drawing": _DRAWING,
            **{name: text for name, text in later.items() if text is not None},
        }

    @property
    def needs_verdicts(self) -> bool:
        """Whether detections are compared with the ground truth."""
        return self.only == "errors" or self.colour_by == "verdict"

    @property
    def named_classes(self) -> list[tuple[str, str]]:
        """Every class that an option names: (option, class)."""
        return [*(("--min_score", name) for name, _ in self.class_scores), *(("--blur", name) for name in self.blur)]

    def score_limits(self, labels: Mapping[int, str]) -> ScoreLimits:
        """Which detections are shown, for classes of these names."""
        limits = {class_id: score for name, score in self.class_scores for class_id in ids_of(name, labels)}
        return ScoreLimits(self.min_score, limits)

    @property
    def provenance(self) -> Mapping[str, object]:
        """Options and library versions."""
        versions = {package: _version(package) for package in _VERSIONS_OF}
        return {"options": dict(self.options), "versions": versions}

    def check(self, ask: Ask) -> None:
        """See Job."""
        check_inputs(ask, self)

    def find(self, ask: Ask) -> Found:
        """See Job."""
        return find_inputs(ask, self)

    def cut(self, source: Source) -> Sequence[Piece]:
        """Record files and long videos are cut on a grid of bytes, by their size alone.

        A piece of records is the records that begin in its range; a range of a video, see `od_core.video_ranges`.
        """
        if source.kind == "record" and source.size > _RECORD_BYTES_PER_PIECE and not is_compressed(source):
            return on_grid(source, _RECORD_BYTES_PER_PIECE)
        if source.kind == "video" and source.size > self.range_bytes and not self.crops:
            return on_grid(source, self.range_bytes)
        return [Piece(source)]

    def is_step(self, piece: Piece) -> bool:
        """A range of a video: a video of its own in the work folder, which the item of the whole video joins."""
        return piece.source.kind == "video" and piece.total > 1

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """See Job. Every range of a video is an item: after a kill only those under way are done again."""
        steps: list[Item] = []

        def others() -> Iterator[Piece]:
            for piece in pieces:
                if self.is_step(piece):
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

        return RenderWorker(self, output)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row for the whole piece."""
        source, error = piece.source, FrameError(failure.stage, failure.type, failure.message)
        return rendered_table([RenderedRow(source.key, storage.printable(source.uri), source.kind, error=error)])

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        """Remove files that no row names: their inputs are gone, not chosen now, or failed in the middle."""
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


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
