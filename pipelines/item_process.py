"""An item process: one worker side of a job, opened once, that does the items its parent sends it.

The parent (isolation.py) starts it as a fresh interpreter, sends a `Setup`, and then one item at a time over a pipe
that belongs to this process alone. It answers with the messages below. It dies with its parent, whatever it is doing.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import NamedTuple

from od_core import storage
from od_core.errors import BoxbeamError, StorageError, UsageError
from pipelines.begun import BegunPieces
from pipelines.dataset import Dataset
from pipelines.items import Failure, Item, ItemReport, Piece, add_counts
from pipelines.job import Job
from pipelines.run_item import open_worker, run_item

_REPORT_EVERY_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


class Setup(NamedTuple):
    """What a new item process is told first; `board`: see begun.py."""

    job: Job
    output: str
    threads: int
    memory_bytes: int | None
    remote_files: storage.RemoteFiles | None
    parent: int
    board: int = -1


class Ready(NamedTuple):
    """The worker is open."""

    seconds: float


class Advanced(NamedTuple):
    """A sign of life, and what was done since the last message."""

    counts: Mapping[str, int]
    weight: int


class Done(NamedTuple):
    """The item's part is committed."""

    report: ItemReport


class Raised(NamedTuple):
    """The item ended with an exception; `poisoned` if the process should not be used again."""

    failure: Failure
    details: str
    poisoned: bool


class Fatal(NamedTuple):
    """The run as a whole cannot go on."""

    error: BoxbeamError


Message = Ready | Advanced | Done | Raised | Fatal


def main(descriptor: int) -> None:
    """Serve items from the pipe with this file descriptor until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent decides
    pipe = Connection(descriptor)
    setup: Setup = pipe.recv()
    _die_with(setup.parent)
    _limit_memory(setup.memory_bytes)
    storage.register_remote(setup.remote_files)
    try:
        worker, seconds = open_worker(setup.job, setup.output, setup.threads)
    except BoxbeamError as error:
        pipe.send(Fatal(error))
        return
    gc.freeze()  # what is loaded by now stays: looking through TensorFlow's modules again and again took 1 % of a run
    pipe.send(Ready(seconds))
    dataset = Dataset(setup.output)
    try:
        while (item := _next_item(pipe)) is not None:
            watch = _PipeWatch(pipe, BegunPieces(setup.board, item.pieces))
            try:
                with contextlib.closing(watch):
                    report = run_item(setup.job, dataset, worker, item, watch)
            except (StorageError, UsageError) as error:
                pipe.send(Fatal(error))
            except MemoryError:
                pipe.send(Raised(_out_of_memory(setup.memory_bytes), traceback.format_exc(), poisoned=True))
                os._exit(1)
            except Exception as error:
                pipe.send(Raised(describe(error), traceback.format_exc(), poisoned=False))
            else:
                watch.flush()
                pipe.send(Done(report))
    finally:
        worker.close()


def describe(error: Exception) -> Failure:
    """An exception that escaped a job's worker, as the reason of a failed row."""
    return Failure("item", type(error).__name__, f"{type(error).__name__}: {error}")


def _out_of_memory(limit: int | None) -> Failure:
    allowed = f"{limit / 2**30:.1f} GiB an item process may have (--worker_memory)" if limit else "machine has"
    return Failure("item", "OutOfMemory", f"needed more memory than the {allowed}")


def _next_item(pipe: Connection) -> Item | None:
    try:
        item: Item | None = pipe.recv()
    except EOFError:
        return None
    return item


class _PipeWatch:
    """A Watch that tells the parent what was done a few times a second; what begins and ends stands on the board.

    An item that failed may leave threads that notice it late: when it is closed, nothing of theirs is heard, neither in
    the middle of another message nor as if it were of the next item.
    """

    def __init__(self, pipe: Connection, begun: BegunPieces):
        self._pipe = pipe
        self._begun = begun
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._weight = 0
        self._sent = time.monotonic()
        self._is_closed = False

    def begin(self, piece: Piece) -> None:
        with self._lock:
            if not self._is_closed:
                self._begun.begin(piece)
        self.advance({})

    def end(self, piece: Piece) -> None:
        self._begun.end(piece)

    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None:
        with self._lock:
            if self._is_closed:
                return
            add_counts(self._counts, counts)
            self._weight += weight
            if time.monotonic() - self._sent >= _REPORT_EVERY_SECONDS:
                self._send()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True

    def flush(self) -> None:
        with self._lock:
            self._send()

    def _send(self) -> None:
        self._pipe.send(Advanced(self._counts, self._weight))
        self._counts, self._weight, self._sent = {}, 0, time.monotonic()


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, also while it is stuck in C code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Should memory run out, this process is to be killed rather than the launcher.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    if os.getppid() != parent:
        os._exit(1)  # it ended before we asked


def _limit_memory(limit: int | None) -> None:
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
