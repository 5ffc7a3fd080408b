"""One run of `boxbeam infer`, as a user starts it, watched from outside."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.child import ROOT, BenchmarkError
from benchmarks.machine import OtherWork
from benchmarks.memory import PeakMemory

_LOOK_EVERY_SECONDS = 0.01
# Becomes the command in the arguments after the first, on as many cores as that says.
_CONFINED = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
os.execv(sys.argv[2], sys.argv[2:])
"""


class Run(NamedTuple):
    """What a run took.

    Attributes:
        frames: images or video frames it did.
        frames_per_second: from the first open worker to the last finished item, as run.json says.
        wall_seconds: from the command to the end of its process, when the Parquet is there.
        open_seconds: from the start of the job to the first open worker, as run.json says.
        first_part_seconds: from the command to the first finished item on disk; with one image that is the first
            finished frame. None if it was not seen.
        cpu_seconds: of all its processes.
        others_cores: see OtherWork.
        peak_bytes: see PeakMemory; 0 if it was not asked for.
    """

    frames: int
    frames_per_second: float
    wall_seconds: float
    open_seconds: float
    first_part_seconds: float | None
    cpu_seconds: float
    others_cores: float
    peak_bytes: int


def run_infer(
    model: pathlib.Path,
    label_map: pathlib.Path,
    source: pathlib.Path,
    *,
    memory: bool = False,
    options: Sequence[str] = (),
    cores: int | None = None,
) -> Run:
    """Run infer, with these options, on a file or folder into a temporary output; `cores`: it may use no more.

    Raises:
        BenchmarkError: it failed, or an input did; shows what it said.
    """
    with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
        output = pathlib.Path(scratch, "out")
        job = ("--model", model, "--label_map", label_map, "--input", source, "--output", output)
        command = [sys.executable, "-m", "beam_jobs.infer", *map(str, job), "--progress", "off", *options]
        if cores is not None:
            command = [sys.executable, "-c", _CONFINED, str(cores), *command]
        log = pathlib.Path(scratch, "log")
        with open(log, "wb") as said:
            others = OtherWork()
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            first_part = _FirstPart(output / "_work" / "parts", started)
            peak = PeakMemory(process.pid)
            try:
                if memory:
                    with peak:
                        _, status, usage = os.wait4(process.pid, 0)
                else:
                    with first_part:
                        _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            wall_seconds = time.monotonic() - started
            cpu_seconds = usage.ru_utime + usage.ru_stime
            others_cores = others.cores(cpu_seconds)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words = log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{' '.join(command)}: exit {process.returncode}\n{words}")
        report = json.loads((output / "run.json").read_text())
    frames = report["this_run"].get("frames", 0) + report["this_run"].get("images", 0)
    return Run(
        frames=frames,
        frames_per_second=frames / report["seconds"]["items"],
        wall_seconds=wall_seconds,
        open_seconds=report["seconds"]["start_up"],
        first_part_seconds=first_part.seconds,
        cpu_seconds=cpu_seconds,
        others_cores=others_cores,
        peak_bytes=peak.bytes,
    )


class _FirstPart:
    """In a with-block: looks for the first part file to appear."""

    def __init__(self, folder: pathlib.Path, started: float):
        self._folder = folder
        self._started = started
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds: float | None = None

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_SECONDS):
            try:
                names = os.listdir(self._folder)
            except FileNotFoundError:
                continue
            if any(name.endswith(".parquet") for name in names):
                self.seconds = time.monotonic() - self._started
                return
