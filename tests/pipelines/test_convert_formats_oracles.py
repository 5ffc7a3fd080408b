"""convert against the API's own converters for KITTI, Open Images and the pets, and against independent counts.

As in test_convert_oracles: what may differ from the API is said, value by value; everything else must be equal.
"""

import collections
import csv
import json
import pathlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from od_core.annotations.annotated import AnnotatedImage
from od_core.annotations.detect import open_annotations
from od_core.annotations.reading import ReadingOptions
from od_core.errors import UsageError
from od_core.label_map import read_label_map
from pipelines.convert.job import ConvertJob
from tests.pipelines.conversions import ONE_SPLIT, do, job
from tests.pipelines.made_annotations import index_of, manifest_of
from tests.pipelines.test_convert_oracles import Records, of_ours, of_the_api, with_flags
from tests.pipelines.test_convert_report import reasons


def by_base_name(records: Records) -> Records:
    """KITTI's records of the API have whole paths for names."""
    for record in records.values():
        name = record["image/filename"][0].rpartition(b"/")[2]
        record["image/filename"] = record["image/source_id"] = [name]
    return {key.rpartition("/")[2]: record for key, record in records.items()}


def without(records: Records, *features: str) -> Records:
    """The records without features that boxbeam adds; each was there wherever there is an object."""
    for record in records.values():
        for feature in features:
            assert (record.pop(f"image/object/{feature}", None) is None) == ("image/object/bbox/ymin" not in record)
    return records


@pytest.mark.shared
@pytest.mark.parametrize(
    ("oracle", "input", "dont_care"),
    [
        (["kitti/kitti_4classes_train.tfrecord", "kitti/kitti_4classes_val.tfrecord"], None, "exclude"),
        (["kitti_made/nodontcare_train.tfrecord", "kitti_made/nodontcare_val.tfrecord"], "kitti_made", "drop"),
        (["kitti_made/dontcare_train.tfrecord", "kitti_made/dontcare_val.tfrecord"], "kitti_made", "exclude"),
    ],
    ids=["real", "made, without dontcare", "made, with dontcare"],
)
def test_kitti_is_as_the_apis_script_wrote_it(
    shared: pathlib.Path, tmp_path: pathlib.Path, oracle: list[str], input: str | None, dont_care: str
) -> None:
    records = shared / "oracles/records"
    folder = records / input / "input" if input else shared / "data/datasets/kitti_sample"
    label_map = (records / input / "input" if input else records / "kitti") / "label_map.pbtxt"
    given = job(
        label_map=read_label_map(str(label_map)),
        unknown_label="skip",
        reading=ReadingOptions(dont_care=dont_care),
    )
    do(folder, tmp_path / "out", given)
    expected = with_flags(by_base_name(of_the_api(*(records / name for name in oracle))), "is_crowd")
    assert len(expected) >= 3
    assert without(of_ours(tmp_path / "out"), "occluded") == expected


@pytest.mark.shared
@pytest.mark.parametrize(
    ("oracle", "boxes", "labels"),
    [
        ("with_image_labels", "annotations-bbox.csv", "annotations-labels.csv"),
        ("without_image_labels", "annotations-bbox.csv", None),
        ("without_flag_columns", "annotations-bbox-noflags.csv", None),
    ],
)
def test_open_images_is_as_the_apis_script_wrote_it(
    shared: pathlib.Path, tmp_path: pathlib.Path, oracle: str, boxes: str, labels: str | None
) -> None:
    folder = shared / "oracles/records/oid"
    (tmp_path / "images").symlink_to(folder / "input/images")
    for name in filter(None, (boxes, labels)):
        (tmp_path / name).symlink_to(folder / "input" / name)
    given = job(label_map=read_label_map(str(folder / "input/label_map.pbtxt")), unknown_label="skip")
    do(tmp_path / boxes, tmp_path / "out", given)
    api = of_the_api(*sorted((folder / oracle).iterdir()))
    # The API's script says nothing of the image itself, of difficult objects and crowds, nor how sure a label is; and
    # it takes every image of the folder, also those that no table mentions.
    ours = without(of_ours(tmp_path / "out"), "difficult", "is_crowd", "class/score")
    for record in ours.values():
        assert record.pop("image/format") == [b"jpeg"]
        assert len(record.pop("image/key/sha256")[0]) == 64
        assert [len(record.pop(f"image/{side}")) for side in ("height", "width")] == [1, 1]
        confidences = record.pop("image/class/confidence", [])
        assert len(confidences) == len(record.get("image/class/text", []))
    nowhere = api.pop("7e5700000000cafe.jpg")
    assert "image/object/class/text" not in nowhere
    assert len(api) == 4
    assert ours == api


