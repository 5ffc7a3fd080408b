"""The item side of render: originals are decoded in a thread, drawn on and encoded in this one, one by one."""

import collections
import contextlib
import functools
import itertools
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.errors import InputError, RecordError, VideoError
from od_core.schemas import FrameError
from pipelines.items import Item, Piece
from pipelines.job import Watch
from pipelines.parts import RowWriter
from pipelines.reading import frame_error
from pipelines.record_images import RecordImage
from pipelines.render.choices import RenderChoices
from pipelines.render.crops import CropWriter
from pipelines.render.cutting import is_range, pieces_of
from pipelines.render.ended import UNITS, EndedPieces, RowSpool
from pipelines.render.follower import Follower
from pipelines.render.names import file_of, file_of_record
from pipelines.render.originals import Originals
from pipelines.render.pictures import ImageArray, Painter, encoded
from pipelines.render.ranges import RangeFiles, RenderedRange
from pipelines.render.rendered import RenderedRow
from pipelines.render.rows import DetectionRow, DetectionRows, RowSpan
from pipelines.render.sample import Sample
from pipelines.render.truth import TruthRows
from pipelines.render.video import VideoRenderer
from pipelines.render.views import View, Viewer


class _NoDetectionsError(InputError):
    """The detections of an input failed, and their row says why."""

    def __init__(self, reason: FrameError):
        super().__init__(f"it failed when the detections were made, so there are none to draw: {reason.message}")
        self.reason = FrameError(reason.stage, reason.type, str(self))


class _Look(NamedTuple):
    """What the detections say of a picture, before it is opened; `row` is None if they know of no such record.

    `changed`: why it is another one than that of the detections, where that can be seen.
    """

    row: DetectionRow | None
    view: View
    is_wanted: bool
    changed: InputError | None = None


