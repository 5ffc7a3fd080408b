"""Imported by every Python process that has this folder on PYTHONPATH: notes the files the process renames into place.

boxbeam commits a file by renaming it (od_core.storage), so the notes say which process wrote which file.
One file `GROUP-PID.renames` per process in the folder $WITNESS, one path a line; GROUP is its process group: for a
worker, that of its TaskManager.
"""

import os
import sys


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.rename":
        with open(
            f"{_folder}/{os.getpgrp()}-{os.getpid()}.renames", "a", encoding="utf-8", errors="surrogateescape"
        ) as notes:
            notes.write(f"{os.fsdecode(arguments[1])}\n")  # type: ignore[arg-type]


_folder = os.environ["WITNESS"]
os.makedirs(_folder, exist_ok=True)
sys.addaudithook(_note)
