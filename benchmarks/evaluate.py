"""Speed and memory of `boxbeam evaluate` on a generated set like COCO's: 5,000 images, 370,000 detections.

    python -m benchmarks.evaluate
    python -m benchmarks.evaluate --parts metric scale --repeats 5

metric: from boxes in memory to COCO's numbers, beside hotcoco's own run and pycocotools. scale: ten times as many
images. command: the whole command on Parquet files, start-up included. memory: of the command, with ten times as many
images. Every run is a process of its own, contestants take turns, figures are medians. CPU times are to be compared
where others use the machine, wall times where nobody does.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.child import ROOT, BenchmarkError, measure, whole
from benchmarks.coco_like import DETECTIONS_PER_IMAGE, CocoLike
from benchmarks.command import in_scratch
from benchmarks.machine import OtherWork, describe
from benchmarks.memory import PeakMemory

IMAGES = 5000
_TIMES = 10

AIM_OF_HOTCOCO, AIM_OF_PYCOCOTOOLS, AIM_SCALE, AIM_COMMAND_SECONDS = 2.0, 30.0, 11.0, 15.0

_COMMANDS = {
    "--numbers_only": ("--numbers_only",),
    "with insight and page": (),
    "with insight, page, all metrics and verdicts": ("--metrics", "all", "--verdicts"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=whole, default=3, help="medians are of so many (default: 3)")
    parser.add_argument("--parts", choices=list(_PARTS), nargs="+", default=list(_PARTS), help="what to measure")
    args = parser.parse_args(argv)
    print(describe(os.cpu_count() or 1))
    print(f"{IMAGES:,} images, {IMAGES * DETECTIONS_PER_IMAGE:,} detections")
    return in_scratch(lambda folder: _measure(folder, args.parts, args.repeats))


def _measure(folder: pathlib.Path, parts: Sequence[str], repeats: int) -> None:
    for part in parts:
        print(f"{part}:", flush=True)
        _PARTS[part](repeats, folder)


def _metric(repeats: int, _: pathlib.Path) -> None:
    ours, theirs = _turns(repeats, [("boxbeam", IMAGES), ("hotcoco", IMAGES)])
    (slow,) = _turns(1, [("pycocotools", IMAGES)])
    found = {one["mAP"] for one in (*ours, *theirs)}
    if len(found) > 1 or abs(found.pop() - slow[0]["mAP"]) > 1e-12:
        raise BenchmarkError(f"the contestants do not agree: {ours[0]['mAP']}, {theirs[0]['mAP']}, {slow[0]['mAP']}")
    _print_times("boxbeam", ours)
    _print_times("hotcoco", theirs)
    _print_times("pycocotools", slow)
    _print_ratio("boxbeam : hotcoco", ours, theirs, f"aim: at most {AIM_OF_HOTCOCO:g}")
    _print_ratio("pycocotools : boxbeam", slow, ours, f"aim: at least {AIM_OF_PYCOCOTOOLS:g}")


def _scale(repeats: int, _: pathlib.Path) -> None:
    every = [("boxbeam", IMAGES), ("boxbeam", _TIMES * IMAGES), ("hotcoco", IMAGES), ("hotcoco", _TIMES * IMAGES)]
    once, often, their_once, their_often = _turns(repeats, every)
    _print_times(f"{_TIMES * IMAGES:,} images", often)
    _print_ratio(f"{_TIMES} times as many images", often, once, f"aim: at most {AIM_SCALE:g}")
    _print_ratio("  the same for hotcoco's own run", their_often, their_once, "to compare")
    grown = (_median(often, "grown_bytes") - _median(once, "grown_bytes")) / (
        (_TIMES - 1) * IMAGES * DETECTIONS_PER_IMAGE
    )
    print(f"  memory: {grown:.0f} bytes for each further detection, at the peak, which is in value()")


def _command(repeats: int, folder: pathlib.Path) -> None:
    found, truth = CocoLike.of(IMAGES).write(folder)
    for name, options in _COMMANDS.items():
        runs = [_run(found, truth, folder / "scores", options) for _ in range(repeats)]
        wall, cpu, others = (statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "others"))
        aim = f"aim: below {AIM_COMMAND_SECONDS:g} s"
        print(f"  {name}: {wall:.1f} s, {cpu:.1f} s CPU, others' cores {others:.1f} ({aim})")


def _memory(_: int, folder: pathlib.Path) -> None:
    peaks = []
    for images in (IMAGES, _TIMES * IMAGES):
        place = folder / str(images)
        place.mkdir()
        found, truth = CocoLike.of(images).write(place)
        peaks.append(_run(found, truth, place / "scores", ())["peak"])
        print(f"  {images:,} images, with insight and page: {peaks[-1] / 2**20:.0f} MiB at the most")
    grown = (peaks[1] - peaks[0]) / ((_TIMES - 1) * IMAGES * DETECTIONS_PER_IMAGE)
    print(f"  {grown:.0f} bytes for each further detection; pixels are never opened")


_PARTS: dict[str, Callable[[int, pathlib.Path], None]] = {
    "metric": _metric,
    "scale": _scale,
    "command": _command,
    "memory": _memory,
}


def _turns(repeats: int, contestants: Sequence[tuple[str, int]]) -> list[list[dict[str, Any]]]:
    """What each contestant measured, taking turns."""
    measured: list[list[dict[str, Any]]] = [[] for _ in contestants]
    for _ in range(repeats):
        for samples, (contestant, images) in zip(measured, contestants, strict=True):
            samples.append(measure("evaluate_metric", contestant, images))
    return measured


def _median(samples: Sequence[dict[str, Any]], key: str) -> float:
    return statistics.median(float(one[key]) for one in samples)


def _print_times(name: str, samples: Sequence[dict[str, Any]]) -> None:
    print(f"  {name}: {_median(samples, 'wall'):.2f} s, {_median(samples, 'cpu'):.2f} s CPU")


def _print_ratio(name: str, first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]], comment: str) -> None:
    wall, cpu = (_median(first, key) / _median(second, key) for key in ("wall", "cpu"))
    print(f"  {name} = {wall:.2f}, in CPU time {cpu:.2f} ({comment})", flush=True)


def _run(found: pathlib.Path, truth: pathlib.Path, output: pathlib.Path, options: Sequence[str]) -> dict[str, float]:
    """One run of the command: wall and CPU seconds, peak of memory in bytes, cores that others used."""
    command = [sys.executable, "-m", "beam_jobs.evaluate", "--detections", str(found), "--ground_truth", str(truth)]
    before, others, started = os.times(), OtherWork(), time.perf_counter()
    process = subprocess.Popen(
        [*command, "--output", str(output), *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with PeakMemory(process.pid) as memory:
        _, err = process.communicate()
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode:
        raise BenchmarkError(f"{' '.join(process.args)}: exit {process.returncode}\n{err[-2000:]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return {"wall": wall, "cpu": cpu, "peak": float(memory.bytes), "others": others.cores(cpu)}


if __name__ == "__main__":
    sys.exit(main())
