"""What a run came to: the lines a person reads at the end, and run.json for programs."""

import collections
import datetime
import json
import re
import sys
import time
from collections.abc import Mapping, Sequence

from beam_jobs.progress import Progress
from beam_jobs.terminal import visible
from od_core import storage
from od_core.errors import BoxbeamError
from pipelines.dataset import RUN_REPORT
from pipelines.engine import Engine
from pipelines.executor import Work
from pipelines.items import OUTCOMES, Outcome
from pipelines.manifest import Manifest
from pipelines.plan import Plan
from pipelines.work import RunResult

_FAILURES_SHOWN = 10
_KINDS_SHOWN = 8
_LINES_SHOWN = 12
_BEFORE = {"start_up": "start-up", "first_result": "first result after"}
_SECRET = re.compile(r"^--.*(secret|token|password|access_key|credential)", re.IGNORECASE)
_FAILURES_REPORTED = 1000


def text(work: Work, progress: Progress, result: RunResult) -> str:
    """The closing lines of a run."""
    manifest, output = result.finished.manifest, work.ask.output
    if result.planned_inputs == 0 and not result.finished.changed:
        head = f"{work.job.name}: nothing to do: {output} is complete"
    else:
        head = f"{work.job.name}: finished in {duration(sum(result.seconds.values()))}: {output}"
    lines = [head, f"  {_inputs_line(manifest.counts)}"]
    others = {name: n for name, n in manifest.counts.items() if name not in (*OUTCOMES, "inputs")}
    if others:
        lines.append("  " + ", ".join(counted(n, name.replace("_", " ")) for name, n in others.items()))
    if result.finished.removed_inputs:
        lines.append(
            f"  {counted(result.finished.removed_inputs, 'inputs')} of the former run gone or changed: rows removed"
        )
    lines += [f"  {note}" for note in manifest.details.get("notes", [])]
    by_class, by_reason = (_total(manifest, name) for name in ("by_class", "by_reason"))
    lines += _table("detections by class", by_class) if manifest.counts.get("detections") else []
    lines += _table("failed rows by reason", by_reason)
    if progress.steps:
        lines.append(f"  time: {_times(work, progress, result)}")
    speed = _speed(progress)
    if speed:
        lines.append(f"  speed: {speed}")
    if choices := progress.choices:
        found = [f"{name}: {' or '.join(map(str, numbers))}" for name, numbers in choices.items()]
        lines.append(f"  found best: {', '.join(found[:_KINDS_SHOWN])}{', ...' * (len(found) > _KINDS_SHOWN)}")
    lines += _failure_lines(result.finished.failed, manifest.counts["failed"])
    return "\n".join(map(visible, lines))


def plan_text(work: Work, plan: Plan) -> str:
    """What `--dry_run` prints."""
    lines = [
        f"{work.job.name}: plan for {work.ask.output} (nothing is done)",
        f"  inputs: {_kinds(work, plan.kinds)} ({byte_size(plan.source_bytes)})",
        f"  to do:  {_kinds(work, plan.open_kinds)} ({byte_size(plan.weight)}) in {counted(len(plan.items), 'items')}",
        f"  with:   {counted(work.spread.processes, 'item processes')}, {counted(work.spread.threads, 'threads')} each",
    ]
    if plan.ignored:
        passed = ", ".join(f"{n:,} {e or 'without extension'}" for e, n in sorted(plan.ignored.items()))
        lines.append(f"  passed over: {passed}")
    return "\n".join(lines)


def write_report(
    work: Work,
    engine: Engine,
    progress: Progress,
    started: float,
    *,
    result: RunResult | None = None,
    error: BoxbeamError | None = None,
) -> None:
    """Write OUTPUT/run.json: how this run went. Not part of the dataset's content: it holds times."""
    seconds = {"total": time.monotonic() - progress.created, **_seconds(progress)}
    report = {
        "boxbeam": "run/1",
        "job": work.job.name,
        "status": "finished" if result else "stopped",
        "error": str(error) if error else None,
        "command": [storage.printable(argument) for argument in masked(sys.argv)],
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "runner": engine.runner,
        "processes": work.spread.processes,
        "threads": work.spread.threads,
        "seconds": {name: round(value, 3) for name, value in {**seconds, **(result.seconds if result else {})}.items()},
        "step_seconds": {name: round(value, 3) for name, value in sorted(progress.steps.items())},
        "found_best": progress.choices,
        "this_run": {**progress.statuses, **progress.counts},
        "per_second": round(rate, 3) if (rate := _rate(progress)) else None,
        "items_by_worker": progress.workers,
        "incidents": progress.incidents,
        "dataset": _dataset(result) if result else None,
        "failed": _failures(result, progress),
    }
    try:
        storage.write_text(storage.join(work.ask.output, RUN_REPORT), json.dumps(report, indent=1, ensure_ascii=False))
    except BoxbeamError as not_written:
        print(f"boxbeam {work.job.name}: no run report: {not_written}", file=sys.stderr)


def is_reported(work: Work, result: RunResult) -> bool:
    """Whether run.json tells already of the dataset as it is: a run without work leaves it as it is then.

    It does not where that run dropped inputs that are gone, or an earlier one was killed before it could tell.
    """
    try:
        told = json.loads(storage.read_bytes(storage.join(work.ask.output, RUN_REPORT)))
        return bool(told["dataset"] == _dataset(result))
    except (BoxbeamError, OSError, ValueError, TypeError, KeyError):
        return False


