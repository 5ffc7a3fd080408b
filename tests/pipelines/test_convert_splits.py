"""Splits that the data set or the command line gives, and the order of records."""

import pathlib
from typing import Any

import pytest

from od_core.errors import UsageError
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout, given_order
from tests.pipelines.conversions import LAYOUT, do, failures, job
from tests.pipelines.made_annotations import (
    files_of,
    index_of,
    manifest_of,
    picture,
    voc_object,
    voc_xml,
    write_coco,
    write_files,
    write_voc,
)
from tests.pipelines.test_convert_report import reasons, report_of, summed_up

GIVEN = ConvertJob(Layout(None, images_per_shard=3))
TRAIN = ["img00", "img03", "img04", "img05"]
VAL = ["img01", "img02"]


def write_lists(root: pathlib.Path, **lists: list[str]) -> pathlib.Path:
    return write_files(root, {f"ImageSets/Main/{name}.txt": "\n".join(names) for name, names in lists.items()})


def splits_of(output: pathlib.Path) -> dict[str, str]:
    return {row["key"].removesuffix(".jpg"): row["split"] for row in index_of(output)}


def test_the_lists_of_a_voc_folder_are_honoured(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 6)
    write_lists(tmp_path / "in", train=TRAIN, val=VAL, trainval=TRAIN + VAL, cat_train=["img01 1"])
    do(tmp_path / "in", tmp_path / "out", GIVEN)
    assert splits_of(tmp_path / "out") == {**dict.fromkeys(TRAIN, "train"), **dict.fromkeys(VAL, "val")}
    assert [shard["name"] for shard in manifest_of(tmp_path / "out")["details"]["shards"]] == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
        "val-00000-of-00001.tfrecord",
    ]
    assert manifest_of(tmp_path / "out")["options"]["--splits"] == "given"
    assert do(tmp_path / "in", tmp_path / "out", GIVEN).planned_inputs == 0


def test_what_is_in_no_list_is_left_out_and_told(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 6)
    write_files(tmp_path / "in", {"Annotations/img03.xml": "<annotation>", "Annotations/img05.xml": "<annotation>"})
    write_lists(tmp_path / "in", train=["img00", "img03", "gone"], test=["img01"])
    do(tmp_path / "in", tmp_path / "out", GIVEN)
    root = tmp_path / "in/Annotations"
    assert splits_of(tmp_path / "out") == {
        "img00": "train",
        "img01": "test",
        "Annotations/img03.xml": "train",
        "train.txt: line 3": "train",
    }
    assert failures(tmp_path / "out")["train.txt: line 3"] == (
        f"train.txt: line 3: it asks for gone.xml, which is not in {root}"
    )
    images, boxes = summed_up_with_left_out(tmp_path / "out")
    assert (images["found"], images["written"], images["rejected"]) == (7, 2, 5)
    assert (boxes["found"], boxes["written"], boxes["rejected"]) == (2 + 1 + 1 + 1, 3, 2)
    found = reasons(tmp_path / "out")
    assert (found["images_in_no_split"], found["objects_of_images_in_no_split"]) == (3, 2)
    (left_out,) = [one for one in report_of(tmp_path / "out")["reasons"] if one["kind"] == "images_in_no_split"]
    assert left_out["examples"] == ["Annotations/img05.xml", "img02.jpg", "img04.jpg"]


def summed_up_with_left_out(output: pathlib.Path) -> tuple[dict[str, int], dict[str, int]]:
    report = report_of(output)
    images, boxes = report["images"], report["boxes"]
    assert images["found"] == images["written"] + images["rejected"]
    assert boxes["found"] == boxes["written"] + boxes["dropped"] + boxes["rejected"]
    return images, boxes


def test_only_trainval_is_a_split_of_its_own(tmp_path: pathlib.Path) -> None:
    write_lists(write_voc(tmp_path / "in", 3), trainval=["img00", "img01"], test=["img02"])
    do(tmp_path / "in", tmp_path / "out", GIVEN)
    assert splits_of(tmp_path / "out") == {"img00": "trainval", "img01": "trainval", "img02": "test"}


def test_an_image_in_two_lists_is_refused(tmp_path: pathlib.Path) -> None:
    write_lists(write_voc(tmp_path / "in", 3), train=["img00", "img01"], val=["", "img01"])
    with pytest.raises(UsageError) as caught:
        do(tmp_path / "in", tmp_path / "out", GIVEN)
    assert str(caught.value) == (
        f"{tmp_path}/in/ImageSets/Main/val.txt: line 2 names img01, which train.txt names too: an image must be in one"
        " split only; correct the lists"
    )


def test_lists_that_were_not_asked_for_are_told_of_and_change_nothing(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 6)
    do(tmp_path / "in", tmp_path / "without")
    write_lists(tmp_path / "in", train=["img00", "gone"], val=["img00"])
    do(tmp_path / "in", tmp_path / "out")
    notes = manifest_of(tmp_path / "out")["details"]["notes"]
    assert notes[-1] == (
        "the data set has splits of its own (train, val), which were not used; --splits given takes them"
    )
    assert splits_of(tmp_path / "out") == splits_of(tmp_path / "without")
    assert do(tmp_path / "in", tmp_path / "without").planned_inputs == 0
    summed_up(tmp_path / "out")


