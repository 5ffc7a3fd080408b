"""The item side of infer: decode beside the model, several threads on one Session, rows in order."""

import collections
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from od_core import storage
from od_core.detections import Detections
from od_core.errors import ImageError, InputError, LabelMapError, RecordError
from od_core.images import decode_image
from od_core.local_copies import local_copy
from od_core.model.detector import Detector, open_detector
from od_core.model.jpeg_decoders import jpeg_decoder
from od_core.model.remote import local_model
from od_core.schemas import FrameError, FrameRow, detections_table
from od_core.video.frames import MAX_PIXELS, VideoDamage, VideoFrame, read_video
from od_core.video.ranges import END, RangeEnd, read_range
from od_core.video.scan import PacketScan, scan_packets
from pipelines.infer.batch_size import BatchSize
from pipelines.infer.batches import Batcher, Frame, Image, stacked
from pipelines.infer.content_kind import is_animated
from pipelines.infer.devices import claimed_device
from pipelines.infer.job import is_looked_into, piece_failed
from pipelines.infer.step_clock import StepClock
from pipelines.items import LAST_END, Identity, Item, Joint, Outcome, Piece, add_counts
from pipelines.job import Ran, Watch
from pipelines.ordered import ordered_map, prefetch
from pipelines.parts import RowWriter
from pipelines.reading import Reading, frame_error, read_image_file, refuse_changed
from pipelines.record_images import RecordImage, record_images

if TYPE_CHECKING:
    from pipelines.infer.job import InferJob

_FRAMES_AHEAD = 8
_ROWS_PER_TABLE = 512
_UNITS = {"image": "images", "video": "frames", "record": "records"}


class _Tag(NamedTuple):
    """What passes through the model with an image: its row so far, or the end of its piece.

    `weight`: bytes of input this element accounts for, for progress. `joint`: at the end of a range of a video.
    `error`: at the end of a piece that failed although no row of its own says why.
    """

    piece: Piece
    row: FrameRow | None
    weight: int = 0
    joint: Joint | None = None
    error: str | None = None


