"""convert on the formats beside VOC and COCO: what lands in records and index, and what is counted."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, AnnotationNote, ImageLabel
from od_core.annotations.image_folder import ImageFolder
from od_core.annotations.reading import ReadingOptions
from od_core.errors import UsageError
from od_core.label_map import read_label_map
from pipelines.convert.collect import AnnotationSet, make_convert_plan
from pipelines.convert.plan import ShardPlans
from tests.pipelines.conversions import ONE_SPLIT, do, job
from tests.pipelines.evaluation_files import found_row, write_detections
from tests.pipelines.made_annotations import features_of, index_of, manifest_of, picture, record_of, write_files

Values = dict[str, list[Any]]
KINDS = ("bbox/ymin", "bbox/xmin", "bbox/ymax", "bbox/xmax")


def objects_of(output: pathlib.Path, row: dict[str, Any]) -> Values:
    """The values of every object feature of a record, by its key below image/object/; empty ones are absent."""
    found = features_of(record_of(output, row))
    return {key.removeprefix("image/object/"): v for key, (_, v) in found.items() if key.startswith("image/object/")}


def by_key(output: pathlib.Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in index_of(output)}


def counts_of(output: pathlib.Path) -> dict[str, int]:
    counts: dict[str, int] = manifest_of(output)["counts"]
    return counts


def remarks_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(remark["kind"], remark["text"]) for remark in row["remarks"]]


def labels_of(output: pathlib.Path) -> dict[int, str]:
    return dict(read_label_map(str(output / "label_map.pbtxt")).names)


# CSV


def test_a_table_with_everything(tmp_path: pathlib.Path) -> None:
    write_files(
        tmp_path / "in",
        {
            "boxes.csv": "filename,class,xmin,ymin,xmax,ymax,"
            "difficult,is_crowd,group_of,truncated,area,confidence,view\n"
            "sub/a.jpg,dog,4,3,20,15,1,0,1,1,100,0.5,Left\n"
            "b.png,,,,,,,,,,,,\n"
            "sub/a.jpg,cat,-2,0,80,30,0,1,0,0,200,0.25,\n"
            "sub/a.jpg,cat,1,2,1,9,,,,,,,\n"
            "sub/a.jpg,cat,x,2,1,9,,,,,,,\n",
            "images/sub/a.jpg": picture(1),
            "images/b.png": picture(2, format="PNG"),
        },
    )
    do(tmp_path / "in/boxes.csv", tmp_path / "out", job())
    rows = by_key(tmp_path / "out")
    assert objects_of(tmp_path / "out", rows["sub/a.jpg"]) == {
        "bbox/ymin": [np.float32(3 / 30), 0.0],
        "bbox/xmin": [np.float32(4 / 40), 0.0],
        "bbox/ymax": [0.5, 1.0],
        "bbox/xmax": [0.5, 1.0],
        "class/text": [b"dog", b"cat"],
        "class/label": [2, 1],
        "class/score": [0.5, 0.25],
        "difficult": [1, 0],
        "is_crowd": [0, 1],
        "group_of": [1, 0],
        "truncated": [1, 0],
        "area": [100.0, 200.0],
        "view": [b"Left", b"Unspecified"],
    }
    assert rows["b.png"]["objects"] == []
    assert [kind for kind, _ in remarks_of(rows["sub/a.jpg"])] == [
        "objects_not_usable",
        "boxes_clipped",
        "empty_boxes_dropped",
    ]
    texts = [text for _, text in remarks_of(rows["sub/a.jpg"])]
    assert texts[0] == "boxes.csv: line 6: xmin is 'x', expected a number"
    assert texts[1].startswith("boxes.csv: sub/a.jpg (line 2): line 4 (cat): its box, x -2 to 80")
    assert counts_of(tmp_path / "out")["objects_not_usable"] == 1
    assert manifest_of(tmp_path / "out")["details"]["format"] == "csv"
    assert labels_of(tmp_path / "out") == {1: "cat", 2: "dog"}


def test_normalised_boxes_of_a_table_are_of_the_upright_image(tmp_path: pathlib.Path) -> None:
    lines = "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,0.25,0.5,0.5,1\nturned.jpg,cat,0,0.5,0.25,1\n"
    files = {"a.jpg": picture(1), "turned.jpg": picture(2, orientation=6)}
    write_files(tmp_path / "in", {"boxes.csv": lines, **files})
    do(tmp_path / "in/boxes.csv", tmp_path / "out", job())
    rows = by_key(tmp_path / "out")
    (box,) = rows["turned.jpg"]["objects"]
    assert (rows["turned.jpg"]["width"], rows["turned.jpg"]["height"]) == (30, 40)
    assert [box[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] == [0.5, 0.0, 1.0, 0.25]
    assert objects_of(tmp_path / "out", rows["a.jpg"])["bbox/xmin"] == [0.25]
    assert counts_of(tmp_path / "out")["images_with_recognised_units"] == 2
    assert "--csv_boxes" in remarks_of(rows["a.jpg"])[0][1]


def test_another_header_gives_the_same_records(tmp_path: pathlib.Path) -> None:
    common = "filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,1,2,30,20\n"
    other = "x1;y1;w;h;tag;path\n1;2;29;18;cat;./a.jpg\n"
    write_files(tmp_path / "in", {"1.csv": common, "2.csv": other, "a.jpg": picture(1)})
    do(tmp_path / "in/1.csv", tmp_path / "out1", job())
    columns = {"xmin": "x1", "ymin": "y1", "box_width": "w", "box_height": "h", "class": "tag", "filename": "path"}
    options = ReadingOptions(csv_columns=columns)
    do(tmp_path / "in/2.csv", tmp_path / "out2", job(reading=options))
    (shard,) = (path.name for path in (tmp_path / "out1").glob("*.tfrecord"))
    assert (tmp_path / "out1" / shard).read_bytes() == (tmp_path / "out2" / shard).read_bytes()
    assert manifest_of(tmp_path / "out2")["options"]["--csv_columns"].startswith("xmin=x1,ymin=y1,box_width=w")


def test_an_option_of_another_format_is_refused(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in", {"Annotations/a.xml": "<annotation/>", "JPEGImages/a.jpg": picture()})
    with pytest.raises(UsageError, match=r"--csv_boxes is for annotations of the format csv, and .*in is voc"):
        do(tmp_path / "in", tmp_path / "out", job(reading=ReadingOptions(csv_boxes="pixels")))


# YOLO


def test_yolo(tmp_path: pathlib.Path) -> None:
    labels = "1 0.5 0.5 0.5 0.2\n0 0.1 0.1 0.3 0.1 0.3 0.4\n1 0.5 0.5 0 0.2\n0 0.9 0.5 0.5 0.5\n5 0.5 0.5 0.1 0.1\n"
    write_files(
        tmp_path / "in",
        {
            "data.yaml": "names: [cat, dog]\n",
            "images/t/a.jpg": picture(1),
            "images/t/b.jpg": picture(2, orientation=6),
            "images/t/c.jpg": picture(3),
            "labels/t/a.txt": labels,
            "labels/t/b.txt": "0 0.25 0.5 0.5 1\n",
        },
    )
    do(tmp_path / "in", tmp_path / "out", job())
    rows = by_key(tmp_path / "out")
    assert list(rows) == ["t/a.jpg", "t/b.jpg", "t/c.jpg"]
    found = objects_of(tmp_path / "out", rows["t/a.jpg"])
    assert found["class/text"] == [b"dog", b"cat", b"cat"]
    assert found["class/label"] == [2, 1, 1]
    edges = np.array([found[key] for key in KINDS]).T
    np.testing.assert_allclose(
        edges, [[0.4, 0.25, 0.6, 0.75], [0.1, 0.1, 0.4, 0.3], [0.25, 0.65, 0.75, 1.0]], atol=1e-7
    )
    assert {kind for kind, _ in remarks_of(rows["t/a.jpg"])} == {
        "polygons_boxed",
        "objects_not_usable",
        "empty_boxes_dropped",
        "boxes_clipped",
    }
    upright = objects_of(tmp_path / "out", rows["t/b.jpg"])
    assert [upright[key] for key in KINDS] == [[0.0], [0.0], [1.0], [0.5]]
    assert rows["t/c.jpg"]["objects"] == []
    counts = counts_of(tmp_path / "out")
    assert (counts["boxes"], counts["polygons_boxed"], counts["objects_not_usable"]) == (4, 1, 1)
    assert labels_of(tmp_path / "out") == {1: "cat", 2: "dog"}


# KITTI


def test_kitti(tmp_path: pathlib.Path) -> None:
    rest = "1.5 1.75 3.5 -16.5 2.25 58.5 1.5"
    lines = f"Car 0.25 2 1.75 4 3 20 15 {rest}\nDontCare -1 -1 -10 30 20 40 30 {rest}\nVan 0 -1 0 -1 0 35 25 {rest}\n"
    files: dict[str, bytes | str] = {"training/label_2/0.txt": lines, "training/image_2/0.jpg": picture(1)}
    write_files(tmp_path / "in", files)
    do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert objects_of(tmp_path / "out", row) == {
        "bbox/ymin": [np.float32(0.1), 0.0],
        "bbox/xmin": [np.float32(0.1), 0.0],
        "bbox/ymax": [0.5, np.float32(25 / 30)],
        "bbox/xmax": [0.5, np.float32(35 / 40)],
        "class/text": [b"car", b"van"],
        "class/label": [1, 2],
        "difficult": [0, 0],
        "is_crowd": [0, 0],
        "truncated": [0.25, 0.0],
        "occluded": [2, -1],
        "alpha": [1.75, 0.0],
        "3d_bbox/height": [1.5, 1.5],
        "3d_bbox/width": [1.75, 1.75],
        "3d_bbox/length": [3.5, 3.5],
        "3d_bbox/x": [-16.5, -16.5],
        "3d_bbox/y": [2.25, 2.25],
        "3d_bbox/z": [58.5, 58.5],
        "3d_bbox/rot_y": [1.5, 1.5],
    }
    assert counts_of(tmp_path / "out")["dontcare_regions"] == 1
    do(tmp_path / "in", tmp_path / "out2", job(reading=ReadingOptions(dont_care="exclude")))
    (row,) = index_of(tmp_path / "out2")
    assert [item["label"] for item in row["objects"]] == ["car"]
    assert counts_of(tmp_path / "out2")["objects_in_dontcare_dropped"] == 1


# Open Images


def test_open_images(tmp_path: pathlib.Path) -> None:
    header = "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction"
    write_files(
        tmp_path / "in",
        {
            "annotations/v-annotations-bbox.csv": f"{header}\na,/m/2,1,0.25,0.5,0,1,1,0,1,-1\n"
            "a,/m/1,1,0,1,0,1,0,0,0,0\n",
            "annotations/v-annotations-human-imagelabels.csv": "ImageID,LabelName,Confidence\n"
            "a,/m/1,1\na,/m/9,1\na,/m/2,0\nb,/m/2,1\n",
            "annotations/class-descriptions.csv": "/m/1,Cat\n/m/2,Dog\n",
            "images/x/a.jpg": picture(1),
            "images/y/b.png": picture(2, format="PNG"),
        },
    )
    do(tmp_path / "in", tmp_path / "out", job())
    rows = by_key(tmp_path / "out")
    assert list(rows) == ["x/a.jpg", "y/b.png"]
    a = features_of(record_of(tmp_path / "out", rows["x/a.jpg"]))
    assert (a["image/filename"][1], a["image/source_id"][1]) == ([b"a.jpg"], [b"a"])
    assert a["image/class/text"] == ("bytes_list", [b"/m/1", b"/m/2"])
    assert a["image/class/label"] == ("int64_list", [1, 2])
    assert a["image/class/confidence"] == ("float_list", [1.0, 0.0])
    assert objects_of(tmp_path / "out", rows["x/a.jpg"]) == {
        "bbox/ymin": [0.0, 0.0],
        "bbox/xmin": [0.25, 0.0],
        "bbox/ymax": [1.0, 1.0],
        "bbox/xmax": [0.5, 1.0],
        "class/text": [b"/m/2", b"/m/1"],
        "class/label": [2, 1],
        "class/score": [1.0, 1.0],
        "difficult": [0, 0],
        "is_crowd": [0, 0],
        "occluded": [1, 0],
        "truncated": [0, 0],
        "group_of": [1, 0],
        "depiction": [-1, 0],
    }
    assert [(item["label"], item["group_of"]) for item in rows["x/a.jpg"]["objects"]] == [("Dog", True), ("Cat", False)]
    assert (rows["x/a.jpg"]["source_id"], rows["y/b.png"]["objects"]) == ("a", [])
    counts = counts_of(tmp_path / "out")
    assert (counts["image_labels"], counts["image_labels_skipped"]) == (3, 1)
    assert 'display_name: "Dog"' in (tmp_path / "out/label_map.pbtxt").read_text()


# Pseudo-labels, and no labels at all


def test_detections_become_annotations(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "photos", {"a.jpg": picture(1), "s/b.jpg": picture(2)})
    rows = [
        found_row("a.jpg", (2, (0.0, 0.25, 0.5, 1.0), 0.75), (1, (0.0, 0.0, 1.0, 1.0), 0.25)),
        found_row("s/b.jpg"),
    ]
    write_detections(tmp_path / "found", rows, {1: "cat", 2: "dog"})
    with pytest.raises(UsageError, match="it is not known where its images lie; say it with --images"):
        do(tmp_path / "found", tmp_path / "out", job())
    options = {"images": str(tmp_path / "photos"), "reading": ReadingOptions(min_score=0.5)}
    do(tmp_path / "found", tmp_path / "out", job(**options))
    found = by_key(tmp_path / "out")
    assert objects_of(tmp_path / "out", found["a.jpg"]) == {
        "bbox/ymin": [0.0],
        "bbox/xmin": [0.25],
        "bbox/ymax": [0.5],
        "bbox/xmax": [1.0],
        "class/text": [b"dog"],
        "class/label": [2],
        "class/score": [0.75],
        "difficult": [0],
        "is_crowd": [0],
    }
    assert found["s/b.jpg"]["objects"] == []
    assert remarks_of(found["a.jpg"]) == [
        ("images_with_weak_detections", "found: a.jpg: 1 of its 2 detections have scores below 0.5")
    ]
    assert counts_of(tmp_path / "out")["images_with_weak_detections"] == 1
    assert labels_of(tmp_path / "out") == {1: "cat", 2: "dog"}


def test_images_without_annotations(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in", {f"{folder}/{n}.jpg": picture(n) for n in range(3) for folder in "ab"})
    do(tmp_path / "in", tmp_path / "out", job())
    rows = index_of(tmp_path / "out")
    assert [row["key"] for row in rows] == ["a/0.jpg", "a/1.jpg", "a/2.jpg", "b/0.jpg", "b/1.jpg", "b/2.jpg"]
    assert all(row["objects"] == [] for row in rows)
    found = features_of(record_of(tmp_path / "out", rows[0]))
    assert found["image/encoded"][1] == [picture(0)]
    assert not (tmp_path / "out/label_map.pbtxt").exists()
    assert manifest_of(tmp_path / "out")["details"]["format"] == "images"


def test_a_plan_that_was_written_says_all_that_the_annotations_do(tmp_path: pathlib.Path) -> None:
    """What a worker reads back equals what the reader gave, in every field."""
    item = AnnotatedObject("cat", (1.5, 2, 3, 4), "line 1", 7, True, True, True, True, "Left", 3.5, None, FEATURES)
    notes = (AnnotationNote("kind", "text"),)
    image = AnnotatedImage("a.jpg", "", "place", "id", 40, 30, (item,), None, True, (ImageLabel("x", 0.25),), notes)
    write_files(tmp_path / "in", {"a.jpg": picture()})
    plan = make_convert_plan([AnnotationSet(_Made(image), ImageFolder(str(tmp_path / "in")))], ONE_SPLIT, None, {})
    plan.write(str(tmp_path / "plan.parquet"))
    plans = ShardPlans(str(tmp_path / "plan.parquet"))
    (planned,) = plans.images(plans.header.shards[0].name)
    plans.close()
    assert planned.annotated == image
    values = [value for _, value in planned.annotated.objects[0].features]
    assert list(map(type, values)) == [int, float, str]


FEATURES = (("truncated", 1), ("alpha", 1.0), ("view", "Left"))


class _Made:
    format = "csv"
    label_map = None
    images_folder = None

    def __init__(self, image: AnnotatedImage):
        self._image = image

    def images(self) -> Iterator[AnnotatedImage | AnnotationFault]:
        yield self._image
