"""The item side of render: originals are decoded in a thread, drawn on and encoded in this one, frame by frame."""

import contextlib
import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from od_core import storage
from od_core.detections import Detections
from od_core.errors import InputError, RecordError, VideoError
from od_core.schemas import FrameError
from od_core.video import VideoFrame, describe_video
from od_core.video_writer import VideoWriter
from pipelines.items import Item, Outcome, Piece, add_counts
from pipelines.job import Watch
from pipelines.parts import RowWriter
from pipelines.reading import frame_error
from pipelines.render import RenderedRow, rendered_table
from pipelines.render_names import file_of, file_of_record
from pipelines.render_originals import Originals
from pipelines.render_pictures import ImageArray, Painter, encoded
from pipelines.render_rows import DetectionRow, DetectionRows, RowSpan
from pipelines.render_truth import TruthRows

if TYPE_CHECKING:
    from pipelines.render import RenderJob

_ROWS_PER_TABLE = 512
_UNITS = {"image": "images", "video": "frames", "record": "records"}


class _NoDetectionsError(InputError):
    """The detections of an input failed, and their row says why."""

    def __init__(self, reason: FrameError):
        super().__init__(f"it failed when the detections were made, so there are none to draw: {reason.message}")
        self.reason = FrameError(reason.stage, reason.type, str(self))


class _Drawn(NamedTuple):
    """A picture, and how many boxes are on it; `objects` is None where there is no ground truth for it."""

    picture: ImageArray
    detections: int
    objects: int | None


