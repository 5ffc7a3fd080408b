"""Exports of many detections: time, and memory at a tenth of them and at all.

    python -m benchmarks.export                          # six minutes: files of 1,000,000 images, folders of 100,000
    python -m benchmarks.export --parts csv voc --images 100000

The dataset is made up, five boxes an image. Files (COCO, CSV, MegaDetector, tf.Example) are of `--images`, folders with
a file an image (VOC, YOLO) of a tenth of them. Memory is flat if the ratio stays near 1 (aim: 1.3). What a row costs
anyway is reading it from Parquet: that stands beside the formats, as CPU time of a loop over `read_frames`.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from benchmarks.child import measure, whole
from benchmarks.command import Taken, in_scratch, run_command
from benchmarks.machine import describe

FILES = {"coco": "x.json", "csv": "x.csv", "megadetector": "x.json", "tf_example": "x.tfrecord"}
FOLDERS = ("voc", "yolo")
AIM_MEMORY_RATIO = 1.3

_TENTH = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=whole, default=1_000_000, help="rows of the dataset (default: 1,000,000)")
    parser.add_argument("--parts", choices=(*FILES, *FOLDERS), nargs="+", default=[*FILES, *FOLDERS])
    args = parser.parse_args(argv)
    return in_scratch(lambda folder: _measure(folder, args.images, args.parts))


def _measure(folder: pathlib.Path, images: int, parts: Sequence[str]) -> None:
    print(describe(1))
    wanted = {images // _TENTH**power for part in parts for power in ((1, 0) if part in FILES else (2, 1))}
    for rows in sorted(wanted):
        measure("make_detections", folder / str(rows), max(1, rows))
    print(
        f"{'format':<14}{'images':>10}{'seconds':>9}{'CPU s':>8}{'images/s':>10}{'MiB':>7}{'ratio':>7}  others' cores"
    )
    if any(part in FILES for part in parts):
        _print_loop(folder / str(images), images)
    for part in parts:
        rows = images if part in FILES else images // _TENTH
        few, many = (_export(folder, part, count) for count in (rows // _TENTH, rows))
        _print(part, rows // _TENTH, few, "")
        _print(part, rows, many, f"{many.peak_bytes / max(1, few.peak_bytes):.2f}")


def _export(folder: pathlib.Path, part: str, rows: int) -> Taken:
    data = folder / str(rows)
    output = data / part / FILES.get(part, "x")
    output.parent.mkdir()
    return run_command("export", "--detections", data / "found", "--format", part, "--output", output)


def _print_loop(data: pathlib.Path, rows: int) -> None:
    seconds = measure("read_loop", data / "found")["cpu_seconds"]
    print(f"{'read_frames':<14}{rows:>10,}{'':>9}{seconds:>8.1f}{rows / seconds:>10,.0f}")


def _print(name: str, rows: int, taken: Taken, ratio: str) -> None:
    print(
        f"{name:<14}{rows:>10,}{taken.wall_seconds:>9.1f}{taken.cpu_seconds:>8.1f}{rows / taken.wall_seconds:>10,.0f}"
        f"{taken.peak_bytes / 2**20:>7.0f}{ratio:>7}  {taken.others_cores:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
