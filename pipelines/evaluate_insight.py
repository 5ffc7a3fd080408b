"""Insight as a branch of the evaluate graph: frames in, a report and curves out."""

# No `from __future__ import annotations` here: Beam reads the type hints when the graph is built.

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.insight.insight import BoxInsight, Insight
from od_core.metrics.frame import EvaluatedFrame
from od_core.storage import RemoteFiles
from pipelines.evaluate_slices import SliceBy

CURVES_FILE = "curves.parquet"
_REPORT_FILE = "insight.json"


@dataclasses.dataclass(frozen=True)
class InsightTask:
    """What to look into, and where to leave it.

    Attributes:
        folder: shared by launcher and workers.
        categories: class id -> name.
        iou: least overlap of a detection that counts as right.
        slicing: parts of the data to tell apart.
    """

    folder: str
    categories: Mapping[int, str]
    iou: float
    slicing: Sequence[SliceBy] = ()

    def empty(self) -> BoxInsight:
        """An accumulator without frames."""
        return BoxInsight(self.categories, self.iou, [way.word for way in self.slicing])

    def read(self) -> "InsightFiles":
        """What the graph has left."""
        document = json.loads(storage.read_bytes(storage.join(self.folder, _REPORT_FILE)))
        with storage.open_input(storage.join(self.folder, CURVES_FILE)) as file:
            return InsightFiles(document["numbers"], document["report"], pq.read_table(file))

    def write(self, insight: Insight) -> None:
        """Leave it."""
        document = {"numbers": insight.numbers, "report": insight.report}
        storage.write_text(storage.join(self.folder, _REPORT_FILE), json.dumps(document))  # NaN: the file is our own
        with storage.commit(storage.join(self.folder, CURVES_FILE)) as temporary:
            pq.write_table(insight.curves, temporary, compression="zstd")


class InsightFiles(NamedTuple):
    """An `Insight`, read back."""

    numbers: dict[str, float]
    report: dict[str, Any]
    curves: pa.Table


class InsightFn(beam.CombineFn):
    """Insight as Beam combines it: batches of frames in, `Insight` out."""

    def __init__(self, task: InsightTask):
        super().__init__()
        self._task = task

    def create_accumulator(self) -> BoxInsight:
        return self._task.empty()

    def add_input(self, accumulator: BoxInsight, frames: Sequence[EvaluatedFrame]) -> BoxInsight:
        accumulator.update(frames)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[BoxInsight]) -> BoxInsight:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: BoxInsight) -> Insight:
        return accumulator.value()


def write_insight(insight: Insight, task: InsightTask, remote_files: RemoteFiles | None) -> None:
    """Leave it where the task says; in a worker."""
    if remote_files is not None:
        storage.register_remote(remote_files)
    task.write(insight)
