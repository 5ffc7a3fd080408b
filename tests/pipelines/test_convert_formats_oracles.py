"""convert against the API's own converters for KITTI, Open Images and the pets, and against independent counts.

As in test_convert_oracles: what may differ from the API is said, value by value; everything else must be equal.
"""

import collections
import csv
import json
import pathlib
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from od_core.annotations.annotated import AnnotatedImage
from od_core.annotations.detect import open_annotations
from od_core.annotations.reading import ReadingOptions
from od_core.label_map import read_label_map
from pipelines.convert.job import ConvertJob
from tests.pipelines.made_annotations import index_of, manifest_of
from tests.pipelines.test_convert import ONE_SPLIT, do, job
from tests.pipelines.test_convert_oracles import Records, of_ours, of_the_api, with_flags


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


CASES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "voc": ("bccd/BCCD", None, {}),
    "coco": ("coco_tiny/annotations/instances_train2017.json", None, {}),
    "yolo": ("coco_tiny_yolo", None, {}),
    "yolo, polygons": ("coco_tiny_yolo_seg/data.yaml", "coco_tiny_yolo/images", {}),
    "yolo, three folders": ("datumaro_assets/yolo_dataset/labels", None, {}),
    "yolo, annotations": ("datumaro_assets/yolo_dataset/annotations", None, {}),
    "yolo, darknet": ("datumaro_assets/yolo_dataset/strict", None, {}),
    "kitti": ("kitti_sample", None, {}),
    "kitti, small": ("datumaro_assets/kitti_dataset/kitti_detection", None, {}),
    "open images": ("datumaro_assets/open_images_dataset/v6", None, {}),
    "csv": ("bccd/test.csv", "bccd/BCCD/JPEGImages", {"class": "cell_type"}),
    "csv, vott": (
        "datumaro_assets/vott_csv_dataset/dataset/train-export.csv",
        None,
        {"filename": "image", "class": "label"},
    ),
    "images": ("bccd/BCCD/JPEGImages", None, {}),
}
EXPECTED: dict[str, tuple[str, Any]] = {
    "voc": ("voc", lambda data: (364, objects_in(data / "bccd/BCCD/Annotations"))),
    "coco": ("coco", lambda data: (32, annotations_in(data / "coco_tiny/annotations/instances_train2017.json"))),
    "yolo": ("yolo", lambda data: (38, lines_of(data, "coco_tiny_yolo/labels/*/*.txt"))),
    "yolo, polygons": ("yolo", lambda data: (38, lines_of(data, "coco_tiny_yolo_seg/labels/*/*.txt"))),
    "yolo, three folders": ("yolo", lambda data: (2, lines_of(data, "datumaro_assets/yolo_dataset/labels/labels/*/*"))),
    "yolo, annotations": ("yolo", lambda data: (1, 2)),
    "yolo, darknet": ("yolo", lambda data: (1, 2)),
    "kitti": ("kitti", lambda data: (3, lines_of(data, "kitti_sample/training/label_2/*.txt", ("DontCare",)))),
    "kitti, small": (
        "kitti",
        lambda data: (2, lines_of(data, "datumaro_assets/kitti_dataset/kitti_detection/training/label_2/*.txt")),
    ),
    "open images": (
        "open_images",
        lambda data: (3, rows_of(*data.glob("datumaro_assets/open_images_dataset/v6/annotations/*-bbox.csv"))),
    ),
    "csv": ("csv", lambda data: (364, rows_of(data / "bccd/test.csv"))),
    "csv, vott": ("csv", lambda data: (2, rows_of(data / CASES["csv, vott"][0]))),
    "images": ("images", lambda data: (364, 0)),
}


@pytest.mark.shared
@pytest.mark.parametrize("case", EXPECTED)
def test_every_data_set_is_whole(shared: pathlib.Path, tmp_path: pathlib.Path, case: str) -> None:
    data = shared / "data/datasets"
    input, images, columns = CASES[case]
    format, expected = EXPECTED[case]
    given = ConvertJob(
        ONE_SPLIT,
        images=str(data / images) if images else None,
        format="images" if case == "images" else "auto",
        reading=ReadingOptions(csv_columns=columns),
    )
    do(data / input, tmp_path / "out", given)
    manifest = check(tmp_path / "out", *expected(data))
    assert manifest["details"]["format"] == format
    if case == "yolo, polygons":
        assert manifest["counts"]["polygons_boxed"] == manifest["counts"]["boxes"]
    if case == "kitti":
        assert manifest["counts"]["dontcare_regions"] == 4


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
