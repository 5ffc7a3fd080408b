"""Running boxbeam's commands as a user does, in processes of their own, and seeing which process committed what."""

import pathlib
import sys

from .places import PYTHON_PATH
from .processes import run_to_end

_TIMEOUT = 240  # seconds, under the limit of a test: a command that hangs is ended with all it started


def boxbeam(job: str, *arguments: object, log: pathlib.Path, witness: pathlib.Path) -> str:
    """Run `boxbeam JOB` in a process of its own; returns what it printed.

    Args:
        log: where its output is kept.
        witness: the folder for the notes of what it, and the processes it starts, commit; see `commits`.

    Raises:
        ProcessError: it failed; with the end of its output.
    """
    run_to_end(command(job, *arguments), log=log, folder=log.parent, env=environment(witness), timeout=_TIMEOUT)
    return log.read_text("utf-8")


def command(job: str, *arguments: object) -> list[str]:
    """The command line of `boxbeam JOB` in this interpreter."""
    return [sys.executable, "-m", f"beam_jobs.{job}", *map(str, arguments)]


def environment(witness: pathlib.Path) -> dict[str, str]:
    """What a `command` needs of its environment."""
    return {"PYTHONPATH": PYTHON_PATH, "WITNESS": str(witness)}


def commits(witness: pathlib.Path) -> dict[int, set[str]]:
    """For each process group, the paths it renamed files to; see witness/sitecustomize.py."""
    found: dict[int, set[str]] = {}
    for notes in witness.glob("*.renames"):
        found.setdefault(int(notes.stem.partition("-")[0]), set()).update(_paths(notes))
    return found


def commits_by_process(witness: pathlib.Path) -> dict[int, set[str]]:
    """For each process, the paths it renamed files to."""
    return {int(notes.stem.partition("-")[2]): _paths(notes) for notes in witness.glob("*.renames")}


def _paths(notes: pathlib.Path) -> set[str]:
    return set(notes.read_text("utf-8", "surrogateescape").splitlines())
