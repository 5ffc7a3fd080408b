"""The evaluate job: detections in, numbers out.

    files ─spread─► row groups ─spread─► frames with their ground truth ─► metrics' accumulators ─merge─► numbers

The two are joined by name first (plan.py), which leaves the ground truth of the frames to evaluate as one file, and the
names of the data files as another. Every worker process loads the former once, as arrays: 27 MB for a million boxes and
some 150 bytes a frame. What travels is accumulators: 24 bytes a detection for COCO, 9 for Pascal VOC, all of which end
up in one process.
"""

# No `from __future__ import annotations` here: Beam reads the type hints when the graph is built.

import contextlib
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.utils import shared

from od_core import storage
from od_core.errors import StorageError
from od_core.insight.insight import BoxInsight, Insight
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.metric import Metric, MetricFactory
from od_core.storage import RemoteFiles
from pipelines.engine import Engine, run_graph
from pipelines.evaluate.detections import RowGroup, row_groups_of
from pipelines.evaluate.frame_count import FrameCount
from pipelines.evaluate.frames import DetectionClasses, row_frames
from pipelines.evaluate.insight import InsightTask
from pipelines.evaluate.plan import EvaluationPlan
from pipelines.evaluate.slices import SliceBy
from pipelines.evaluate.truth import WorkerTruth
from pipelines.evaluate.verdicts import VerdictParts


class FrameBatch(list[EvaluatedFrame]):
    """Frames that travel together."""


class _FrameBatchCoder(beam.coders.Coder):
    """Pickles; but tells the size without doing so, which Beam asks for the first elements though they never travel."""

    def encode(self, value: FrameBatch) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> FrameBatch:
        batch: FrameBatch = pickle.loads(encoded)
        return batch

    def estimate_size(self, value: FrameBatch) -> int:
        return sum(24 * len(frame.found) + 27 * len(frame.truth) for frame in value)

    def is_deterministic(self) -> bool:
        return False


beam.coders.registry.register_coder(FrameBatch, _FrameBatchCoder)

Values = dict[str, dict[str, float]]
"""Name of the metric -> its numbers."""


class MetricsFn(beam.CombineFn):
    """Metrics as Beam combines them: batches of frames in, `Values` out.

    Args:
        factories: one for each metric.
    """

    def __init__(self, factories: Sequence[MetricFactory]):
        super().__init__()
        self._factories = tuple(factories)

    def create_accumulator(self) -> tuple[Metric, ...]:
        return tuple(make() for make in self._factories)

    def add_input(self, accumulator: tuple[Metric, ...], frames: FrameBatch) -> tuple[Metric, ...]:
        for metric in accumulator:
            metric.update(frames)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[tuple[Metric, ...]]) -> tuple[Metric, ...]:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            for metric, other in zip(merged, accumulator, strict=True):
                metric.merge(other)
        return merged

    def extract_output(self, accumulator: tuple[Metric, ...]) -> Values:
        return {metric.name: dict(metric.value()) for metric in accumulator}


class InsightFn(beam.CombineFn):
    """Insight as Beam combines it: batches of frames in, `Insight` out."""

    def __init__(self, task: InsightTask):
        super().__init__()
        self._task = task

    def create_accumulator(self) -> BoxInsight:
        return self._task.empty()

    def add_input(self, accumulator: BoxInsight, frames: FrameBatch) -> BoxInsight:
        accumulator.update(frames)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[BoxInsight]) -> BoxInsight:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: BoxInsight) -> Insight:
        return accumulator.value()


class FindRowGroups(beam.PTransform):
    """The row groups of all data files, from nothing: the graph has the name of a list of them, and workers look."""

    def __init__(self, plan: EvaluationPlan, remote_files: RemoteFiles | None = None):
        super().__init__()
        self._files_file, self._remote_files = plan.files_file, remote_files

    def expand(self, root: beam.Pipeline) -> beam.PCollection[RowGroup]:
        return (
            root
            | beam.Impulse()
            | "Files" >> beam.FlatMap(_data_files, self._files_file, self._remote_files).with_output_types(str)
            | "SpreadFiles" >> beam.Reshuffle()  # each is opened for its footer, far away perhaps
            | "Footers" >> beam.FlatMap(_row_groups, self._remote_files).with_output_types(RowGroup)
            | "SpreadRowGroups" >> beam.Reshuffle()  # else one worker would get all of a file
        )


def _data_files(_: bytes, files_file: str, remote_files: RemoteFiles | None) -> list[str]:
    storage.register_remote(remote_files)
    files: list[str] = json.loads(storage.read_bytes(files_file))
    return files


def _row_groups(path: str, remote_files: RemoteFiles | None) -> Iterator[RowGroup]:
    storage.register_remote(remote_files)
    return row_groups_of(path)