def _seconds(progress: Progress) -> dict[str, float]:
    """What is known of a run's times: its start-up, its first result, and from the first worker to the last item."""
    seconds = {}
    if progress.first_opened is not None:
        seconds["start_up"] = progress.first_opened - progress.created
    if progress.first_result is not None:
        seconds["first_result"] = progress.first_result - progress.created
    if progress.work_seconds is not None:
        seconds["items"] = progress.work_seconds
    return seconds


def _dataset(result: RunResult) -> dict[str, object]:
    """What the dataset holds now, for run.json."""
    manifest = result.finished.manifest
    if "totals" not in manifest.details:
        return dict(manifest.counts)
    return {**manifest.counts, **{name: _total(manifest, name) for name in ("by_class", "by_reason")}}


def _total(manifest: Manifest, name: str) -> dict[str, int]:
    """One of the totals that a job keeps for each data file, added up; the largest first."""
    total: collections.Counter[str] = collections.Counter()
    for of_file in manifest.details.get("totals", {}).values():
        total.update(of_file[name])
    return dict(sorted(total.items(), key=lambda one: (-one[1], one[0])))


def _table(title: str, total: Mapping[str, int]) -> list[str]:
    if not total:
        return []
    shown = list(total.items())[:_LINES_SHOWN]
    lines = [f"  {title}:", *(f"    {count:>12,}  {name}" for name, count in shown)]
    if len(total) > len(shown):
        rest = sum(total.values()) - sum(count for _, count in shown)
        lines.append(f"    {rest:>12,}  in {len(total) - len(shown):,} more, in {RUN_REPORT}")
    return lines


def _times(work: Work, progress: Progress, result: RunResult) -> str:
    """Where the time went: what comes before the first result, and what the threads did then."""
    seconds = _seconds(progress)
    before = [f"{words} {seconds[name]:.1f} s" for name, words in _BEFORE.items() if name in seconds]
    threads = counted(work.spread.processes * work.spread.threads, "threads")
    steps = ", ".join(f"{step} {value:.1f} s" for step, value in sorted(progress.steps.items()))
    return f"{', '.join(before)}; {steps} (all {threads} together); finalize {result.seconds['finalize']:.1f} s"


def masked(command: Sequence[str]) -> list[str]:
    """A command line without its secrets: run.json is there to be shown around."""
    shown: list[str] = []
    secret = False
    for argument in command:
        name, equals, _ = argument.partition("=")
        shown.append("***" if secret else f"{name}=***" if equals and _SECRET.search(name) else argument)
        secret = not equals and argument.startswith("--") and _SECRET.search(argument) is not None
    return shown


def _inputs_line(counts: Mapping[str, int]) -> str:
    states = ", ".join(f"{counts[status]:,} {status}" for status in OUTCOMES)
    return f"{counted(counts['inputs'], 'inputs')}: {states}"


def _failures(result: RunResult | None, progress: Progress) -> list[dict[str, str]]:
    """The first failed inputs: of the whole dataset, or of this run where it was stopped."""
    pairs = progress.failures
    if result is not None:
        pairs = [(str(one.piece), one.error or "") for one in result.finished.failed[:_FAILURES_REPORTED]]
    return [{"input": name, "error": reason} for name, reason in pairs]


def _failure_lines(failed: Sequence[Outcome], inputs: int) -> list[str]:
    if not failed:
        return []
    lines = [f"  {inputs:,} failed (rows with status 'failed' say why):"]
    lines += [f"    {outcome.piece}: {outcome.error}" for outcome in failed[:_FAILURES_SHOWN]]
    if len(failed) > _FAILURES_SHOWN:
        more = f"{len(failed) - _FAILURES_SHOWN:,} more" if len(failed) < _FAILURES_REPORTED else "more"
        lines.append(f"    and {more}, in {RUN_REPORT}")
    return lines


def _rate(progress: Progress) -> float | None:
    """Images, frames and records a second, all together: they went through the same threads."""
    total, seconds = sum(progress.units.values()), progress.work_seconds
    return total / seconds if total and seconds else None


def _speed(progress: Progress) -> str:
    rate = _rate(progress)
    if rate is None or progress.first_opened is None:
        return ""
    start_up = progress.first_opened - progress.created
    return f"{rate:,.1f} {' and '.join(progress.units)}/s; start-up {start_up:.1f} s apart"


def counted(count: int, things: str) -> str:
    """ "1 image", "2,000 images": a number and the plural of what it counts."""
    if count == 1:
        things = things.removesuffix("es") if things.endswith(("sses", "xes")) else things.removesuffix("s")
    return f"{count:,} {things}"


def _kinds(work: Work, kinds: Mapping[str, int]) -> str:
    if work.job.name == "convert":  # a kind is a shard, of which there may be thousands
        from pipelines.convert.shards import split_of

        splits: dict[str, list[int]] = {}
        for shard, images in sorted(kinds.items()):
            splits.setdefault(split_of(shard), []).append(images)
        told = [
            f"{counted(sum(images), 'images')} in {counted(len(images), 'shards')} of {split}"
            for split, images in splits.items()
        ]
    else:
        told = [counted(n, f"{kind}s") for kind, n in sorted(kinds.items())]
    return ", ".join(told[:_KINDS_SHOWN]) + (", ..." if len(told) > _KINDS_SHOWN else "") or "nothing"


def byte_size(size: float) -> str:
    """ "3.4 MiB": bytes in the unit that keeps the number short."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return counted(round(size), unit) if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def duration(seconds: float) -> str:
    """ "8.2 s", "5 min 3 s", "2 h 7 min": a time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
