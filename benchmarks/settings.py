"""What makes a detector faster on a CPU: threads, processes, batch sizes, and what TensorFlow and malloc have to offer.

    python -m benchmarks.settings                         # 5 minutes on 2 cores for each model
    python -m benchmarks.settings --models MODEL --parts ways large import

Bare Sessions on frames in memory (see bare_session.py), each way in turn: `ways` on photos, `large` on frames of a
video; `import` is start-up with the whole of TensorFlow or with its session modules alone. Prints the tables of
README.md: CPU time, the rate beside it, and how far the scores of one image are from those of the first way.
"""

import argparse
import pathlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from beam_jobs.options import cores
from benchmarks.child import BenchmarkError, measure, positive, whole
from benchmarks.command import in_scratch
from benchmarks.material import Inputs, sample_material, shared_material
from pipelines.process_memory import KEPT_MEMORY

_PARTS = ("ways", "large", "import")
_OTHER_MODEL = "ssd_mobilenet_v1_coco_random"
_GRAPH = "frozen_inference_graph.pb"


class Way(NamedTuple):
    """One way to run a graph, and what became of it; `processes` side by side, each with its share of the cores."""

    name: str
    outcome: str
    style: str = "thread_per_core"
    setting: str = "none"
    processes: int = 1
    environment: Mapping[str, str] = {}


def _ways(count: int) -> Iterator[Way]:
    yield from _large_ways()
    yield Way(
        "a process per core, a thread in each",
        "no faster, and imports and loads once for each core",
        processes=count,
    )
    yield Way(
        "a thread per core, without oneDNN",
        "oneDNN left on, as TensorFlow has it",
        environment={"TF_ENABLE_ONEDNN_OPTS": "0"},
    )
    yield Way(
        "a thread per core, bfloat16",
        "other detections, and no faster on CPUs without its instructions: not offered",
        setting="bfloat16",
    )
    yield Way(
        "a thread per core, XLA",
        "compiles anew for as long as shapes within the graph change: not offered",
        setting="xla",
        environment={"TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"},
    )


def _large_ways() -> Iterator[Way]:
    yield Way(
        "one Session, one run at a time on all cores",
        "the loop people write: a core idles in every part of the graph that does not divide",
        "one_run",
    )
    yield Way("one Session, a thread per core", "what boxbeam does, with every run in its caller's thread (below)")
    yield Way(
        "a thread per core, malloc keeps memory",
        "what boxbeam's item processes are told to do (`pipelines/process_memory.py`)",
        environment=KEPT_MEMORY,
    )


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
    large_frames = folder / "large.npy"
    if "large" in args.parts:
        measure("decoding", "video", Inputs(material.video, folder / "video").first, "--frames_to", large_frames)
    for model in models:
        graph = model / _GRAPH if model.is_dir() else model
        print(f"{model.name}, {cores()} cores")
        if "ways" in args.parts:
            _print_ways(list(_ways(cores())), graph, frames, args)
        if "large" in args.parts:
            _print_ways(list(_large_ways()), graph, large_frames, args)
        if "import" in args.parts:
            _print_import(graph, args.repeats)


def _print_ways(ways: Sequence[Way], graph: pathlib.Path, frames: pathlib.Path, args: argparse.Namespace) -> None:
    """The rows of a Markdown table; what was given up comes without figures."""
    count = cores()
    height, width = np.load(frames, mmap_mode="r").shape[1:3]
    answers: dict[str, list[list[dict[str, Any]]]] = {}
    failed: dict[str, str] = {}
    for _ in range(args.repeats):
        for way in ways:
            try:
                answers.setdefault(way.name, []).append(_run(way, graph, frames, args, count))
            except BenchmarkError as error:
                failed[way.name] = str(error).splitlines()[-1]
    print(f"{width}x{height}, CPU ms an image (images/s)\n")
    print("".join(f"| {cell} " for cell in ("way", *(f"batch {size}" for size in args.batch_sizes))), end="")
    print("| scores differ by | what became of it |")
    print("|---" * (len(args.batch_sizes) + 3) + "|")
    outcomes = {way.name: way.outcome for way in ways}
    expected = next(iter(answers.values()))[0][0]["scores"]
    for name, runs in answers.items():
        cells = "".join(f"| {_cell(runs, str(size))} " for size in args.batch_sizes)
        scores = runs[0][0]["scores"]
        difference = max(abs(one - other) for one, other in zip(scores, expected, strict=True))
        print(f"| {name} {cells}| {f'{difference:.0e}' if difference else '0'} | {outcomes[name]} |")
    for name, reason in failed.items():
        print(f"{name}: did not run: {reason}")
    print()


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
    return f"{cpu:.1f} ({rate:.0f})"


def _print_import(graph: pathlib.Path, repeats: int) -> None:
    found: dict[str, list[dict[str, Any]]] = {"all": [], "session": []}
    for _ in range(repeats):
        for what, answers in found.items():
            answers.append(measure("session_import", "--graph", graph, "--what", what))
    words = {"all": "the whole of TensorFlow", "session": "its session modules alone"}
    print("| start-up until one image is detected | CPU seconds | seconds | of these import | equal scores |")
    print("|---" * 5 + "|")
    for what, answers in found.items():
        wall, cpu, imported = (
            statistics.median(answer[name] for answer in answers)
            for name in ("seconds", "cpu_seconds", "import_seconds")
        )
        same = "yes" if answers[0]["scores"] == found["all"][0]["scores"] else "no"
        print(f"| {words[what]} | {cpu:.1f} | {wall:.1f} | {imported:.1f} | {same} |")
    print()


if __name__ == "__main__":
    sys.exit(main())