def test_changed_lists_make_the_shards_anew(tmp_path: pathlib.Path) -> None:
    write_lists(write_voc(tmp_path / "in", 6), train=TRAIN, val=VAL)
    do(tmp_path / "in", tmp_path / "out", GIVEN)
    write_lists(tmp_path / "in", train=TRAIN[:3], val=[*VAL, TRAIN[3]])
    assert do(tmp_path / "in", tmp_path / "out", GIVEN).planned_inputs == 6
    do(tmp_path / "in", tmp_path / "fresh", GIVEN)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_nothing_that_says_what_is_in_which_split(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="nothing says which split its 3 images are in, expected the lists ImageSets"):
        do(write_voc(tmp_path / "in", 3), tmp_path / "out", GIVEN)
    yolo = {"data.yaml": "names: [cat]", "images/a.jpg": picture(), "labels/a.txt": "0 0.5 0.5 0.2 0.2"}
    with pytest.raises(UsageError, match=r"expected train: and val: in data[.]yaml, or --input train=PATH"):
        do(write_files(tmp_path / "yolo", yolo), tmp_path / "out", GIVEN)


def coco_of(root: pathlib.Path, name: str, count: int = 2) -> pathlib.Path:
    keys = [f"{name}{number}.jpg" for number in range(count)]
    write_files(root / name, {key: picture(number) for number, key in enumerate(keys)})
    images = [{"id": number, "file_name": key} for number, key in enumerate(keys)]
    box = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}
    orphan = {**box, "image_id": 0, "category_id": 9}
    return write_coco(root / f"annotations/instances_{name}.json", [*images, {"id": 99}], [box, orphan], {1: "cat"})


def test_each_input_can_be_a_split(tmp_path: pathlib.Path) -> None:
    paths = [coco_of(tmp_path / "in", name) for name in ("spring", "val", "train")]
    given = ConvertJob(Layout(None, num_shards=1), input_splits=("spring", "val", "train"))
    do(paths[0], tmp_path / "out", given, *paths[1:])
    found = splits_of(tmp_path / "out")
    assert found == {
        **{f"{name}{number}": name for name in ("spring", "val", "train") for number in range(2)},
        **{f"instances_{name}.json: image 99": name for name in ("spring", "val", "train")},
    }
    assert list(report_of(tmp_path / "out")["splits"]) == ["train", "val", "spring"]
    images, boxes = summed_up(tmp_path / "out")
    assert (images["found"], boxes["found"]) == (9, 6)
    other = ConvertJob(Layout(None, num_shards=1), input_splits=("train", "val", "spring"))
    do(paths[2], tmp_path / "other", other, paths[1], paths[0])
    assert files_of(tmp_path / "other") == files_of(tmp_path / "out")


def test_a_voc_list_can_be_a_split_of_any_name(tmp_path: pathlib.Path) -> None:
    write_lists(write_voc(tmp_path / "in", 6), monday=TRAIN, tuesday=VAL)
    lists = [tmp_path / f"in/ImageSets/Main/{day}.txt" for day in ("monday", "tuesday")]
    given = ConvertJob(Layout(None, num_shards=1), input_splits=("train", "val"))
    do(lists[0], tmp_path / "out", given, lists[1])
    assert splits_of(tmp_path / "out") == {**dict.fromkeys(TRAIN, "train"), **dict.fromkeys(VAL, "val")}


def test_splits_come_in_their_usual_order() -> None:
    assert given_order(["test", "b", None, "val", "a", "train", "b"]) == ["train", "val", "test", "a", "b"]
    with pytest.raises(UsageError, match=r"a split called 'my/val', which cannot be part of a file name"):
        given_order(["my/val"])


@pytest.mark.shared
def test_the_lists_of_a_real_data_set(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = shared / "data/datasets/bccd/BCCD"
    do(folder, tmp_path / "out", ConvertJob(Layout(None, num_shards=1)))
    found = splits_of(tmp_path / "out")
    assert len(found) == 364
    for split in ("train", "val", "test"):
        names = (folder / f"ImageSets/Main/{split}.txt").read_text().split()
        assert sorted(key for key, where in found.items() if where == split) == sorted(names)


# The order of records


def keys_in_order(output: pathlib.Path) -> list[str]:
    rows: list[dict[str, Any]] = sorted(index_of(output), key=lambda row: (row["shard"], row["record_index"]))
    return [row["key"] for row in rows]


def test_without_shuffling_records_are_in_the_order_of_the_input(tmp_path: pathlib.Path) -> None:
    names = ["z.jpg", "a.jpg", "m.jpg", "b.jpg"]
    write_files(tmp_path / "in/images", {name: picture() for name in names})
    for _ in range(2):
        images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
        path = write_coco(tmp_path / "in/i.json", images, [], {1: "cat"})
        do(path, tmp_path / "out", job(Layout({"train": 1.0}, images_per_shard=2, shuffle=False)))
        assert keys_in_order(tmp_path / "out") == names
        names.reverse()  # another order is another result, which is made anew


def test_without_shuffling_splits_are_the_same(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    do(tmp_path / "in", tmp_path / "out", job(Layout({"train": 0.7, "val": 0.3}, images_per_shard=3, shuffle=False)))
    do(tmp_path / "in", tmp_path / "shuffled", ConvertJob(LAYOUT))
    assert splits_of(tmp_path / "out") == splits_of(tmp_path / "shuffled")
    for split in ("train", "val"):
        keys = [key for key in keys_in_order(tmp_path / "out") if splits_of(tmp_path / "out")[key[:-4]] == split]
        assert keys == sorted(keys)


def test_a_twin_is_in_the_split_of_its_own_annotation(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 2)
    write_files(tmp_path / "in", {"Annotations/twin.xml": voc_xml("img00.jpg", [voc_object("cat", (1, 1, 9, 9))])})
    write_lists(tmp_path / "in", train=["img00", "img01"], val=["twin"])
    do(tmp_path / "in", tmp_path / "out", GIVEN)
    assert splits_of(tmp_path / "out")["Annotations/twin.xml"] == "val"
