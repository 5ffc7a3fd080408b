"""What is measured: a model, a video and a folder of JPEGs, and longer inputs made of them."""

import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.child import ROOT, BenchmarkError, measure

# The folder itself: importing the sample would load what is to be measured.
_HARBOUR = ROOT / "od_core" / "harbour"
_JPEG_ENDINGS = (".jpg", ".jpeg")


class Material(NamedTuple):
    """Where it lies, and in `origin` whose it is, for people."""

    model: pathlib.Path
    label_map: pathlib.Path
    video: pathlib.Path
    images: pathlib.Path
    origin: str


def shared_material() -> Material | None:
    """The real model and media outside the repository ($BOXBEAM_SHARED, else ../shared); None where they are not."""
    shared = pathlib.Path(os.environ.get("BOXBEAM_SHARED") or ROOT.parent / "shared")
    model = shared / "models" / "ssd_mobilenet_bccd_tf1"
    found = Material(
        model=model,
        label_map=model / "label_map.pbtxt",
        video=shared / "data" / "videos" / "bigbuckbunny.mp4",
        images=shared / "data" / "datasets" / "bccd" / "BCCD" / "JPEGImages",
        origin="a real model, video and photos",
    )
    return found if all(path.exists() for path in found[:4]) else None


def sample_material(folder: pathlib.Path) -> Material:
    """boxbeam's own sample, drawn in `folder`: harbours, and the detector that was trained on such."""
    measure("make_material", "sample", folder)
    return Material(
        model=_HARBOUR / "frozen_inference_graph.pb",
        label_map=_HARBOUR / "label_map.pbtxt",
        video=folder / "video.mp4",
        images=folder / "JPEGImages",
        origin="boxbeam's own sample (a small trained detector, drawn harbours)",
    )


class Inputs:
    """Inputs of any length made of one video or one folder of images: copied once, and then linked.

    Args:
        source: a video file, or a folder of which the JPEGs count.
        folder: where the copies go.
    """

    def __init__(self, source: pathlib.Path, folder: pathlib.Path):
        self._folder = folder
        self.once = folder / "once"
        self.once.mkdir(parents=True)
        self._names = sorted(_wanted(source))
        if not self._names:
            raise BenchmarkError(f"{source}: no JPEGs in there")
        for path in self._names:
            shutil.copyfile(path, self.once / path.name)

    @property
    def first(self) -> pathlib.Path:
        """The first file: the video, or one image."""
        return self.once / self._names[0].name

    def repeated(self, times: int) -> pathlib.Path:
        """A folder that holds everything `times` times, each time as inputs of their own."""
        folder = self._folder / f"times_{times}"
        for turn in range(times):
            here = folder / f"{turn:04d}"
            if not here.exists():
                here.mkdir(parents=True)
                for path in self.once.iterdir():
                    _link(path, here / path.name)
        return folder


def long_video(clip: pathlib.Path, output: pathlib.Path, times: int) -> str:
    """Write one video that shows `clip` so many times; returns in words how."""
    how: str = measure("make_material", "long_video", clip, output, times)["how"]
    return how


def _wanted(source: pathlib.Path) -> Sequence[pathlib.Path]:
    if source.is_dir():
        return [path for path in source.iterdir() if path.suffix.lower() in _JPEG_ENDINGS]
    return [source]


def _link(path: pathlib.Path, name: pathlib.Path) -> None:
    try:
        name.hardlink_to(path)
    except OSError:  # file systems without links, or too many of one file
        shutil.copyfile(path, name)
