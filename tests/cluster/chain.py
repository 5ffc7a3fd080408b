"""The whole chain, as commands, on the built-in sample: what a cluster makes of it must be what one machine makes."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from od_core.harbour import sample
from od_core.harbour.ships import LABELS
from od_core.schemas import ground_truth_table
from pipelines import data_files

from .commands import boxbeam

IMAGES, FRAMES, LONG_FRAMES = 24, 40, 66
# Names that are patterns, hold a space or are not ASCII must survive an object store and a cluster.
ODD_NAMES = ("[odd] é/picture 00.png", "[odd] é/picture [1].png", "100%/a+b&c.png", "#1?.png")
OUTPUTS = {"convert": "records", "infer": "found", "evaluate": "scores", "render": "pictures"}

# Column of a row file -> not compared: where the sources lie.
_PLACES = ("source",)
# Files that tell when something was done, or where it lies.
_OF_THE_RUN = ("run.json", "evaluation.html")


@dataclasses.dataclass(frozen=True)
class Scene:
    """Harbours: a Pascal VOC folder with a video and oddly named pictures in it, the video's ground truth, and a model.

    Attributes:
        folder: its path, or its place in a bucket.
    """

    folder: str

    @property
    def data(self) -> str:
        """What is converted, and looked at by the model."""
        return f"{self.folder}/data"

    @property
    def truth(self) -> str:
        """The ground truth of every frame of the video."""
        return f"{self.folder}/truth.parquet"

    @property
    def model(self) -> tuple[str, str]:
        """A frozen graph and its label map."""
        return f"{self.folder}/model.pb", f"{self.folder}/labels.pbtxt"


def draw_scene(folder: pathlib.Path) -> Scene:
    """Draw the scene in an empty folder."""
    scene = Scene(str(folder))
    data = folder / "data"
    sample.write_images(data, IMAGES, width=320, height=192)
    picture = Image.open(data / "JPEGImages" / "harbour_000.jpg")
    for name in ODD_NAMES:
        (data / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(data / "more" / name)
    sample.write_video(data / "harbour.mp4", FRAMES, width=320, height=192)
    rows = list(sample.video_ground_truth("harbour.mp4", FRAMES, width=320, height=192))
    pq.write_table(ground_truth_table(rows, LABELS), scene.truth)
    for made, place in zip((sample.MODEL, sample.LABEL_MAP), scene.model, strict=True):
        pathlib.Path(place).write_bytes(pathlib.Path(made).read_bytes())
    return scene


@dataclasses.dataclass(frozen=True)
class LongVideo:
    """A video that is cut into four ranges: its folder, what one machine finds in it, the arguments for the model."""

    input: pathlib.Path
    here: pathlib.Path
    model: tuple[str, ...]


def write_long_video(path: pathlib.Path, scene: Scene) -> None:
    """A video without compression, of `LONG_FRAMES` frames: made in a second, and at 205 MB cut into four ranges."""
    picture = np.asarray(Image.open(f"{scene.data}/JPEGImages/harbour_000.jpg").resize((1920, 1080)))
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number in range(LONG_FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 16 * number, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextlib.contextmanager
def many_data_files() -> Iterator[None]:
    """Runs that this process launches write a data file for each input, or range of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_files, "MAX_FILE_PIECES", 1)
        yield


def data_files_of(folder: pathlib.Path) -> list[pa.Table]:
    """The data files of a dataset in order, without what tells where sources lie."""
    tables = (pq.read_table(path) for path in sorted(folder.glob("*.parquet")))
    return [table.drop_columns([name for name in _PLACES if name in table.column_names]) for table in tables]


def run_chain(
    scene: Scene, place: str, options: Sequence[str], *, logs: pathlib.Path, jobs: Sequence[str] = tuple(OUTPUTS)
) -> None:
    """convert, infer, evaluate and render: into records/, found/, scores/ and pictures/ of a place.

    Args:
        place: a folder, or a place in a bucket.
        options: Beam's.
        logs: a folder for what the commands print, and, as witness/, for what they commit themselves.
        jobs: some of the chain, of which the others are not needed.
    """
    logs.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        output = ("--output", f"{place}/{OUTPUTS[job]}")
        arguments = (*job_arguments(scene, place, job), *output, *options)
        boxbeam(job, *arguments, log=logs / f"{job}.log", witness=logs / "witness")


def job_arguments(scene: Scene, place: str, job: str) -> tuple[object, ...]:
    """The arguments of a job of the chain, less its output; what came before it in the chain lies in `place`."""
    model, label_map = scene.model
    truth, found = ("--ground_truth", f"{place}/records", scene.truth), ("--detections", f"{place}/found")
    return {
        "convert": ("--input", scene.data, "--label_map", label_map, "--num_shards", 12),
        "infer": ("--model", model, "--label_map", label_map, "--input", scene.data),
        "evaluate": (*found, *truth),
        "render": (*found, *truth, "--layout", "side_by_side"),
    }[job]


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
            details = json.loads(path.read_text())["details"]
            found[name] = {**details, "totals": list(details.get("totals", {}).values())}  # by the names of row files
        elif name == "metrics.json":
            numbers = json.loads(path.read_text())
            found[name] = {part: numbers[part] for part in ("metrics", "insight", "classes")}
        elif path.is_file() and name not in _OF_THE_RUN:
            found[name] = path.read_bytes()
    found["rows"].sort(key=lambda row: (row.get("key", ""), row.get("frame_index") or 0))
    return found
