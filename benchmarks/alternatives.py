"""infer beside what people use without it, on one folder of JPEGs and the same frozen graph.

    python -m benchmarks.alternatives                              # 4 minutes on 2 cores
    python -m benchmarks.alternatives --parts graph_per_image      # or run_inference

graph_per_image: a loop that loads the graph for every image (aim: 20 times as fast). run_inference: Beam's RunInference
with a hand-written handler that decodes, detects and writes Parquet (aim: ahead of it). Programs take turns; each runs
on few and on many images, and the rate is that of the images between, so that start-up is in none of them; whole
commands stand beside it. Figures are medians.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.child import ROOT, BenchmarkError, measure, whole
from benchmarks.command import in_scratch
from benchmarks.machine import OtherWork
from benchmarks.material import Inputs, Material, sample_material, shared_material
from benchmarks.product import run_infer

_PARTS = ("graph_per_image", "run_inference")
_AIM_GRAPH_PER_IMAGE = 20.0
_LOOP_SECONDS = 8.0
_GRAPH = "frozen_inference_graph.pb"


class Whole(NamedTuple):
    """A whole command: seconds, CPU seconds of all its processes, and cores that others kept busy."""

    seconds: float
    cpu_seconds: float
    others_cores: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=whole, default=4, help="how often the folder counts as many (default: 4)")
    parser.add_argument("--repeats", type=whole, default=2, help="medians are of so many (default: 2)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS), help="what to measure")
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _compare(folder, args.parts, args.times, args.repeats))


def _compare(scratch: pathlib.Path, parts: Sequence[str], times: int, repeats: int) -> None:
    material = shared_material() or sample_material(scratch / "sample")
    inputs = Inputs(material.images, scratch / "images")
    few, many = inputs.once, inputs.repeated(1 + times)
    graph = material.model / _GRAPH if material.model.is_dir() else material.model
    ways: dict[str, Callable[[pathlib.Path], Whole]] = {"boxbeam infer": lambda folder: _infer(material, folder)}
    if "run_inference" in parts:
        ways["RunInference, 2 threads"] = lambda folder: _run_inference(graph, folder, "multi_threading")
        ways["RunInference, 2 processes"] = lambda folder: _run_inference(graph, folder, "multi_processing")
    runs: dict[str, list[tuple[Whole, Whole]]] = {name: [] for name in ways}
    loops: list[float] = []
    for _ in range(repeats):
        for name, way in ways.items():
            runs[name].append((way(few), way(many)))
        if "graph_per_image" in parts:
            told = ("--graph", graph, "--images", few, "--seconds", _LOOP_SECONDS)
            loops.append(measure("graph_per_image", *told)["images_per_second"])
    images = len(list(few.iterdir()))
    print(f"{material.origin}: {images} JPEGs, and {1 + times} times as many; {graph.parent.name}")
    rates = _print_rates(runs, images * times)
    if loops:
        rate = statistics.median(loops)
        ratio = rates["boxbeam infer"] / rate
        verdict = "OK" if ratio >= _AIM_GRAPH_PER_IMAGE else "BELOW"
        print(f"  the graph loaded for each image: {rate:.2f} images/s")
        print(f"  boxbeam : that = {ratio:.1f}  {verdict} (aim {_AIM_GRAPH_PER_IMAGE:g})")


def _print_rates(runs: Mapping[str, Sequence[tuple[Whole, Whole]]], between: int) -> dict[str, float]:
    rates = {}
    for name, pairs in runs.items():
        rates[name] = statistics.median(between / (many.seconds - few.seconds) for few, many in pairs)
        cpu = statistics.median(1000 * (many.cpu_seconds - few.cpu_seconds) / between for few, many in pairs)
        seconds = [statistics.median(taken.seconds for taken in side) for side in zip(*pairs, strict=True)]
        others = statistics.median(taken.others_cores for pair in pairs for taken in pair)
        print(
            f"  {name}: {rates[name]:.1f} images/s, {cpu:.1f} ms CPU per image; whole commands {seconds[0]:.1f} s and"
            f" {seconds[1]:.1f} s; others' cores {others:.1f}"
        )
    for name, rate in rates.items():
        if name != "boxbeam infer":
            ratio = rates["boxbeam infer"] / rate
            print(f"  boxbeam : {name} = {ratio:.2f}  {'OK' if ratio > 1 else 'BELOW'} (aim: above 1)")
    return rates


def _infer(material: Material, folder: pathlib.Path) -> Whole:
    run = run_infer(material.model, material.label_map, folder)
    return Whole(run.wall_seconds, run.cpu_seconds, run.others_cores)


def _run_inference(graph: pathlib.Path, folder: pathlib.Path, mode: str) -> Whole:
    command = [sys.executable, "-m", "benchmarks.run_inference", "--graph", str(graph), "--images", str(folder)]
    command += ["--mode", mode, "--workers", "2"]
    others, started = OtherWork(), time.monotonic()
    before = os.times()
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    after = os.times()
    if ended.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit {ended.returncode}\n{ended.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Whole(time.monotonic() - started, cpu, others.cores(cpu))


if __name__ == "__main__":
    sys.exit(main())