class RenderWorker:
    """Reads rows and originals, and writes pictures; does one item at a time."""

    provenance: Mapping[str, object] = {}

    def __init__(self, job: RenderChoices, output: str, fingerprint: str):
        """`fingerprint` is the job's, by which the ranges of a video are told from those of others."""
        self._job = job
        self._output = output
        self._painter = Painter(
            job.layout,
            with_truth=bool(job.ground_truth),
            by_verdict=job.colour_by == "verdict",
            with_boxes=job.boxes,
            max_side=job.max_side,
        )
        self._rows = DetectionRows(output)
        self._viewer = Viewer(job, TruthRows(output) if job.ground_truth else None)
        self._originals = Originals(job.source_root)
        self._crops = CropWriter(output, margin=job.crop_margin, max_side=job.max_side) if job.crops else None
        self._videos = VideoRenderer(job, self._viewer, self._painter, self._originals)
        self._ranges = RangeFiles(output, fingerprint)
        self._spans: Mapping[str, list[RowSpan]] = {}

    @functools.cached_property
    def _sample(self) -> Sample | None:
        """Read at the first item: on a cluster workers open before planning has chosen it."""
        return Sample.read(self._output) if self._job.sample is not None else None

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        """Write the pictures of an item, and one row for each; see Worker."""
        self._spans = self._rows.spans_of([piece.source.key for piece in item.pieces])
        labels = next((self._rows.labels(span) for spans in self._spans.values() for span in spans), {})
        self._painter.begin(labels)
        if self._crops is not None:
            self._crops.begin(labels)
        self._viewer.begin(labels)
        ended = EndedPieces(rows, watch, with_truth=bool(self._job.ground_truth) and not self._job.crops)
        if item.pieces[0].source.kind == "image":
            self._images(item, ended, watch)
        else:
            for piece in item.pieces:
                watch.begin(piece)
                if is_range(piece):
                    self._range(piece, watch)
                elif piece.source.kind == "video":
                    self._video(piece, ended, watch)
                else:
                    self._records(piece, ended, watch)
                ended.finish(piece)
        ended.flush()

    def close(self) -> None:
        """End the threads and close the files."""
        self._videos.close()
        self._originals.close()
        self._rows.close()
        self._viewer.close()

    def _images(self, item: Item, ended: EndedPieces, watch: Watch) -> None:
        self._viewer.load([piece.source.key for piece in item.pieces])
        looks = [self._look_at(piece) for piece in item.pieces]
        wanted = [piece for piece, look in zip(item.pieces, looks, strict=True) if look.is_wanted]
        images = self._originals.images(wanted, watch)
        for piece, look in zip(item.pieces, looks, strict=True):
            source = piece.source
            if look.is_wanted:
                row = RenderedRow(source.key, storage.printable(source.uri), source.kind)
                row = row._replace(file=file_of(source.key, source.kind))
                watch.advance(self._picture(row, next(images), look, ended), piece.weight)
            else:
                watch.begin(piece)
                watch.advance({}, piece.weight)
            ended.finish(piece)

    def _range(self, piece: Piece, watch: Watch) -> None:
        """Render a range of a video, for `_joined` to find it."""
        source = piece.source
        self._viewer.load([source.key])
        spans = self._spans[source.key]
        if not any(span.rows for span in spans):
            self._ranges.write(piece, RenderedRange())
            return
        try:
            self._refuse_unusable_input(piece, spans)
            with self._originals.local(piece) as path, _naming_neither(path):
                done = self._videos.render_range(
                    RenderedRow(source.key, "", source.kind),
                    lambda first_frame: itertools.chain.from_iterable(self._rows.blocks(spans, first_frame)),
                    path,
                    piece,
                    self._ranges.video(piece),
                    watch,
                )
        except InputError as error:
            done = RenderedRange(error=_reason(error))
        self._ranges.write(piece, done)

    def _video(self, piece: Piece, ended: EndedPieces, watch: Watch) -> None:
        source = piece.source
        row = RenderedRow(source.key, storage.printable(source.uri), source.kind, file=file_of(source.key, source.kind))
        self._viewer.load([source.key])
        spans = self._spans[source.key]
        if not any(span.rows for span in spans) or not self._wants_some(piece):
            return
        try:
            self._refuse_unusable_input(piece, spans)
            if self._crops is not None:
                self._cut_video(row, piece, self._crops, ended, watch)
            else:
                ended.add(self._joined(row, piece, watch) or self._write_video(row, piece, watch))
        except InputError as error:
            ended.add(self._failed(row, _reason(error)))

    def _joined(self, row: RenderedRow, piece: Piece, watch: Watch) -> RenderedRow | None:
        """Join a video of its ranges; None if it was not rendered in ranges, or they cannot be joined."""
        pieces = [one for one in pieces_of(piece.source, self._job) if is_range(one)]
        ranges = self._ranges.read_all(pieces) if pieces else None
        if ranges is None:
            return None
        if ranges[-1].error is not None:
            return self._failed(row, ranges[-1].error)
        parts = [(one, self._ranges.video(at)) for one, at in zip(ranges, pieces, strict=True) if one.frames]
        assert row.file is not None
        try:
            with self._originals.local(piece) as path, storage.commit(self._path(row.file)) as temporary:
                return self._videos.join(row, parts, path, temporary, watch)
        except VideoError:
            return None  # rendering it whole will tell what is wrong

    def _wants_some(self, piece: Piece) -> bool:
        """Whether --only lets a frame of a video be rendered."""
        if self._job.only == "all":
            return True
        views = (self._viewer.view(row, row.key, row.frame_index or 0) for row in self._rows_of(piece))
        return any(self._viewer.wants(view) for view in views)

    def _write_video(self, row: RenderedRow, piece: Piece, watch: Watch) -> RenderedRow:
        assert row.file is not None
        with self._originals.local(piece) as path, storage.commit(self._path(row.file)) as temporary:
            with _naming_neither(path, str(temporary)):
                return self._videos.render(row, self._rows_of(piece), path, temporary, watch)

    def _cut_video(self, row: RenderedRow, piece: Piece, crops: CropWriter, ended: EndedPieces, watch: Watch) -> None:
        """Crops of the frames: all, or where it turns out to be another video, none that `publish` would leave."""
        assert row.file is not None
        with self._originals.local(piece) as path, _naming_neither(path), RowSpool() as spool:
            for frame, view, step in self._videos.frames(row.key, self._rows_of(piece), path):
                made = 0
                if view.held_from is None and self._viewer.wants(view):
                    for crop in crops.write(row, row.file, frame.image, view, frame.index):
                        spool.add(crop)
                        made += 1
                watch.advance({"frames": 1, "crops": made}, step)
            for crop in spool.rows():
                ended.add(crop)

    def _records(self, piece: Piece, ended: EndedPieces, watch: Watch) -> None:
        source = piece.source
        folder = file_of(source.key, source.kind)
        blank = RenderedRow(source.key, storage.printable(source.uri), source.kind)
        spans = [span for span in self._spans[source.key] if span.rows and _overlap(span, piece)]
        if not spans:
            return
        found = Follower(self._with_truth(self._rows.blocks(spans)), "record_index")
        looks: collections.deque[_Look] = collections.deque()

        def is_wanted(record: RecordImage) -> bool:
            looks.append(self._look(found.at(record.row.record_index or 0), record.row.key))
            return looks[-1].is_wanted

        try:
            self._refuse_unusable_input(piece, spans)
            for record in self._originals.records(piece, is_wanted):
                look = looks.popleft()
                if record.image is None:
                    watch.advance({}, record.weight)
                    continue
                name = file_of_record(folder, record.index, record.key)
                row = blank._replace(key=record.key, record_index=record.index, file=name)
                watch.advance(self._picture(row, record.image, look, ended), record.weight)
            if piece.stop == piece.total:
                found.refuse_rest("record", "record file")
        except InputError as error:
            ended.add(self._failed(blank, _reason(error)))

    def _look_at(self, piece: Piece) -> _Look:
        """What there is to be seen in an image."""
        look = self._look(next(self._rows_of(piece)), piece.source.key)
        return look._replace(changed=self._spans[piece.source.key][0].change_of(piece.source))

    def _look(self, row: DetectionRow | None, key: str) -> _Look:
        """What there is to be seen in an image or record, and whether it is wanted."""
        view = self._viewer.view(row, key if row is None else row.key, 0)
        is_sampled = self._sample is None or self._sample.takes(key)
        return _Look(row, view, is_sampled and self._viewer.wants(view))

    def _picture(
        self, row: RenderedRow, image: ImageArray | InputError, look: _Look, ended: EndedPieces
    ) -> Mapping[str, int]:
        """Draw the one picture of an image or record into `row.file`, or cut it up; returns what is counted."""
        try:
            self._refuse_unusable(row, image, look)
            assert not isinstance(image, InputError)
            if self._crops is None:
                return ended.add(self._write_picture(row, image, look.view))
            assert row.file is not None
            made = sum(ended.add(crop)["crops"] for crop in self._crops.write(row, row.file, image, look.view))
            return {UNITS[row.kind]: 1, "crops": made}
        except InputError as error:
            return ended.add(self._failed(row, _reason(error)))

    def _refuse_unusable(self, row: RenderedRow, image: ImageArray | InputError, look: _Look) -> None:
        """Refuse an image or record that cannot be drawn, or is not the one that the detections are about."""
        found = look.row
        if isinstance(image, InputError) and (found is None or found.error is None):
            raise image  # first: what cannot be read has not even its name
        if found is None:
            raise RecordError("the detections know of no such record: the file is not the one that they were made from")
        if row.record_index is not None and found.key != row.key:
            raise RecordError(
                f"the record is called {row.key!r}, in the detections {found.key!r}: the file is not the one that they"
                " were made from"
            )
        if found.error is not None:
            raise _NoDetectionsError(found.error)
        assert not isinstance(image, InputError)
        found.refuse_other_size(image)
        if look.changed is not None:
            raise look.changed

    def _write_picture(self, row: RenderedRow, image: ImageArray, view: View) -> RenderedRow:
        picture = self._painter.paint(image, view)
        assert row.file is not None
        content = encoded(picture, posixpath.splitext(row.file)[1])
        with storage.commit(self._path(row.file)) as temporary:
            temporary.write_bytes(content)
        return row.with_frame(picture.shape[0], picture.shape[1], view.shown, view.truth)

    def _rows_of(self, piece: Piece) -> Iterator[DetectionRow]:
        """All rows of an input."""
        return itertools.chain.from_iterable(self._rows.blocks(self._spans[piece.source.key]))

    def _with_truth(self, blocks: Iterable[list[DetectionRow]]) -> Iterator[DetectionRow]:
        """The rows of blocks; their ground truth is looked up for a block at a time."""
        for block in blocks:
            self._viewer.load([row.key for row in block])
            yield from block

    def _path(self, file: str) -> str:
        return storage.join(self._output, file)

    def _failed(self, row: RenderedRow, reason: FrameError) -> RenderedRow:
        """The row of what could not be rendered; the file of a former run, if there is one, shows something else."""
        if row.file is not None and self._crops is None:
            storage.remove([self._path(row.file)])
        return RenderedRow(row.key, row.source, row.kind, row.record_index, error=reason)

    def _refuse_unusable_input(self, piece: Piece, spans: Sequence[RowSpan]) -> None:
        """Refuse a video or record file of which nothing could be used by infer, or one that was changed since."""
        if sum(span.rows for span in spans) == 1:
            (row,) = next(self._rows.blocks(spans))
            if row.error is not None and row.frame_index is None:
                raise _NoDetectionsError(row.error)
        changed = spans[0].change_of(piece.source)
        if changed is not None:
            raise changed


def _reason(error: InputError) -> FrameError:
    """Why something could not be rendered, as its row tells it."""
    return error.reason if isinstance(error, _NoDetectionsError) else frame_error(error)


def _overlap(span: RowSpan, piece: Piece) -> bool:
    """Whether rows can be about a piece: only ranges of files of one size can be compared."""
    return span.total != piece.total or (span.start < piece.stop and span.stop > piece.start)


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
