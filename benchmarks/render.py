"""Speed and memory of `boxbeam render` on a video, beside decoding and encoding alone with the same settings.

    python -m benchmarks.render [--frames 250] [--times 10] [--repeats 3]

A harbour is drawn, its ships are found with the sample's detector, and the video is rendered with one worker: once, and
the same video repeated. What a frame costs is the difference between the two, divided by the frames that the longer one
has more: what starting up costs is in neither. Memory is the highest sum of PSS over all processes of the command.
"""

import argparse
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import av

from benchmarks.child import ROOT, BenchmarkError, whole
from benchmarks.machine import OtherWork, describe
from benchmarks.material import long_video
from benchmarks.memory import PeakMemory
from od_core.harbour.sample import LABEL_MAP, MODEL, write_video

WIDTH, HEIGHT = 1280, 720
AIM = 1.3

_LOOP = """
import sys
from od_core.video import VideoFrame, describe_video, read_video
from od_core.video_writer import VideoWriter
with VideoWriter(sys.argv[2], rate=describe_video(sys.argv[1]).average_rate) as writer:
    for frame in read_video(sys.argv[1]):
        if isinstance(frame, VideoFrame):
            writer.write(frame.image, frame.timestamp_us)
"""


class Cost(NamedTuple):
    """What a command took."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int

    def per_frame(self, longer: "Cost", frames: int) -> "Cost":
        """What each of the frames took that a longer run had more."""
        return Cost(
            (longer.wall_seconds - self.wall_seconds) / frames, (longer.cpu_seconds - self.cpu_seconds) / frames, 0
        )


def main() -> int:
    """Measure and print; returns the exit status."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--frames", type=whole, default=250, help="of the shorter video (default: 250)")
    made.add_argument("--times", type=whole, default=10, help="how much longer the other is (default: 10)")
    made.add_argument("--repeats", type=whole, default=3, help="of every measurement; medians count (default: 3)")
    made.add_argument("--drawn", type=whole, default=50, help="frames that are drawn, and then repeated (default: 50)")
    args = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
        return _measure(args, pathlib.Path(scratch))


def _measure(args: argparse.Namespace, scratch: pathlib.Path) -> int:
    clips = _clips(args, scratch)
    more = args.frames * (args.times - 1)
    loops, renders = [], []
    others = OtherWork()
    started = time.monotonic()
    for _ in range(args.repeats):  # taking turns
        loops.append([_run([sys.executable, "-c", _LOOP, clip, scratch / "loop.mp4"]) for clip in clips])
        renders.append([_run(_render(clip, scratch / "out")) for clip in clips])
    own = sum(cost.cpu_seconds for pair in (*loops, *renders) for cost in pair)
    loop, render = ([short.per_frame(long, more) for short, long in pairs] for pairs in (loops, renders))
    cpu = [statistics.median(cost.cpu_seconds for cost in costs) for costs in (loop, render)]
    wall = [statistics.median(cost.wall_seconds for cost in costs) for costs in (loop, render)]
    peaks = [statistics.median(pair[index].peak_bytes for pair in renders) / 2**20 for index in (0, 1)]
    print(f"{describe(1)}; others used {others.cores(own):.1f} cores for {time.monotonic() - started:.0f} s")
    print(f"{WIDTH} x {HEIGHT}, {args.frames} and {args.frames * args.times} frames, medians of {args.repeats}")
    print(f"decode and encode alone   {1000 * cpu[0]:.2f} ms CPU a frame, {1000 * wall[0]:.2f} ms")
    print(f"boxbeam render            {1000 * cpu[1]:.2f} ms CPU a frame, {1000 * wall[1]:.2f} ms")
    for name, (alone, ours) in (("CPU", cpu), ("time", wall)):
        verdict = "OK" if ours <= AIM * alone else "ABOVE"
        print(f"{name:<25} {ours / alone:.2f} times, aim {AIM}: {verdict}")
    print(f"memory                    {peaks[0]:.0f} MiB, {peaks[1]:.0f} MiB with {args.times} times the frames")
    return 0


def _clips(args: argparse.Namespace, scratch: pathlib.Path) -> list[pathlib.Path]:
    """The shorter video and the longer one, each in a folder of its own with its detections beside it."""
    write_video(scratch / "drawn.mp4", min(args.drawn, args.frames), width=WIDTH, height=HEIGHT)
    clips = [scratch / name / "in" / "clip.mp4" for name in ("short", "long")]
    for clip, frames in zip(clips, (args.frames, args.frames * args.times), strict=True):
        clip.parent.mkdir(parents=True)
        long_video(scratch / "drawn.mp4", clip, max(1, round(frames / args.drawn)))
        with av.open(str(clip)) as container:
            there = sum(1 for packet in container.demux(video=0) if packet.size)
        if there != frames:
            raise BenchmarkError(f"--frames must be a multiple of --drawn, {args.drawn}; got {args.frames}")
        infer = (
            "--model",
            MODEL,
            "--label_map",
            LABEL_MAP,
            "--input",
            clip.parent,
            "--output",
            clip.parents[1] / "found",
        )
        _run([sys.executable, "-m", "beam_jobs.infer", *infer, "--progress", "off"])
    return clips


def _render(clip: pathlib.Path, output: pathlib.Path) -> list[object]:
    options = ("--detections", clip.parents[1] / "found", "--output", output, "--workers", 1, "--progress", "off")
    return [sys.executable, "-m", "beam_jobs.render", *options, "--overwrite"]


def _run(command: list[object]) -> Cost:
    """Run a command to its end.

    Raises:
        BenchmarkError: it failed; shows what it said.
    """

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with PeakMemory(process.pid) as peak:
        said, _ = process.communicate()
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        words = said.decode(errors="replace")[-2000:]
        raise BenchmarkError(f"{' '.join(map(str, command))}: exit {process.returncode}\n{words}")
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak.bytes)


if __name__ == "__main__":
    sys.exit(main())
