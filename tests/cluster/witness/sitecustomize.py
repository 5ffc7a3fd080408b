"""Imported by every Python process that has this folder on PYTHONPATH: notes the files the process renames into place.

boxbeam commits a file by renaming it (od_core.storage), so the notes say which process wrote which file.
One file `GROUP-PID.renames` per process in the folder $WITNESS, one path a line; GROUP is its process group: for a
worker, that of its TaskManager.

While there is a file `gate` in the folder, a process that has committed as many files below a place as `gate` allows
(its first line a number, its second the place) stands still before the next: a job stays in its middle for as long as a
test wants (two minutes at most). Whoever stands there has a file `GROUP-PID.waiting`.
"""

import os
import sys
import time

_PATIENCE_SECONDS = 120


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.rename":
        path = os.fsdecode(arguments[1])  # type: ignore[arg-type]
        _wait_at_the_gate(path)
        with open(
            f"{_folder}/{os.getpgrp()}-{os.getpid()}.renames", "a", encoding="utf-8", errors="surrogateescape"
        ) as notes:
            notes.write(f"{path}\n")


def _wait_at_the_gate(path: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while path.startswith(_gate()[1]) and time.monotonic() < until:
        free, place = _gate()
        if _passed.count(place) < free:
            _passed.append(place)
            return
        with open(f"{_folder}/{os.getpgrp()}-{os.getpid()}.waiting", "w"):
            time.sleep(0.05)


def _gate() -> tuple[int, str]:
    """How many files may pass, and below which place; one that no path has where there is no gate."""
    try:
        with open(f"{_folder}/gate", encoding="utf-8") as gate:
            free, _, place = gate.read().partition("\n")
            return int(free), place
    except (FileNotFoundError, ValueError):  # ValueError: it is being written
        return 0, "no path begins like this"


_passed: list[str] = []

_folder = os.environ["WITNESS"]
os.makedirs(_folder, exist_ok=True)
sys.addaudithook(_note)
