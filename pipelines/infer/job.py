"""The infer job: detections in images, videos and TFRecords, one row per image or frame."""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from od_core import schemas, storage
from od_core.detection_totals import detection_totals
from od_core.images import IMAGE_EXTENSIONS
from od_core.label_map import LabelMap
from od_core.model.gpu_driver import has_gpu_driver
from od_core.model.jpeg_decoders import DEFAULT_DECODER, JPEG_DECODERS
from od_core.model.tensors import API_TENSORS, ModelTensors
from od_core.records.file import is_record_name
from od_core.records.tfrecord import is_gzip
from od_core.schemas import FrameError, FrameRow, detections_table
from od_core.version import version_of
from od_core.video.frames import VIDEO_EXTENSIONS
from od_core.video.sampling import EVERY_FRAME, Sampling
from pipelines import sources
from pipelines.content import identity_option
from pipelines.grouping import ItemLimit, by_limits, on_grid
from pipelines.infer.content_kind import content_kind, gif_kind
from pipelines.infer.devices import CPU
from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.manifest import DataFile, Manifest
from pipelines.sources import Found, Wanted

# One process with several threads on one Session is as fast as several processes and loads the model once; but one
# video decoder can feed only about so many threads.
_THREADS_PER_PROCESS = 8
_RECORD_BYTES_PER_PIECE = 64 << 20
# A minute of good video. Each range decodes up to one group of pictures more than its own frames.
_VIDEO_BYTES_PER_RANGE = 64 << 20
_ITEM_LIMITS = {
    "image": ItemLimit(pieces=256, weight=256 << 20),
    "record": ItemLimit(pieces=16, weight=128 << 20),
    "video": ItemLimit(pieces=16, weight=32 << 20),
}
_VERSIONS_OF = ("boxbeam", "tensorflow", "numpy", "pillow", "av", "pyarrow", "apache-beam")

_GIF = ".gif"
DEFAULT_MIN_SCORES = {"image": 0.0, "record": 0.0, "video": 0.05}


