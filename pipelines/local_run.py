"""A run whose graph executes in the launcher's own process: how launcher and DoFns find each other.

DoFns are pickled and unpickled even there, so they cannot hold the launcher's observer; they find it by the run's id.
"""

import contextlib
from collections.abc import Callable, Iterator

from od_core.errors import BoxbeamError, TooManyFailedError
from pipelines.input_tally import InputTally
from pipelines.items import ItemReport
from pipelines.observer import Observer
from pipelines.plan import Plan

_FEWEST_INPUTS_TO_JUDGE = 20


class LocalRun:
    """The launcher's side of a local run: its plan, its observer, and the reason to stop, once there is one."""

    def __init__(self, plan: Plan, observer: Observer, max_failed_ratio: float):
        self.plan = plan
        self.observer = _Judge(observer, self, max_failed_ratio)
        self.error: BoxbeamError | None = None
        self._stops: list[Callable[[BoxbeamError], None]] = []

    def on_stop(self, stop: Callable[[BoxbeamError], None]) -> None:
        """Call `stop` when the run is to end early."""
        self._stops.append(stop)
        if self.error is not None:
            stop(self.error)

    def stop(self, error: BoxbeamError) -> None:
        """End the run early; the first reason counts."""
        self.error = self.error or error
        for stop in self._stops:
            stop(self.error)


class _Judge:
    """Passes everything on to the observer, and stops a run in which too much fails."""

    def __init__(self, observer: Observer, run: LocalRun, max_failed_ratio: float):
        self._observer = observer
        self._run = run
        self._max_failed_ratio = max_failed_ratio
        self._tally = InputTally()
        self.planned = observer.planned
        self.opened = observer.opened
        self.advanced = observer.advanced
        self.incident = observer.incident

    def finished(self, report: ItemReport) -> None:
        self._observer.finished(report)
        self._tally.finished(report)
        ended, failed = sum(self._tally.statuses.values()), self._tally.statuses["failed"]
        if share_exceeded(failed, ended, self._max_failed_ratio):
            last = " | ".join(f"{name}: {reason}" for name, reason in report.failures)
            self._run.stop(
                TooManyFailedError(
                    f"{failed} of the first {ended} inputs failed, more than --max_failed_ratio"
                    f" {self._max_failed_ratio:g} allows. The last: {last}. When this is mended, repeat the command"
                    " with --retry_failed"
                )
            )


def share_exceeded(failed: int, inputs: int, max_failed_ratio: float) -> bool:
    """Whether too many failed; few inputs are never judged."""
    return inputs >= _FEWEST_INPUTS_TO_JUDGE and failed > max_failed_ratio * inputs


_runs: dict[str, LocalRun] = {}


@contextlib.contextmanager
def registered(run_id: str, run: LocalRun) -> Iterator[LocalRun]:
    """Let this process's DoFns find the run."""
    _runs[run_id] = run
    try:
        yield run
    finally:
        del _runs[run_id]


def find(run_id: str) -> LocalRun | None:
    """The run of this id, if its launcher is this process."""
    return _runs.get(run_id)
