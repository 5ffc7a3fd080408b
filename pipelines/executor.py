"""Executors do items within one process: here, or through a pool of item processes. One per process, shared.

Beam makes several DoFn instances per process (threads, fused copies), and each has its own `setup()`; what they open
must still be opened once. `acquire` and `release` count the users of a run's executor.
"""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from typing import Protocol

from od_core import storage
from od_core.errors import BoxbeamError, RunStoppedError, StorageError, UsageError
from pipelines import local_run
from pipelines.dataset import Dataset
from pipelines.isolation import ItemPool, PoolOptions
from pipelines.item_process import Setup, describe
from pipelines.items import Ask, Item, ItemReport, Piece
from pipelines.job import Job, Spread
from pipelines.observer import Observer, Silent
from pipelines.retry import Attempt, after_failure
from pipelines.run_item import fail_item, open_worker, run_item, what_came_of

ISOLATIONS = ("process", "none")


@dataclasses.dataclass(frozen=True)
class Work:
    """All that a process needs to take part in a run; picklable.

    Attributes:
        job, ask: what is done, and what was asked for.
        spread: item processes, and threads in each.
        isolation: "process" runs items in processes of their own, "none" in this one.
        stall_seconds: an item process that reports nothing for so long is taken for hung.
        memory_bytes: address space an item process may have; None for no limit.
        run_id: tells the runs of one process apart.
        remote_files: the file systems that are not local, where the run needs them.
    """

    job: Job
    ask: Ask
    spread: Spread
    isolation: str
    stall_seconds: float
    memory_bytes: int | None
    run_id: str
    remote_files: storage.RemoteFiles | None = None

    def __post_init__(self) -> None:
        if self.isolation not in ISOLATIONS:
            raise ValueError(f"isolation must be one of {', '.join(ISOLATIONS)}, got {self.isolation!r}")

    def enter_process(self) -> None:
        """Make the run's file systems known in this process."""
        storage.register_remote(self.remote_files)


class Executor(Protocol):
    """Does items in this process; see ItemPool for what each method promises."""

    def warm_up(self) -> None:
        """Open what items will need, before the first is there."""

    def submit(self, item: Item) -> None:
        """Take an item; may wait, may do it."""

    def reports(self) -> Iterator[ItemReport]:
        """What was finished since the last call."""

    def drain(self) -> Iterator[ItemReport]:
        """Wait for the rest."""

    def stop(self, error: BoxbeamError | None = None) -> None:
        """Give up at once."""

    def close(self) -> None:
        """Close the worker."""


def open_executor(work: Work, observer: Observer) -> Executor:
    """A new executor for this work; the caller closes it."""
    if work.isolation == "none":
        return InlineExecutor(work, observer)
    setup = Setup(
        work.job, work.ask.output, work.spread.threads, work.memory_bytes, work.remote_files, parent=0
    )  # the pool fills in the parent
    return ItemPool(setup, PoolOptions(work.spread.processes, work.stall_seconds), observer)


@dataclasses.dataclass
class _Shared:
    executor: Executor
    users: int = 0


_shared: dict[str, _Shared] = {}
_shared_lock = threading.Lock()


def acquire(work: Work) -> Executor:
    """This process's executor for a run, opened at the first call; every call needs its `release`."""
    with _shared_lock:
        if work.run_id not in _shared:
            work.enter_process()
            run = local_run.find(work.run_id)
            _shared[work.run_id] = _Shared(open_executor(work, run.observer if run else Silent()))
            if run is not None:
                run.on_stop(_shared[work.run_id].executor.stop)
        shared = _shared[work.run_id]
        shared.users += 1
        return shared.executor


def release(work: Work) -> None:
    """One user less; the last one closes the executor."""
    with _shared_lock:
        shared = _shared[work.run_id]
        shared.users -= 1
        if shared.users:
            return
        del _shared[work.run_id]
    shared.executor.close()


class InlineExecutor:
    """Does each item in the calling thread, on one worker that is opened at the first item.

    A crash of the item is a crash of this process, and a hang is a hang; exceptions are handled as in the pool.
    """

    def __init__(self, work: Work, observer: Observer):
        self._work = work
        self._dataset = Dataset(work.ask.output)
        self._observer = observer
        self._lock = threading.Lock()
        self._worker, seconds = open_worker(work.job, work.ask.output, work.spread.processes * work.spread.threads)
        observer.opened(seconds)
        self._reports: collections.deque[ItemReport] = collections.deque()
        self._error: BoxbeamError | None = None

    def warm_up(self) -> None:
        """Nothing to do: it opened when it was made."""

    def submit(self, item: Item) -> None:
        """Do the item. Raises BoxbeamError when the run cannot go on or was stopped."""
        waiting = collections.deque([Attempt(item)])
        while waiting:
            if self._error is not None:
                raise self._error
            attempt = waiting.popleft()
            watch = _InlineWatch(self)
            try:
                with self._lock:
                    report = run_item(self._work.job, self._dataset, self._worker, attempt.item, watch)
            except (StorageError, UsageError, RunStoppedError):
                raise
            except Exception as error:
                failure = describe(error)
                again = after_failure(attempt, watch.begun, failure, whole=self._work.job.whole_items)
                if again:
                    waiting.extendleft(reversed(again))
                    self._observer.incident(f"{attempt.item}: {failure.message}; trying again")
                    continue
                report = fail_item(self._work.job, self._dataset, attempt.item, failure)
                self._observer.incident(f"{attempt.item}: {failure.message}; {what_came_of(report)}")
            self._observer.finished(report)
            self._reports.append(report)

    def reports(self) -> Iterator[ItemReport]:
        """The items done since the last call."""
        with contextlib.suppress(IndexError):
            while True:
                yield self._reports.popleft()

    def drain(self) -> Iterator[ItemReport]:
        """As `reports`: nothing is ever under way."""
        if self._error is not None:
            raise self._error
        return self.reports()

    def stop(self, error: BoxbeamError | None = None) -> None:
        """Stop at the next sign of life of the item at work."""
        self._error = error or RunStoppedError("the run was stopped")

    def close(self) -> None:
        """Close the worker."""
        with self._lock:
            self._worker.close()

    def check(self) -> None:
        """Raise the reason to stop, if there is one."""
        if self._error is not None:
            raise self._error

    def advanced(self, counts: Mapping[str, int], weight: int) -> None:
        """Pass progress on."""
        self._observer.advanced(counts, weight)


class _InlineWatch:
    def __init__(self, executor: InlineExecutor):
        self._executor = executor
        self.begun: list[Piece] = []

    def begin(self, piece: Piece) -> None:
        self._executor.check()
        self.begun.append(piece)

    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None:
        self._executor.check()
        if counts or weight:  # a mere sign of life may come from another thread than what observers hear
            self._executor.advanced(counts, weight)

    def end(self, piece: Piece) -> None:
        if piece in self.begun:
            self.begun.remove(piece)
