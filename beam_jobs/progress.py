"""Progress of a run, for people: a live bar on a terminal, a line now and then elsewhere, always on stderr.

The bar measures bytes of input, the one thing that is known before the work is done; the words count what people count.
"""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from beam_jobs.run_log import RunLog
from beam_jobs.terminal import visible
from pipelines.input_tally import InputTally
from pipelines.items import ItemReport, add_counts
from pipelines.plan import Plan

_LINE_EVERY_SECONDS = 10.0
_LOG_EVERY_SECONDS = 60.0
_RATE_WINDOW_SECONDS = 15.0
_MOST_INCIDENTS = 20
_MOST_FAILURES = 1000
# What is worth a word, in this order; failures come from the inputs' statuses.
_UNITS = ("images", "frames", "records")


class Progress:
    """An Observer that keeps count; `show` is for its kinds to fill."""

    def __init__(self, job: str):
        self.job = job
        self.plan: Plan | None = None
        self.total_weight = 0
        self.done_weight = self._moving_weight = 0
        self.counts: dict[str, int] = {}
        self._moving: dict[str, int] = {}
        self._tally = InputTally()
        self.incidents = 0
        self.failures: list[tuple[str, str]] = []
        self.workers: dict[str, int] = {}
        self.created = time.monotonic()
        self.first_opened: float | None = None
        self.first_result: float | None = None
        self.last_finished: float | None = None
        self.steps: dict[str, float] = {}
        self.chosen: dict[str, dict[str, int]] = {}
        self._log: RunLog | None = None
        self._history: list[tuple[float, int]] = []

    def planned(self, plan: Plan) -> None:
        """See Observer."""
        self.plan, self.total_weight = plan, self.done_weight + plan.weight
        self._tally.planned(plan)
        if plan.items:
            done = len(plan.sources) - plan.open_inputs
            already = f", {done:,} of them done already" if done else ""
            inputs = f"{len(plan.sources):,} input{'s' if len(plan.sources) != 1 else ''}"
            self.say(f"{inputs}{already}; starting")

    def opened(self, seconds: float) -> None:
        """See Observer."""
        if self.first_opened is None:
            self.first_opened = time.monotonic()
            self.show()

    def advanced(self, counts: Mapping[str, int], weight: int) -> None:
        """See Observer."""
        add_counts(self._moving, counts)
        self._moving_weight += weight
        self._has_result()
        self.show()

    def finished(self, report: ItemReport) -> None:
        """See Observer."""
        add_counts(self.counts, report.counts)
        self._tally.finished(report)
        self.done_weight += report.weight
        # What was under way is now counted as done.
        self._moving = {name: max(0, n - report.counts.get(name, 0)) for name, n in self._moving.items()}
        self._moving_weight = max(0, self._moving_weight - report.weight)
        if self.done_weight >= self.total_weight:
            self._moving, self._moving_weight = {}, 0  # what is left is of items that failed and were repeated
        if len(self.failures) < _MOST_FAILURES:
            self.failures += report.failures
        self.workers[report.worker] = self.workers.get(report.worker, 0) + 1
        for step, seconds in report.steps.items():
            self.steps[step] = self.steps.get(step, 0.0) + seconds
        if report.chosen:
            self.chosen[report.worker] = dict(report.chosen)
        for name, reason in report.failures:
            self.log(visible(f"failed: {name}: {reason}"))
        self._has_result()
        self.last_finished = time.monotonic()
        self.show()

    def incident(self, message: str) -> None:
        """See Observer."""
        self.incidents += 1
        message = visible(message)
        self.log(message)
        if self.incidents <= _MOST_INCIDENTS:
            self.note(message)
        elif self.incidents == _MOST_INCIDENTS + 1:
            self.note("more of this is not shown; every failure is in the rows and in run.json")

    @property
    def choices(self) -> dict[str, list[int]]:
        """What the workers found best, by name: one number, if they agree."""
        found: dict[str, set[int]] = {}
        for chosen in self.chosen.values():
            for name, number in chosen.items():
                found.setdefault(name, set()).add(number)
        return {name: sorted(numbers) for name, numbers in sorted(found.items())}

    @property
    def statuses(self) -> dict[str, int]:
        """Inputs of this run that ended, by how."""
        return self._tally.statuses

    @property
    def inputs_ended(self) -> int:
        """Inputs of this run that are committed."""
        return sum(self.statuses.values())

    @property
    def units(self) -> dict[str, int]:
        """Images, frames and records seen so far, those under way included."""
        return {name: n for name in _UNITS if (n := self.counts.get(name, 0) + self._moving.get(name, 0))}

    @property
    def work_seconds(self) -> float | None:
        """From the first open worker to the last finished item: the time that speed is measured over."""
        if self.first_opened is None or self.last_finished is None:
            return None
        return self.last_finished - self.first_opened

    def words(self) -> str:
        """The state in a few words: "310 images · 96/s · 2 failed"."""
        units = self.units
        parts = [f"{n:,} {name}" for name, n in units.items()] or ["starting"]
        now, total = time.monotonic(), sum(units.values())
        self._history.append((now, total))
        while now - self._history[0][0] > _RATE_WINDOW_SECONDS:
            self._history.pop(0)
        since, before = self._history[0]
        if now - since > 1:
            parts.append(f"{(total - before) / (now - since):,.1f}/s")
        if self.statuses.get("failed"):
            parts.append(f"{self.statuses['failed']:,} failed")
        return " · ".join(parts)

    def log_to(self, log: RunLog) -> None:
        """Write lines, all incidents and failures, and now and then the state, to a log as well."""
        self._log = log

    def _has_result(self) -> None:
        if self.first_result is None and self.units:
            self.first_result = time.monotonic()
            self.log(f"first result after {self.first_result - self.created:.1f} s")
        elif self._log is not None and self._log.seconds_silent > _LOG_EVERY_SECONDS:
            done = min(self.done_weight + self._moving_weight, self.total_weight)
            self.log(f"{done / max(1, self.total_weight):.0%} · {self.words()}")

    def log(self, message: str) -> None:
        """Write a message to the log, if there is one."""
        if self._log is not None:
            self._log.write(message)

    def say(self, message: str) -> None:
        """Say a line, in the log too."""
        self.log(message)
        self.note(message)

    def show(self) -> None:
        """Something changed."""

    def note(self, message: str) -> None:
        """Say a line."""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        pass