class InferWorker:
    """One open Detector and the threads that feed it; does one item at a time."""

    def __init__(self, job: "InferJob", threads: int):
        self._job = job
        with local_model(job.model, job.model_sha256) as model:
            self._detector: Detector = open_detector(
                model, tensors=job.tensors, keep=job.keep, device=claimed_device(job.devices)
            )
        self._decode_jpeg = jpeg_decoder(job.decoder, self._detector)
        limit = self._detector.signature.batch_limit
        clock = time.perf_counter if job.on_gpu else time.thread_time
        self._batch_size = BatchSize(job.batch_size, limit, clock=clock)
        self._threads = threads
        self._decoders = ThreadPoolExecutor(threads, "boxbeam-decode")
        self._models = ThreadPoolExecutor(threads, "boxbeam-model")
        self._labelled: set[int] = set()
        self._unlabelled: set[int] = set()
        self._clock = StepClock()  # of the item at work
        self._scan: tuple[Identity, PacketScan] | None = None  # of the last video, whose next range may well be next
        self._warm_up()

    def _warm_up(self) -> None:
        """The first run, in which TensorFlow lays out its work, lasts as long as dozens of others: part of opening."""
        with contextlib.suppress(Exception):  # it may want other images; what is wrong will be told of one of those
            self._detector.detect(np.zeros((1, 64, 64, 3), np.uint8))

    @property
    def provenance(self) -> dict[str, object]:
        """How the model is fed and read."""
        signature = dataclasses.asdict(self._detector.signature)
        return {"signature": {**signature, "output_tensors": dict(signature["output_tensors"])}}

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> Ran:
        """Write one row per image or frame; see Worker."""
        self._clock = StepClock()
        found = _Found(self._job, rows, watch, self._clock)
        # Closed here, whatever happens: an error keeps generators alive through its traceback, and with them a decoder
        # that waits for its consumer in a thread that the next item needs.
        with contextlib.closing(self._frames(item, watch)) as frames:
            for tag, detections, error in self._batcher(item).run(found.awaited(frames)):
                if tag.row is None:
                    found.finish(tag)
                elif error is not None:
                    found.add(tag, tag.row._replace(error=frame_error(error)))
                else:
                    found.add(tag, tag.row._replace(detections=detections))
        found.flush()
        self._refuse_foreign_label_map(found)
        chosen = {f"batch size at {size}": count for size, count in self._batch_size.measured.items()}
        return Ran(self._clock.seconds, chosen)

    def _batcher(self, item: Item) -> Batcher:
        kind = item.pieces[0].source.kind
        min_score, limit = self._job.score_limit(kind), self._job.max_detections

        def detect(images: Sequence[Image]) -> list[Detections]:
            return self._detector.detect(stacked(images), min_score=min_score, limit=limit)

        return Batcher(
            self._clock.timed("model", self._batch_size.timed(detect)),
            self._models,
            batch_size=self._batch_size.of,
            threads=self._threads,
        )

    def close(self) -> None:
        """Close the Session and end the threads."""
        self._decoders.shutdown()
        self._models.shutdown()
        self._detector.close()

    def _frames(self, item: Item, watch: Watch) -> Generator[Frame[_Tag]]:
        """Every image or frame of an item in order, each piece followed by an element without a row."""
        if item.pieces[0].source.kind == "image":
            ahead = 2 * self._threads + 2
            for frame in ordered_map(lambda piece: self._image(piece, watch), item.pieces, self._decoders, ahead):
                yield frame
                yield Frame(_Tag(frame.tag.piece, None), None)
            return
        for piece in item.pieces:
            watch.begin(piece)
            yield from self._video(piece, watch) if piece.source.kind == "video" else self._records(piece)

    def _image(self, piece: Piece, watch: Watch) -> Frame[_Tag]:
        watch.begin(piece)
        source = piece.source
        try:
            with self._clock.spent("decode"):
                encoded = read_image_file(source)
                if is_looked_into(source.uri) and is_animated(encoded):
                    raise InputError("it moves, which could not be seen when the run was planned; use --retry_failed")
                image = self._decode(encoded)
        except InputError as error:
            return Frame(_Tag(piece, piece_failed(piece, frame_error(error)), piece.weight), None)
        row = FrameRow(source.key, storage.printable(source.uri), "image", 0)
        return Frame(_Tag(piece, _sized(row, image), piece.weight), image)

    def _decode(self, encoded: bytes) -> Image:
        return decode_image(encoded, decode_jpeg=self._decode_jpeg)

    def _video(self, piece: Piece, watch: Watch) -> Iterator[Frame[_Tag]]:
        """The frames of a video or of a range of it, and the piece's end."""
        source = piece.source
        blank = FrameRow(source.key, storage.printable(source.uri), "video")
        position = piece.start if piece.total > 1 else 0
        joint: Joint | None = None
        try:
            with Reading(source.uri), local_copy(source.uri) as path, _naming_no(path):
                elements = functools.partial(self._elements, piece, path, lambda: watch.advance({}))
                for frame in prefetch(elements, self._decoders, _FRAMES_AHEAD):
                    if isinstance(frame, RangeEnd):
                        joint = Joint(frame.first, LAST_END if frame.after == END else frame.after, frame.broken)
                        continue
                    if isinstance(frame, VideoDamage):
                        error = FrameError("decode", "VideoError", frame.message, frame.after_index)
                        row = blank._replace(timestamp_us=frame.timestamp_us, error=error)
                        yield Frame(_Tag(piece, row), None)
                        continue
                    height, width, _ = frame.image.shape
                    row = blank._replace(
                        frame_index=frame.index, timestamp_us=frame.timestamp_us, width=width, height=height
                    )
                    step = max(0, (frame.byte_position or 0) - position)
                    position += step
                    yield Frame(_Tag(piece, row, step), frame.image)
                refuse_changed(source)
                if piece.total > 1 and joint is None:
                    raise InputError("its end did not come")
        except InputError as error:
            if piece.is_whole:
                yield Frame(_Tag(piece, piece_failed(piece, frame_error(error))), None)
            else:
                joint = Joint(None, None, str(error))
        yield Frame(_Tag(piece, None, joint=joint), None)

    def _elements(
        self, piece: Piece, path: str, alive: Callable[[], None]
    ) -> Iterator[VideoFrame | VideoDamage | RangeEnd]:
        """What there is to see in a piece; runs in a decoder's thread."""
        sampling = self._job.sampling
        if piece.total == 1:
            return self._clock.iterated("decode", read_video(path, sampling=sampling, alive=alive))
        if self._scan is None or self._scan[0] != piece.source.identity:
            with self._clock.spent("decode"):
                self._scan = piece.source.identity, scan_packets(path, max_pixels=MAX_PIXELS, alive=alive)
        span = piece.start, piece.stop, piece.total
        return self._clock.iterated("decode", read_range(path, self._scan[1], *span, sampling=sampling, alive=alive))

    def _records(self, piece: Piece) -> Iterator[Frame[_Tag]]:
        """The records of a file or of a range of it, and the piece's end."""

        def decoded(record: RecordImage) -> Frame[_Tag]:
            if record.encoded is None:
                return Frame(_Tag(piece, record.row, record.weight), None)
            try:
                with self._clock.spent("decode"):
                    image = self._decode(record.encoded)
            except ImageError as error:
                row = record.row._replace(error=frame_error(error))
                return Frame(_Tag(piece, row, record.weight), None)
            return Frame(_Tag(piece, _sized(record.row, image), record.weight), image)

        hidden: str | None = None
        try:
            with Reading(piece.source.uri), storage.open_input(piece.source.uri) as file:
                try:
                    images = record_images(piece, file)
                    yield from ordered_map(decoded, images, self._decoders, 2 * self._threads + 2)
                except RecordError as error:
                    hidden = str(error)  # the range in which the damage lies has the row
                refuse_changed(piece.source)
        except InputError as error:
            yield Frame(_Tag(piece, piece_failed(piece, frame_error(error))), None)
        yield Frame(_Tag(piece, None, error=hidden), None)

    def _refuse_foreign_label_map(self, found: "_Found") -> None:
        """A label map that knows none of the classes found belongs to another model: every label would be null."""
        self._labelled |= found.labelled
        self._unlabelled |= found.unlabelled
        if self._unlabelled and not self._labelled:
            known = ", ".join(str(class_id) for class_id in sorted(self._job.label_map.labels)[:10])
            raise LabelMapError(
                f"the label map has none of the class ids this model finds: it found {_some(self._unlabelled)}, the map"
                f" has {known}. Give the label map the model was trained with"
            )


