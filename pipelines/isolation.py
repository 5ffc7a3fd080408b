"""Item processes: a small pool that survives what an item does to its process.

One pipe per process and one item at a time: a process that dies says by that which item it died of, no lock is shared
that it could take along, and the next item goes to whoever is free. A thread of the pool owns all processes; the
parent-death signal of a process fires when the thread that started it ends, so that thread lives as long as the pool.
"""

import collections
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from typing import NamedTuple

from od_core.errors import BoxbeamError, ItemError, RunStoppedError
from pipelines import item_process as messages
from pipelines.begun import Board
from pipelines.dataset import Dataset
from pipelines.item_process import Message, Setup
from pipelines.items import Failure, Item, ItemReport, Piece, add_counts
from pipelines.observer import Observer
from pipelines.process_memory import with_kept_memory
from pipelines.retry import Attempt, after_failure
from pipelines.run_item import fail_item, what_came_of

OPEN_LIMIT_SECONDS = 900.0
_CLOSE_LIMIT_SECONDS = 10.0
_STARTS_WITHOUT_SUCCESS = 2
_STDERR_TAIL_BYTES = 4096


class PoolOptions(NamedTuple):
    """How many item processes, and what they may take.

    Attributes:
        processes: at most so many at a time.
        stall_seconds: an item that reports nothing for so long is taken for hung.
    """

    processes: int
    stall_seconds: float


