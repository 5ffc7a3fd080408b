"""Imported by every Python process that has this folder on PYTHONPATH: notes the files the process renames into place.

boxbeam commits a file by renaming it (od_core.storage), so the notes say which process wrote which file.
One file `GROUP-PID.renames` per process in the folder $WITNESS, one path a line; GROUP is its process group: for a
worker, that of its TaskManager.

While there is a file `gate` in the folder, a process that has committed one file below the place that `gate` names
stands still before the next: a job stays in its middle for as long as a test wants (two minutes at most).
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
    while (place := _held_place()) and path.startswith(place) and time.monotonic() < until:
        if place not in _passed:
            _passed.add(place)
            return
        time.sleep(0.05)


def _held_place() -> str:
    try:
        with open(f"{_folder}/gate", encoding="utf-8") as gate:
            return gate.read()
    except FileNotFoundError:
        return ""


_passed: set[str] = set()

_folder = os.environ["WITNESS"]
os.makedirs(_folder, exist_ok=True)
sys.addaudithook(_note)
