"""infer without a model, for the engine's own cost: item processes unpickle it, so it has a module of its own."""

import dataclasses
from collections.abc import Iterable, Mapping

import pyarrow as pa

from od_core.schemas import FrameRow, detections_table
from pipelines.infer.job import InferJob
from pipelines.items import Item, Outcome
from pipelines.job import Watch, Worker
from pipelines.parts import RowWriter

_ROWS_PER_TABLE = 512


@dataclasses.dataclass(frozen=True)
class NotedJob(InferJob):
    """infer without a model: every image is done, and has no box."""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _NotedWorker()


class _NotedWorker:
    provenance: Mapping[str, object] = {}

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        for piece in item.pieces:
            watch.begin(piece)
            rows.finish(Outcome(piece, "done", 1, {"images": 1, "detections": 0}))
            watch.advance({"images": 1}, piece.weight)
            watch.end(piece)
        for table in _tables(item):
            rows.write(table)

    def close(self) -> None:
        pass


def _tables(item: Item) -> Iterable[pa.Table]:
    rows = [FrameRow(piece.source.key, piece.source.uri, "image", 0, width=640, height=480) for piece in item.pieces]
    for start in range(0, len(rows), _ROWS_PER_TABLE):
        yield detections_table(rows[start : start + _ROWS_PER_TABLE], {})
