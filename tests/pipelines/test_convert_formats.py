"""convert on the formats beside VOC and COCO: what lands in records and index, and what is counted."""

import pathlib
from typing import Any

import numpy as np
import pytest

from od_core.annotations.reading import ReadingOptions
from od_core.errors import UsageError
from od_core.label_map import read_label_map
from tests.pipelines.made_annotations import features_of, index_of, manifest_of, picture, record_of, write_files
from tests.pipelines.test_convert import do, job

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
    assert counts_of(tmp_path / "out")["normalised_boxes_recognised"] == 2
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
