"""The loop of a watch: look, evaluate the next export, remember it, until it is time to end."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from od_core.errors import UsageError
from od_core.export_folder import Export
from pipelines.watch.exports import ExportWatch
from pipelines.watch.state import EndedExport, WatchState


class Limits(NamedTuple):
    """When a watch ends.

    Attributes:
        max_evals: so many exports were evaluated, those of earlier runs included; failed ones count.
        until_step: an export of this step or a higher one has ended, and with it all before.
        timeout_s: nothing new came for so long.
        stop_files: one of these files is there.
    """

    max_evals: int | None = None
    until_step: int | None = None
    timeout_s: float | None = None
    stop_files: tuple[str, ...] = ()


def watch(
    exports: ExportWatch,
    state: WatchState,
    limits: Limits,
    evaluate: Callable[[Export], EndedExport],
    say: Callable[[EndedExport], None],
    warn: Callable[[str], None],
    *,
    poll_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Evaluate exports in order until a limit is reached.

    The folder is looked at every `poll_s` seconds, also during an evaluation: what is complete then is kept.

    Args:
        exports, state: what there is, and what has ended.
        limits: when to end.
        evaluate: evaluates one; called in this thread.
        say: is told of every export that has ended.
        warn: is told, once, why nothing may ever come.
        poll_s: seconds between looks.
        clock, sleep: in seconds; the clock must be that of `exports`.

    Returns:
        Why it ended, as half a sentence.
    """
    for name in state.exports:
        exports.drop(name)  # ended just before an earlier run was killed
    is_warned = False
    while True:
        exports.look(state.done())
        for lost, status, reason in exports.take_lost():
            _end(state, EndedExport(lost.name, lost.step, lost.fingerprint, status, reason), say)
        reason_to_end = _limit_reached(state, limits)
        if reason_to_end:
            return reason_to_end
        export = exports.next()
        if export is not None:
            with _looking(exports, state, poll_s):
                ended = evaluate(export)
            _end(state, ended, say)
            exports.drop(export.name)
        elif limits.timeout_s is not None and clock() - exports.last_news >= limits.timeout_s:
            return f"nothing new for {limits.timeout_s:g} s"
        else:
            warning = None if is_warned or state.exports else exports.warning()
            if warning:
                warn(warning)
                is_warned = True
            sleep(poll_s)


def _end(state: WatchState, ended: EndedExport, say: Callable[[EndedExport], None]) -> None:
    state.add(ended)
    say(ended)


def _limit_reached(state: WatchState, limits: Limits) -> str | None:
    for path in limits.stop_files:
        if os.path.exists(path):
            return f"{path} is there; remove it to go on"
    evaluations = state.count("evaluated") + state.count("failed")
    if limits.max_evals is not None and evaluations >= limits.max_evals:
        return f"{evaluations:,} evaluations, as many as --max_evals allows"
    last = max((one.step for one in state.exports.values()), default=None)
    if limits.until_step is not None and last is not None and last >= limits.until_step:
        return f"step {last} has ended, which is as far as --until_step goes"
    return None


@contextlib.contextmanager
def _looking(exports: ExportWatch, state: WatchState, poll_s: float) -> Iterator[None]:
    """In the block, a thread looks at the folder now and then, so that what is deleted meanwhile is not lost."""
    done, over = state.done(), threading.Event()

    def look() -> None:
        while not over.wait(poll_s):
            with contextlib.suppress(UsageError, OSError):  # the loop will meet the same, and say it
                exports.look(done)

    thread = threading.Thread(target=look, name="boxbeam-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
