"""Measure `boxbeam infer` on this machine: speed beside bare Session loops, start-up, memory. README.md explains it.

    python -m benchmarks.infer
    python -m benchmarks.infer --model exported/ --label_map labels.pbtxt --video clip.mp4 --images photos/

Everything is measured in one run, in processes of their own, taking turns: what else the machine does in that time
falls on all of them.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import pathlib
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from beam_jobs.options import cores
from benchmarks import report
from benchmarks.child import BenchmarkError, measure, positive, whole
from benchmarks.machine import describe
from benchmarks.material import Inputs, Material, long_video, sample_material, shared_material
from benchmarks.product import Run, run_infer
from benchmarks.results import Loop, Results, Sample, Speed
from od_core.version import __version__

_STYLES = ("one_run", "thread_per_core")
_BATCH_SIZES = (1, 4, 8)
_SPEED_PARTS = ("video", "images")
_PARTS = (*_SPEED_PARTS, "start_up", "memory")
_TIMES = 10
_VERSIONS_OF = ("tensorflow", "apache-beam", "av", "numpy", "pyarrow")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 0 also where an aim is missed, 1 where something did not run."""
    args = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # in order: what was started is killed, copies are removed
    try:
        with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
            results = _benchmark(args, pathlib.Path(scratch))
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print(report.text(results))
    if args.json:
        args.json.write_text(json.dumps(results.to_json(), indent=1, default=str) + "\n", encoding="utf-8")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.infer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, words in (
        ("model", "an exported detector that takes pixels"),
        ("label_map", "its label map"),
        ("video", "a video; it is repeated until a run is long enough"),
        ("images", "a folder of JPEGs; likewise"),
    ):
        parser.add_argument(f"--{name}", type=_existing, help=f"{words} (give all four, or none for the default)")
    parser.add_argument("--repeats", type=whole, default=3, help="medians are of so many (default: 3)")
    parser.add_argument("--seconds", type=positive, default=14.0, help="a run of infer should last (default: 14)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS), help="what to measure")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all samples there")
    args = parser.parse_args(argv)
    given = [args.model, args.label_map, args.video, args.images]
    if any(given) and not all(given):
        parser.error("--model, --label_map, --video and --images go together: a model's own material, or the default")
    return args


def _existing(text: str) -> pathlib.Path:
    path = pathlib.Path(text).resolve()  # what is started here has the repository as its current folder
    if not path.exists():
        raise argparse.ArgumentTypeError(f"no such file or folder: {text}")
    return path


def _benchmark(args: argparse.Namespace, scratch: pathlib.Path) -> Results:
    header = _header()
    if args.model:
        material = Material(args.model, args.label_map, args.video, args.images, "as given")
    else:
        material = shared_material() or sample_material(scratch / "sample")
    header["material"] = f"{material.origin}: {', '.join(path.name for path in material[:4])}"
    header["samples"] = f"medians of {args.repeats}"
    inputs = {kind: Inputs(getattr(material, kind), scratch / kind) for kind in ("video", "images")}
    bench = _Bench(args, material, inputs, scratch)
    bench.say("a first run, which is not measured")
    bench.infer(inputs["images"].first)
    one_image = [bench.infer(inputs["images"].first) for _ in bench.repeats("one image")]
    cpu = statistics.median(run.cpu_seconds for run in one_image)
    speed = {kind: bench.speed(kind, cpu) for kind in _SPEED_PARTS if kind in args.parts}
    memory = bench.memory() if "memory" in args.parts else {}
    return Results(header, speed, one_image if "start_up" in args.parts else [], memory)


