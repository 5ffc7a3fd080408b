"""The review job: static pages about a detections dataset, in one pass over its rows.

Originals are opened once each, for a thumbnail, in threads; everything else is read and written as it streams by.
"""

import contextlib
import dataclasses
import functools
import importlib.resources
import itertools
import json
import pathlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

from od_core import storage
from od_core.detected_frames import DetectedFrame, ShapesThere, only, shapes_in
from od_core.drawing.palette import colour_of
from od_core.errors import OutputError, UsageError
from od_core.folder_commit import check_folder, commit_folder
from od_core.ground_truth import GroundTruth
from od_core.review.boxes import REASONS, mark
from od_core.review.chunks import write_call
from od_core.review.items import (
    FILES_PER_FOLDER,
    FRAMES_PER_CHUNK,
    ITEMS_PER_CHUNK,
    ITEMS_PER_PIECE,
    ItemWriter,
    Summary,
    VideoFramesWriter,
    numbered,
)
from od_core.review.tallies import BINS, FailureTally, ScoreTally
from od_core.review.timeline import Timeline
from od_core.source_root import NOT_MOVED, SourceRoot, look_for
from pipelines.detections_pass import Watch, classes_of, frames_in, is_within, joined_truth, row_count, truth_of
from pipelines.evaluate.detections import find_detections
from pipelines.ordered import ordered_map
from pipelines.review.media import RecordShower, Shown, relative_url, show_image, show_video

MADE_BY = "review/1"
METRICS_FILE = "metrics.json"

_PAGES = importlib.resources.files("od_core.review") / "pages"
_USUAL_RATE = 25
_PLACES_HELD = 1 << 10

Row = tuple[DetectedFrame, GroundTruth | None]


@dataclasses.dataclass(frozen=True)
class ReviewAsk:
    """What to review, and how.

    Attributes:
        detections: a detections dataset.
        output: the folder of the pages.
        ground_truth: what `open_all_ground_truth` takes; empty: there is none.
        evaluation: the output folder of boxbeam evaluate, or None.
        source_root: where originals lie that were moved.
        min_score: detections below are not on the pages.
        self_contained: with copies of pictures and videos, so that the folder can be given away.
        workers: threads.
    """

    detections: str
    output: str
    ground_truth: tuple[str, ...] = ()
    evaluation: str | None = None
    source_root: SourceRoot = NOT_MOVED
    min_score: float = 0.05
    self_contained: bool = False
    workers: int = 1


class Reviewed(NamedTuple):
    """What a review came to: pictures and videos, detections, failed rows, and originals that cannot be shown."""

    items: int
    detections: int
    failed: int
    not_shown: int


def review(ask: ReviewAsk, watch: Watch = lambda frames, total: frames) -> Reviewed:
    """Write the pages, all or nothing; those made before are replaced.

    Raises:
        UsageError: no detections dataset, ground truth of other images, no evaluation, an output that cannot be.
        StorageError: the disk is full or cannot be written to.
    """
    detections = find_detections(ask.detections)
    if is_within(ask.output, ask.detections):
        raise OutputError(f"{ask.output}: lies in the detections, which are not to be changed; choose another --output")
    check_folder(ask.output, MADE_BY)
    if storage.is_remote(ask.output):  # what lies here cannot be shown from there
        ask = dataclasses.replace(ask, self_contained=True)
    ask.source_root.check()
    metrics = _metrics(ask.evaluation) if ask.evaluation else []
    classes = classes_of(detections)
    with (
        joined_truth(ask.ground_truth, detections, classes) as truth,
        ThreadPoolExecutor(ask.workers) as threads,
        commit_folder(ask.output, MADE_BY, {"min_score": ask.min_score}) as folder,
        contextlib.closing(RecordShower()) as records,
    ):
        for page in _PAGES.iterdir():
            (folder / page.name).write_bytes(page.read_bytes())
        pages = _Pages(ask, folder, threads, records)
        shapes = shapes_in(detections.files)
        frames = watch(frames_in(detections, truth, with_shapes=any(shapes)), row_count(detections))
        frames = only(frames, min_score=ask.min_score)
        pages.add_all((frame, truth_of(frame, truth)) for frame in frames)
        return pages.finish(classes, metrics, has_truth=truth is not None, shapes=shapes)