def _some(ids: set[int]) -> str:
    return ", ".join(str(class_id) for class_id in sorted(ids)[:10])


@contextlib.contextmanager
def _naming_no(path: str) -> Iterator[None]:
    """Take the path off the front of errors: the row names the input, and the path may be a temporary copy's."""
    try:
        yield
    except InputError as error:
        raise type(error)(str(error).removeprefix(f"{path}: ")) from error


def _sized(row: FrameRow, image: Image) -> FrameRow:
    height, width, _ = image.shape
    return row._replace(width=width, height=height)


class _Found:
    """The rows of an item on their way to its part: tables of some hundred, and what each piece came to."""

    def __init__(self, job: "InferJob", rows: RowWriter, watch: Watch, clock: StepClock):
        self._job = job
        self._rows = rows
        self._watch = watch
        self._clock = clock
        self._waiting: list[FrameRow] = []
        self._piece_rows = 0
        self._awaited: collections.deque[int] = collections.deque()
        self._counts: dict[str, int] = {}
        self._error: str | None = None
        self.labelled: set[int] = set()
        self.unlabelled: set[int] = set()

    def awaited(self, frames: Iterable[Frame[_Tag]]) -> Iterator[Frame[_Tag]]:
        """The same frames, of which so many are to be added before their piece is finished."""
        count = 0
        for frame in frames:
            if frame.tag.row is None:
                self._awaited.append(count)
                count = 0
            else:
                count += 1
            yield frame

    def add(self, tag: _Tag, row: FrameRow) -> None:
        """One image or frame is through the model."""
        counts = {"failed_frames": 1} if row.error else {_UNITS[row.kind]: 1}
        if row.error is not None:
            self._error = self._error or _reason(row)
        elif row.detections is not None:
            counts["detections"] = len(row.detections)
            ids = set(row.detections.classes.tolist())
            self.labelled |= ids & self._job.label_map.labels.keys()
            self.unlabelled |= ids - self._job.label_map.labels.keys()
        self._waiting.append(row)
        self._piece_rows += 1
        if len(self._waiting) >= _ROWS_PER_TABLE:
            self.flush()
        add_counts(self._counts, counts)
        self._watch.advance(counts, tag.weight)

    def finish(self, end: _Tag) -> None:
        """The piece has no more rows.

        Raises:
            ValueError: it has not as many as frames were on their way.
        """
        piece, joint = end.piece, end.joint
        awaited = self._awaited.popleft()
        if self._piece_rows != awaited:
            raise ValueError(f"{piece}: {awaited} frames went into the model, {self._piece_rows} came out")
        if joint is not None and joint.broken:
            self._counts, self._error = {}, None  # none of it will be used
        self._error = self._error or end.error
        status = "failed" if self._error else "done" if self._counts.get("detections") else "empty"
        self._rows.finish(Outcome(piece, status, self._piece_rows, self._counts, self._error, joint))
        self._watch.end(piece)
        self._piece_rows, self._counts, self._error = 0, {}, None

    def flush(self) -> None:
        """Hand over the rows so far, hundreds in one table: a table for each would cost as much as decoding."""
        with self._clock.spent("write"):
            self._rows.write(detections_table(self._waiting, self._job.label_map.labels))
        self._waiting = []


def _reason(row: FrameRow) -> str:
    """Why a row failed, with its place within the input."""
    place = ""
    if row.record_index is not None:
        place = f"record {row.record_index}: "
    elif row.kind == "video" and row.frame_index is not None:
        place = f"frame {row.frame_index}: "
    return f"{place}{row.error.message if row.error else ''}"
