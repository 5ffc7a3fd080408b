"""Measure `boxbeam convert` beside a loop that checks as much, the loop that people write, and copying the files.

    python -m benchmarks.convert                       # all parts, about twelve minutes on two cores
    python -m benchmarks.convert --parts small --repeats 1

small    20 KB photos: images per second with one worker and two, with and without decoding them, against the loop that
         checks as much (aims: 1.0 of it with one worker, two workers 1.8 times one), and against copying (aim: 0.4).
         The bare loop, which checks nothing but that it is an image, stands beside it without an aim.
large    1 MB photos, headers checked, two workers: against copying (aim: 0.7), and against copying and hashing: a
         record holds the SHA-256 of its image, and the manifest that of the shard.
memory   the highest memory of all processes at once and ten times the images (aim: at most 1.2 times).
json     a COCO file of 500 MB: time, and the highest memory (aim: below 1 GiB).

Rates are without start-up: boxbeam's are those of run.json, from the first item that is begun to the last that is
finished. Contestants take turns within each repeat, in processes of their own; figures are medians.
"""

import argparse
import functools
import json
import pathlib
import shutil
import statistics
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_jobs.options import cores
from benchmarks.child import BenchmarkError, measure, whole
from benchmarks.command import Taken, in_scratch, run_command
from benchmarks.machine import describe

PARTS = ("small", "large", "memory", "json")
AIM_OF_LOOP, AIM_TWO_WORKERS, AIM_SMALL_OF_COPY, AIM_LARGE_OF_COPY = 1.0, 1.8, 0.4, 0.7
AIM_MEMORY_RATIO = 1.2
AIM_JSON_BYTES = 1 << 30

# Many, or the start of the launcher beside the first items would be most of what is measured.
_SMALL_IMAGES, _SMALL_KILOBYTES = 64_000, 20
_LARGE_IMAGES, _LARGE_KILOBYTES = 3000, 1000
_MEMORY_IMAGES, _TIMES = 2000, 10
_JSON_IMAGES, _JSON_KILOBYTES, _JSON_MEGABYTES = 20_000, 2, 500
_SHARDS = 40


class _Rate(NamedTuple):
    """Images per second, CPU milliseconds an image (boxbeam's with its start-up), and how many cores others used."""

    images_per_second: float
    cpu_ms: float
    others_cores: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run, 0 also where an aim is missed."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--repeats", type=whole, default=3, help="medians are of so many (default: 3)")
    args = parser.parse_args(argv)
    print(describe(cores()))
    return max(in_scratch(functools.partial(_measure, part, args.repeats)) for part in args.parts)


def _measure(part: str, repeats: int, folder: pathlib.Path) -> None:
    _Bench(folder, repeats).run(part)


