"""A small dataset with all that review pages can show: right and wrong, missed, failed, moved, and hostile names."""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np

from od_core.annotations.shapes import encode_runs
from od_core.label_map import LabelMap
from od_core.schemas import FrameRow
from od_core.video.writer import VideoWriter
from tests.blocks_scene import draw_scene
from tests.pipelines.evaluation_files import (
    failed_row,
    found_row,
    truth_row,
    write_detections,
    write_truth,
)
from tests.pipelines.render_files import write_pngs

HOSTILE_LABEL = "</script><script>document.title='stolen'</script>"
HOSTILE_KEY = "z<img src=x onerror=document.title='stolen'> & 100% #1.png"
LABELS = {1: "cat", 2: "dog", 3: HOSTILE_LABEL}
SIZE = (320, 240)
FRAMES = 60
LEFT, RIGHT, LOW = (0.1, 0.1, 0.5, 0.4), (0.2, 0.6, 0.6, 0.9), (0.7, 0.1, 0.95, 0.5)
DOG_FRAMES = range(30, 40)
MISSED_FRAMES = range(45, 50)


class Place(NamedTuple):
    """Where the dataset, its ground truth and its originals are."""

    found: pathlib.Path
    truth: pathlib.Path
    originals: pathlib.Path


def write_place(folder: pathlib.Path) -> Place:
    """The dataset: three pictures, one that is gone, one that failed, and a video of 60 frames at 25 a second."""
    originals = folder / "in"
    write_pngs(originals, "a/good.png", "a/bad.png", HOSTILE_KEY)
    with VideoWriter(originals / "clip.mp4") as writer:
        for number in range(FRAMES):
            writer.write(draw_scene(number).image, number * 40_000)
    rows = [
        found_row("a/good.png", (1, LEFT, 0.9), size=SIZE),
        found_row("a/bad.png", (1, RIGHT, 0.8), (2, LOW, 0.6), (2, LEFT, 0.3), size=SIZE),
        found_row(HOSTILE_KEY, (3, LEFT, 0.7), size=SIZE),
        found_row("gone.png", size=SIZE),
        failed_row("broken.png"),
        *(_frame(number) for number in range(FRAMES)),
        failed_row("clip.mp4", frame=None, kind="video"),
    ]
    rows = [row._replace(source=str(originals / row.key)) for row in rows]
    truth = [
        truth_row("a/good.png", (1, LEFT), size=SIZE),
        truth_row("a/bad.png", (2, LOW), (2, RIGHT), (2, LEFT), size=SIZE),
        *(truth_row("clip.mp4", (2, LEFT), frame=n, kind="video", size=SIZE) for n in (*DOG_FRAMES, *MISSED_FRAMES)),
    ]
    names = LabelMap.of_names(list(LABELS.values())[:2]).labels
    return Place(
        write_detections(folder / "found", rows, LABELS, per_file=40, row_group=16),
        write_truth(folder / "truth.parquet", truth, names),
        originals,
    )


def write_shapes(folder: pathlib.Path) -> pathlib.Path:
    """A dataset of one picture, in which is a ring with three keypoints, one of them not known."""
    write_pngs(folder / "in", "ring.png")
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    row = found_row("ring.png", (1, (0.2, 0.2, 0.8, 0.8), 0.9), size=SIZE)
    assert row.detections is not None
    mask = encode_runs((distance < 0.3) & (distance > 0.1))
    points = np.array([[[0.5, 0.25, 1], [np.nan, np.nan, np.nan], [0.5, 0.75, 0.5]]], np.float32)
    found = dataclasses.replace(row.detections, masks=(mask,), keypoints=points)
    return write_detections(
        folder / "found", [row._replace(source=str(folder / "in/ring.png"), detections=found)], LABELS
    )


def _frame(number: int) -> FrameRow:
    boxes = [(2, LEFT, 0.9)] if number in DOG_FRAMES else []
    row = found_row("clip.mp4", *boxes, frame=number, kind="video", size=SIZE)
    return row._replace(timestamp_us=number * 40_000)
