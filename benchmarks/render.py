"""Rendering a video: speed beside decoding and encoding alone, and memory with its frames once and ten times.

    python -m benchmarks.render                    # two to three minutes on two quiet cores
    python -m benchmarks.render --video clip.mp4 --repeats 1

The video is a clip shown once and ten times (packets copied), with eight made-up boxes on every frame. Contestants take
turns, each in a process of its own, all with the encoder settings of render and one thread for each step:

    frames    PyAV alone: what the decoder gives goes to the encoder as it is
    arrays    boxbeam's reader and writer: RGB arrays in between, as whoever draws on frames needs them
    render    boxbeam render --workers 1: boxes, captions, rows; from the first open worker to the last item

CPU time per frame is told by the difference of the long and the short video, so that start-up is in none of it. Render
is to take at most 1.3 times of decoding and encoding alone; memory is flat if its ratio stays near 1 (aim: 1.3).
"""

import argparse
import json
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import NamedTuple

from beam_jobs.options import cores
from benchmarks.child import measure, whole
from benchmarks.command import in_scratch, run_command
from benchmarks.machine import OtherWork, describe
from benchmarks.material import long_video, sample_material, shared_material

AIM_TIME = 1.3
AIM_MEMORY = 1.3

_TIMES = 10
_WAYS = ("frames", "arrays")


class _Run(NamedTuple):
    """Frames, seconds of work, CPU seconds, others' cores, and the highest memory (0 where it is not asked for)."""

    frames: int
    seconds: float
    cpu_seconds: float
    others_cores: float
    peak_bytes: int = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=pathlib.Path, help="a clip (default: the real one, else boxbeam's sample)")
    parser.add_argument("--repeats", type=whole, default=2, help="medians are of so many (default: 2)")
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _measure(args.video, folder, args.repeats))


def _measure(video: pathlib.Path | None, folder: pathlib.Path, repeats: int) -> None:
    clip = (video or (shared_material() or sample_material(folder / "sample")).video).resolve()
    runs: dict[tuple[str, int], list[_Run]] = {}
    for times in (1, _TIMES):
        (folder / str(times)).mkdir()
        long_video(clip, folder / f"{times}/video.mkv", times)
        measure("make_video_detections", folder / f"{times}/video.mkv", folder / f"{times}/found")
    for turn in range(repeats):
        for times in (1, _TIMES):
            for way in _WAYS:
                runs.setdefault((way, times), []).append(_transcode(folder / str(times), way))
            runs.setdefault(("render", times), []).append(_render(folder / str(times), turn))
    print(f"{describe(cores())}; {clip.name}, {runs['render', _TIMES][0].frames:,} frames; medians of {repeats}")
    print(f"{'':<8}{'frames/s':>9}{'lowest-highest':>16}{'CPU ms/frame':>14}{'others cores':>14}")
    for name in (*_WAYS, "render"):
        rates = [run.frames / run.seconds for run in runs[name, _TIMES]]
        others = statistics.median(run.others_cores for run in runs[name, _TIMES])
        print(
            f"{name:<8}{statistics.median(rates):>9.1f}{f'{min(rates):.0f}-{max(rates):.0f}':>16}"
            f"{_cpu_ms(runs, name):>14.2f}{others:>14.1f}"
        )
    for way in _WAYS:
        pairs = zip(runs["render", _TIMES], runs[way, _TIMES], strict=True)
        time = statistics.median((one.seconds / one.frames) / (other.seconds / other.frames) for one, other in pairs)
        cpu = _cpu_ms(runs, "render") / _cpu_ms(runs, way)
        verdict = "OK" if time <= AIM_TIME else "ABOVE"
        print(f"render takes {time:.2f} of the time of {way} ({verdict}, aim {AIM_TIME}), {cpu:.2f} of its CPU time")
    few, many = (statistics.median(run.peak_bytes for run in runs["render", times]) for times in (1, _TIMES))
    ratio = many / max(1, few)
    verdict = "OK" if ratio <= AIM_MEMORY else "ABOVE"
    print(
        f"memory of render, all processes: {few / 2**20:.0f} MiB, with ten times the frames {many / 2**20:.0f} MiB:"
        f" {ratio:.2f} ({verdict}, aim {AIM_MEMORY})"
    )


def _cpu_ms(runs: dict[tuple[str, int], list[_Run]], name: str) -> float:
    """CPU milliseconds of a frame, start-up apart."""
    few, many = runs[name, 1], runs[name, _TIMES]
    seconds = statistics.median(run.cpu_seconds for run in many) - statistics.median(run.cpu_seconds for run in few)
    return 1000 * seconds / (many[0].frames - few[0].frames)


def _transcode(folder: pathlib.Path, way: str) -> _Run:
    others = OtherWork()
    done = measure("transcoding", folder / "video.mkv", folder / "alone.mp4", "--way", way)
    return _Run(done["frames"], done["seconds"], done["cpu_seconds"], others.cores(done["cpu_seconds"]))


def _render(folder: pathlib.Path, turn: int) -> _Run:
    output = folder / f"rendered_{turn}"
    taken = run_command(
        "render", "--detections", folder / "found", "--output", output, "--workers", 1, "--progress", "off"
    )
    report = json.loads((output / "run.json").read_text())
    frames = report["this_run"]["frames"]
    return _Run(frames, frames / report["per_second"], taken.cpu_seconds, taken.others_cores, taken.peak_bytes)


if __name__ == "__main__":
    sys.exit(main())
