"""The classes of converted records: found, given, unknown, none."""

import pathlib

import pytest

from od_core.errors import LabelMapError, UsageError
from od_core.label_map import LabelMap, parse_label_map, read_label_map
from tests.pipelines.conversions import do, job, one_voc
from tests.pipelines.made_annotations import index_of, manifest_of, picture, voc_object, write_coco, write_files


def test_names_are_numbered_alphabetically_where_the_format_has_no_ids(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", *(voc_object(name, (1, 1, 9, 9)) for name in ("dog", "ant", "cat", "dog")))
    do(tmp_path / "in", tmp_path / "out", job())
    assert read_label_map(str(tmp_path / "out/label_map.pbtxt")).names == {1: "ant", 2: "cat", 3: "dog"}
    (row,) = index_of(tmp_path / "out")
    assert [item["class_id"] for item in row["objects"]] == [3, 1, 2, 3]


GIVEN = 'item { id: 7 name: "n02" display_name: "cat" } item { id: 9 name: "dog" }'


def test_a_label_map_that_is_given_counts(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", *(voc_object(name, (1, 1, 9, 9)) for name in ("dog", "cat", "n02")))
    given = parse_label_map(GIVEN, "given")
    do(tmp_path / "in", tmp_path / "out", job(label_map=given))
    (row,) = index_of(tmp_path / "out")
    assert [(item["class_id"], item["label"]) for item in row["objects"]] == [(9, "dog"), (7, "cat"), (7, "cat")]
    assert read_label_map(str(tmp_path / "out/label_map.pbtxt")) == given


def test_unknown_classes_are_refused_with_the_names_that_were_probably_meant(tmp_path: pathlib.Path) -> None:
    objects = [voc_object(name, (1, 1, 9, 9)) for name in ("Dog", "Dog", "zebra", "dog")]
    one_voc(tmp_path / "in", *objects)
    with pytest.raises(LabelMapError) as caught:
        do(tmp_path / "in", tmp_path / "out", job(label_map=parse_label_map(GIVEN, "given")))
    assert str(caught.value) == (
        "the label map has no class called 'Dog' (2 objects, first in Annotations/a.xml: object 1, did you mean 'dog'?)"
        "; 'zebra' (1 object, first in Annotations/a.xml: object 3). It has: n02, dog. Correct the annotations or the"
        " label map, or leave such objects out with --unknown_label skip"
    )
    assert not (tmp_path / "out/manifest.json").exists()


def test_unknown_classes_can_be_skipped(tmp_path: pathlib.Path) -> None:
    objects = [voc_object(name, (1, 1, 9, 9)) for name in ("zebra", "dog")]
    one_voc(tmp_path / "in", *objects)
    skipping = job(label_map=parse_label_map(GIVEN, "given"), unknown_label="skip")
    result = do(tmp_path / "in", tmp_path / "out", skipping)
    assert result.finished.manifest.counts["unknown_labels_skipped"] == 1
    (row,) = index_of(tmp_path / "out")
    assert [item["label"] for item in row["objects"]] == ["dog"]
    assert row["remarks"] == [
        {
            "kind": "unknown_labels_skipped",
            "text": "Annotations/a.xml: object 1: the label map has no class 'zebra'",
        }
    ]


def test_a_label_map_of_another_data_set_is_refused_also_when_skipping(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("zebra", (1, 1, 9, 9)))
    other = job(label_map=parse_label_map(GIVEN, "given"), unknown_label="skip")
    with pytest.raises(LabelMapError, match="label map; no class of the annotations is in it"):
        do(tmp_path / "in", tmp_path / "out", other)


def test_without_objects_there_is_no_label_map(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (1, 1, 9, 9)))
    do(tmp_path / "in", tmp_path / "out", job())
    one_voc(tmp_path / "in")
    details = do(tmp_path / "in", tmp_path / "out", job()).finished.manifest.details
    assert details["label_map"] is None
    assert not (tmp_path / "out/label_map.pbtxt").exists()
    assert manifest_of(tmp_path / "out")["counts"]["empty"] == 1


def test_sets_that_number_their_classes_differently_need_a_label_map(tmp_path: pathlib.Path) -> None:
    paths = []
    for name, id in (("a", 1), ("b", 2)):
        write_files(tmp_path / f"in/{name}", {f"{name}.jpg": picture()})
        box = {"image_id": 1, "category_id": id, "bbox": [1, 1, 5, 5]}
        images = [{"id": 1, "file_name": f"{name}.jpg"}]
        paths.append(write_coco(tmp_path / f"in/{name}/i.json", images, [box], {id: "cat"}))
    with pytest.raises(UsageError, match="number their classes differently; give one --label_map"):
        do(paths[0], tmp_path / "out", job(), paths[1])
    do(paths[0], tmp_path / "out", job(label_map=LabelMap.of_names(["cat"])), paths[1])
    assert [item["class_id"] for row in index_of(tmp_path / "out") for item in row["objects"]] == [1, 1]