@dataclasses.dataclass(frozen=True)
class InferJob:
    """Detect objects; see the engine's Job for what the methods promise.

    Attributes:
        model: path of the export, as `od_core.model.remote.local_model` takes it: on a disk, or copied by each worker.
        model_sha256: digest of its bytes.
        label_map: names of the class ids.
        min_score: detections below are left out; None for `DEFAULT_MIN_SCORES`.
        max_detections: at most so many are kept of an image, the best; None keeps all.
        batch_size: images per Session.run at most; None: measured by each worker.
        sampling: which frames of videos are looked at.
        tensors: the model's tensors, where they are not named as the API names them.
        keep: what is kept beside boxes, scores and classes: some of `model_tensors.SHAPES`, in that order.
        decoder: of JPEGs, one of `jpeg_decoders.JPEG_DECODERS`.
        identity: what makes an input the same input, one of `content.IDENTITIES`.
        devices: "cpu", or GPUs as "gpu:0": each process takes one; empty: the first GPU, or else the CPU.
    """

    model: str
    model_sha256: str
    label_map: LabelMap
    min_score: float | None = None
    max_detections: int | None = None
    batch_size: int | None = None
    sampling: Sampling = EVERY_FRAME
    tensors: ModelTensors = API_TENSORS
    keep: tuple[str, ...] = ()
    decoder: str = DEFAULT_DECODER
    identity: str = "time"
    devices: tuple[str, ...] = ()

    name = "infer"
    table = "detections"
    schema = schemas.DETECTIONS
    schema_version = schemas.DETECTIONS_VERSION
    whole_items = False
    failed_counts: ClassVar[Mapping[str, int]] = {"failed_frames": 1}

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the rows. The batch size does not."""
        defaults = ", ".join(f"{score:g} for {kind}s" for kind, score in DEFAULT_MIN_SCORES.items())
        return {
            "--model": f"sha256:{self.model_sha256}",
            "--label_map": f"sha256:{self.label_map.digest}",
            "--min_score": defaults if self.min_score is None else f"{self.min_score:g}",
            "--max_detections": "all" if self.max_detections is None else str(self.max_detections),
            "decoder": JPEG_DECODERS[self.decoder],
            **self.sampling.options,
            **identity_option(self.identity),
            **self.tensors.options,
            **({"--keep": ",".join(self.keep)} if self.keep else {}),
        }

    @property
    def provenance(self) -> Mapping[str, object]:
        """Model, label map, options and library versions."""
        return {
            "model_sha256": self.model_sha256,
            "label_map_sha256": self.label_map.digest,
            "labels": {str(class_id): label for class_id, label in self.label_map.labels.items()},
            "jpeg_decoder": JPEG_DECODERS[self.decoder],
            "options": dict(self.options),
            "versions": {package: version_of(package) for package in _VERSIONS_OF},
        }

    def score_limit(self, kind: str) -> float:
        """The least score that is kept in inputs of this kind."""
        return DEFAULT_MIN_SCORES[kind] if self.min_score is None else self.min_score

    def cut(self, source: Source) -> Sequence[Piece]:
        """Record files and long videos are cut on a grid of bytes.

        A piece of records is the records that begin in its range; a range of a video, see `od_core.video.ranges`. A
        video in one piece counted in bytes is read by the same rules as a range, which can skip what is not wanted; one
        that is `Piece(source)` is decoded from its first frame on.
        """
        if source.kind == "record" and source.size > _RECORD_BYTES_PER_PIECE and not _is_compressed(source):
            return on_grid(source, _RECORD_BYTES_PER_PIECE)
        if source.kind == "video" and source.size > (1 if self.sampling.skips else _VIDEO_BYTES_PER_RANGE):
            return on_grid(source, _VIDEO_BYTES_PER_RANGE)
        return [Piece(source)]

    def check(self, ask: Ask) -> None:
        """See Job."""
        sources.check(ask.inputs, WANTED)

    def find(self, ask: Ask) -> Found:
        """See Job."""
        return sources.match(ask.inputs, WANTED, identity=self.identity)

    def is_step(self, piece: Piece) -> bool:
        """There are none."""
        return False

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """See Job."""
        return by_limits(pieces, _ITEM_LIMITS)

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on a GPU, if the processes are on machines like this one."""
        return any(device != CPU for device in self.devices) or (not self.devices and has_gpu_driver())

    def spread(self, workers: int) -> Spread:
        """Few processes, several threads each on one Session; on GPUs one process each."""
        processes = max(1, len(self.devices)) if self.on_gpu else -(-workers // _THREADS_PER_PROCESS)
        return Spread(processes, -(-workers // processes))

    def open_worker(self, output: str, threads: int) -> Worker:
        """Open the model; TensorFlow is imported here."""
        from pipelines.infer.worker import InferWorker

        return InferWorker(self, threads)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row for the whole piece."""
        error = FrameError(failure.stage, failure.type, failure.message)
        return detections_table([piece_failed(piece, error)], {})

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        """The rows are all there is; what they come to is noted, file by file, so that only new files are counted."""
        counted = former.details.get("totals", {}) if former is not None else {}
        return {"totals": {file.name: counted.get(file.name) or _totals(output, file.name) for file in files}}


def _totals(output: str, name: str) -> Mapping[str, Mapping[str, int]]:
    with storage.open_input(storage.join(output, name)) as file:
        return detection_totals(file)._asdict()


def piece_failed(piece: Piece, error: FrameError) -> FrameRow:
    """The row of an input, or of a part of it, of which nothing could be used."""
    source = piece.source
    if not piece.is_whole:
        place = f"{piece.start / piece.total:.0%} to {piece.stop / piece.total:.0%}"
        error = error._replace(message=f"the part from {place} of the file's bytes: {error.message}")
    frame_index = 0 if source.kind == "image" else None
    return FrameRow(source.key, storage.printable(source.uri), source.kind, frame_index, error=error)


def kind_of(path: str) -> str | None:
    """image, video, record, or None, by a file's name; a GIF is looked into: an animated one is a video.

    A file whose name has no extension is looked into as well.
    """
    name = path.rsplit("/", 1)[-1].lower()
    if is_record_name(name):
        return "record"
    if "." not in name:
        return content_kind(path)
    extension = name[name.rfind(".") :]
    if extension == _GIF:
        return gif_kind(path)
    if extension in IMAGE_EXTENSIONS:
        return "image"
    return "video" if extension in VIDEO_EXTENSIONS else None


WANTED = Wanted(kind_of, "images, videos or TFRecord files", missing="image")


def is_looked_into(path: str) -> bool:
    """Whether `kind_of` goes by the content of this file."""
    name = path.rsplit("/", 1)[-1].lower()
    return "." not in name or name.endswith(_GIF)


def _is_compressed(source: Source) -> bool:
    try:
        with storage.open_input(source.uri) as file:
            return is_gzip(file)
    except OSError:
        return False
