"""One long video: how much two workers gain over one, and what leaving frames out saves.

    python -m benchmarks.long_video
    python -m benchmarks.long_video --parts decoding --times 40

Runs take turns, so what else the machine does falls on all of them; figures are medians, and CPU times stand beside
them. The video is a clip shown many times over, packets copied, so it has a keyframe at least at each repetition.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from benchmarks.child import BenchmarkError, whole
from benchmarks.material import Material, long_video, sample_material, shared_material
from benchmarks.product import Run, run_infer
from od_core.video import MAX_PIXELS, read_video
from od_core.video_ranges import read_range
from od_core.video_sampling import EVERY_FRAME, Sampling
from od_core.video_scan import PacketScan, scan_packets

_PARTS = ("workers", "decoding")
_RANGES = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status: 1 where something did not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=whole, default=20, help="how often the clip is shown (default: 20)")
    parser.add_argument("--repeats", type=whole, default=3, help="medians are of so many (default: 3)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS), help="what to measure")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
            folder = pathlib.Path(scratch)
            material = shared_material() or sample_material(folder / "sample")
            video = folder / "long.mkv"
            how = long_video(material.video, video, args.times)
            print(f"{material.video.name}, {args.times} times over ({how}), {video.stat().st_size / 2**20:.0f} MiB")
            if "workers" in args.parts:
                _print_workers(material, video, args.repeats)
            if "decoding" in args.parts:
                _print_decoding(video, args.repeats)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def _print_workers(material: Material, video: pathlib.Path, repeats: int) -> None:
    runs: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers, done in runs.items():
            done.append(run_infer(material.model, material.label_map, video, options=("--workers", str(workers))))
    rates = {workers: statistics.median(run.frames_per_second for run in done) for workers, done in runs.items()}
    for workers, done in runs.items():
        cpu = statistics.median(1000 * run.cpu_seconds / run.frames for run in done)
        others = statistics.median(run.others_cores for run in done)
        print(
            f"  {workers} worker{'s' * (workers > 1)}: {rates[workers]:.1f} frames/s, {cpu:.1f} ms CPU per frame with"
            f" start-up, others' cores {others:.1f}"
        )
    print(f"  2 workers : 1 worker = {rates[2] / rates[1]:.2f} (aim: 1.8)")


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