class _Bench:
    """The measurements, on one model and its inputs."""

    def __init__(
        self, args: argparse.Namespace, material: Material, inputs: Mapping[str, Inputs], scratch: pathlib.Path
    ):
        self._args = args
        self._material = material
        self._inputs = inputs
        self._scratch = scratch
        self._cores = cores()

    def say(self, words: str) -> None:
        """Tell a waiting person what is going on."""
        print(f"benchmark: {words} ...", file=sys.stderr, flush=True)

    def repeats(self, words: str) -> range:
        """As often as was asked for."""
        self.say(f"{words}, {self._args.repeats} times")
        return range(self._args.repeats)

    def infer(self, source: pathlib.Path, *, memory: bool = False) -> Run:
        """Run the product on a file or folder."""
        return run_infer(self._material.model, self._material.label_map, source, memory=memory)

    def speed(self, kind: str, start_cpu_seconds: float) -> Speed:
        """boxbeam and the loops in turn, on one kind of input."""
        inputs = self._inputs[kind]
        self.say(f"decoding, {kind}")
        frames_file = self._scratch / f"{kind}.npy"
        decoding = measure(
            "decoding", kind, inputs.first if kind == "video" else inputs.once, "--frames_to", frames_file
        )
        loops: dict[str, list[dict[str, Any]]] = {style: [] for style in _STYLES}
        runs: list[Run] = []
        source, times = inputs.once, 0
        for repeat in self.repeats(f"speed, {kind}"):
            for style in _STYLES:
                loops[style].append(self._loop(style, frames_file))
            if not repeat:
                best = max(statistics.median(_joined(answers).rates) for answers in loops.values())
                about = 1 / (1 / best + decoding["cpu_ms"]["bare"] / 1000)
                times = math.ceil(self._args.seconds * about / decoding["frames"])
                source = inputs.repeated(times)
            runs.append(self.infer(source))
        size = f"{decoding['width']}x{decoding['height']}"
        return Speed(
            words=f"{decoding['frames']:,} x {size}, {times} times over",
            cores=self._cores,
            decode_cpu_ms=decoding["cpu_ms"]["bare"],
            boxbeam_decode_cpu_ms=decoding["cpu_ms"]["product"],
            loops={style: _joined(samples) for style, samples in loops.items()},
            runs=runs,
            start_cpu_seconds=start_cpu_seconds,
        )

    def _loop(self, style: str, frames_file: pathlib.Path) -> dict[str, Any]:
        return measure(
            "bare_session",
            *("--model", self._material.model, "--frames", frames_file, "--style", style, "--cores", self._cores),
            *("--seconds", self._args.seconds / 4, "--batch_sizes", *_BATCH_SIZES),
        )

    def memory(self) -> dict[str, tuple[int, list[Run]]]:
        """Peaks at once and ten times the frames, in more inputs and in a longer one."""
        video, images = self._inputs["video"], self._inputs["images"]
        long = self._scratch / "long.mkv"
        how = long_video(video.first, long, _TIMES)
        cases = {
            "the video": (1, video.first),
            f"it {_TIMES} times, as inputs of their own": (_TIMES, video.repeated(_TIMES)),
            f"a video {_TIMES} times as long ({how})": (_TIMES, long),
            "the images": (1, images.once),
            f"them {_TIMES} times": (_TIMES, images.repeated(_TIMES)),
        }
        runs: dict[str, tuple[int, list[Run]]] = {name: (times, []) for name, (times, _) in cases.items()}
        for _ in self.repeats("memory"):
            for name, (_, source) in cases.items():
                runs[name][1].append(self.infer(source, memory=True))
        _check_frames(runs)
        return runs


def _check_frames(memory: Mapping[str, tuple[int, Sequence[Run]]]) -> None:
    """What is called ten times as much must be ten times as much."""
    once = 0
    for name, (times, runs) in memory.items():
        frames = runs[0].frames
        once = frames if times == 1 else once
        if frames != times * once:
            raise BenchmarkError(f"memory, {name}: expected {times} x {once} frames, infer found {frames}")


def _joined(answers: Sequence[Mapping[str, Any]]) -> Loop:
    sizes = answers[0]["batches"]  # as strings, which JSON makes of them
    return Loop(
        {int(size): [Sample(**answer["batches"][size]) for answer in answers] for size in sizes},
        [answer["first_run_seconds"] for answer in answers],
    )


def _header() -> dict[str, str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _VERSIONS_OF)
    return {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "machine": describe(cores()),
        "versions": f"boxbeam {__version__}, Python {platform.python_version()}, {versions}",
    }


if __name__ == "__main__":
    sys.exit(main())