class RenderWorker:
    """Reads rows and originals, and writes pictures; does one item at a time."""

    provenance: Mapping[str, object] = {}

    def __init__(self, job: "RenderJob", output: str):
        self._job = job
        self._output = output
        self._painter = Painter(job.layout, with_truth=bool(job.ground_truth))
        self._rows = DetectionRows(output)
        self._truth = TruthRows(output) if job.ground_truth else None
        self._originals = Originals(job.originals)
        self._spans: Mapping[str, list[RowSpan]] = {}
        self._labels: Mapping[int, str] = {}

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        """Write the pictures of an item, and one row for each; see Worker."""
        self._spans = self._rows.spans_of([piece.source.key for piece in item.pieces])
        self._labels = next((self._rows.labels(span) for spans in self._spans.values() for span in spans), {})
        ended = _Ended(rows, watch, with_truth=self._truth is not None)
        if item.pieces[0].source.kind == "image":
            self._images(item, ended, watch)
        else:
            for piece in item.pieces:
                watch.begin(piece)
                (self._video if piece.source.kind == "video" else self._records)(piece, ended, watch)
                ended.finish(piece)
        ended.flush()

    def close(self) -> None:
        """End the thread and close the files."""
        self._originals.close()
        self._rows.close()
        if self._truth is not None:
            self._truth.close()

    def _images(self, item: Item, ended: "_Ended", watch: Watch) -> None:
        self._load_truth([piece.source.key for piece in item.pieces])

        images = self._originals.images(item.pieces, watch)
        for piece, image in zip(item.pieces, images, strict=True):
            source = piece.source
            file = file_of(source.key, source.kind)
            row = RenderedRow(source.key, storage.printable(source.uri), source.kind)
            try:
                found = next(itertools.chain.from_iterable(self._rows.blocks(self._spans[source.key])))
                row = self._write_picture(row._replace(file=file), image, found)
            except InputError as error:
                row = self._failed(row, error, file)
            watch.advance(ended.add(row), piece.weight)
            ended.finish(piece)

    def _write_picture(self, row: RenderedRow, image: ImageArray | InputError, found: DetectionRow) -> RenderedRow:
        """Draw the one picture of an image or record into `row.file`."""
        if found.error is not None:
            raise _NoDetectionsError(found.error)
        if isinstance(image, InputError):
            raise image
        drawn = self._draw(image, found.key, 0, found)
        assert row.file is not None
        content = encoded(drawn.picture, posixpath.splitext(row.file)[1])
        with storage.commit(self._path(row.file)) as temporary:
            temporary.write_bytes(content)
        return _with(row, drawn)

    def _video(self, piece: Piece, ended: "_Ended", watch: Watch) -> None:
        source = piece.source
        file = file_of(source.key, source.kind)
        row = RenderedRow(source.key, storage.printable(source.uri), source.kind)
        self._load_truth([source.key])
        spans = self._spans[source.key]
        if not any(span.rows for span in spans):
            return
        try:
            self._refuse_failed(spans)
            row = self._write_video(row._replace(file=file), piece, watch)
        except InputError as error:
            row = self._failed(row, error, file)
        ended.add(row)

    def _write_video(self, row: RenderedRow, piece: Piece, watch: Watch) -> RenderedRow:
        assert row.file is not None
        position = 0
        found = _Follower(itertools.chain.from_iterable(self._rows.blocks(self._spans[row.key])), "frame_index")
        with self._originals.local(piece) as path, storage.commit(self._path(row.file)) as temporary:
            with _naming_neither(path, str(temporary)):
                rate = describe_video(path).average_rate
                with contextlib.closing(self._originals.frames(path)) as frames:
                    with VideoWriter(temporary, rate=rate, crf=self._job.crf) as video:
                        for frame in frames:
                            drawn = self._draw_frame(row.key, frame, found.at(frame.index))
                            video.write(drawn.picture, frame.timestamp_us)
                            row = _with(row, drawn)
                            step = max(0, (frame.byte_position or 0) - position)
                            position += step
                            watch.advance({"frames": 1, "boxes": drawn.detections}, step)
                        found.refuse_rest("frame", "video")
        return row

    def _draw_frame(self, key: str, frame: VideoFrame, found: DetectionRow | None) -> _Drawn:
        parts = [f"frame {frame.index}"]
        if frame.timestamp_us is not None:
            parts.insert(0, _clock(frame.timestamp_us))
        return self._draw(frame.image, key, frame.index, found, parts)

    def _records(self, piece: Piece, ended: "_Ended", watch: Watch) -> None:
        source = piece.source
        folder = file_of(source.key, source.kind)
        blank = RenderedRow(source.key, storage.printable(source.uri), source.kind)
        spans = [span for span in self._spans[source.key] if span.rows and _overlap(span, piece)]
        if not spans:
            return
        found = _Follower(self._with_truth(self._rows.blocks(spans)), "record_index")
        try:
            self._refuse_failed(spans)
            for record in self._originals.records(piece):
                row = blank._replace(key=record.key, record_index=record.index)
                name = file_of_record(folder, record.index, record.key)
                try:
                    row = self._write_record(row._replace(file=name), record.image, found.at(record.index))
                except InputError as error:
                    row = self._failed(row, error, name)
                watch.advance(ended.add(row), record.weight)
            if piece.stop == piece.total:
                found.refuse_rest("record", "record file")
        except InputError as error:
            ended.add(self._failed(blank, error, None))

    def _write_record(
        self, row: RenderedRow, image: ImageArray | InputError, found: DetectionRow | None
    ) -> RenderedRow:
        if found is None:
            raise RecordError("the detections know of no such record: the file is not the one that they were made from")
        if found.key != row.key:
            raise RecordError(
                f"the record is called {row.key!r}, in the detections {found.key!r}: the file is not the one that they"
                " were made from"
            )
        return self._write_picture(row, image, found)

    def _with_truth(self, blocks: Iterable[list[DetectionRow]]) -> Iterator[DetectionRow]:
        """The rows of blocks; their ground truth is looked up for a block at a time."""
        for block in blocks:
            self._load_truth([row.key for row in block])
            yield from block

    def _load_truth(self, keys: list[str]) -> None:
        if self._truth is not None:
            self._truth.load(keys)

    def _draw(
        self, image: ImageArray, key: str, frame_index: int, found: DetectionRow | None, parts: Sequence[str] = ()
    ) -> _Drawn:
        """Draw on an image; with `parts`, a caption is made of them and of what was found."""
        shown: Detections | None = None
        state = "not looked at"
        if found is not None:
            _refuse_other_size(image, found)
            if found.detections is not None:
                shown = found.detections.best(min_score=self._job.min_score)
            state = "failed" if shown is None else f"{len(shown)} found"
        truth = self._truth.at(key, frame_index) if self._truth is not None else None
        text = "  ".join([*parts, state]) if parts else ""
        picture = self._painter.paint(image, shown, truth, self._labels, text)
        return _Drawn(picture, 0 if shown is None else len(shown), None if truth is None else len(truth))

    def _path(self, file: str) -> str:
        return storage.join(self._output, file)

    def _failed(self, row: RenderedRow, error: InputError, file: str | None) -> RenderedRow:
        """The row of what could not be rendered; the file of a former run, if there is one, shows something else."""
        if file is not None:
            storage.remove([self._path(file)])
        reason = error.reason if isinstance(error, _NoDetectionsError) else frame_error(error)
        return row._replace(frames=0, width=None, height=None, detections=0, objects=None, file=None, error=reason)

    def _refuse_failed(self, spans: Sequence[RowSpan]) -> None:
        """Refuse an input of which nothing could be used when the detections were made."""
        if sum(span.rows for span in spans) == 1:
            (row,) = next(self._rows.blocks(spans))
            if row.error is not None and row.frame_index is None:
                raise _NoDetectionsError(row.error)


