"""What the cluster tests detect in: pictures and a short video of coloured rectangles, and the sample model."""

import dataclasses
import pathlib
import random
import sys
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
from PIL import Image

from .places import PYTHON_PATH, REPOSITORY
from .processes import run_to_end

Row = dict[str, Any]

IMAGES = 40
FRAMES = 24

# The three that the sample model knows, and one that it does not.
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 200, 0))
_SIZES = ((96, 64), (64, 96), (120, 80))

_WRITE_MODEL = """\
import pathlib, sys
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
write_frozen_graph(sys.argv[1])
pathlib.Path(sys.argv[2]).write_text(BLOCKS_LABEL_MAP)
"""


@dataclasses.dataclass(frozen=True)
class Material:
    """Files for `boxbeam infer`.

    Attributes:
        model: a frozen graph.
        label_map: its classes.
        inputs: a folder of `IMAGES` pictures and one video of `FRAMES` frames.
    """

    model: pathlib.Path
    label_map: pathlib.Path
    inputs: pathlib.Path


def make_material(folder: pathlib.Path) -> Material:
    """Write everything below an empty folder; always the same pictures."""
    made = Material(folder / "model.pb", folder / "labels.pbtxt", folder / "inputs")
    # In a process of its own, so that TensorFlow and its threads stay out of the tests'.
    command = [sys.executable, "-c", _WRITE_MODEL, str(made.model), str(made.label_map)]
    run_to_end(command, log=folder / "model.log", folder=REPOSITORY, timeout=300)
    _write_images(made.inputs, random.Random(7))
    _write_video(made.inputs / "videos" / "drive.mp4", random.Random(8))
    return made


def _write_images(folder: pathlib.Path, chance: random.Random) -> None:
    for index in range(IMAGES):
        # Names that are patterns, hold a space or are not ASCII must survive an object store and a cluster.
        path = folder / ("plain" if index % 2 else "[odd] é") / f"picture {index:02d}.{('png', 'jpg')[index % 3 == 0]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_rectangles(_SIZES[index % len(_SIZES)], chance)).save(path)


def _write_video(path: pathlib.Path, chance: random.Random) -> None:
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for _ in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_rectangles((stream.width, stream.height), chance), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _rectangles(size: tuple[int, int], chance: random.Random) -> npt.NDArray[np.uint8]:
    """A grey uint8 (H, W, 3) image with up to three coloured rectangles; `size` is (W, H)."""
    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    for colour in chance.sample(_COLOURS, chance.randint(0, 3)):
        left, top = chance.randrange(width - 24), chance.randrange(height - 24)
        image[top : top + chance.randint(12, 24), left : left + chance.randint(12, 24)] = colour
    return image


def boxbeam(job: str, *arguments: object, log: pathlib.Path, witness: pathlib.Path) -> str:
    """Run `boxbeam JOB` in a process of its own; returns what it printed.

    Args:
        log: where its output is kept.
        witness: the folder for the notes of what it, and the processes it starts, commit; see `commits`.

    Raises:
        ProcessError: it failed; with the end of its output.
    """
    run_to_end(command(job, *arguments), log=log, folder=log.parent, env=environment(witness), timeout=600)
    return log.read_text("utf-8")


def command(job: str, *arguments: object) -> list[str]:
    """The command line of `boxbeam JOB` in this interpreter."""
    return [sys.executable, "-m", f"beam_jobs.{job}", *map(str, arguments)]


def environment(witness: pathlib.Path) -> dict[str, str]:
    """What a `command` needs of its environment."""
    return {"PYTHONPATH": PYTHON_PATH, "WITNESS": str(witness)}


def infer(material: Material, *arguments: str, log: pathlib.Path, witness: pathlib.Path) -> str:
    """Run `boxbeam infer` on the material; `arguments` are `--input`, `--output` and any others. See `boxbeam`."""
    model = (f"--model={material.model}", f"--label_map={material.label_map}")
    return boxbeam("infer", *model, *arguments, log=log, witness=witness)


def commits(witness: pathlib.Path) -> dict[int, set[str]]:
    """For each process group, the paths it renamed files to; see witness/sitecustomize.py."""
    found: dict[int, set[str]] = {}
    for notes in witness.glob("*.renames"):
        group = int(notes.stem.partition("-")[0])
        found.setdefault(group, set()).update(notes.read_text("utf-8", "surrogateescape").splitlines())
    return found


def rows(folder: pathlib.Path) -> list[Row]:
    """The rows of a detections dataset, in order of key and frame, without the column that says where sources lie."""
    table = ds.dataset([str(path) for path in folder.glob("*.parquet")], format="parquet").to_table()
    table = table.drop_columns("source").sort_by([("key", "ascending"), ("frame_index", "ascending")])
    return list(table.to_pylist())


@dataclasses.dataclass(frozen=True)
class LocalRun:
    """What the same command gives on one machine.

    Attributes:
        material: what it was run on.
        rows: see `rows`.
    """

    material: Material
    rows: list[Row]


def run_locally(folder: pathlib.Path) -> LocalRun:
    """Make the material and run `boxbeam infer` on it, in an empty folder."""
    made = make_material(folder)
    arguments = (f"--input={made.inputs}", f"--output={folder / 'out'}")
    infer(made, *arguments, log=folder / "infer.log", witness=folder / "witness")
    return LocalRun(made, rows(folder / "out"))
