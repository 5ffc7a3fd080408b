"""What pages know of each picture and video: an index of all of them in pieces, and their boxes in smaller ones.

An item of the index is [key, kind, width, height, has a thumbnail, URL, note, mistakes, summary, failure, file]; the
file is that which a record is in, by its name, "" for what is a file itself. The summary is a flat list of class, mark,
score: the best of its boxes of that class and mark; for a missed object the least score of a finder. With it a page
finds "class 3, false positive, 0.6 or better" without the boxes.
"""

import pathlib
import posixpath
from collections.abc import Iterable, Sequence

from od_core.detected_frames import DetectedFrame
from od_core.review.boxes import Mark, MarkedFrame
from od_core.review.chunks import rounded, write_call
from od_core.review.timeline import Timeline

ITEMS_PER_PIECE = 2000
ITEMS_PER_CHUNK = 32
FRAMES_PER_CHUNK = 250
FILES_PER_FOLDER = 1000

KINDS = ("image", "record", "video")

_MISSED_BELOW = 0.5

Marks = Iterable[tuple[int, Mark, float]]


class Summary:
    """What an item's boxes come to; `mistakes`: its worst frame, scores of what is wrong and 1 for all missed."""

    def __init__(self) -> None:
        self.mistakes = 0.0
        self._best: dict[tuple[int, Mark], float] = {}

    def add(self, marks: Marks) -> None:
        """Take in a frame."""
        mistakes = 0.0
        for class_id, mark, score in marks:
            place = (class_id, mark)
            if mark == Mark.FN:
                mistakes += score < _MISSED_BELOW
                self._best[place] = min(score, self._best.get(place, score))
            else:
                mistakes += score if mark == Mark.FP else 0
                self._best[place] = max(score, self._best.get(place, score))
        self.mistakes = max(self.mistakes, mistakes)

    def told(self) -> list[float]:
        """See the module."""
        return [number for (class_id, mark), score in sorted(self._best.items()) for number in (class_id, mark, score)]


def numbered(folder: str, number: int, ending: str) -> str:
    """Where a file of an item lies: "thumbs/012/12345.jpg"."""
    return f"{folder}/{number // FILES_PER_FOLDER:03d}/{number}{ending}"


class ItemWriter:
    """Writes the items to `data/`, a piece at a time."""

    def __init__(self, folder: pathlib.Path):
        self.count = 0
        self._data = folder / "data"
        self._index: list[object] = []
        self._boxes: list[object] = []

    def add(
        self,
        frame: DetectedFrame,
        *,
        has_thumbnail: bool,
        url: str,
        note: str,
        summary: Summary,
        boxes: MarkedFrame | None,
        size: tuple[int, int] | None = None,
        failure: str = "",
    ) -> None:
        """The next item.

        Args:
            frame: the image or record; of a video any of its rows.
            boxes: of an image or record that did not fail.
            size: width and height, where the row does not say.
            failure: why it, or a stretch of a video, could not be looked at.
        """
        width, height = (frame.width, frame.height) if frame.width else size or (0, 0)
        told = (frame.key, KINDS.index(frame.kind), width, height, int(has_thumbnail), url, note)
        file = posixpath.basename(frame.source) if frame.kind == "record" else ""
        self._index.append([*told, rounded(summary.mistakes), summary.told(), failure, file])
        self._boxes.append(boxes and [boxes.found, boxes.truth])
        self.count += 1
        if len(self._index) == ITEMS_PER_PIECE:
            self._write_index()
        if len(self._boxes) == ITEMS_PER_CHUNK:
            self._write_boxes()

    def finish(self) -> int:
        """Write what is left; how many pieces the index has."""
        if self._index:
            self._write_index()
        if self._boxes:
            self._write_boxes()
        return -(-self.count // ITEMS_PER_PIECE)

    def _write_index(self) -> None:
        piece = (self.count - 1) // ITEMS_PER_PIECE
        write_call(self._data / f"index-{piece:05d}.js", "index", piece, self._index)
        self._index = []

    def _write_boxes(self) -> None:
        chunk = (self.count - 1) // ITEMS_PER_CHUNK
        write_call(self._data / f"boxes-{chunk:05d}.js", "boxes", chunk, self._boxes)
        self._boxes = []


class VideoFramesWriter:
    """Writes the frames of one video to `data/`: [seconds, frame index, detections, objects] each."""

    def __init__(self, folder: pathlib.Path, item: int):
        self._data = folder / "data"
        self._item = item
        self._frames: list[object] = []
        self._starts: list[float] = []

    def add(self, seconds: float, frame_index: int, boxes: MarkedFrame) -> None:
        """The next frame."""
        if not self._frames:
            self._starts.append(rounded(seconds))
        self._frames.append([round(seconds, 6), frame_index, boxes.found, boxes.truth])
        if len(self._frames) == FRAMES_PER_CHUNK:
            self._write()

    def finish(self, timeline: Timeline, damage: Sequence[object]) -> None:
        """Write what is left, and what the page needs to know first."""
        if self._frames:
            self._write()
        told = {
            "end": round(timeline.end, 6),
            "starts": self._starts,
            "columns": timeline.columns,
            "lanes": timeline.lanes(),
            "damage": damage,
        }
        write_call(self._data / f"video-{self._item:06d}.js", "video", self._item, told)

    def _write(self) -> None:
        chunk = len(self._starts) - 1
        path = self._data / f"video-{self._item:06d}-{chunk:05d}.js"
        write_call(path, "videoFrames", self._item, chunk, self._frames)
        self._frames = []
