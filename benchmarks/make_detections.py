"""Makes a detections dataset of any size, in a process of its own, a piece at a time.

python -m benchmarks.make_detections FOLDER ROWS [--boxes 5] [--pictures]

FOLDER/found is the dataset, of images in folders of 1,000; with --pictures FOLDER/in holds them: small JPEGs, of which
there are 16, under as many names as there are rows (hard links, so that they need no room). FOLDER/truth.parquet is
ground truth for every second image.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.parquet as pq

from benchmarks.child import answer, whole
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.images import encode_jpeg
from od_core.schemas import DETECTIONS, DETECTIONS_VERSION, FrameRow, detections_table, ground_truth_table
from pipelines.dataset import DataFile, Manifest

LABELS = {number + 1: name for number, name in enumerate(("cat", "dog", "bird", "ship", "buoy", "car", "bus", "tree"))}
WIDTH, HEIGHT = 96, 64

_PICTURES = 16
_ROWS_AT_ONCE = 10_000
_ROWS_PER_FILE = 130_000
_TRUTH_SHIFT = 0.01


def main() -> int:
    """Make it; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("rows", type=whole)
    parser.add_argument("--boxes", type=whole, default=5)
    parser.add_argument("--pictures", action="store_true")
    args = parser.parse_args()
    if args.pictures:
        _write_pictures(args.folder / "in", args.rows)
    _write_dataset(args.folder, args.rows, args.boxes)
    answer({})
    return 0


def _key(row: int) -> str:
    return f"{row // 1000:04d}/{row:07d}.jpg"


def _write_pictures(folder: pathlib.Path, rows: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(_PICTURES):
        coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(coarse.repeat(8, axis=0).repeat(8, axis=1), 85))
    for row in range(rows):
        if row % 1000 == 0:
            (folder / _key(row)).parent.mkdir()
        os.link(folder / f"{row % _PICTURES}.jpg", folder / _key(row))


def _write_dataset(folder: pathlib.Path, rows: int, boxes: int) -> None:
    found = folder / "found"
    found.mkdir(parents=True)
    files = []
    metadata = {"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": "{}"}
    with pq.ParquetWriter(folder / "truth.parquet", ground_truth_table([], {}).schema, compression="zstd") as truth:
        for number, first in enumerate(range(0, rows, _ROWS_PER_FILE)):
            name = f"{number:05d}.parquet"
            count = min(_ROWS_PER_FILE, rows - first)
            with pq.ParquetWriter(found / name, DETECTIONS.with_metadata(metadata), compression="zstd") as writer:
                for some in _rows(folder / "in", first, count, boxes):
                    writer.write_table(detections_table(some, LABELS))
                    truth.write_table(ground_truth_table([_annotated(row) for row in some[::2]], LABELS))
            files.append(DataFile(name, count, 0, "", 0))
    provenance = {"labels": {str(class_id): label for class_id, label in LABELS.items()}}
    manifest = Manifest("infer", DETECTIONS_VERSION, {}, provenance, {}, tuple(files))
    (found / "manifest.json").write_text(manifest.to_text())


def _rows(images: pathlib.Path, first: int, count: int, boxes: int) -> Iterator[Sequence[FrameRow]]:
    for start in range(first, first + count, _ROWS_AT_ONCE):
        stop = min(first + count, start + _ROWS_AT_ONCE)
        rng = np.random.default_rng(start)
        corners = rng.random((stop - start, boxes, 2), np.float32) * np.float32(0.7)
        edges = np.concatenate([corners, corners + np.float32(0.25)], axis=2)
        scores = -np.sort(-rng.random((stop - start, boxes), np.float32), axis=1)
        classes = rng.integers(1, len(LABELS) + 1, (stop - start, boxes)).astype(np.int32)
        yield [
            FrameRow(_key(row), str(images / _key(row)), "image", 0, None, None, WIDTH, HEIGHT, Detections(*columns))
            for row, *columns in zip(range(start, stop), edges, scores, classes, strict=True)
        ]


def _annotated(row: FrameRow) -> FrameRow:
    """The better half of what was found, a little off, as ground truth."""
    found = row.detections or Detections.empty()
    half = len(found) // 2
    objects = GroundTruth.of(found.boxes[:half] + np.float32(_TRUTH_SHIFT), found.classes[:half])
    return row._replace(detections=None, objects=objects)


if __name__ == "__main__":
    sys.exit(main())