def _metrics(folder: str) -> list[list[object]]:
    """The numbers of an evaluation, by name."""
    path = storage.join(folder, METRICS_FILE)
    try:
        told = json.loads(storage.read_bytes(path))["metrics"]
        return [[str(name), value] for name, value in told.items() if value is None or isinstance(value, int | float)]
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read; --evaluation is what boxbeam evaluate wrote as its --output"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not what boxbeam evaluate writes ({error!r})") from error


class _Pages:
    """The pages in the making."""

    def __init__(self, ask: ReviewAsk, folder: pathlib.Path, threads: Executor, records: RecordShower):
        self._ask = ask
        self._folder = folder
        self._threads = threads
        self._items = ItemWriter(folder)
        self._scores = ScoreTally()
        self._failures = FailureTally()
        self._records = records
        self._look_for = functools.lru_cache(_PLACES_HELD)(look_for)  # of records and videos many rows ask for one
        self._counts = {"images": 0, "videos": 0, "frames": 0, "empty": 0, "detections": 0, "annotated": 0}
        self._not_shown = 0

    def add_all(self, rows: Iterable[Row]) -> None:
        """All rows, in the order of the dataset."""
        for (kind, _), group in itertools.groupby(rows, lambda row: (row[0].kind, _video_key(row[0]))):
            if kind == "video":
                self._add_video(group)
                continue
            for (frame, truth), shown in self._shown(kind, group):
                self._add_image(frame, truth, shown)

    def finish(
        self, classes: Mapping[int, str], metrics: list[list[object]], *, has_truth: bool, shapes: ShapesThere
    ) -> Reviewed:
        """Write what is left, and the overview."""
        pieces = self._items.finish()
        names = {**{class_id: f"class {class_id}" for class_id in self._scores.classes}, -1: "other classes", **classes}
        there = [class_id for class_id in names if class_id >= 0 or class_id in self._scores.classes]
        told = {
            "title": posixpath.basename(self._ask.detections.rstrip("/")),
            "items": self._items.count,
            "pieces": pieces,
            "itemsPerPiece": ITEMS_PER_PIECE,
            "itemsPerChunk": ITEMS_PER_CHUNK,
            "framesPerChunk": FRAMES_PER_CHUNK,
            "filesPerFolder": FILES_PER_FOLDER,
            "bins": BINS,
            "reasons": REASONS,
            "hasTruth": has_truth,
            "shapes": [name for name, there in shapes._asdict().items() if there],
            "minScore": self._ask.min_score,
            "counts": {**self._counts, "failed": self._failures.total, "notShown": self._not_shown},
            "classes": [[i, names[i], _hex(i), self._scores.by_class(i)] for i in sorted(there)],
            "failures": self._failures.told(),
            "metrics": metrics,
        }
        write_call(self._folder / "data/overview.js", "overview", told)
        return Reviewed(self._items.count, self._counts["detections"], self._failures.total, self._not_shown)

    def _shown(self, kind: str, rows: Iterable[Row]) -> Iterator[tuple[Row, Shown]]:
        if kind == "record":
            return ((row, self._records.show(self._place(row[0]), row[0].record_index or 0)) for row in rows)
        copy = self._ask.self_contained
        return ordered_map(
            lambda row: (row, show_image(self._place(row[0]), copy=copy)),
            rows,
            self._threads,
            2 * self._ask.workers,
        )

    def _add_image(self, frame: DetectedFrame, truth: GroundTruth | None, shown: Shown) -> None:
        number, boxes, summary = self._items.count, None, Summary()
        if frame.detections is None:
            self._failures.add(frame)
        else:
            boxes = mark(frame, frame.detections, truth)
            summary.add(boxes.marks)
            self._scores.add(boxes.marks)
            self._counts["images"] += 1
            self._counts["empty"] += not len(frame.detections)
            self._counts["detections"] += len(frame.detections)
            self._counts["annotated"] += truth is not None
        url = ""
        if shown.preview is not None:
            url = self._write(numbered("previews", number, ".jpg"), shown.preview)
        elif shown.thumbnail is not None:
            url = relative_url(self._place(frame), self._ask.output)
        if shown.thumbnail is not None:
            self._write(numbered("thumbs", number, ".jpg"), shown.thumbnail)
        self._not_shown += shown.thumbnail is None
        self._items.add(
            frame,
            has_thumbnail=shown.thumbnail is not None,
            url=url,
            note=shown.note or _size_note(frame, shown.size),
            summary=summary,
            boxes=boxes,
            size=shown.size,
            failure=frame.error.message if frame.error else "",
        )

    def _add_video(self, rows: Iterable[Row]) -> None:
        first, rows = _peek(rows)
        number = self._items.count
        proxy = numbered("videos", number, ".mp4")
        shown = show_video(self._place(first), self._folder / proxy, copy=self._ask.self_contained)
        timeline, summary, frames = Timeline(), Summary(), VideoFramesWriter(self._folder, number)
        damage: list[list[object]] = []
        looked_at: DetectedFrame | None = None
        seconds = 0.0
        for frame, truth in rows:
            # A stretch that failed without having told a time begins behind the frame before it.
            seconds = seconds if frame.frame_index is None else _seconds(frame, shown.start)
            if frame.detections is None:
                self._failures.add(frame)
                damage.append([seconds, frame.error.message if frame.error else ""])
                continue
            looked_at = frame
            boxes = mark(frame, frame.detections, truth)
            for tally in (summary, self._scores):
                tally.add(boxes.marks)
            timeline.add(seconds, boxes.marks)
            frames.add(seconds, frame.frame_index or 0, boxes)
            self._counts["frames"] += 1
            self._counts["empty"] += not len(frame.detections)
            self._counts["detections"] += len(frame.detections)
            self._counts["annotated"] += truth is not None
        frames.finish(timeline, damage)
        self._counts["videos"] += 1
        self._not_shown += shown.thumbnail is None
        if shown.thumbnail is not None:
            self._write(numbered("thumbs", number, ".jpg"), shown.thumbnail)
        url = proxy if shown.proxy else relative_url(self._place(first), self._ask.output)
        self._items.add(
            looked_at or first,
            has_thumbnail=shown.thumbnail is not None,
            url=url if shown.thumbnail is not None else "",
            note=shown.note or _size_note(looked_at or first, shown.size),
            summary=summary,
            boxes=None,
            size=shown.size,
            failure=str(damage[0][1]) if damage else "",
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def _place(self, frame: DetectedFrame) -> str:
        """Where the original lies now: for a record, its file."""
        name = posixpath.basename(frame.source) if frame.kind == "record" else frame.key
        place = self._ask.source_root.place(name, frame.source) or frame.source
        found = self._look_for(place)
        return place if found is None else found.path


def _video_key(frame: DetectedFrame) -> tuple[str, str] | None:
    return (frame.source, frame.key) if frame.kind == "video" else None


def _peek(rows: Iterable[Row]) -> tuple[DetectedFrame, Iterable[Row]]:
    iterator = iter(rows)
    first = next(iterator)
    return first[0], itertools.chain([first], iterator)


def _seconds(frame: DetectedFrame, start: float) -> float:
    """When a player shows a frame; `start`: see `ShownVideo`."""
    if frame.timestamp_us is None:
        return (frame.frame_index or 0) / _USUAL_RATE
    return max(0.0, frame.timestamp_us / 1e6 - start)


def _size_note(frame: DetectedFrame, size: tuple[int, int] | None) -> str:
    if size is None or frame.width is None or frame.height is None or size == (frame.width, frame.height):
        return ""
    return (
        f"the original is {size[0]} x {size[1]} now, but was {frame.width} x {frame.height} when it was looked at:"
        " boxes may not lie where they should"
    )


def _hex(class_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour_of(class_id))
