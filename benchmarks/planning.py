"""Planning, running and finalizing very many inputs: time of each, and the memory of the launcher.

    python -m benchmarks.planning
    python -m benchmarks.planning --inputs 100000

The inputs are lines of a list file, which name files of a few bytes; an item notes of each what infer would note of an
image, and nothing else, so what is measured is boxbeam's own. The run is repeated, when there is nothing to do, and
with one more input. Memory is the peak of the launcher's own, from beginning to end.
"""

import argparse
import json
import pathlib
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.child import answer, measure, whole
from benchmarks.command import in_scratch
from benchmarks.machine import OtherWork, describe
from benchmarks.noted_job import NotedJob
from od_core.label_map import LabelMap
from pipelines.engine import Engine
from pipelines.executor import Work
from pipelines.items import Ask
from pipelines.job import Spread
from pipelines.observer import Silent
from pipelines.plan import Plan
from pipelines.work import run

_FILES_PER_FOLDER = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=whole, default=1_000_000, help="how many (default: 1,000,000)")
    parser.add_argument("--child", nargs=2, metavar=("LIST", "OUTPUT"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        answer(_run(*args.child))
        return 0
    return in_scratch(lambda folder: _measure(folder, args.inputs))


def _measure(folder: pathlib.Path, inputs: int) -> None:
    listed = folder / "list.txt"
    listed.write_text("".join(f"{name}\n" for name in _make_files(folder, inputs)))
    print(f"{inputs:,} inputs; {describe(2)}")
    print(f"{'':<34}{'plan':>9}{'items':>9}{'finalize':>10}{'CPU':>9}{'launcher':>12}{'others':>9}")
    for words in ("from nothing", "again, nothing to do", "again, with one more input"):
        if words.endswith("input"):
            with listed.open("a") as file:
                file.write("one-more.jpg\n")
        others = OtherWork()
        told = measure("planning", "--child", listed, folder / "out")
        seconds = "".join(f"{told[name]:>{width}.1f}" for name, width in (("plan", 9), ("items", 9), ("finalize", 10)))
        print(
            f"{words:<34}{seconds}{told['cpu']:>9.1f}{told['peak_mib']:>8.0f} MiB{others.cores(told['cpu']):>9.1f}",
            flush=True,
        )
    print("seconds; CPU of all processes; others: cores that were busy with anything else meanwhile")
    manifest = json.loads((folder / "out/manifest.json").read_text())
    size = sum(file["bytes"] for file in manifest["files"]) / 2**20
    told_of = (folder / "out/manifest.json").stat().st_size / 2**10
    print(f"{len(manifest['files'])} data files of {size:.0f} MiB together, a manifest of {told_of:.1f} KiB")


def _make_files(folder: pathlib.Path, inputs: int) -> Iterator[str]:
    """One file of a few bytes for each folder, and links to it: a disk holds a million names more gladly than files."""
    for number in range(inputs):
        name = f"in/{number // _FILES_PER_FOLDER:05d}/{number:07d}.jpg"
        first = folder / f"in/{number // _FILES_PER_FOLDER:05d}/{number - number % _FILES_PER_FOLDER:07d}.jpg"
        if number % _FILES_PER_FOLDER == 0:
            first.parent.mkdir(parents=True)
            first.write_bytes(b"tiny")
        else:
            (folder / name).hardlink_to(first)
        yield name
    (folder / "one-more.jpg").write_bytes(b"tiny")


class _Clock(Silent):
    """Notes when the plan was there."""

    planned_at = 0.0

    def planned(self, plan: Plan) -> None:
        self.planned_at = time.monotonic()


def _run(listed: str, output: str) -> dict[str, Any]:
    job = NotedJob("", "0" * 64, LabelMap.of_names(["thing"]))
    work = Work(job, Ask((listed,), output), Spread(2, 1), "process", 300.0, None, "bench")
    clock = _Clock()
    started = time.monotonic()
    result = run(work, Engine(), clock, max_failed_ratio=1.0)
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "plan": clock.planned_at - started,
        "items": started + result.seconds["run"] - clock.planned_at,
        "finalize": result.seconds["finalize"],
        "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "peak_mib": own.ru_maxrss / 2**10,
    }


if __name__ == "__main__":
    sys.exit(main())