class PlainProgress(Progress):
    """A line every ten seconds."""

    def __init__(self, job: str):
        super().__init__(job)
        self._shown = self.created

    def show(self) -> None:
        """See Progress."""
        now = time.monotonic()
        if now - self._shown < _LINE_EVERY_SECONDS:
            return
        self._shown = now
        done = min(self.done_weight + self._moving_weight, self.total_weight)
        share = done / max(1, self.total_weight)
        eta = ""
        if self.first_opened is not None and done:
            eta = f" · ETA {_clock((now - self.first_opened) * (1 - share) / share)}"
        self.note(f"{share:4.0%} · {self.words()}{eta}")

    def note(self, message: str) -> None:
        """See Progress."""
        print(f"{self.job}: {message}", file=sys.stderr, flush=True)


class BarProgress(Progress):
    """A live bar; lines appear above it."""

    def __init__(self, job: str):
        super().__init__(job)
        self._bar: Any = None

    def show(self) -> None:
        """See Progress."""
        if self._bar is None:
            from tqdm import tqdm

            form = "{desc} {percentage:3.0f}% |{bar}| {unit} · ETA {remaining}"
            self._bar = tqdm(
                total=self.total_weight,
                desc=self.job,
                unit=self.words(),
                bar_format=form,
                leave=False,
                dynamic_ncols=True,
                smoothing=0.1,
                miniters=0,  # draw by time alone: by default a big step makes tqdm wait for one as big
            )
        self._bar.unit = self.words()
        self._bar.update(min(self.done_weight + self._moving_weight, self.total_weight) - self._bar.n)

    def note(self, message: str) -> None:
        """See Progress."""
        if self._bar is None:
            print(f"{self.job}: {message}", file=sys.stderr, flush=True)
        else:
            self._bar.write(f"{self.job}: {message}", file=sys.stderr)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


def progress_for(choice: str, job: str) -> Progress:
    """The progress display for `--progress`."""
    if choice == "off":
        return Progress(job)
    if choice == "auto" and sys.stderr.isatty():
        return BarProgress(job)
    return PlainProgress(job)


def _clock(seconds: float) -> str:
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
