"""Scenes of `blocks_scene` with annotations, as a Pascal VOC folder and as a record dataset, for tests of evaluate."""

import pathlib

import pyarrow.parquet as pq

from beam_jobs import convert
from od_core.boxes import to_normalised
from od_core.ground_truth import GroundTruth
from od_core.records.examples import ENCODED, SOURCE_ID, encode_example
from od_core.records.index import RecordPlace, record_index_table
from od_core.records.tfrecord import write_record
from od_core.schemas import FrameRow
from tests.blocks_model import BLOCKS_LABEL_MAP
from tests.blocks_scene import draw_scene, jpeg, write_images
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


def write_record_files(folder: pathlib.Path, count: int, *, width: int = 64, height: int = 48) -> pathlib.Path:
    """A record dataset as the job convert makes it, but without the job: half of the scenes in train, half in val."""
    folder.mkdir()
    rows, places = [], []
    for split, numbers in (("train", range(count // 2)), ("val", range(count // 2, count))):
        shard = f"{split}-00000-of-00001.tfrecord"
        with (folder / shard).open("wb") as file:
            for index, number in enumerate(numbers):
                scene, name = draw_scene(number, width=width, height=height), f"scene_{number:03d}.jpg"
                offset = file.tell()
                length = write_record(file, encode_example({ENCODED: jpeg(scene.image), SOURCE_ID: name}))
                truth = GroundTruth.of(
                    to_normalised(list(scene.boxes_px.values()), height, width),
                    list(scene.boxes_px),
                    labels=[NAMES[class_id] for class_id in scene.boxes_px],
                )
                row = FrameRow(name, name, "record", 0, index, width=width, height=height, objects=truth)
                rows.append(row._replace(source_id=name))
                places.append(RecordPlace(split, shard, offset, length, "jpeg"))
    pq.write_table(record_index_table(rows, places, NAMES), folder / "index-00000.parquet")
    (folder / "manifest.json").write_text("{}")
    (folder / "label_map.pbtxt").write_text(BLOCKS_LABEL_MAP)
    return folder
