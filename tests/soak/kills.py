"""Runs of boxbeam killed at random: what follows from a seed, which is printed.

BOXBEAM_SOAK_SEED repeats it, BOXBEAM_SOAK_SECONDS is how long the killing of infer goes on; of the other jobs a part of
that.
"""

import contextlib
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator

SEED = int(os.environ.get("BOXBEAM_SOAK_SEED") or time.time_ns() % 1_000_000)
SECONDS = float(os.environ.get("BOXBEAM_SOAK_SECONDS") or 75)
RUN_LIMIT_SECONDS = 300
FEWEST_KILLS = 3
ENDED = "ended by itself"
SOME_FAILED = 3

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_SHOWN = 3000


def run_quietly_and_killed(
    job: str, command: list[str], folder: pathlib.Path, seconds: float
) -> tuple[pathlib.Path, pathlib.Path]:
    """Run a command that ends with some failed inputs, undisturbed, and again and again killed until it ends.

    Args:
        job: its name: with the seed it decides what happens.
        command: without its --output.
        folder: for the two outputs.
        seconds: how long the killing goes on.

    Returns:
        The outputs: the quiet one's, and that of the killed ones.
    """
    rng = random.Random(f"{SEED} {job}")
    quiet, killed = folder / "quiet", folder / "killed"
    print(f"\n{job}: seed {SEED} (BOXBEAM_SOAK_SEED), {seconds:.0f} s of killing (BOXBEAM_SOAK_SECONDS), in {folder}")
    _run_to_the_end([*command, f"--output={quiet}"])
    done: Counter[str] = Counter()
    inside = 0
    until = time.monotonic() + seconds
    last = until + 2 * seconds  # on a slow machine
    while time.monotonic() < (until if inside >= FEWEST_KILLS else last) and not (killed / "manifest.json").exists():
        before = _parts_in(killed)
        with _started([*command, f"--output={killed}"]) as process:
            what = _disturb(process, rng, killed, last)
        done[what] += 1
        after = _parts_in(killed)
        inside += what != ENDED and after > 0
        print(f"  {what}: {before} parts before, {after} after")
        assert (killed / "manifest.json").exists() or after >= before, "finished work was lost"
    _run_to_the_end([*command, f"--output={killed}"])
    print(f"  {sum(done.values())} runs before the last one: {dict(done)}")
    assert inside >= FEWEST_KILLS, "it was hardly disturbed: not a test; give it more inputs or seconds"
    return quiet, killed


@contextlib.contextmanager
def repeatable(folder: pathlib.Path) -> Iterator[None]:
    """Say of what fails in the block how to have it again, and where to look."""
    try:
        yield
    except BaseException:
        print(
            f"\nrepeat it with BOXBEAM_SOAK_SEED={SEED} BOXBEAM_SOAK_SECONDS={SECONDS:g} make soak; look into {folder}"
        )
        raise


def files_in(output: pathlib.Path) -> dict[str, str]:
    """Path and digest of every file of an output that does not tell times."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def _run_to_the_end(command: list[str]) -> None:
    with _started(command) as process:
        printed = process.communicate(timeout=RUN_LIMIT_SECONDS)[0]
        assert process.returncode == SOME_FAILED, f"exit {process.returncode}: {printed[-_SHOWN:]}"


def _item_processes(launcher: int) -> list[int]:
    """The item processes of a launcher, those that still run."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == launcher and state != "Z" and b"item_process" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The command in a session of its own; nothing of it outlives the block."""
    process = subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _parts_in(output: pathlib.Path) -> int:
    return len(list((output / "_work/parts").glob("[0-9a-f]*.parquet")))


def _disturb(process: "subprocess.Popen[str]", rng: random.Random, output: pathlib.Path, until: float) -> str:
    """Let the run commit some items, or none, and do something to it in the next one; says what.

    One item process is killed at most: an input whose process is killed twice is failed, rightly.
    """
    kind = rng.choice(("launcher SIGKILL", "launcher SIGTERM", "launcher SIGINT", "item SIGKILL", "item SIGSEGV"))
    who, name = kind.split()
    if not _await_parts(process, output, rng.choice((0, 1, 1, 2, 3)), until) or _ends_within(
        process, rng.uniform(0, 1)
    ):
        return ENDED
    target = process.pid if who == "launcher" else next(iter(_item_processes(process.pid)), 0)
    with contextlib.suppress(ProcessLookupError):
        if target:
            os.kill(target, signal.Signals[name])
    if who == "item":
        if not _await_parts(process, output, rng.choice((0, 1, 2)), until):
            return ENDED
        process.kill()
        kind += " and launcher SIGKILL"
    process.wait(60)
    return kind


def _await_parts(process: "subprocess.Popen[str]", output: pathlib.Path, more: int, until: float) -> bool:
    """Wait until the run works and has so many parts more than now; False when it ended by itself."""
    wanted = _parts_in(output) + more
    while not _item_processes(process.pid) or _parts_in(output) < wanted:
        if _ends_within(process, 0.1):
            return False
        if time.monotonic() > until:
            return True
    return True


def _ends_within(process: "subprocess.Popen[str]", seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False
