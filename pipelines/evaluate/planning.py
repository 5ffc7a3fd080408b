"""Planning an evaluation on a worker of a cluster: the launcher reads neither ground truth nor detections.

A graph of its own, before that of the evaluation: whether the two belong together, and by which names, is known before
the first box is compared, and a refusal is one of words, not of a failed stage.
"""

# No `from __future__ import annotations` here: Beam reads the type hints when the graph is built.

from typing import Any

import apache_beam as beam

from od_core import storage
from od_core.errors import StorageError, UsageError
from od_core.storage import RemoteFiles
from pipelines.engine import Engine, run_graph
from pipelines.evaluate.ask import EvaluationAsk, Planned, planned_from, refusal_text


def plan_on_workers(ask: EvaluationAsk, folder: str, engine: Engine, remote_files: RemoteFiles | None) -> Planned:
    """Let a worker plan.

    Args:
        ask: what is to be evaluated.
        folder: shared by launcher and workers.
        engine: where the workers are.
        remote_files: the file system of paths with a scheme, for the workers.

    Raises:
        UsageError: see `EvaluationAsk.plan`.
        StorageError: the runner gave up; says why.
    """
    place = storage.join(folder, "plan.json")
    run_graph(engine, lambda root: build(root, ask, folder, place, remote_files))
    if storage.stat(place) is None:
        raise StorageError(f"{place}: not there: a worker was lost; repeat the command")
    return planned_from(storage.read_bytes(place))


def build(root: Any, ask: EvaluationAsk, folder: str, place: str, remote_files: RemoteFiles | None = None) -> Any:
    """The graph: what came of planning ends up in the file `place`."""
    return root | beam.Impulse() | "Plan" >> beam.ParDo(_PlanFn(ask, folder, place, remote_files))


class _PlanFn(beam.DoFn):
    def __init__(self, ask: EvaluationAsk, folder: str, place: str, remote_files: RemoteFiles | None):
        self._ask, self._folder, self._place, self._remote_files = ask, folder, place, remote_files

    def process(self, _: bytes) -> None:
        storage.register_remote(self._remote_files)
        try:
            text = self._ask.plan(self._folder).to_text()
        except UsageError as error:  # for the launcher to say; a failed stage would be tried again
            text = refusal_text(error)
        storage.write_text(self._place, text)
