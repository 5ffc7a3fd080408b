"""Makes detections of a video without a model: boxes that drift over its frames.

python -m benchmarks.make_video_detections VIDEO OUTPUT [--boxes 8]
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.child import answer, whole
from od_core import storage
from od_core.detections import Detections
from od_core.label_map import LabelMap
from od_core.schemas import FrameRow, detections_table
from od_core.video.frames import VideoFrame, read_video
from pipelines.engine import Engine
from pipelines.executor import Work
from pipelines.infer.job import InferJob
from pipelines.items import Ask, Item, Outcome
from pipelines.job import Spread, Watch, Worker
from pipelines.observer import Silent
from pipelines.parts import RowWriter
from pipelines.work import run

LABELS = LabelMap.of_names(["person", "bicycle", "bird", "boat", "buoy", "car", "bus", "tree"])

_ROWS_PER_TABLE = 512
_SIDE = 0.2


@dataclasses.dataclass(frozen=True)
class DriftingBoxesJob(InferJob):
    """infer without a model: `boxes` boxes on every frame."""

    boxes: int = 8

    def open_worker(self, output: str, threads: int) -> Worker:
        return _DriftingBoxes(self.boxes)


class _DriftingBoxes:
    provenance: Mapping[str, object] = {}

    def __init__(self, boxes: int):
        self._boxes = boxes

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        for piece in item.pieces:
            made = list(self._rows(piece.source.key, piece.source.uri))
            for start in range(0, len(made), _ROWS_PER_TABLE):
                rows.write(detections_table(made[start : start + _ROWS_PER_TABLE], LABELS.labels))
            rows.finish(Outcome(piece, "done", len(made), {"frames": len(made)}))

    def _rows(self, key: str, uri: str) -> Iterator[FrameRow]:
        numbers = np.arange(self._boxes)
        for frame in read_video(uri):
            if not isinstance(frame, VideoFrame):
                continue
            height, width, _ = frame.image.shape
            corners = np.stack([numbers * 0.37 + frame.index * 0.002, numbers * 0.61 + frame.index * 0.003], axis=1)
            corners = corners % (1 - _SIDE)
            found = Detections.best_first(
                np.concatenate([corners, corners + _SIDE], axis=1),
                0.95 - numbers * 0.05,
                numbers % len(LABELS.labels) + 1,
            )
            yield FrameRow(
                key, storage.printable(uri), "video", frame.index, None, frame.timestamp_us, width, height, found
            )

    def close(self) -> None:
        pass


def main() -> int:
    """Make them; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--boxes", type=whole, default=8)
    args = parser.parse_args()
    job = DriftingBoxesJob("", "", LABELS, boxes=args.boxes)
    work = Work(
        job=job,
        ask=Ask((str(args.video),), str(args.output)),
        spread=Spread(1, 1),
        isolation="none",
        stall_seconds=300,
        memory_bytes=None,
        run_id="made",
    )
    finished = run(work, Engine(), Silent(), max_failed_ratio=0).finished
    answer(dict(finished.manifest.counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
