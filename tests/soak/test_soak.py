"""infer for some minutes on thousands of inputs, good and bad, killed at random: its rows are those of a quiet run.

`make soak`. What is random follows from a seed, which is printed; BOXBEAM_SOAK_SEED repeats it, BOXBEAM_SOAK_SECONDS is
how long the killing goes on.
"""

import contextlib
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from od_core.checks.detections import check_detections
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import draw_scene, jpeg, write_video

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

# Items of a second or two, so that many begin and end between kills.
LAUNCHER = """
import sys
from pipelines.grouping import ItemLimit
from pipelines.infer import job
job._ITEM_LIMITS = {"image": ItemLimit(60, 1 << 30), "record": ItemLimit(2, 1 << 30), "video": ItemLimit(2, 1 << 30)}
from beam_jobs.infer import main
sys.exit(main())
"""
ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = int(os.environ.get("BOXBEAM_SOAK_SEED") or time.time_ns() % 1_000_000)
SECONDS = float(os.environ.get("BOXBEAM_SOAK_SECONDS") or 75)
RUN_LIMIT_SECONDS = 300
FEWEST_KILLS = 3
ENDED = "ended by itself"

IMAGES = 1800
VIDEOS = 9
RECORD_FILES = 8


def write_inputs(folder: pathlib.Path) -> None:
    """Thousands of files, most of them links to a few dozen; about one in ten is bad in some way."""
    originals = folder.with_name("originals")
    originals.mkdir()
    scenes = [draw_scene(number, width=480, height=360).image for number in range(40)]
    pictures = [jpeg(scene, quality=85) for scene in scenes]
    for number, picture in enumerate(pictures):
        (originals / f"good_{number:02}.jpg").write_bytes(picture)
    (originals / "bad_0.jpg").write_bytes(pictures[0][: len(pictures[0]) // 2])
    (originals / "bad_1.jpg").write_text("<html>404</html>")
    (originals / "bad_2.jpg").write_bytes(b"")
    (originals / "bad_3.jpg").write_bytes(b"\xff\xd8\xff" + np.random.default_rng(0).bytes(3000))
    for number in range(IMAGES):
        name = f"bad_{number // 10 % 4}.jpg" if number % 10 == 3 else f"good_{number * 7 % 40:02}.jpg"
        place = folder / f"day_{number // 250}/{number:05}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(originals / name)
    write_video(originals / "clip.mkv", 120)
    clip = (originals / "clip.mkv").read_bytes()
    (originals / "cut.mkv").write_bytes(clip[: len(clip) * 2 // 3])
    (originals / "no.mkv").write_bytes(b"\0" * 5000)
    for number in range(VIDEOS):
        name = {3: "cut.mkv", 7: "no.mkv"}.get(number, "clip.mkv")
        (folder / f"clip_{number:02}.mkv").symlink_to(originals / name)
    for number in range(RECORD_FILES):
        content = io.BytesIO()
        for record in range(60):
            write_record(
                content,
                encode_example({"image/encoded": pictures[record % 40], "image/source_id": f"{number}/{record}"}),
            )
        broken = bytearray(content.getvalue())
        if number == 5:
            broken[len(broken) // 2] ^= 0xFF
        (folder / f"some_{number}.tfrecord").write_bytes(broken)


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    assert check_detections(output).problems == []
    rows = pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()
    return sorted(rows, key=lambda row: (row["source"], row["record_index"] or 0, row["frame_index"] or 0, row["key"]))


def item_processes(launcher: int) -> list[int]:
    """The item processes of a launcher, those that still run."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == launcher and state != "Z" and b"item_process" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def started(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The command in a session of its own; nothing of it outlives the block."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def parts_in(output: pathlib.Path) -> int:
    return len(list((output / "_work/parts").glob("[0-9a-f]*.parquet")))


def disturb(process: "subprocess.Popen[str]", rng: random.Random, output: pathlib.Path, until: float) -> str:
    """Let the run commit some items, or none, and do something to it in the next one; says what.

    One item process is killed at most: an input whose process is killed twice is failed, rightly.
    """
    kind = rng.choice(("launcher SIGKILL", "launcher SIGTERM", "launcher SIGINT", "item SIGKILL", "item SIGSEGV"))
    who, name = kind.split()
    if not await_parts(process, output, rng.choice((0, 1, 1, 2, 3)), until) or ends_within(process, rng.uniform(0, 1)):
        return ENDED
    target = process.pid if who == "launcher" else next(iter(item_processes(process.pid)), 0)
    with contextlib.suppress(ProcessLookupError):
        if target:
            os.kill(target, signal.Signals[name])
    if who == "item":
        if not await_parts(process, output, rng.choice((0, 1, 2)), until):
            return ENDED
        process.kill()
        kind += " and launcher SIGKILL"
    process.wait(60)
    return kind


def await_parts(process: "subprocess.Popen[str]", output: pathlib.Path, more: int, until: float) -> bool:
    """Wait until the run works and has so many parts more than now; False when it ended by itself."""
    wanted = parts_in(output) + more
    while not item_processes(process.pid) or parts_in(output) < wanted:
        if ends_within(process, 0.1):
            return False
        if time.monotonic() > until:
            return True
    return True


def ends_within(process: "subprocess.Popen[str]", seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def test_killed_at_random_the_rows_are_those_of_a_quiet_run(tmp_path: pathlib.Path) -> None:
    print(f"seed {SEED} (BOXBEAM_SOAK_SEED), {SECONDS:.0f} s of killing (BOXBEAM_SOAK_SECONDS)")
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_inputs(tmp_path / "in")
    options = {"model": "model.pb", "label_map": "labels.pbtxt", "input": "in"}
    command = [sys.executable, "-c", LAUNCHER, *(f"--{name}={tmp_path / path}" for name, path in options.items())]
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    with started([*command, f"--output={quiet}"]) as process:
        printed = process.communicate(timeout=RUN_LIMIT_SECONDS)[0]
        assert process.returncode == 3, printed

    rng = random.Random(SEED)
    done: Counter[str] = Counter()
    inside = 0
    until = time.monotonic() + SECONDS
    last = until + 2 * SECONDS  # on a slow machine
    while time.monotonic() < (until if inside >= FEWEST_KILLS else last) and not (killed / "manifest.json").exists():
        before = parts_in(killed)
        with started([*command, f"--output={killed}"]) as process:
            what = disturb(process, rng, killed, last)
        done[what] += 1
        after = parts_in(killed)
        inside += what != ENDED and after > 0
        print(f"  {what}: {before} parts before, {after} after")
        assert (killed / "manifest.json").exists() or after >= before, "finished work was lost"
    with started([*command, f"--output={killed}"]) as process:
        printed = process.communicate(timeout=RUN_LIMIT_SECONDS)[0]
        assert process.returncode == 3, printed
    print(f"  {sum(done.values())} runs before the last one: {dict(done)}")
    assert inside >= FEWEST_KILLS, "it was hardly disturbed: not a test; give it more inputs or seconds"
    expected, rows = rows_of(quiet), rows_of(killed)
    assert len(rows) == len(expected) >= IMAGES
    for row, other in zip(rows, expected, strict=True):
        assert row == other
