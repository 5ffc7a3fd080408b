"""Memory of a process and all that descend from it, sampled while they run."""

import pathlib
import threading
from types import TracebackType

_EVERY_SECONDS = 0.2
_PROC = pathlib.Path("/proc")


class PeakMemory:
    """In a with-block: the highest sum of PSS over a process tree, looked at five times a second.

    PSS (proportional set size, from /proc/PID/smaps_rollup) counts a page that n processes share as 1/n in each, so the
    sum over launcher and item processes counts it once, and file pages that strangers map as well count less.
    `bytes` is 0 where the kernel does not tell (not Linux, or processes of another user).
    """

    def __init__(self, process: int):
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0
        self.processes = 0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            tree = descendants(self._process)
            self.bytes = max(self.bytes, sum(map(pss, tree)))
            self.processes = max(self.processes, len(tree))


def descendants(process: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()  # the name before may hold spaces and brackets
        except OSError:
            continue  # it has just ended
        parents[int(entry.parent.name)] = int(fields[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def pss(process: int) -> int:
    """Bytes of memory a process has, its part of what it shares; 0 if it has ended or may not be asked."""
    try:
        lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
