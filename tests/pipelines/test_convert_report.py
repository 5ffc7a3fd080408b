"""report.json: nothing is lost, whatever is wrong with a data set and however often a run is ended."""

import json
import pathlib
import re
from typing import Any

import pytest

from od_core.errors import StorageError
from od_core.label_map import LabelMap
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from tests.pipelines.conversions import LAYOUT, do, job, one_voc
from tests.pipelines.made_annotations import (
    DEADLY,
    DeadlyJob,
    HopelessJob,
    index_of,
    picture,
    voc_object,
    voc_xml,
    write_coco,
    write_files,
    write_voc,
)

BROKEN = "<object><name>dog</name><bndbox><xmin>many</xmin></bndbox></object>"
OVER, EMPTY, OUTSIDE, GOOD = (-6, 2, 10, 20), (5, 5, 5, 9), (31, 2, 40, 9), (1, 1, 9, 9)


def report_of(output: pathlib.Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def reasons(output: pathlib.Path) -> dict[str, int]:
    return {reason["kind"]: reason["count"] for reason in report_of(output)["reasons"]}


def summed_up(output: pathlib.Path) -> tuple[dict[str, int], dict[str, int]]:
    """Images and boxes; checked to add up, in all and by reason."""
    report = report_of(output)
    images, boxes = report["images"], report["boxes"]
    assert images["found"] == images["written"] + images["rejected"]
    assert boxes["found"] == boxes["written"] + boxes["dropped"] + boxes["rejected"]
    for of, counts in (("images", images), ("boxes", boxes)):
        for outcome in ("clipped", "dropped", "rejected"):
            told = [one["count"] for one in report["reasons"] if (one["of"], one["outcome"]) == (of, outcome)]
            assert sum(told) == counts.get(outcome, 0)
    rows = index_of(output)
    assert images["written"] == sum(row["status"] == "done" for row in rows)
    assert boxes["written"] == sum(len(row["objects"] or []) for row in rows)
    for name in ("images", "without_boxes", "boxes", "rejected"):
        whole = boxes["written"] if name == "boxes" else images["written" if name == "images" else name]
        assert whole == sum(split[name] for split in report["splits"].values())
    return images, boxes


def write_all_that_can_go_wrong(root: pathlib.Path) -> pathlib.Path:
    """A VOC folder with a defect of every kind."""
    write_voc(root)
    files: dict[str, bytes | str] = {
        "JPEGImages/img01.jpg": picture(1)[:400],
        "JPEGImages/img05.jpg": picture(5, width=40, height=80),
        "JPEGImages/nobody.jpg": picture(7),
        "JPEGImages/turned.jpg": picture(8, orientation=6),
        "Annotations/turned.xml": voc_xml("turned.jpg", [voc_object("cat", GOOD)]),
        "JPEGImages/w.webp": picture(9, format="WEBP"),
        "Annotations/w.xml": voc_xml("w.webp"),
        "Annotations/img07.xml": "<annotation><filename>img07.jpg</filena",
        "Annotations/lost.xml": voc_xml("lost.jpg", [voc_object("cat", GOOD), BROKEN]),
        "Annotations/twin.xml": voc_xml("img09.jpg", [voc_object("cat", GOOD), BROKEN, voc_object("cat", GOOD)]),
        "Annotations/up.xml": voc_xml("", [voc_object("cat", GOOD)]).replace("<filename>", "<filename>/"),
        "Annotations/img10.xml": voc_xml(
            "img10.jpg", [BROKEN, *(voc_object("cat", box) for box in (OVER, EMPTY, GOOD, OUTSIDE))]
        ),
    }
    return write_files(root, files)


def objects_in(root: pathlib.Path) -> int:
    """How many objects the XML files have, counted without boxbeam."""
    return sum(len(re.findall("<object>", path.read_text())) for path in (root / "Annotations").glob("*.xml"))


def test_every_image_and_box_is_accounted_for(tmp_path: pathlib.Path) -> None:
    root = write_all_that_can_go_wrong(tmp_path / "in")
    do(root, tmp_path / "out")
    images, boxes = summed_up(tmp_path / "out")
    assert images == {
        "found": len(list((root / "Annotations").iterdir())),
        "written": 11,
        "without_boxes": 1,
        "rejected": 6,
    }
    assert boxes["found"] == objects_in(root)
    assert reasons(tmp_path / "out") == {
        "annotations_not_usable": 3,
        "images_not_found": 1,
        "images_damaged": 1,
        "images_of_another_size": 1,
        "images_turned_upright": 1,
        "images_stored_as_png": 1,
        "boxes_clipped": 1,
        "empty_boxes_dropped": 1,
        "outside_boxes_dropped": 1,
        "objects_not_usable": 1,
        "objects_of_rejected_images": 1 + 1 + 2 + 3 + 1,
    }
    examples = {reason["kind"]: reason["examples"] for reason in report_of(tmp_path / "out")["reasons"]}
    assert examples["boxes_clipped"] == [
        "Annotations/img10.xml: object 2 (cat): its box, x 2 to 20, y -6 to 10, reaches 6 px over the border of the"
        " 40 x 30 image"
    ]
    assert examples["images_not_found"][0].startswith("lost.jpg: Annotations/lost.xml: there is no image lost.jpg in ")
    assert examples["images_turned_upright"] == ["turned.jpg: its EXIF orientation was 6"]
    assert report_of(tmp_path / "out")["images_not_annotated"] == {
        "count": 2,
        "examples": ["img07.jpg", "nobody.jpg"],
    }


@pytest.mark.parametrize("policy", ["clip", "drop", "strict"])
def test_every_policy_accounts_for_every_box(tmp_path: pathlib.Path, policy: str) -> None:
    root = write_all_that_can_go_wrong(tmp_path / "in")
    do(root, tmp_path / "out", job(boxes=policy))
    _, boxes = summed_up(tmp_path / "out")
    assert boxes["found"] == objects_in(root)
    expected = {"clip": (1, 2, 9), "drop": (0, 3, 9), "strict": (0, 0, 13)}[policy]
    assert (boxes["clipped"], boxes["dropped"], boxes["rejected"]) == expected


def test_every_annotation_of_a_coco_file_is_accounted_for(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in/images", {"a.jpg": picture(), "b.jpg": picture(1)})
    images: list[Any] = [
        {"id": 1, "file_name": "a.jpg"},
        {"id": 2, "file_name": "b.jpg"},
        {"id": 3, "file_name": "../up.jpg"},
        {"id": 4, "file_name": "b.jpg"},
        {"id": 1, "file_name": "c.jpg"},
        {"id": 6, "file_name": "gone.jpg"},
        {"file_name": "d.jpg"},
        "no image",
    ]
    good = {"category_id": 1, "bbox": [1, 1, 5, 5]}
    annotations = [
        {**good, "image_id": 1},
        {**good, "image_id": 1, "bbox": [1, 1, float("nan"), 5]},
        {**good, "image_id": 1, "category_id": 99},
        {**good, "image_id": 1, "category_id": 2},
        {**good, "image_id": 3},
        {**good, "image_id": 3, "bbox": "large"},
        {**good, "image_id": 4},
        {**good, "image_id": 6},
        {**good, "image_id": 77},
        {**good, "image_id": 77, "bbox": []},
        {**good},
        {},
    ]
    path = write_coco(tmp_path / "in/i.json", images, annotations, {1: "cat", 2: "zebra"})
    text = json.loads(path.read_text())
    text["categories"].append({"id": "x"})
    path.write_text(json.dumps(text))
    cats = LabelMap.of_names(["cat", "dog"])
    do(path, tmp_path / "out", job(label_map=cats, unknown_label="skip"))
    images_counted, boxes = summed_up(tmp_path / "out")
    assert (images_counted["found"], images_counted["written"]) == (len(images), 2)
    assert (boxes["found"], boxes["written"]) == (len(annotations), 1)
    assert reasons(tmp_path / "out") == {
        "annotations_not_usable": 5,
        "images_not_found": 1,
        "objects_not_usable": 2,
        "unknown_labels_skipped": 1,
        "objects_of_rejected_images": 4,
        "objects_of_no_image": 4,
    }
    assert report_of(tmp_path / "out")["classes_not_used"] == ["dog"]


def test_classes_are_counted_by_split(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    (tmp_path / "in/Annotations/img00.xml").write_text(
        voc_xml("img00.jpg", [voc_object("eel", GOOD), voc_object("eel", GOOD), voc_object("cat", GOOD)])
    )
    do(tmp_path / "in", tmp_path / "out")
    report = report_of(tmp_path / "out")
    rows = index_of(tmp_path / "out")
    assert [one["name"] for one in report["classes"]] == ["cat", "dog", "eel"]
    for one in report["classes"]:
        for split in ("train", "val"):
            mine = [[item["label"] for item in row["objects"]] for row in rows if row["split"] == split]
            assert one["splits"][split] == {
                "images": sum(one["name"] in labels for labels in mine),
                "boxes": sum(labels.count(one["name"]) for labels in mine),
            }
    with_eel = next(row["split"] for row in rows if row["key"] == "img00.jpg")
    assert report["classes_missing"]["val" if with_eel == "train" else "train"] == ["eel"]
    assert report["classes_not_used"] == []


def test_the_report_is_the_same_after_an_interrupted_run_and_a_second_try(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_all_that_can_go_wrong(tmp_path / "in")
    do(root, tmp_path / "fresh")
    wanted = (tmp_path / "fresh/report.json").read_bytes()

    def stopped(*_: object, **__: object) -> None:
        raise StorageError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.work.finalize", stopped)
        with pytest.raises(StorageError):
            do(root, tmp_path / "out")
    assert not (tmp_path / "out/report.json").exists()
    assert do(root, tmp_path / "out").planned_inputs == 0
    assert (tmp_path / "out/report.json").read_bytes() == wanted
    do(root, tmp_path / "out", retry_failed=True)
    assert (tmp_path / "out/report.json").read_bytes() == wanted
    (tmp_path / "out/report.json").unlink()
    do(root, tmp_path / "out")
    assert (tmp_path / "out/report.json").read_bytes() == wanted


@pytest.mark.parametrize("hopeless", [False, True])
def test_images_that_were_given_up_are_accounted_for_with_their_boxes(tmp_path: pathlib.Path, hopeless: bool) -> None:
    write_voc(tmp_path / "in")
    annotation = voc_xml(DEADLY, [voc_object("cat", GOOD)] * 3)
    write_files(tmp_path / "in", {"Annotations/x.xml": annotation, f"JPEGImages/{DEADLY}": picture(77)})
    layout = Layout({"train": 1.0}, num_shards=2)
    given = HopelessJob(layout) if hopeless else DeadlyJob(layout)
    do(tmp_path / "in", tmp_path / "out", given, isolation="none" if hopeless else "process")
    images, boxes = summed_up(tmp_path / "out")
    assert (images["found"], boxes["found"]) == (13, objects_in(tmp_path / "in"))
    lost = images["rejected"]
    assert lost > 1 if hopeless else lost == 1
    assert reasons(tmp_path / "out")["images_given_up"] == lost


def test_an_image_that_no_record_can_name_is_rejected_and_not_counted_twice(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in", {"a.jpg": picture(), "b\nc.jpg": picture(1)})
    do(tmp_path / "in", tmp_path / "out", job(format="images"))
    images, _ = summed_up(tmp_path / "out")
    assert (images["found"], images["written"], images["rejected"]) == (2, 1, 1)
    assert report_of(tmp_path / "out")["images_not_annotated"]["count"] == 0


def test_a_data_set_without_any_object(tmp_path: pathlib.Path) -> None:
    do(one_voc(tmp_path / "in"), tmp_path / "out", job())
    images, boxes = summed_up(tmp_path / "out")
    assert (images["without_boxes"], boxes["found"]) == (1, 0)
    assert report_of(tmp_path / "out")["classes"] == []


@pytest.mark.shared
@pytest.mark.parametrize(
    ("data_set", "images", "boxes"),
    [("coco_tiny/annotations/instances_train2017.json", 32, 288), ("bccd/BCCD", 364, 4888)],
)
def test_real_data_sets_add_up(
    shared: pathlib.Path, tmp_path: pathlib.Path, data_set: str, images: int, boxes: int
) -> None:
    path = shared / "data/datasets" / data_set
    if path.is_file():
        content = json.loads(path.read_text())
        assert (images, boxes) == (len(content["images"]), len(content["annotations"]))
    else:
        assert boxes == objects_in(path)
    do(path, tmp_path / "out", ConvertJob(LAYOUT))
    found = summed_up(tmp_path / "out")
    assert (found[0]["found"], found[1]["found"]) == (images, boxes)
