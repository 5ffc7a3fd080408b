"""This machine, and how much of it others used while something was measured."""

import os
import pathlib
import platform
import time

_STAT = pathlib.Path("/proc/stat")


class OtherWork:
    """Cores that were busy with anything but us, on average since this object was made.

    From /proc/stat, which counts the whole machine, and time stolen by its host with it. A rate measured while others
    were busy is too low by about their share.
    """

    def __init__(self) -> None:
        self._busy = _busy_seconds()
        self._since = time.monotonic()

    def cores(self, own_cpu_seconds: float) -> float:
        """The average until now, given the CPU seconds that we used ourselves; 0 where the kernel does not tell."""
        return max(0.0, _busy_seconds() - self._busy - own_cpu_seconds) / (time.monotonic() - self._since)


def describe(cores: int) -> str:
    """Cores, CPU and memory in words."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores of {_cpu_name()}, {total:.0f} GiB"


def _busy_seconds() -> float:
    try:
        fields = _STAT.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _cpu_name() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
