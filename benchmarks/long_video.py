"""Long videos and many of them: what a second worker gains, whether time grows linearly, what leaving frames out saves.

    python -m benchmarks.long_video                       # everything: 8 minutes on 2 cores
    python -m benchmarks.long_video --parts workers       # or videos, or decoding: 2 to 4 minutes each

Runs take turns, so what else the machine does falls on all of them; figures are medians, and CPU times stand beside
them. The long video is a clip shown many times over, packets copied, so it has a keyframe at least at each repetition.
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from benchmarks.child import whole
from benchmarks.command import in_scratch
from benchmarks.material import Inputs, Material, long_video, sample_material, shared_material
from benchmarks.product import Run, run_infer
from od_core.video.frames import MAX_PIXELS, read_video
from od_core.video.ranges import read_range
from od_core.video.sampling import EVERY_FRAME, Sampling
from od_core.video.scan import PacketScan, scan_packets

_PARTS = ("workers", "videos", "decoding")
_RANGES = 8
_MANY = 10
_AIM_TWO_WORKERS = 1.8
_AIM_MANY_VIDEOS = 1.05 * _MANY


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=whole, default=14, help="how often the long video shows its clip (default: 14)")
    parser.add_argument("--videos", type=whole, default=8, help="in the small case of part videos (default: 8)")
    parser.add_argument("--repeats", type=whole, default=3, help="medians are of so many (default: 3)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS), help="what to measure")
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _measure(folder, args))


def _measure(folder: pathlib.Path, args: argparse.Namespace) -> None:
    material = shared_material() or sample_material(folder / "sample")
    video = folder / "long.mkv"
    how = long_video(material.video, video, args.times)
    print(f"{material.video.name}, {args.times} times over ({how}), {video.stat().st_size / 2**20:.0f} MiB")
    if "workers" in args.parts:
        _print_workers(material, video, args.repeats)
    if "videos" in args.parts:
        _print_videos(material, Inputs(material.video, folder / "videos"), args.videos, args.repeats)
    if "decoding" in args.parts:
        _print_decoding(video, args.repeats)


def _print_workers(material: Material, video: pathlib.Path, repeats: int) -> None:
    """A worker is a core and a thread in the model; decoding has no core of its own either."""
    runs: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers, done in runs.items():
            options = ("--workers", str(workers))
            done.append(run_infer(material.model, material.label_map, video, options=options, cores=workers))
    for workers, done in runs.items():
        name = f"{workers} worker{'s' * (workers > 1)} on {workers} core{'s' * (workers > 1)}"
        print(f"  {name}: {_median(run.frames_per_second for run in done):.1f} frames/s, {_beside(done)}")
    one, two = (_median(run.frames_per_second for run in done) for done in runs.values())
    print(f"  2 workers : 1 worker = {two / one:.2f}  {_verdict(two / one >= _AIM_TWO_WORKERS, _AIM_TWO_WORKERS)}")


def _print_videos(material: Material, inputs: Inputs, videos: int, repeats: int) -> None:
    """Start-up apart: with it, ten times the videos would take less than ten times as long."""
    counts = videos, _MANY * videos
    folders = {count: inputs.repeated(count) for count in counts}
    runs: dict[int, list[Run]] = {count: [] for count in counts}
    for _ in range(repeats):
        for count, folder in folders.items():
            runs[count].append(run_infer(material.model, material.label_map, folder))
    for count, done in runs.items():
        print(
            f"  {count} videos, {done[0].frames} frames: {_median(_item_seconds(done)):.1f} s, whole command"
            f" {_median(run.wall_seconds for run in done):.1f} s, {_beside(done)}"
        )
    few, many = (_median(_item_seconds(done)) for done in runs.values())
    ratio = many / few
    verdict = _verdict(ratio <= _AIM_MANY_VIDEOS, _AIM_MANY_VIDEOS)
    print(f"  {_MANY} times the videos : {ratio:.2f} times the time  {verdict}")


def _item_seconds(runs: Sequence[Run]) -> list[float]:
    return [run.frames / run.frames_per_second for run in runs]


def _median(samples: Iterable[float]) -> float:
    return statistics.median(samples)


def _beside(runs: Sequence[Run]) -> str:
    cpu = _median(1000 * run.cpu_seconds / run.frames for run in runs)
    return f"{cpu:.1f} ms CPU per frame with start-up, others' cores {_median(run.others_cores for run in runs):.1f}"


def _verdict(is_met: bool, aim: float) -> str:
    return f"{'OK' if is_met else 'MISSED'} (aim {aim:g})"


def _print_decoding(video: pathlib.Path, repeats: int) -> None:
    scan = scan_packets(video, max_pixels=MAX_PIXELS)
    middle = Fraction(int(scan.instants[len(scan.instants) // 2]), 1000)  # Matroska counts milliseconds
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "every frame": lambda: read_video(video),
        "packets alone": lambda: iter([scan_packets(video, max_pixels=MAX_PIXELS)]),
        "--keyframes": lambda: _in_ranges(video, 1, Sampling(keyframes=True)),
        "--every 10": lambda: read_video(video, sampling=Sampling(every=10)),
        "--start at the middle, --end a second later": lambda: _in_ranges(
            video, 1, Sampling(start=middle, end=middle + 1)
        ),
        f"every frame, in {_RANGES} ranges, one after the other": lambda: _in_ranges(video, _RANGES, EVERY_FRAME),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.process_time()
            for _ in way():
                pass
            seconds[name].append(time.process_time() - started)
    whole_seconds = statistics.median(seconds["every frame"])
    print(f"  CPU of reading {len(scan.order)} frames:")
    for name, samples in seconds.items():
        median = statistics.median(samples)
        print(f"    {median:8.2f} s  {median / whole_seconds:6.3f} of all  {name}")


def _in_ranges(video: pathlib.Path, ranges: int, sampling: Sampling) -> Iterator[object]:
    """As infer does it in one process: one scan, then range by range."""
    scan: PacketScan = scan_packets(video, max_pixels=MAX_PIXELS)
    for number in range(ranges):
        yield from read_range(video, scan, number, number + 1, ranges, sampling=sampling)


if __name__ == "__main__":
    sys.exit(main())
