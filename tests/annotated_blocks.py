"""Scenes of `blocks_scene` with annotations, as a Pascal VOC folder and as a record dataset, for tests of evaluate."""

import pathlib

from beam_jobs import convert
from tests.blocks_model import BLOCKS_LABEL_MAP
from tests.blocks_scene import write_images
from tests.pipelines.made_annotations import voc_object, voc_xml

NAMES = {1: "red", 2: "green", 3: "blue"}


def write_voc(folder: pathlib.Path, count: int, *, width: int = 64, height: int = 48) -> pathlib.Path:
    """Pictures in JPEGImages, what is in them in Annotations, and the label map of `blocks_model`."""
    scenes = write_images(folder / "JPEGImages", count, width=width, height=height)
    (folder / "Annotations").mkdir()
    for number, scene in enumerate(scenes):
        name = f"scene_{number:03d}"
        objects = [voc_object(NAMES[class_id], box) for class_id, box in scene.boxes_px.items()]
        text = voc_xml(f"{name}.jpg", objects, width=width, height=height)
        (folder / "Annotations" / f"{name}.xml").write_text(text)
    (folder / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    return folder


def write_records(folder: pathlib.Path, count: int, *, splits: str = "train=0.6,val=0.4") -> pathlib.Path:
    """The same as a record dataset of two splits."""
    voc = write_voc(folder.with_name(f"{folder.name}_voc"), count)
    options = ["--splits", splits, "--label_map", str(voc / "labels.pbtxt"), "--images_per_shard", "4"]
    quietly = ["--progress", "off", "--isolation", "none"]
    assert convert.main(["--input", str(voc), "--output", str(folder), *options, *quietly]) == 0
    return folder
