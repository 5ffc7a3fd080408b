"""From parsed options to an exit status: run a job on the engine, show progress, sum up, explain what went wrong."""

import argparse
import logging
import os
import pathlib
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence

from beam_jobs import options, summary
from beam_jobs.progress import Progress, progress_for
from beam_jobs.run_log import RunLog
from beam_jobs.terminal import visible
from od_core import storage
from od_core.errors import BoxbeamError, OutputError, RunStoppedError, TooManyFailedError, UsageError
from pipelines.dataset import Dataset, refuse_other_use
from pipelines.engine import Engine
from pipelines.executor import Work
from pipelines.items import Ask
from pipelines.job import Job
from pipelines.plan import Plan, make_plan
from pipelines.remote.file_systems import FileSystems
from pipelines.work import RunResult, run

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_SOME_FAILED = 0, 1, 2, 3


MoreOfPlan = Callable[[Work, Plan], str]


def launch(
    name: str,
    make_job: Callable[[], Job],
    args: argparse.Namespace,
    beam_options: Sequence[str],
    more_of_plan: MoreOfPlan | None = None,
) -> int:
    """Run a job as its command line says.

    Args:
        name: the word on the command line.
        make_job: builds the job from the parsed options; may raise UsageError.
        args: parsed options, with those of `options.add_common`, `input` and `output`.
        beam_options: what is Beam's.
        more_of_plan: what --dry_run says besides the plan.

    Returns:
        The exit status.
    """
    _quiet_libraries()
    progress = progress_for(args.progress, name)
    try:
        result = perform(make_job, args, beam_options, progress, more_of_plan)
    except UsageError as error:
        return _say(name, error, EXIT_USAGE)
    except RunStoppedError as error:
        return _stopped(name, progress, args.output, str(error))
    except KeyboardInterrupt:
        return _stopped(name, progress, args.output, "SIGINT")
    except BoxbeamError as error:
        return _say(name, error, EXIT_FAILED)
    return EXIT_SOME_FAILED if result and result.finished.manifest.counts["failed"] else EXIT_DONE


def perform(
    make_job: Callable[[], Job],
    args: argparse.Namespace,
    beam_options: Sequence[str],
    progress: Progress,
    more_of_plan: MoreOfPlan | None = None,
) -> RunResult | None:
    """Run a job as its command line says, and print what it came to; arguments as for `launch`.

    Returns:
        What the run did; None after --dry_run.

    Raises:
        BoxbeamError: it was refused, stopped, or too much of it failed.
    """
    engine = Engine(args.runner, beam_options)
    files = reach_file_systems(beam_options)
    work = _work(make_job, args, engine, files)
    if args.dry_run:
        _dry_run(work, more_of_plan)
        return None
    result = _run(work, engine, progress, args)
    if result.too_many_failed:
        share = f"more than --max_failed_ratio {args.max_failed_ratio:g} allows"
        raise TooManyFailedError(f"{share}; the rows are there all the same")
    return result


def reach_file_systems(beam_options: Sequence[str]) -> FileSystems:
    """Make paths with a scheme known in this process; what it returns does so in others."""
    files = FileSystems(beam_options)
    storage.register_remote(files)
    return files


def _work(make_job: Callable[[], Job], args: argparse.Namespace, engine: Engine, files: FileSystems) -> Work:
    inputs, output = [options.absolute(path) for path in args.input], options.absolute(args.output)
    refuse_output(output)
    for path in filter(storage.is_remote, (*inputs, output)):
        files.check(path)
    job = make_job()
    memory = options.default_worker_memory() if args.worker_memory == "auto" else args.worker_memory
    return Work(
        job=job,
        ask=Ask(
            tuple(inputs),
            output,
            overwrite=args.overwrite,
            retry_failed=args.retry_failed,
            allow_removed=args.allow_removed,
        ),
        spread=job.spread(args.workers or (options.cores() if engine.is_local else 1)),
        isolation=args.isolation or ("process" if engine.is_local else "none"),
        stall_seconds=args.stall_timeout,
        memory_bytes=memory,
        run_id=uuid.uuid4().hex,
        remote_files=files,
    )


def _run(work: Work, engine: Engine, progress: Progress, args: argparse.Namespace) -> RunResult:
    if not args.log_file:
        return _run_told(work, engine, progress, args)
    with RunLog(args.log_file) as log:
        progress.log_to(log)
        progress.log(f"boxbeam {work.job.name} into {work.ask.output}")
        return _run_told(work, engine, progress, args)


def _run_told(work: Work, engine: Engine, progress: Progress, args: argparse.Namespace) -> RunResult:
    """Run, and tell how it ended: on the terminal, in run.json, and in the log."""
    started = time.time()
    try:
        with progress:
            if work.job.options.get("--identity") == "content":
                progress.say("reading all of every input first, to see which have changed (--identity content)")
            result = run(work, engine, progress, max_failed_ratio=args.max_failed_ratio)
    except UsageError as error:
        progress.log(f"refused: {error}")
        raise
    except BoxbeamError as error:
        progress.log(f"stopped: {error}")
        if storage.is_remote(work.ask.output) or storage.is_folder(work.ask.output):  # else nothing was started
            summary.write_report(work, engine, progress, started, error=error)
        raise
    if result.planned_inputs or not summary.is_reported(work, result):
        summary.write_report(work, engine, progress, started, result=result)
    said = summary.text(work, progress, result)
    progress.log(said)
    print(said, flush=True)
    return result


def _dry_run(work: Work, more: MoreOfPlan | None) -> None:
    work.enter_process()
    if not work.ask.overwrite:
        refuse_other_use(Dataset(work.ask.output), work.job)
    plan = make_plan(work.job, work.ask)
    print(summary.plan_text(work, plan), flush=True)
    if more is not None:
        print(more(work, plan))


def refuse_output(output: str) -> None:
    """Refuse a place where no folder can be made, before a model is read or anything is planned."""
    if storage.is_remote(output):
        return
    try:
        output.encode()
    except UnicodeEncodeError as error:
        name = storage.printable(output)
        raise OutputError(f"{name}: Parquet files need a path in UTF-8; choose another --output") from error
    place = pathlib.Path(output)
    while not os.path.lexists(place):
        place = place.parent
    here = "it" if place == pathlib.Path(output) else str(place)
    if not place.is_dir():
        raise OutputError(f"{output}: cannot be the output folder: {here} is not a folder; choose another --output")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"{output}: cannot be written: no permission to write in {place}; choose another --output")


def _say(name: str, error: BoxbeamError, status: int) -> int:
    told = "\n".join(map(visible, str(error).split("\n")))  # that of an item process has lines
    print(f"boxbeam {name}: {'error' if status == EXIT_USAGE else 'stopped'}: {told}", file=sys.stderr, flush=True)
    return status


def _stopped(name: str, progress: Progress, output: str, signal_name: str) -> int:
    ended = progress.inputs_ended
    kept = f"{ended:,} inputs of this run are done and kept" if ended else "what was finished is kept"
    message = f"interrupted; {kept}. Repeat the command to continue ({output})"
    print(f"boxbeam {name}: {message}", file=sys.stderr, flush=True)
    return 128 + (signal.SIGTERM if signal_name == "SIGTERM" else signal.SIGINT)


def _quiet_libraries() -> None:
    """Beam and its friends log to the root logger what is no news to a user; errors still get through."""
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