class ReadFrames(beam.PTransform):
    """Row groups of detections in, batches of frames with their ground truth out; verdicts are left beside."""

    def __init__(
        self,
        plan: EvaluationPlan,
        remote_files: RemoteFiles | None = None,
        verdicts: VerdictParts | None = None,
        slicing: Sequence[SliceBy] = (),
    ):
        super().__init__()
        self._plan, self._remote_files, self._verdicts, self._slicing = plan, remote_files, verdicts, slicing

    def expand(self, groups: beam.PCollection[RowGroup]) -> beam.PCollection[FrameBatch]:
        return groups | "Read" >> beam.ParDo(
            _ReadFramesFn(self._plan, self._remote_files, self._verdicts, self._slicing)
        )


class _ReadFramesFn(beam.DoFn):
    """Holds the ground truth, one for all of a process, from setup() on."""

    def __init__(
        self,
        plan: EvaluationPlan,
        remote_files: RemoteFiles | None,
        verdicts: VerdictParts | None,
        slicing: Sequence[SliceBy],
    ):
        self._truth_file, self._ids, self._remote_files = plan.truth_file, plan.detection_classes, remote_files
        self._verdicts, self._slicing = verdicts, tuple(slicing)
        self._shared = shared.Shared()
        self._frames = beam.metrics.Metrics.counter("boxbeam", "frames_evaluated")

    def setup(self) -> None:
        storage.register_remote(self._remote_files)
        self._truth = self._shared.acquire(lambda: WorkerTruth(self._truth_file))
        self._classes = DetectionClasses(self._ids)

    def process(self, group: RowGroup) -> Iterator[FrameBatch]:
        with contextlib.ExitStack() as stack:
            write = stack.enter_context(self._verdicts.writer(group)) if self._verdicts else None
            for rows in row_frames(group, self._truth, self._classes, self._slicing):
                if write:
                    write(rows)
                self._frames.inc(len(rows))
                yield FrameBatch(row.frame for row in rows)


def build(
    root: Any,
    plan: EvaluationPlan,
    factories: Sequence[MetricFactory],
    values_file: str,
    remote_files: RemoteFiles | None = None,
    verdicts: VerdictParts | None = None,
    insight: InsightTask | None = None,
) -> Any:
    """The graph: the numbers of an evaluation end up in `values_file`, which `read_values` reads.

    Args:
        root: the pipeline.
        plan: what to evaluate.
        factories: the metrics.
        values_file: a file that the workers can write.
        remote_files: the file system of paths with a scheme, for the workers.
        verdicts: where to leave the verdict on every detection; None: nowhere.
        insight: what to look into; None: nothing.
    """
    frames = (
        root
        | "RowGroups" >> FindRowGroups(plan, remote_files)
        | "ReadFrames" >> ReadFrames(plan, remote_files, verdicts, insight.slicing if insight else ())
    )
    if insight:
        _ = (
            frames
            | "LookInto" >> beam.CombineGlobally(InsightFn(insight))
            | "WriteInsight" >> beam.Map(_write_insight, insight, remote_files)
        )
    return (
        frames
        | "Evaluate" >> beam.CombineGlobally(MetricsFn([*factories, FrameCount]))
        | "WriteValues" >> beam.Map(_write_values, values_file, remote_files)
    )


def run(
    plan: EvaluationPlan,
    factories: Sequence[MetricFactory],
    engine: Engine,
    values_file: str,
    remote_files: RemoteFiles | None = None,
    verdicts: VerdictParts | None = None,
    insight: InsightTask | None = None,
) -> Values:
    """Evaluate.

    Raises:
        StorageError: the runner gave up; says why. Or frames were lost on the way, as where the detections were made
            anew meanwhile.
    """
    run_graph(engine, lambda root: build(root, plan, factories, values_file, remote_files, verdicts, insight))
    values: Values = json.loads(storage.read_bytes(values_file))
    frames = int(values.pop(FrameCount.name)[FrameCount.name])
    if frames != plan.evaluated:
        raise StorageError(
            f"{plan.detections.path}: {plan.evaluated:,} frames were to be evaluated, and {frames:,} were: the"
            " detections were changed meanwhile, or a worker was lost; repeat the command"
        )
    return values


def _write_values(values: Mapping[str, Mapping[str, float]], path: str, remote_files: RemoteFiles | None) -> None:
    storage.register_remote(remote_files)
    storage.write_text(path, json.dumps(values))  # NaN as Python writes and reads it: the file is our own


def _write_insight(insight: Insight, task: InsightTask, remote_files: RemoteFiles | None) -> None:
    storage.register_remote(remote_files)
    task.write(insight)
