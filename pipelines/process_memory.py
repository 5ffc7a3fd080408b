"""How the C library of an item process keeps memory: set in its environment, before it starts."""

import sys
from collections.abc import Mapping

_MIB = 1 << 20

# The arrays of large frames, a batch of them as floats above all, are larger than what glibc keeps: it asks the kernel
# for every one anew and gives it back after each run, and the kernel has to find and zero the pages in between. That
# took up to a third of infer's CPU time on frames of 1280x720. Here memory that was used once is kept for the next run,
# up to a limit, and comes in huge pages where the kernel has them.
KEPT_MEMORY: Mapping[str, str] = {
    "MALLOC_MMAP_MAX_": "0",  # large arrays come from the heap too, whatever their size
    "MALLOC_TOP_PAD_": str(64 * _MIB),
    "MALLOC_TRIM_THRESHOLD_": str(1024 * _MIB),  # what is free at the heap's end beyond this goes back
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # asks for huge pages by madvise; it reserves none
}
"""The settings, as environment variables."""


def with_kept_memory(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with these settings added; what the user has set there stays."""
    if not sys.platform.startswith("linux"):
        return dict(environment)
    settings = {**KEPT_MEMORY, **environment}
    tunable = KEPT_MEMORY["GLIBC_TUNABLES"]
    if tunable.partition("=")[0] not in settings["GLIBC_TUNABLES"]:  # it holds many, each of which may be the user's
        settings["GLIBC_TUNABLES"] = ":".join(filter(None, [settings["GLIBC_TUNABLES"], tunable]))
    return settings