class ItemPool:
    """Runs items in processes of their own; see the module's docstring.

    Use: `submit` items, take what `reports` yields in between, `drain` at the end, `close`.
    """

    def __init__(self, setup: Setup, options: PoolOptions, observer: Observer):
        self._setup = setup._replace(parent=os.getpid())
        self._dataset = Dataset(setup.output)
        self._options = options
        self._observer = observer
        self._inbox: collections.deque[Attempt] = collections.deque()
        self._reports: queue.SimpleQueue[ItemReport] = queue.SimpleQueue()
        self._room = threading.Semaphore(2 * options.processes)
        self._open_items = 0
        self._lock = threading.RLock()  # stop() may come from a signal handler, in a thread that holds it already
        self._idle = threading.Condition(self._lock)
        self._error: BoxbeamError | None = None
        self._closing = self._stopping = False
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._children: list[_Child] = []
        self._failed_starts = 0
        self._want_children = 0
        self._thread = threading.Thread(target=self._serve, name="boxbeam-items", daemon=True)
        self._thread.start()

    def warm_up(self) -> None:
        """Start the processes now, before the first item is there."""
        self._want_children = self._options.processes
        self._wake()

    def submit(self, item: Item) -> None:
        """Queue an item; waits while many are queued already.

        Raises:
            BoxbeamError: the run cannot go on, or was stopped.
        """
        while not self._room.acquire(timeout=0.5):
            self._raise_error()
        self._raise_error()
        with self._lock:
            self._open_items += 1
            self._inbox.append(Attempt(item))
        self._wake()

    def reports(self) -> Iterator[ItemReport]:
        """The items finished since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._reports.get_nowait()

    def drain(self) -> Iterator[ItemReport]:
        """Wait for all items; yields their reports.

        Raises:
            BoxbeamError: as `submit`.
        """
        with self._idle:
            while self._open_items and self._error is None:
                self._idle.wait(0.5)
        self._raise_error()
        yield from self.reports()

    def stop(self, error: BoxbeamError | None = None) -> None:
        """Give up at once: kill the processes; `submit` and `drain` raise `error` from now on."""
        with self._lock:
            self._error = self._error or error or RunStoppedError("the run was stopped")
            self._stopping = True
            self._idle.notify_all()
        self._wake()

    def close(self) -> None:
        """End the processes: they close their workers first, unless the pool was stopped."""
        self._closing = True
        self._wake()
        self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_writer, b"x")

    # Everything below runs in the pool's own thread.

    def _serve(self) -> None:
        try:
            while not self._stopping and not (self._closing and not self._open_items):
                self._hand_out()
                self._listen()
                self._watch_limits()
        except BoxbeamError as error:
            self.stop(error)
        except Exception as error:
            self.stop(ItemError(f"the pool of item processes failed: {error!r}"))
        finally:
            for child in self._children:
                child.end(gently=not self._stopping)
            os.close(self._wake_reader)

    def _hand_out(self) -> None:
        idle = [child for child in self._children if child.ready and child.attempt is None]
        while self._inbox and idle:
            child = idle.pop()
            if child.opening_seconds is not None:
                # Only now: the work begins with the first item, which may be planned long after a worker is open.
                self._observer.opened(child.opening_seconds)
                child.opening_seconds = None
            child.give(self._inbox.popleft())
        opening = sum(not child.ready for child in self._children)
        wanted = max(
            self._want_children, min(self._options.processes, len(self._children) + len(self._inbox) - opening)
        )
        while len(self._children) < wanted and not self._closing:
            self._children.append(_Child(self._setup))

    def _listen(self) -> None:
        by_handle: dict[object, _Child] = {
            handle: child for child in self._children for handle in (child.pipe, child.stderr)
        }
        for handle in wait([*by_handle, self._wake_reader], timeout=0.5):  # type: ignore[list-item]
            if handle == self._wake_reader:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
                continue
            child = by_handle[handle]
            if child not in self._children:
                continue  # its end was noticed a moment ago, through its other handle
            if handle == child.stderr:
                child.read_stderr()
            else:
                try:
                    message: Message = child.pipe.recv()
                except (EOFError, ConnectionResetError):
                    self._lost(child, child.how_it_died())
                else:
                    self._understand(child, message)

    def _understand(self, child: "_Child", message: Message) -> None:
        child.heard = time.monotonic()
        match message:
            case messages.Ready(seconds):
                child.ready = True
                self._failed_starts = 0
                child.opening_seconds = seconds
            case messages.Advanced(counts, weight):
                add_counts(child.counts, counts)
                child.weight += weight
                self._observer.advanced(counts, weight)
            case messages.Done(report):
                child.attempt = None
                self._finished(report)
            case messages.Raised(failure, _, poisoned):
                if poisoned:
                    self._drop(child)
                self._failed(child, failure)
            case messages.Fatal(error):
                raise error

    def _lost(self, child: "_Child", cause: str) -> None:
        cause += child.last_words()
        self._drop(child)
        if child.attempt is not None:
            self._failed(child, Failure("item", "ProcessLost", f"its item process was lost: {cause}"))
            return
        self._failed_starts += not child.ready
        if self._failed_starts >= _STARTS_WITHOUT_SUCCESS:
            raise ItemError(f"item processes do not start: {cause}")
        self._observer.incident(f"an item process was lost while it had nothing to do ({cause}); starting another")

    def _failed(self, child: "_Child", failure: Failure) -> None:
        attempt, suspects = child.take()
        # What the attempt had reported is undone: it will be reported again, or not be done at all.
        self._observer.advanced({name: -count for name, count in child.counts.items()}, -child.weight)
        again = after_failure(attempt, suspects, failure, whole=self._setup.job.whole_items)
        if again:
            self._observer.incident(f"{attempt.item}: {failure.message}; trying again")
            self._inbox.extendleft(reversed(again))
            with self._lock:
                self._open_items += len(again) - 1
            for _ in again[1:]:
                self._room.acquire(blocking=False)
        else:
            report = fail_item(self._setup.job, self._dataset, attempt.item, failure)
            self._observer.incident(f"{attempt.item}: {failure.message}; {what_came_of(report)}")
            self._finished(report)

    def _finished(self, report: ItemReport) -> None:
        self._observer.finished(report)
        self._reports.put(report)
        with self._idle:
            self._open_items -= 1
            self._idle.notify_all()
        self._room.release()

    def _watch_limits(self) -> None:
        now = time.monotonic()
        for child in list(self._children):
            silent = now - child.heard
            if child.attempt is not None and silent > self._options.stall_seconds:
                self._lost(child, f"no progress for {silent:.0f} s (--stall_timeout)")
            elif not child.ready and silent > OPEN_LIMIT_SECONDS:
                self._lost(child, f"not open after {silent:.0f} s")

    def _drop(self, child: "_Child") -> None:
        self._children.remove(child)
        child.end(gently=False)


class _Child:
    """One item process, seen from its parent."""

    def __init__(self, setup: Setup):
        self.pipe, theirs = Pipe()
        self._board = Board()
        self.stderr, their_stderr = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.stderr, False)
        # A fresh interpreter: nothing of the launcher is inherited. -P keeps the user's current folder, which may hold
        # a pipelines/ of its own, off the import path; boxbeam's own root is put there instead.
        root = str(Path(__file__).resolve().parents[1])
        descriptor = theirs.fileno()
        code = f"import sys; sys.path.insert(0, {root!r}); from pipelines.item_process import main; main({descriptor})"
        with contextlib.closing(theirs), open(their_stderr, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[descriptor, self._board.descriptor],
                env=with_kept_memory(os.environ),
            )
        self.ready = False
        self.opening_seconds: float | None = None  # until it has its first item
        self.attempt: Attempt | None = None
        self.counts: dict[str, int] = {}
        self.weight = 0
        self.heard = time.monotonic()
        self._tail = b""
        with contextlib.suppress(BrokenPipeError):  # it is dead already: noticed when it is listened to
            self.pipe.send(setup._replace(board=self._board.descriptor))

    def give(self, attempt: Attempt) -> None:
        """Hand over an item."""
        self.attempt, self.heard = attempt, time.monotonic()
        self.counts, self.weight = {}, 0
        self._board.clear(attempt.item)
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(attempt.item)

    def take(self) -> tuple[Attempt, list[Piece]]:
        """Take the item back: the attempt, and the pieces that were at work."""
        attempt = self.attempt
        if attempt is None:
            raise ItemError("an item process spoke of an item it was not given")
        self.attempt = None
        return attempt, self._board.at_work()

    def read_stderr(self) -> None:
        """Keep the end of what the process prints."""
        with contextlib.suppress(BlockingIOError):
            self._tail = (self._tail + os.read(self.stderr, 65536))[-_STDERR_TAIL_BYTES:]

    def how_it_died(self) -> str:
        """Its exit, in words."""
        code = self.process.wait()
        if code >= 0:
            return f"exit {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "signal"
        hint = ": killed from outside, perhaps because the machine ran out of memory" if code == -signal.SIGKILL else ""
        return f"exit {code} ({name}{hint})"

    def last_words(self) -> str:
        """The last line it printed, for messages."""
        self.read_stderr()
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return f"; it last printed: {lines[-1][-300:]}" if lines else ""

    def end(self, *, gently: bool) -> None:
        """Let the process close its worker and leave, or kill it."""
        if gently and self.ready and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.pipe.send(None)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_CLOSE_LIMIT_SECONDS)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._board.close()
        self.pipe.close()
        self.read_stderr()
        os.close(self.stderr)
