"""One item, from look-up to committed part: the same wherever it runs."""

import dataclasses
import os
import socket
import time
import traceback
from collections.abc import Iterable, Mapping

from od_core import storage
from od_core.errors import BoxbeamError, ItemError
from pipelines.dataset import Dataset, fingerprint, metadata
from pipelines.items import Failure, Item, ItemReport, Outcome, report_on
from pipelines.job import Job, Watch, Worker
from pipelines.parts import commit_rows, read_footer


def open_worker(job: Job, output: str, threads: int) -> tuple[Worker, float]:
    """Open a job's item side in this process; returns it and the seconds that took.

    Raises:
        UsageError: the job as a whole cannot run (not a detector, say).
        ItemError: opening failed for a reason nobody foresaw; carries the traceback.
    """
    started = time.monotonic()
    try:
        worker = job.open_worker(output, threads)
    except BoxbeamError:
        raise
    except Exception as error:
        raise ItemError(f"{job.name} cannot start its work:\n{traceback.format_exc()}") from error
    return worker, time.monotonic() - started


def run_item(job: Job, dataset: Dataset, worker: Worker, item: Item, watch: Watch) -> ItemReport:
    """Do an item, unless its part is there already: a runner that repeats a stage repeats finished items too.

    Raises:
        StorageError: the part cannot be written.
        Exception: whatever the job's worker raises; no part is left then.
    """
    started = time.monotonic()
    name = item.name(fingerprint(job))
    path = dataset.part_path(name)
    outcomes = _written(path)
    is_reused = outcomes is not None
    steps: dict[str, float] = {}
    chosen: Mapping[str, int] = {}
    if outcomes is None:
        with commit_rows(path, job.schema, metadata(job, worker.provenance)) as rows:
            if told := worker.run(item, rows, watch):
                steps, chosen = dict(told.steps), told.chosen
            if [outcome.piece for outcome in rows.outcomes] != list(item.pieces):
                raise ValueError(f"{job.name}: the worker did not finish the pieces of {item} in order")
            worked = time.monotonic()
        if steps:
            steps["write"] = steps.get("write", 0.0) + time.monotonic() - worked
        outcomes = rows.outcomes
    seconds = time.monotonic() - started
    report = report_on(item, name, _results(job, outcomes), seconds=seconds, worker=this_process(), reused=is_reused)
    return dataclasses.replace(report, steps=steps, chosen=chosen)


def fail_item(job: Job, dataset: Dataset, item: Item, failure: Failure) -> ItemReport:
    """Write the part of an item that could not be done: failed rows, so that its inputs are not lost.

    A part that is there stays as it is (the report says `reused`): what was doing the item ended after it was done.

    Raises:
        StorageError: the part cannot be written.
    """
    name = item.name(fingerprint(job))
    path = dataset.part_path(name)
    outcomes = _written(path)
    is_reused = outcomes is not None
    if outcomes is None:
        with commit_rows(path, job.schema, metadata(job, {})) as rows:
            for piece in item.pieces:
                failed = job.failed_rows(piece, failure)
                rows.write(failed)
                rows.finish(Outcome(piece, "failed", failed.num_rows, job.failed_counts, failure.message))
        outcomes = rows.outcomes
    return report_on(item, name, _results(job, outcomes), seconds=0.0, worker=this_process(), reused=is_reused)


def what_came_of(report: ItemReport) -> str:
    """What `fail_item` made of an item, in words for people."""
    return "it had been done before that" if report.reused else "given up, the run goes on"


def _written(path: str) -> list[Outcome] | None:
    """The outcomes in a part file; None where there is none, or a damaged one."""
    footer = read_footer(path) if storage.stat(path) else None
    return None if footer is None else footer[1]


def _results(job: Job, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """What counts as done of some input: its steps will be told with the whole."""
    return [outcome for outcome in outcomes if not job.is_step(outcome.piece)]


def this_process() -> str:
    """Host and process id, for reports that say where work was done."""
    return f"{socket.gethostname()}:{os.getpid()}"
