"""What makes a detector faster on a CPU: threads, processes, batch sizes, and what TensorFlow has to offer.

    python -m benchmarks.settings                         # 4 minutes on 2 cores for each model
    python -m benchmarks.settings --models MODEL --parts ways import

Bare Sessions on frames in memory (see bare_session.py), each way in turn, and start-up with the whole of TensorFlow or
with its session modules alone. CPU time stands beside each rate, and how far the scores of one image are from those of
the first way.
"""

import argparse
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from beam_jobs.options import cores
from benchmarks.child import BenchmarkError, measure, positive, whole
from benchmarks.command import in_scratch
from benchmarks.material import Inputs, sample_material, shared_material

_PARTS = ("ways", "import")
_OTHER_MODEL = "ssd_mobilenet_v1_coco_random"
_GRAPH = "frozen_inference_graph.pb"


class Way(NamedTuple):
    """One way to run a graph; `processes` side by side, each with its share of the cores."""

    name: str
    style: str = "thread_per_core"
    setting: str = "none"
    processes: int = 1
    environment: Mapping[str, str] = {}


def _ways(count: int) -> Iterator[Way]:
    yield Way("one Session, one run at a time on all cores", "one_run")
    yield Way("one Session, a thread per core")
    yield Way("a process per core, a thread in each", processes=count)
    yield Way("a thread per core, without oneDNN", environment={"TF_ENABLE_ONEDNN_OPTS": "0"})
    yield Way("a thread per core, bfloat16", setting="bfloat16")
    yield Way("a thread per core, XLA", setting="xla", environment={"TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"})


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, nargs="+", help="frozen graphs (default: the two real ones)")
    parser.add_argument("--seconds", type=positive, default=3.0, help="for each batch size (default: 3)")
    parser.add_argument("--batch_sizes", type=whole, nargs="+", default=[1, 4, 8])
    parser.add_argument("--repeats", type=whole, default=2, help="medians are of so many (default: 2)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS), help="what to measure")
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _measure(folder, args))


def _measure(folder: pathlib.Path, args: argparse.Namespace) -> None:
    material = shared_material() or sample_material(folder / "sample")
    default = [material.model, material.model.parent / _OTHER_MODEL]
    models = [model.resolve() for model in args.models or default if model.exists()]
    frames = folder / "frames.npy"
    measure("decoding", "images", Inputs(material.images, folder / "images").once, "--frames_to", frames)
    for model in models:
        graph = model / _GRAPH if model.is_dir() else model
        print(f"{model.name}, {cores()} cores")
        if "ways" in args.parts:
            _print_ways(graph, frames, args)
        if "import" in args.parts:
            _print_import(graph, args.repeats)


def _print_ways(graph: pathlib.Path, frames: pathlib.Path, args: argparse.Namespace) -> None:
    count = cores()
    answers: dict[str, list[list[dict[str, Any]]]] = {}
    failed: dict[str, str] = {}
    for _ in range(args.repeats):
        for way in _ways(count):
            try:
                answers.setdefault(way.name, []).append(_run(way, graph, frames, args, count))
            except BenchmarkError as error:
                failed[way.name] = str(error).splitlines()[-1]
    head = "".join(f"  {f'batch {size}':>18}" for size in args.batch_sizes)
    print(f"  {'images/s (CPU ms an image)':<46}{head}   scores differ by")
    expected = next(iter(answers.values()))[0][0]["scores"]
    for name, runs in answers.items():
        cells = "".join(f"  {_cell(runs, str(size)):>18}" for size in args.batch_sizes)
        scores = runs[0][0]["scores"]
        difference = max(abs(one - other) for one, other in zip(scores, expected, strict=True))
        print(f"  {name:<46}{cells}   {difference:.1e}")
    for name, reason in failed.items():
        print(f"  {name:<46}  did not run: {reason}")


def _run(
    way: Way, graph: pathlib.Path, frames: pathlib.Path, args: argparse.Namespace, count: int
) -> list[dict[str, Any]]:
    """One answer for each process."""

    def one(_: int) -> dict[str, Any]:
        told = ("--model", graph, "--frames", frames, "--style", way.style, "--setting", way.setting)
        limits = ("--cores", count // way.processes, "--seconds", args.seconds, "--batch_sizes", *args.batch_sizes)
        return measure("bare_session", *told, *limits, environment=way.environment)

    with ThreadPoolExecutor(way.processes) as executor:
        return list(executor.map(one, range(way.processes)))


def _cell(runs: Sequence[Sequence[Mapping[str, Any]]], size: str) -> str:
    """Processes side by side: their rates add up."""
    rate = statistics.median(sum(answer["batches"][size]["frames_per_second"] for answer in run) for run in runs)
    cpu = statistics.median(answer["batches"][size]["cpu_ms_per_frame"] for run in runs for answer in run)
    return f"{rate:.1f} ({cpu:.1f})"


def _print_import(graph: pathlib.Path, repeats: int) -> None:
    found: dict[str, list[dict[str, Any]]] = {"all": [], "session": []}
    for _ in range(repeats):
        for what, answers in found.items():
            answers.append(measure("session_import", "--graph", graph, "--what", what))
    words = {"all": "the whole of TensorFlow", "session": "its session modules alone"}
    print("  start-up until one image is detected, seconds")
    for what, answers in found.items():
        wall, cpu, imported = (
            statistics.median(answer[name] for answer in answers)
            for name in ("seconds", "cpu_seconds", "import_seconds")
        )
        same = answers[0]["scores"] == found["all"][0]["scores"]
        print(f"  {words[what]:<46}{wall:8.1f} (CPU {cpu:.1f}, import {imported:.1f}), equal scores: {same}")


if __name__ == "__main__":
    sys.exit(main())
