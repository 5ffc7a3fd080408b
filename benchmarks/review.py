"""Review pages of many pictures: time and memory at a tenth of them and at all, size on disk, and what a browser loads.

    python -m benchmarks.review                          # ten minutes: 100,000 pictures
    python -m benchmarks.review --parts pages --images 20000

The pictures are made up and small, so that it is the pages that are measured, not decoding: parts are the `pages` alone
and with `truth`. Memory is flat if the ratio stays near 1 (aim: 1.3). The largest file that a page loads, and how much
all of the gallery's index is, say whether a browser can open them.
"""

import argparse
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence

from benchmarks.child import measure, whole
from benchmarks.command import Taken, in_scratch, run_command
from benchmarks.machine import describe

AIM_MEMORY_RATIO = 1.3

_PARTS = ("pages", "truth")
_TENTH = 10
_WORKERS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=whole, default=100_000, help="pictures (default: 100,000)")
    parser.add_argument("--parts", choices=_PARTS, nargs="+", default=list(_PARTS))
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _measure(folder, args.images, args.parts))


def _measure(folder: pathlib.Path, images: int, parts: Sequence[str]) -> None:
    print(f"{describe(_WORKERS)}; {_WORKERS} workers")
    print(f"{'':<8}{'pictures':>10}{'seconds':>9}{'CPU s':>8}{'pictures/s':>12}{'MiB':>7}{'ratio':>7}  others' cores")
    taken: dict[tuple[str, int], Taken] = {}
    for rows in (max(1, images // _TENTH), images):
        data = folder / str(rows)
        measure("make_detections", data, rows, "--pictures")
        for part in parts:
            truth = ("--ground_truth", data / "truth.parquet") if part == "truth" else ()
            pages = data / "pages"
            ask = ("--detections", data / "found", "--output", pages, "--workers", _WORKERS)
            done = taken[part, rows] = run_command("review", *ask, *truth)
            few = taken[part, max(1, images // _TENTH)]
            ratio = f"{done.peak_bytes / max(1, few.peak_bytes):.2f}" if rows == images else ""
            print(
                f"{part:<8}{rows:>10,}{done.wall_seconds:>9.1f}{done.cpu_seconds:>8.1f}"
                f"{rows / done.wall_seconds:>12,.0f}{done.peak_bytes / 2**20:>7.0f}{ratio:>7}  {done.others_cores:.1f}"
            )
            print(f"        {_sizes(pages)}", flush=True)
            shutil.rmtree(pages)


def _sizes(pages: pathlib.Path) -> str:
    """What the folder holds, and what of it a browser must load."""
    total = sum(entry.stat().st_size for entry in _files(pages))
    data = [path.stat() for path in (pages / "data").glob("*.js")]
    index = sum(path.stat().st_size for path in (pages / "data").glob("index-*.js"))
    largest = max(len(files) for _, _, files in os.walk(pages))
    return (
        f"{total / 2**20:.0f} MiB, of which the index is {index / 2**20:.1f} MiB; largest piece of data"
        f" {max(one.st_size for one in data) / 2**10:.0f} KiB, most files in a folder {largest:,}"
    )


def _files(folder: pathlib.Path) -> "list[os.DirEntry[str]]":
    found: list[os.DirEntry[str]] = []
    for entry in os.scandir(folder):
        found += _files(pathlib.Path(entry.path)) if entry.is_dir() else [entry]
    return found


if __name__ == "__main__":
    sys.exit(main())
