"""Item processes keep the memory of large arrays, unless their user has other wishes."""

import os
import pathlib
import subprocess
import sys

import pytest

from pipelines.process_memory import with_kept_memory

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# Allocates and frees 100 MB; prints how many blocks were mapped for themselves (mallinfo2)
# and how many pages the kernel had to find for the second time round.
_ALLOCATE = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d keep".split()]
libc.mallinfo2.restype = Info
def use():
    block = libc.malloc(100 << 20)
    ctypes.memset(block, 1, 100 << 20)
    mapped = libc.mallinfo2().hblks
    libc.free(block)
    return mapped
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(use(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_the_user_has_set_stays() -> None:
    made = with_kept_memory({"MALLOC_TOP_PAD_": "7", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0:glibc.pthread.rseq=0"})
    assert made["MALLOC_TOP_PAD_"] == "7"
    assert made["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=0:glibc.pthread.rseq=0"
    made = with_kept_memory({"GLIBC_TUNABLES": "glibc.pthread.rseq=0", "HOME": "/root"})
    assert (made["HOME"], made["GLIBC_TUNABLES"]) == ("/root", "glibc.pthread.rseq=0:glibc.malloc.hugetlb=1")


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="glibc's"
)
def test_a_large_array_is_made_of_pages_that_are_there_already() -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def allocated(environment: dict[str, str]) -> tuple[int, int]:
        told = subprocess.check_output([sys.executable, "-c", _ALLOCATE], env=environment, text=True, timeout=60)
        mapped, faults = map(int, told.split())
        return mapped, faults

    mapped, faults = allocated(plain)
    assert (mapped > 0, faults > 10_000) == (True, True)  # else there is nothing to be gained
    mapped, faults = allocated(with_kept_memory(plain))
    assert (mapped, faults < 100) == (0, True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_the_container_for_clusters_sets_the_same() -> None:
    lines = (REPOSITORY / "deploy/dataflow/Dockerfile").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("ENV MALLOC"))
    assert dict(setting.split("=", 1) for setting in line.split()[1:]) == with_kept_memory({})
