"""One run of any boxbeam command, as a user starts it, watched from outside."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.child import ROOT, BenchmarkError
from benchmarks.machine import OtherWork
from benchmarks.memory import PeakMemory


class Taken(NamedTuple):
    """What a command took.

    Attributes:
        wall_seconds: from its start to its end.
        cpu_seconds: of all its processes.
        others_cores: see OtherWork.
        peak_bytes: see PeakMemory.
    """

    wall_seconds: float
    cpu_seconds: float
    others_cores: float
    peak_bytes: int


def in_scratch(measure: Callable[[pathlib.Path], None]) -> int:
    """Measure with a temporary folder; returns the exit status: 1, with the reason, where something did not run."""
    try:
        with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
            measure(pathlib.Path(scratch))
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def run_command(job: str, *arguments: object) -> Taken:
    """Run `boxbeam JOB ARGUMENTS...` to its end.

    Raises:
        BenchmarkError: it failed; shows what it said.
    """
    command = [sys.executable, "-m", f"beam_jobs.{job}", *map(str, arguments)]
    with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as scratch:
        log = pathlib.Path(scratch, "log")
        with open(log, "wb") as said:
            others, started = OtherWork(), time.monotonic()
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                with PeakMemory(process.pid) as peak:
                    _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            wall_seconds, cpu_seconds = time.monotonic() - started, usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            words = log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{' '.join(command)}: exit {process.returncode}\n{words}")
    return Taken(wall_seconds, cpu_seconds, others.cores(cpu_seconds), peak.bytes)