class _Bench:
    """One part after another, each with photos of its own."""

    def __init__(self, scratch: pathlib.Path, repeats: int):
        self._scratch = scratch
        self._repeats = repeats

    def run(self, part: str) -> None:
        """Measure a part and print it."""
        {"small": self._small, "large": self._large, "memory": self._memory, "json": self._json}[part]()

    def _small(self) -> None:
        photos = self._made("photos", _SMALL_IMAGES, _SMALL_KILOBYTES)
        contestants = {
            "copying the files": lambda: self._beside("copy", photos),
            "loop, headers": lambda: self._beside("checked", photos, "--verify", "header"),
            "loop, decoding": lambda: self._beside("checked", photos, "--verify", "decode"),
            "bare loop, headers": lambda: self._beside("bare", photos, "--verify", "header"),
            "bare loop, decoding": lambda: self._beside("bare", photos, "--verify", "decode"),
            "boxbeam, headers, 1 worker": lambda: self._convert(photos, "header", 1),
            "boxbeam, headers, 2 workers": lambda: self._convert(photos, "header", 2),
            "boxbeam, decoding, 1 worker": lambda: self._convert(photos, "decode", 1),
            "boxbeam, decoding, 2 workers": lambda: self._convert(photos, "decode", 2),
        }
        rates = self._taking_turns(f"SMALL: {_SMALL_IMAGES:,} photos of {_SMALL_KILOBYTES} KB", contestants)
        one, two = "boxbeam, decoding, 1 worker", "boxbeam, decoding, 2 workers"
        _ratio("decoding, 1 worker / loop", rates[one] / rates["loop, decoding"], AIM_OF_LOOP)
        _ratio("decoding, 2 workers / 1 worker", rates[two] / rates[one], AIM_TWO_WORKERS)
        one, two = "boxbeam, headers, 1 worker", "boxbeam, headers, 2 workers"
        _ratio("headers, 1 worker / loop", rates[one] / rates["loop, headers"], AIM_OF_LOOP)
        _ratio("headers, 2 workers / 1 worker", rates[two] / rates[one], AIM_TWO_WORKERS)
        _ratio("headers, 2 workers / copying", rates[two] / rates["copying the files"], AIM_SMALL_OF_COPY)

    def _large(self) -> None:
        photos = self._made("photos", _LARGE_IMAGES, _LARGE_KILOBYTES)
        contestants = {
            "copying the files": lambda: self._beside("copy", photos),
            "copying and hashing them, as records have it": lambda: self._beside("copy_hashed", photos),
            "boxbeam, headers, 2 workers": lambda: self._convert(photos, "header", 2),
            "boxbeam, decoding, 2 workers": lambda: self._convert(photos, "decode", 2),
        }
        rates = self._taking_turns(f"LARGE: {_LARGE_IMAGES:,} photos of {_LARGE_KILOBYTES:,} KB", contestants)
        two, hashed = rates["boxbeam, headers, 2 workers"], rates["copying and hashing them, as records have it"]
        _ratio("headers, 2 workers / copying", two / rates["copying the files"], AIM_LARGE_OF_COPY)
        print(f"  {'headers, 2 workers / copying and hashing':<46}{two / hashed:>10.2f}")

    def _memory(self) -> None:
        print(f"\nMEMORY: photos of {_SMALL_KILOBYTES} KB, shards of 32 MiB, 2 workers, decoding")
        peaks = []
        for images in (_MEMORY_IMAGES, _TIMES * _MEMORY_IMAGES):
            photos = self._made(str(images), images, _SMALL_KILOBYTES)
            taken, _ = self._run(photos, "decode", 2, "--shard_bytes", "32MiB")
            peaks.append(taken.peak_bytes)
            print(f"  {images:>8,} images {taken.peak_bytes / 2**20:>8,.0f} MiB {taken.wall_seconds:>8.1f} s")
        ratio = peaks[1] / max(1, peaks[0])
        print(f"  {'ten times / once':<44}{ratio:>8.2f}  {_verdict(ratio <= AIM_MEMORY_RATIO, AIM_MEMORY_RATIO)}")

    def _json(self) -> None:
        photos = self._made("photos", _JSON_IMAGES, _JSON_KILOBYTES, "--json_megabytes", _JSON_MEGABYTES)
        size = (photos / "instances.json").stat().st_size
        print(f"\nJSON: one COCO file of {size / 1e6:,.0f} MB, {_JSON_IMAGES:,} images, 2 workers, headers")
        taken, report = self._run(photos, "header", 2)
        boxes = report["this_run"]["boxes"]
        print(f"  {boxes:,} boxes in {taken.wall_seconds:.1f} s, {taken.cpu_seconds:.1f} s of CPU time")
        verdict = _verdict(taken.peak_bytes < AIM_JSON_BYTES, "1,024")
        print(f"  {'highest memory, MiB':<44}{taken.peak_bytes / 2**20:>8,.0f}  {verdict}")

    def _made(self, name: str, images: int, kilobytes: int, *options: object) -> pathlib.Path:
        folder = self._scratch / name
        print(f"making {images:,} photos ...", file=sys.stderr, flush=True)
        measure("make_annotated", folder, "--images", images, "--kilobytes", kilobytes, *options)
        return folder

    def _taking_turns(self, title: str, contestants: dict[str, Any]) -> dict[str, float]:
        samples: dict[str, list[_Rate]] = {name: [] for name in contestants}
        for repeat in range(self._repeats):
            print(f"repeat {repeat + 1} of {self._repeats} ...", file=sys.stderr, flush=True)
            for name, run in contestants.items():
                samples[name].append(run())
        print(f"\n{title:<48}{'images/s':>10}{'lowest-highest':>16}{'CPU ms':>9}{'others':>8}")
        for name, rates in samples.items():
            per_second = [rate.images_per_second for rate in rates]
            spread = f"{min(per_second):,.0f}-{max(per_second):,.0f}"
            cpu, others = (statistics.median(rate[field] for rate in rates) for field in (1, 2))
            print(f"  {name:<46}{statistics.median(per_second):>10,.0f}{spread:>16}{cpu:>9.2f}{others:>8.1f}")
        return {name: statistics.median(rate.images_per_second for rate in rates) for name, rates in samples.items()}

    def _beside(self, what: str, photos: pathlib.Path, *options: object) -> _Rate:
        output = self._scratch / "beside"
        try:
            found = measure("convert_loop", what, photos / "instances.json", photos / "images", output, *options)
        finally:
            shutil.rmtree(output, ignore_errors=True)
        return _Rate(found["images_per_second"], found["cpu_ms"], found["others_cores"])

    def _convert(self, photos: pathlib.Path, verify: str, workers: int) -> _Rate:
        taken, report = self._run(photos, verify, workers, "--splits", "train=1", "--num_shards", _SHARDS)
        images = report["this_run"]["images"]
        return _Rate(images / report["seconds"]["items"], 1000 * taken.cpu_seconds / images, taken.others_cores)

    def _run(self, photos: pathlib.Path, verify: str, workers: int, *options: object) -> tuple[Taken, dict[str, Any]]:
        output = self._scratch / "records"
        where = ("--input", photos / "instances.json", "--output", output, "--progress", "off")
        try:
            taken = run_command("convert", *where, "--verify", verify, "--workers", workers, *options)
            report: dict[str, Any] = json.loads((output / "run.json").read_text())
        finally:
            shutil.rmtree(output, ignore_errors=True)
        if report["this_run"]["failed"] or report["this_run"]["done"] != report["dataset"]["inputs"]:
            raise BenchmarkError(f"convert did {report['this_run']}, expected every image to be done")
        return taken, report


def _ratio(words: str, value: float, aim: float) -> None:
    print(f"  {words:<46}{value:>10.2f}  {_verdict(value >= aim, aim)}")


def _verdict(is_met: bool, aim: object) -> str:
    return f"{'OK' if is_met else 'MISSED'} (aim {aim})"


if __name__ == "__main__":
    sys.exit(main())