@pytest.mark.shared
def test_pets_are_as_the_apis_script_wrote_them_but_for_the_class(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = shared / "oracles/records/pet"
    do(folder / "input/annotations/xmls", tmp_path / "out", job(images=str(folder / "input/images")))
    ours = of_ours(tmp_path / "out")
    api = with_flags(of_the_api(*sorted((folder / "faces").iterdir())), "is_crowd")
    for name, record in api.items():
        # The API's script takes the breed from the file name; a VOC annotation says "cat" or "dog".
        assert {text.decode() for text in record["image/object/class/text"]} == {re.sub(r"_\d+\.jpg$", "", name)}
        for feature in ("class/text", "class/label"):
            record[f"image/object/{feature}"] = ours[name][f"image/object/{feature}"]
    assert len(api) == 5
    assert ours == api
    assert all(set(record["image/object/class/text"]) <= {b"cat", b"dog"} for record in ours.values())


# All the real and made data sets there are, counted by other means.

LOST = ("empty_boxes_dropped", "outside_boxes_dropped", "objects_not_usable")


def lines_of(folder: pathlib.Path, pattern: str, left_out: tuple[str, ...] = ()) -> int:
    """Lines of text files that say something, but for those that begin with a word that is left out."""
    lines = (line for path in folder.glob(pattern) for line in path.read_text().splitlines())
    return sum(bool(line.strip()) and not line.startswith(left_out) for line in lines)


def rows_of(*paths: pathlib.Path) -> int:
    return sum(len(list(csv.DictReader(path.read_text().splitlines()))) for path in paths)


def objects_in(folder: pathlib.Path) -> int:
    return sum(len(ElementTree.parse(path).findall("object")) for path in folder.rglob("*.xml"))


def annotations_in(path: pathlib.Path) -> int:
    return len(json.loads(path.read_text())["annotations"])


def check(output: pathlib.Path, images: int, objects: int) -> dict[str, Any]:
    """Every image has a row, and every object is a box or was counted as one that is none."""
    manifest = manifest_of(output)
    counts: dict[str, int] = manifest["counts"]
    assert (counts["inputs"], counts["failed"]) == (images, 0)
    assert counts["boxes"] + sum(counts.get(kind, 0) for kind in LOST) == objects
    assert counts["boxes"] == sum(len(row["objects"]) for row in index_of(output))
    return manifest


class DataSet(NamedTuple):
    """A data set of the real material: where it lies, and what there is by an independent count."""

    images: int
    objects: int
    folder: str | None = None
    columns: Mapping[str, str] = MappingProxyType({})
    format: str = "auto"


Count = Callable[[pathlib.Path], DataSet]


def coco(path: pathlib.Path, folder: str | None = None) -> DataSet:
    content = json.loads(path.read_text())
    return DataSet(len(content["images"]), len(content["annotations"]), folder)


def voc(path: pathlib.Path, folder: str | None = None) -> DataSet:
    return DataSet(len(list(path.rglob("*.xml"))), objects_in(path), folder)


def kitti(path: pathlib.Path) -> DataSet:
    return DataSet(
        len(list(path.glob("training/label_2/*.txt"))), lines_of(path, "training/label_2/*.txt", ("DontCare",))
    )


def yolo(images: int, pattern: str, folder: str | None = None) -> Count:
    return lambda path: DataSet(images, lines_of(path if path.is_dir() else path.parent, pattern), folder)


def vott(path: pathlib.Path) -> DataSet:
    names = {row["image"] for row in csv.DictReader(path.read_text().splitlines())}
    return DataSet(len(names), rows_of(path), None, {"filename": "image", "class": "label"})


def open_images(path: pathlib.Path) -> DataSet:
    """The images that a table names, and the rows of tables of boxes."""
    if path.is_file():
        named, boxes = [path, path.with_name(path.name.replace("bbox", "human-imagelabels"))], [path]
    else:
        boxes = sorted(path.rglob("*annotations-bbox*.csv"))
        named = [*boxes, *path.rglob("*labels.csv")]
    rows = [row for one in named if one.exists() for row in csv.DictReader(one.read_text().splitlines())]
    return DataSet(len({row["ImageID"] for row in rows}), rows_of(*boxes))


ASSETS = "data/datasets/datumaro_assets"
MADE = "oracles/records"
BCCD = "data/datasets/bccd/BCCD/JPEGImages"
TINY = "data/datasets/coco_tiny_yolo/images"

DATA_SETS: dict[str, Count] = {
    "data/datasets/bccd/BCCD": voc,
    "data/datasets/bccd/test.csv": lambda path: DataSet(364, rows_of(path), BCCD, {"class": "cell_type"}),
    BCCD: lambda path: DataSet(len(list(path.iterdir())), 0, format="images"),
    "data/datasets/coco_tiny/annotations/instances_train2017.json": coco,
    "data/datasets/coco_tiny/annotations/instances_val2017.json": coco,
    "data/datasets/coco_tiny_yolo": yolo(38, "labels/*/*.txt"),
    "data/datasets/coco_tiny_yolo_seg/data.yaml": yolo(38, "labels/*/*.txt", TINY),
    "data/datasets/kitti_sample": kitti,
    **{
        f"{ASSETS}/coco_dataset/coco/annotations/{kind}_{split}.json": coco
        for kind in ("instances", "person_keypoints", "stuff")
        for split in ("train", "val")
    },
    f"{ASSETS}/coco_dataset/coco_image_info/annotations/image_info_val.json": coco,
    f"{ASSETS}/coco_dataset/coco_roboflow/val/_annotations.coco.json": coco,
    f"{ASSETS}/coco_dataset/mmdet_coco/annotations/instances_train.json": coco,
    f"{ASSETS}/roboflow_dataset/coco/train/_annotations.coco.json": coco,
    f"{ASSETS}/roboflow_dataset/voc": voc,
    f"{ASSETS}/roboflow_dataset/yolo": yolo(2, "train/labels/*.txt"),
    f"{ASSETS}/voc_dataset/voc_dataset1": voc,
    f"{ASSETS}/voc_dataset/voc_dataset3": voc,
    f"{ASSETS}/vott_csv_dataset/dataset/train-export.csv": vott,
    f"{ASSETS}/yolo_dataset/labels": yolo(2, "labels/*/*.txt"),
    f"{ASSETS}/yolo_dataset/annotations": yolo(1, "**/[0-9].txt"),
    f"{ASSETS}/yolo_dataset/strict": yolo(1, "obj_train_data/*.txt"),
    f"{ASSETS}/kitti_dataset/kitti_detection": kitti,
    f"{ASSETS}/open_images_dataset/v6": open_images,
    f"{ASSETS}/open_images_dataset/v6/annotations/test-annotations-bbox.csv": open_images,
    f"{MADE}/coco_made/input/instances.json": coco,
    f"{MADE}/voc_flags/input/VOC2007": voc,
    f"{MADE}/kitti_made/input": kitti,
    f"{MADE}/oid/input": open_images,
    f"{MADE}/pet/input/annotations/xmls": lambda path: voc(path, f"{MADE}/pet/input/images"),
}

# What is wrong with them, as the report calls it; nothing else is. (Images that no annotation is about, and places that
# are not there, it tells elsewhere.)
DEFECTS: dict[str, dict[str, int]] = {
    "data/datasets/bccd/BCCD": {"empty_boxes_dropped": 2},
    "data/datasets/bccd/test.csv": {"empty_boxes_dropped": 2},
    "data/datasets/kitti_sample": {"dontcare_regions": 4},
    f"{ASSETS}/vott_csv_dataset/dataset/train-export.csv": {"outside_boxes_dropped": 2},
    f"{MADE}/coco_made/input/instances.json": {"boxes_clipped": 3, "empty_boxes_dropped": 2},
    f"{MADE}/voc_flags/input/VOC2007": {"boxes_clipped": 1},
    f"{MADE}/kitti_made/input": {"dontcare_regions": 3},
}
NO_DEFECTS = ("polygons_boxed", "images_stored_as_png", "images_with_recognised_units")


@pytest.mark.shared
@pytest.mark.parametrize("place", DATA_SETS)
def test_every_data_set_is_whole_and_its_defects_are_named(
    shared: pathlib.Path, tmp_path: pathlib.Path, place: str
) -> None:
    wanted = DATA_SETS[place](shared / place)
    folder = str(shared / wanted.folder) if wanted.folder else None
    reading = ReadingOptions(csv_columns=wanted.columns)
    do(shared / place, tmp_path / "out", ConvertJob(ONE_SPLIT, images=folder, format=wanted.format, reading=reading))
    manifest = check(tmp_path / "out", wanted.images, wanted.objects)
    if place.endswith("yolo_seg/data.yaml"):
        assert manifest["counts"]["polygons_boxed"] == manifest["counts"]["boxes"]
    told = {kind: count for kind, count in reasons(tmp_path / "out").items() if kind not in NO_DEFECTS}
    assert told == DEFECTS.get(place, {})


REFUSED = {
    "coco_dataset/coco_captions/annotations/captions_val.json": "COCO captions, not boxes; take the instances file",
    "coco_dataset/coco_panoptic/annotations/panoptic_val.json": "a COCO panoptic segmentation, not boxes",
    "coco_dataset/coco_labels/annotations/labels_val.json": "none of its 2 annotations has a bbox",
    "coco_dataset/coco_instances": "a folder, where COCO annotations are one JSON file",
    "cvat/for_video": "an annotation of CVAT",
    "labelme_dataset": "annotations of LabelMe",
    "mot_dataset/mot_seq": "no annotations in a format boxbeam reads",
    "open_images_dataset/v6/annotations/oidv6-class-descriptions.csv": "expected a table of boxes",
    "roboflow_dataset/createml/train/_annotations.createml.json": "a JSON list, expected COCO's",
    "roboflow_dataset/multiclass/train/_classes.csv": "no columns class, xmin, ymin, xmax, ymax",
    "roboflow_dataset/tfrecord": "found: 2 .pbtxt, 2 .tfrecord",
    "roboflow_dataset/yolo_obb": "none of 2 images has a label file",
    "tf_detection_api_dataset/train.tfrecord": "not an annotation format boxbeam reads",
    "voc_dataset/voc_dataset2": "it is not known where its images lie",
    "vott_json_dataset/dataset/train-export.json": "not a COCO file: it has",
    "widerface_dataset": "expected|a folder, where",
}


@pytest.mark.shared
@pytest.mark.parametrize("place", REFUSED)
def test_what_boxbeam_does_not_read_is_refused_with_words(
    shared: pathlib.Path, tmp_path: pathlib.Path, place: str
) -> None:
    with pytest.raises(UsageError, match=REFUSED[place]):
        do(shared / ASSETS / place, tmp_path / "out", job())
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.shared
def test_a_table_and_the_xml_files_it_was_made_of_give_the_same_boxes(
    shared: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    bccd = shared / "data/datasets/bccd"
    do(bccd / "BCCD", tmp_path / "voc", job())
    given = job(images=str(bccd / "BCCD/JPEGImages"), reading=ReadingOptions(csv_columns={"class": "cell_type"}))
    do(bccd / "test.csv", tmp_path / "csv", given)
    voc, table = (
        {row["key"]: collections.Counter(map(str, row["objects"])) for row in index_of(tmp_path / name)}
        for name in ("voc", "csv")
    )
    assert voc == table


@pytest.mark.shared
def test_yolo_labels_that_were_made_of_a_coco_file_give_its_boxes(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """supervision wrote five digits, and left out crowds and boxes that others hide."""
    data = shared / "data/datasets"
    do(data / "coco_tiny/annotations/instances_val2017.json", tmp_path / "coco", job())
    do(data / "coco_tiny_yolo", tmp_path / "yolo", job())
    coco = {row["key"]: row["objects"] for row in index_of(tmp_path / "coco")}
    yolo = {row["key"].removeprefix("val/"): row["objects"] for row in index_of(tmp_path / "yolo")}
    for name, objects in coco.items():
        found = [(item["label"], *(item[edge] for edge in EDGES)) for item in yolo[name]]
        assert len(found) <= len(objects)
        for label, *edges in found:
            near = [item for item in objects if item["label"] == label and max(gaps(item, edges)) < 2e-5]
            assert near, (name, label, edges)


EDGES = ("ymin", "xmin", "ymax", "xmax")


def gaps(item: dict[str, Any], edges: list[float]) -> list[float]:
    return [abs(item[name] - edge) for name, edge in zip(EDGES, edges, strict=True)]


@pytest.mark.shared
def test_real_open_images_tables_without_images(shared: pathlib.Path) -> None:
    folder = shared / "data/datasets/open_images_csv"
    found = open_annotations(str(folder))
    images = [image for image in found.images() if isinstance(image, AnnotatedImage)]
    with open(folder / "test-annotations-bbox.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(images) == len({row["ImageID"] for row in rows})
    boxes = sorted((image.source_id, item.label, *item.box_px) for image in images for item in image.objects)
    edges = ("YMin", "XMin", "YMax", "XMax")
    assert boxes == sorted((row["ImageID"], row["LabelName"], *(float(row[edge]) for edge in edges)) for row in rows)
    assert found.label_map is not None
    assert found.label_map.labels[1] == "Human body"
