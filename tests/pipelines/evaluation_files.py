"""Detections and ground truth as files, for the tests of evaluate."""

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.schemas import DETECTIONS_VERSION, FrameError, FrameRow, detections_table, ground_truth_table
from pipelines.dataset import DataFile, Manifest

LABELS = {1: "cat", 2: "dog"}
WHOLE, LEFT, CORNER = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 0.5), (0.9, 0.9, 1.0, 1.0)
BROKEN = FrameError("decode", "ImageError", "it is a text file")

Box = tuple[float, float, float, float]


def found_row(
    key: str, *boxes: tuple[int, Box, float], frame: int = 0, kind: str = "image", size: tuple[int, int] = (200, 100)
) -> FrameRow:
    """A row of detections; boxes as (class id, box, score), size as (width, height)."""
    classes, edges, scores = zip(*boxes, strict=True) if boxes else ((), (), ())
    record = 0 if kind == "record" else None
    return FrameRow(key, f"/in/{key}", kind, frame, record, None, *size, Detections.best_first(edges, scores, classes))


def failed_row(key: str, *, frame: int | None = 0, kind: str = "image") -> FrameRow:
    return FrameRow(key, f"/in/{key}", kind, frame, error=BROKEN)


def truth_row(
    key: str,
    *boxes: tuple[int, Box],
    frame: int | None = 0,
    kind: str = "image",
    size: tuple[int | None, int | None] = (200, 100),
    source_id: str | None = None,
) -> FrameRow:
    """A row of ground truth; boxes as (class id, box)."""
    classes, edges = zip(*boxes, strict=True) if boxes else ((), ())
    objects = GroundTruth.of(edges, classes)
    return FrameRow(key, f"/in/{key}", kind, frame, None, None, *size, objects=objects, source_id=source_id)


def write_detections(
    folder: pathlib.Path,
    rows: Sequence[FrameRow],
    labels: Mapping[int, str] = LABELS,
    *,
    row_group: int = 2,
    per_file: int = 5,
) -> pathlib.Path:
    """A finished detections dataset of several files and row groups."""
    folder.mkdir(parents=True)
    files = []
    for number, start in enumerate(range(0, len(rows), per_file)):
        table = detections_table(rows[start : start + per_file], labels)
        table = table.replace_schema_metadata({"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": "{}"})
        name = f"{number:05d}.parquet"
        pq.write_table(table, folder / name, row_group_size=row_group)
        files.append(DataFile(name, len(table), 0, "", 0))
    manifest = Manifest("infer", DETECTIONS_VERSION, {}, {"model_sha256": "abc"}, {}, tuple(files))
    (folder / "manifest.json").write_text(manifest.to_text())
    return folder


def write_truth(
    path: pathlib.Path, rows: Sequence[FrameRow], labels: Mapping[int, str] = LABELS, splits: Sequence[str] = ()
) -> pathlib.Path:
    """Ground truth as one Parquet file, with a column `split` where splits are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = ground_truth_table(rows, labels)
    pq.write_table(table.append_column("split", pa.array(splits)) if splits else table, path)
    return path


def random_rows(seed: int, frames: int) -> tuple[list[FrameRow], list[FrameRow]]:
    """Detections and ground truth of the same frames, with scores that tie; in different orders."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for number in range(frames):
        corners = rng.integers(0, 6, (int(rng.integers(0, 5)), 2)) / 8
        boxes = np.concatenate([corners, corners + rng.choice([0.125, 0.25], corners.shape)], axis=1).tolist()
        objects = [(int(rng.integers(1, 3)), tuple(box)) for box in boxes]
        guesses = [
            (class_id, tuple(edge + shift for edge in box), score)
            for class_id, box in objects
            for shift, score in zip(rng.choice([0, 0.03], 2), rng.integers(1, 9, 2) / 8, strict=True)
        ]
        found.append(found_row(f"{number:03d}.jpg", *guesses))
        truth.append(truth_row(f"{number:03d}.jpg", *objects))
    return [found[i] for i in rng.permutation(frames)], [truth[i] for i in rng.permutation(frames)]


def read_metrics(output: pathlib.Path) -> dict:
    """metrics.json, which no number that JSON does not know may be in."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads((output / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