class _Follower:
    """Finds rows by a number that rises from row to row and from question to question; holds one row."""

    def __init__(self, rows: Iterable[DetectionRow], field: str):
        self._numbered = ((getattr(row, field), row) for row in rows if getattr(row, field) is not None)
        self._next = next(self._numbered, None)
        self._asked = -1

    def at(self, number: int) -> DetectionRow | None:
        """The row of this number, if there is one; those before are passed over."""
        self._asked = number
        while self._next is not None and self._next[0] < number:
            self._next = next(self._numbered, None)
        return self._next[1] if self._next is not None and self._next[0] == number else None

    def refuse_rest(self, unit: str, what: str) -> None:
        """Refuse an original that has ended before its rows: there are some beyond the last that was asked for."""
        self.at(self._asked + 1)
        if self._next is not None:
            raise InputError(
                f"it ends before the detections do, which go on with {unit} {self._next[0]}: it is not the {what} that"
                " they were made from, or was cut short"
            )


class _Ended:
    """The rows of an item on their way to its part, and what each piece came to."""

    def __init__(self, rows: RowWriter, watch: Watch, *, with_truth: bool):
        self._rows = rows
        self._watch = watch
        self._with_truth = with_truth
        self._waiting: list[RenderedRow] = []
        self._piece_rows = 0
        self._counts: dict[str, int] = {}
        self._error: str | None = None

    def add(self, row: RenderedRow) -> Mapping[str, int]:
        """A file is written, or could not be; returns what is counted."""
        counts: dict[str, int] = {}
        error = row.error
        if error is not None:
            place = f"record {row.record_index}: " if row.record_index is not None else ""
            self._error = self._error or f"{place}{error.message}"
        else:
            counts = {_UNITS[row.kind]: row.frames, "boxes": row.detections}
            if self._with_truth and row.objects is None:
                counts["without_ground_truth"] = 1
        self._waiting.append(row)
        self._piece_rows += 1
        if len(self._waiting) >= _ROWS_PER_TABLE:
            self.flush()
        add_counts(self._counts, counts)
        return counts

    def finish(self, piece: Piece) -> None:
        """The piece has no more rows."""
        status = "failed" if self._error else "done" if self._piece_rows else "empty"
        self._rows.finish(Outcome(piece, status, self._piece_rows, self._counts, self._error))
        self._watch.end(piece)
        self._piece_rows, self._counts, self._error = 0, {}, None

    def flush(self) -> None:
        """Hand over the rows so far."""
        self._rows.write(rendered_table(self._waiting))
        self._waiting = []


def _with(row: RenderedRow, drawn: _Drawn) -> RenderedRow:
    """The row with one more frame; the file is as large as the first of them."""
    height, width = drawn.picture.shape[:2]
    objects = row.objects
    if drawn.objects is not None:
        objects = (objects or 0) + drawn.objects
    return row._replace(
        frames=row.frames + 1,
        width=row.width or width,
        height=row.height or height,
        detections=row.detections + drawn.detections,
        objects=objects,
    )


def _overlap(span: RowSpan, piece: Piece) -> bool:
    """Whether rows can be about a piece: only ranges of files of one size can be compared."""
    return span.total != piece.total or (span.start < piece.stop and span.stop > piece.start)


def _refuse_other_size(image: ImageArray, found: DetectionRow) -> None:
    height, width = image.shape[:2]
    if found.width is not None and (width, height) != (found.width, found.height):
        raise InputError(
            f"the original has {width} x {height} pixels, the detections were made from {found.width} x {found.height}:"
            " it is another picture; infer again, or give the folder of the right ones with --originals"
        )


def _clock(timestamp_us: int) -> str:
    """A time as people read it: 0:04.920, 1:02:03.004."""
    milliseconds = round(abs(timestamp_us) / 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if timestamp_us < 0 else ""
    return f"{sign}{f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02}.{milliseconds:03}"


@contextlib.contextmanager
def _naming_neither(*paths: str) -> Iterator[None]:
    """Take paths off the front of errors: the row names the input, and these may be temporary files."""
    try:
        yield
    except VideoError as error:
        message = str(error)
        for path in paths:
            message = message.removeprefix(f"{path}: ")
        raise VideoError(message) from error
