"""Ranges of a long video: what the item of each leaves in the work folder for the item that joins them."""

import dataclasses
import json
from collections.abc import Sequence

from od_core import storage
from od_core.schemas import FrameError
from od_core.video.ranges import END
from pipelines.dataset import Dataset
from pipelines.items import LAST_END, Item, Joint, Outcome, Piece
from pipelines.joints import misfits


@dataclasses.dataclass
class RenderedRange:
    """What was rendered of a range of a video, and what was seen at its ends.

    Attributes:
        frames: number and time (microseconds in the original) of every frame that is in its video, in order; where
            there is none, there is no such video.
        width, height, detections, objects: as in `RenderedRow`.
        first, after, broken: as in `od_core.video.ranges.RangeEnd`; None for what was not read to its end.
        error: why it cannot be rendered, as a row tells it.
    """

    frames: list[tuple[int, int | None]] = dataclasses.field(default_factory=list)
    width: int | None = None
    height: int | None = None
    detections: int = 0
    objects: int | None = None
    first: str | None = None
    after: str | None = None
    broken: str | None = None
    error: FrameError | None = None

    def joint(self) -> Joint:
        """As the engine knows it."""
        return Joint(self.first, LAST_END if self.after == END else self.after, self.broken)


class RangeFiles:
    """Where ranges lie while a video is in the making."""

    def __init__(self, output: str, fingerprint: str):
        self._folder = storage.join(Dataset(output).work, "ranges")
        self._fingerprint = fingerprint

    def video(self, piece: Piece) -> str:
        """The path of a range's video."""
        return f"{self._stem(piece)}.mp4"

    def write(self, piece: Piece, rendered: RenderedRange) -> None:
        """Leave what is told of a range; after this it is done."""
        storage.write_text(f"{self._stem(piece)}.json", json.dumps(dataclasses.asdict(rendered)))

    def read_all(self, pieces: Sequence[Piece]) -> list[RenderedRange] | None:
        """All ranges of a video, or those up to the first that cannot be rendered; None if they cannot be joined."""
        ranges: list[RenderedRange] = []
        for piece in pieces:
            path = f"{self._stem(piece)}.json"
            if storage.stat(path) is None:
                return None  # its item was given up
            fields = json.loads(storage.read_bytes(path))
            error = fields.pop("error")
            ranges.append(RenderedRange(**fields, error=error and FrameError(*error)))
            if error:
                break
            if ranges[-1].frames and storage.stat(self.video(piece)) is None:
                return None
        told = zip(pieces, ranges, strict=False)
        outcomes = [Outcome(piece, "done", 0, joint=one.joint()) for piece, one in told if not one.error]
        return None if misfits(outcomes) else ranges

    def _stem(self, piece: Piece) -> str:
        return storage.join(self._folder, Item((piece,)).name(self._fingerprint))
