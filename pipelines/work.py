"""Running a job: refuse what cannot work, plan, run the items, finish the dataset.

    boxbeam JOB ─► run() ─► make_plan ─► graph: PlanItems ─► RunItems ─► part files ─► finalize ─► manifest

The output is a pure function of inputs and options: run again after a kill it continues, after success it has nothing
to do, with more inputs it does the new ones.
"""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from od_core import storage
from od_core.errors import RunStoppedError, StorageError
from pipelines import executor, local_run
from pipelines.dataset import Dataset, refuse_other_use
from pipelines.engine import Engine, run_graph
from pipelines.executor import Work
from pipelines.finalize import Finished, Unfinished, finalize
from pipelines.held import HeldOutcomes
from pipelines.local_run import LocalRun, share_exceeded
from pipelines.lock import Check, locked
from pipelines.observer import Observer
from pipelines.plan import Plan, make_plan, prepare_work


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        finished: the dataset as it now is.
        planned_inputs: pieces this run had to do; -1 where only the workers know.
        seconds: wall time of planning and running, and of finalizing.
        too_many_failed: the dataset is finished, but more of its inputs failed than were allowed to.
    """

    finished: Finished
    planned_inputs: int
    seconds: Mapping[str, float]
    too_many_failed: bool


def run(work: Work, engine: Engine, observer: Observer, *, max_failed_ratio: float) -> RunResult:
    """Do a job, from its inputs to a finished dataset.

    Raises:
        UsageError: nothing was started.
        StorageError, ItemError, TooManyFailedError: the run stopped; finished items are kept.
        RunStoppedError: the user or the system stopped it.
    """
    work.enter_process()
    dataset = Dataset(work.ask.output)
    if not work.ask.overwrite:
        refuse_other_use(dataset, work.job)
    work.job.check(work.ask)
    with locked(work.ask.output, observer.incident) as check:
        started = time.monotonic()
        planned, held = _execute(work, engine, observer, dataset, max_failed_ratio, again=False)
        executed = time.monotonic()
        finished = _finalize(work, engine, held, check)
        if isinstance(finished, Unfinished):
            if finished.unfit:
                observer.incident(_again_words(finished))
            _, held = _execute(work, engine, observer, dataset, max_failed_ratio, again=True)
            executed = time.monotonic()
            finished = _finalize(work, engine, held, check)
        if isinstance(finished, Unfinished):
            raise StorageError(f"{work.ask.output}: {_again_words(finished)}; repeat the command, it continues")
        seconds = {"run": executed - started, "finalize": time.monotonic() - executed}
    counts = finished.manifest.counts
    exceeded = share_exceeded(counts["failed"], counts["inputs"], max_failed_ratio)
    return RunResult(finished, planned, seconds, exceeded)


def _finalize(work: Work, engine: Engine, held: HeldOutcomes | None, check: Check) -> Finished | Unfinished:
    if engine.is_local:
        return finalize(work.job, work.ask, held=held, check=check)
    from pipelines.spread_files import spread_files

    return finalize(work.job, work.ask, spread_files(work, engine), held, check)


def _again_words(unfinished: Unfinished) -> str:
    if not unfinished.unfit:
        return f"{unfinished.steps} of its inputs were done in ranges that are not put together: a worker was lost"
    name, reason = unfinished.unfit[0]
    more = f" and {len(unfinished.unfit) - 1} more are" if len(unfinished.unfit) > 1 else " is"
    return f"{name}{more} to be done in one go, as pieces of it may not fit together: {reason.rstrip('.')}"


def _execute(
    work: Work, engine: Engine, observer: Observer, dataset: Dataset, max_failed_ratio: float, *, again: bool
) -> tuple[int, HeldOutcomes | None]:
    """Run every item that is still to be done.

    Args:
        again: it is this run itself that has done something already.

    Returns:
        How many inputs were to be done (-1 where only workers know); and, where there were none, what the output has.
    """
    storage.remove_leftovers(dataset.path)
    storage.remove_leftovers(dataset.parts)
    if (work.ask.overwrite or work.ask.retry_failed) and not again:
        _forget_failures(dataset, work)
    finished_before = dataset.manifest() is not None and not work.ask.overwrite
    if not engine.is_local and not finished_before:
        _note_options(dataset, work)
        _run_graph(work, engine)
        return -1, None
    # On a cluster too a finished dataset is planned here first: most likely there is nothing to do.
    plan = make_plan(work.job, work.ask)
    observer.planned(plan)
    _note_options(dataset, work)
    prepare_work(dataset, plan)
    if plan.items and engine.is_local:
        _run_locally(work, engine, plan, observer, max_failed_ratio)
    elif plan.items:
        _run_graph(work, engine)
    return plan.pieces, None if plan.items else plan.held


def _forget_failures(dataset: Dataset, work: Work) -> None:
    """Drop parts of an interrupted run that hold a failure, so that it is tried again."""
    for part in dataset.parts_of(work.job):
        if any(outcome.status == "failed" for outcome in part.outcomes):
            storage.remove([part.path])


def _note_options(dataset: Dataset, work: Work) -> None:
    """Say whose parts lie in `_work`, so that a later run with other options is refused."""
    if dataset.options_at_work() != dict(work.job.options):
        storage.write_text(dataset.work_options, json.dumps(dict(work.job.options), indent=1))


def _run_locally(work: Work, engine: Engine, plan: Plan, observer: Observer, max_failed_ratio: float) -> None:
    run = LocalRun(plan, observer, max_failed_ratio)
    with local_run.registered(work.run_id, run), _stopped_by_signals(run):
        items = executor.acquire(work)
        try:
            items.warm_up()  # the processes load their model while this one still imports Beam
            _run_graph(work, engine)
        finally:
            executor.release(work)
    if run.error is not None:
        raise run.error


def _run_graph(work: Work, engine: Engine) -> None:
    run_graph(engine, lambda root: build(root, work, spread=not engine.is_local))


def build(root: Any, work: Work, *, spread: bool) -> Any:
    """The graph of any job: items are planned, spread over the workers, and run.

    Args:
        root: the pipeline.
        work: the run.
        spread: put a shuffle of the (small) items between planning and running, so that a cluster shares them out;
            on one machine the executor does that, without waiting for the plan to end.
    """
    from pipelines.run_items import PlanItems, RunItems, SpreadItems

    items = root | "PlanItems" >> PlanItems(work)
    if spread:
        items = items | "SpreadItems" >> SpreadItems()
    return items | "RunItems" >> RunItems(work)


@contextlib.contextmanager
def _stopped_by_signals(run: LocalRun) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run in order; a second Ctrl-C ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        if isinstance(run.error, RunStoppedError):
            os._exit(128 + number)
        run.stop(RunStoppedError(signal.Signals(number).name))

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
