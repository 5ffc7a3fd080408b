"""The whole chain, as commands, on the built-in sample: what a cluster makes of it must be what one machine makes."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from od_core.harbour import sample
from od_core.harbour.ships import LABELS
from od_core.schemas import ground_truth_table

from .material import boxbeam

IMAGES, FRAMES = 24, 40

# Column of a row file -> not compared: where the sources lie.
_PLACES = ("source",)
# Files that tell when something was done, or where it lies.
_OF_THE_RUN = ("run.json", "evaluation.html")


@dataclasses.dataclass(frozen=True)
class Scene:
    """Harbours: a Pascal VOC folder with a video in it, and the video's ground truth."""

    folder: pathlib.Path

    @property
    def truth(self) -> pathlib.Path:
        """The ground truth of every frame of the video."""
        return self.folder / "truth.parquet"


def draw_scene(folder: pathlib.Path) -> Scene:
    """Draw the scene in a folder that may be new."""
    scene = Scene(folder)
    sample.write_images(folder, IMAGES, width=320, height=192)
    sample.write_video(folder / "harbour.mp4", FRAMES, width=320, height=192)
    rows = list(sample.video_ground_truth("harbour.mp4", FRAMES, width=320, height=192))
    pq.write_table(ground_truth_table(rows, LABELS), scene.truth)
    return scene


def run_chain(scene: Scene, folder: pathlib.Path, options: Sequence[str], witness: pathlib.Path) -> None:
    """convert, infer, evaluate and render: into records/, found/, scores/ and pictures/ of a folder."""
    folder.mkdir(parents=True)
    model = ("--model", sample.MODEL, "--label_map", sample.LABEL_MAP)
    truth = ("--ground_truth", folder / "records", scene.truth)
    found = ("--detections", folder / "found")
    commands = {
        "convert": ("--input", scene.folder, "--label_map", sample.LABEL_MAP, "--num_shards", 12),
        "infer": (*model, "--input", scene.folder),
        "evaluate": (*found, *truth),
        "render": (*found, *truth, "--layout", "side_by_side"),
    }
    outputs = {"convert": "records", "infer": "found", "evaluate": "scores", "render": "pictures"}
    for job, arguments in commands.items():
        output = ("--output", folder / outputs[job])
        boxbeam(job, *arguments, *output, *options, log=folder / f"{job}.log", witness=witness)


def contents(folder: pathlib.Path) -> dict[str, Any]:
    """What a job's output holds, by path below it: rows of Parquet files together under "rows", other files' bytes.

    Without what tells of the run and not of the data: times, the names of row files, where sources lie.
    """
    found: dict[str, Any] = {"rows": []}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            found["rows"] += table.drop_columns([c for c in _PLACES if c in table.column_names]).to_pylist()
        elif name == "manifest.json":
            found[name] = json.loads(path.read_text())["details"]
        elif name == "metrics.json":
            numbers = json.loads(path.read_text())
            found[name] = {part: numbers[part] for part in ("metrics", "insight", "classes")}
        elif path.is_file() and name not in _OF_THE_RUN:
            found[name] = path.read_bytes()
    found["rows"].sort(key=lambda row: (row.get("key", ""), row.get("frame_index") or 0))
    return found
