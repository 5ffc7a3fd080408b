"""What convert cannot use: it fails alone, says why, and leaves nothing in doubt about the rest."""

import dataclasses
import hashlib
import pathlib
import shutil

import pytest

from od_core.errors import UsageError
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from tests.pipelines.conversions import LAYOUT, do, failures, job, one_voc
from tests.pipelines.made_annotations import (
    DEADLY,
    DeadlyJob,
    HopelessJob,
    LateJob,
    features_of,
    index_of,
    manifest_of,
    picture,
    record_of,
    voc_object,
    voc_xml,
    write_coco,
    write_files,
    write_voc,
)


def test_what_cannot_be_used_fails_alone_and_every_input_is_accounted_for(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    cat = voc_object("cat", (1, 1, 9, 9))
    files = {
        "JPEGImages/img01.jpg": picture(1)[:400],
        "JPEGImages/img02.jpg": "just a text",
        "JPEGImages/img04.jpg": "",
        "JPEGImages/img05.jpg": picture(5, width=40, height=80),
        "JPEGImages/empty.jpg": picture(6),
        "Annotations/empty.xml": voc_xml("empty.jpg"),
        "Annotations/img07.xml": "<annotation><filename>img07.jpg</filena",
        "Annotations/lost.xml": voc_xml("lost.jpg", [cat]),
        "Annotations/near.xml": voc_xml("img08.png", [cat]),
        "Annotations/twin.xml": voc_xml("img09.jpg", [cat]),
        "Annotations/nobody.xml": "",
    }
    write_files(tmp_path / "in", files)
    result = do(tmp_path / "in", tmp_path / "out")
    images = tmp_path / "in/JPEGImages"
    said = failures(tmp_path / "out")
    assert {key: said.pop(key) for key in ("lost.jpg", "img08.png")} == {
        "lost.jpg": f"Annotations/lost.xml: there is no image lost.jpg in {images}",
        "img08.png": f"Annotations/near.xml: there is no image img08.png in {images} (but there is img08.jpg)",
    }
    parts = {
        "img01.jpg": "damaged or cut-off JPEG",
        "img02.jpg": "not a supported image",
        "img04.jpg": "an empty file",
        "img05.jpg": "the annotation is of a 40 x 30 image, the file is 40 x 80: it is another one",
        "Annotations/img07.xml": "Annotations/img07.xml: not well-formed XML",
        "Annotations/twin.xml": "it is about img09.jpg, which Annotations/img09.xml is about as well",
        "Annotations/nobody.xml": "Annotations/nobody.xml: an empty file",
    }
    assert said.keys() == parts.keys()
    assert [key for key, part in parts.items() if part not in said[key]] == []
    counts = result.finished.manifest.counts
    assert (counts["inputs"], counts["done"], counts["empty"], counts["failed"]) == (17, 7, 1, 9)
    rows = index_of(tmp_path / "out")
    assert sum(shard["records"] for shard in manifest_of(tmp_path / "out")["details"]["shards"]) == 8
    assert [row["key"] for row in rows if row["objects"] == []] == ["empty.jpg"]
    for row in rows:
        assert (row["shard"] is None) == (row["record_index"] is None) == (row["status"] == "failed")
        assert row["split"] in ("train", "val")
        if row["status"] == "done":
            assert features_of(record_of(tmp_path / "out", row))["image/filename"][1] == [row["key"].encode()]


def test_an_object_that_cannot_be_used_costs_only_itself_and_a_remark(tmp_path: pathlib.Path) -> None:
    broken = "<object><name>dog</name><bndbox><xmin>many</xmin></bndbox></object>"
    one_voc(tmp_path / "in", broken, voc_object("cat", (1, 1, 9, 9)))
    result = do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert [item["label"] for item in row["objects"]] == ["cat"]
    ((kind, text),) = [(remark["kind"], remark["text"]) for remark in row["remarks"]]
    assert (kind, text.split(": ")[:2]) == ("objects_not_usable", ["Annotations/a.xml", "object 1"])
    assert result.finished.manifest.counts["objects_not_usable"] == 1


def test_annotations_of_no_image_are_told_of_at_the_end(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in/images", {"a.jpg": picture()})
    orphan = {"image_id": 5, "category_id": 1, "bbox": [1, 1, 5, 5]}
    path = write_coco(tmp_path / "in/i.json", [{"id": 1, "file_name": "a.jpg"}], [orphan], {1: "cat"})
    details = do(path, tmp_path / "out", job()).finished.manifest.details
    assert details["annotations_not_used"] == 1
    assert details["notes"] == [
        "train: 1 record in 1 shard",
        "1 annotation could not be used: i.json: annotation 1: it is about an image with the id 5, which the file does"
        " not have",
    ]


def test_an_image_that_kills_its_process_is_condemned_and_its_shard_has_all_others(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    files = {f"Annotations/{DEADLY}.xml": voc_xml(DEADLY), f"JPEGImages/{DEADLY}": picture(77)}
    write_files(tmp_path / "in", files)
    layout = Layout({"train": 1.0}, num_shards=2)
    do(tmp_path / "in", tmp_path / "out", DeadlyJob(layout), isolation="process")
    said = failures(tmp_path / "out")
    assert said.keys() == {DEADLY}
    assert "SIGSEGV" in said[DEADLY]
    rows = [row for row in index_of(tmp_path / "out") if row["status"] == "done"]
    assert len(rows) == 12
    for row in rows:
        assert features_of(record_of(tmp_path / "out", row))["image/filename"][1] == [row["key"].encode()]
    do(tmp_path / "in", tmp_path / "out", ConvertJob(layout), retry_failed=True)
    do(tmp_path / "in", tmp_path / "fresh", ConvertJob(layout))
    assert index_of(tmp_path / "out") == index_of(tmp_path / "fresh")
    shards = [path.name for path in (tmp_path / "fresh").glob("*.tfrecord")]
    assert all((tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes() for name in shards)


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("hopeless", [HopelessJob, LateJob])
def test_an_item_that_is_given_up_leaves_an_empty_shard_never_a_former_one(
    tmp_path: pathlib.Path, former: bool, hopeless: type[ConvertJob]
) -> None:
    write_voc(tmp_path / "in")
    files = {f"Annotations/{DEADLY}.xml": voc_xml(DEADLY), f"JPEGImages/{DEADLY}": picture(77)}
    write_files(tmp_path / "in", files)
    layout = Layout({"train": 1.0}, num_shards=2)
    if former:
        do(tmp_path / "in", tmp_path / "out", ConvertJob(layout))
        (tmp_path / "in/Annotations/img01.xml").write_text(voc_xml("img01.jpg"))
    do(tmp_path / "in", tmp_path / "out", hopeless(layout))
    shards = manifest_of(tmp_path / "out")["details"]["shards"]
    rows = index_of(tmp_path / "out")
    assert sorted((shard["records"] > 0, shard["bytes"] > 0) for shard in shards) == [(False, False), (True, True)]
    for shard in shards:
        content = (tmp_path / "out" / shard["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
    assert sum(row["status"] == "done" for row in rows) == sum(shard["records"] for shard in shards)
    assert {row["error"]["message"] for row in rows if row["error"]} == {"RuntimeError: nobody knows why"}
    do(tmp_path / "in", tmp_path / "out", ConvertJob(layout), retry_failed=True)
    do(tmp_path / "in", tmp_path / "fresh", ConvertJob(layout))
    assert index_of(tmp_path / "out") == index_of(tmp_path / "fresh")
    assert manifest_of(tmp_path / "out")["details"] == manifest_of(tmp_path / "fresh")["details"]


def test_two_annotations_of_one_image_are_refused(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 3)
    write_files(tmp_path / "more", {"Annotations/x.xml": voc_xml("img01.jpg"), "JPEGImages/img01.jpg": picture(1)})
    with pytest.raises(UsageError) as caught:
        do(tmp_path / "in", tmp_path / "out", job(), tmp_path / "more")
    assert str(caught.value) == (
        "two annotations are about an image called img01.jpg: Annotations/img01.xml and Annotations/x.xml; remove one,"
        " or, if they are different images, convert them into two outputs"
    )


def test_annotations_of_one_image_in_files_of_one_name_are_told_apart(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 3)
    write_files(tmp_path / "more", {"Annotations/img01.xml": voc_xml("img01.jpg"), "JPEGImages/img01.jpg": picture(1)})
    with pytest.raises(UsageError) as caught:
        do(tmp_path / "in", tmp_path / "out", job(), tmp_path / "more")
    first, second = (f"Annotations/img01.xml ({tmp_path}/{name}/Annotations/img01.xml)" for name in ("in", "more"))
    assert f"two annotations are about an image called img01.jpg: {first} and {second}; remove" in str(caught.value)


def test_images_that_are_nowhere_are_refused(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 3)
    shutil.move(tmp_path / "in/JPEGImages", tmp_path / "away")
    with pytest.raises(UsageError, match="it is not known where its images lie; say it with --images DIR"):
        do(tmp_path / "in", tmp_path / "out", job())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: no images in there; say with --images DIR where those of"):
        do(tmp_path / "in", tmp_path / "out", job(images=str(tmp_path / "empty")))
    with pytest.raises(UsageError, match="gone: no such image folder"):
        do(tmp_path / "in", tmp_path / "out", job(images=str(tmp_path / "gone")))
    write_files(tmp_path / "other", {"x.jpg": picture()})
    with pytest.raises(UsageError) as caught:
        do(tmp_path / "in", tmp_path / "out", job(images=str(tmp_path / "other")))
    assert str(caught.value) == (
        "none of 3 annotated images is there. Annotations/img00.xml: there is no image img00.jpg in"
        f" {tmp_path}/other. Say with --images DIR where they lie"
    )
    do(tmp_path / "in", tmp_path / "out", job(images=str(tmp_path / "away")))
    assert len(index_of(tmp_path / "out")) == 3


def test_a_split_that_divides_nothing_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="all 3 images are in one folder"):
        do(write_voc(tmp_path / "in", 3), tmp_path / "out", job(dataclasses.replace(LAYOUT, split_by="folder")))


def test_an_empty_split_is_told_of(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (1, 1, 9, 9)))
    details = do(tmp_path / "in", tmp_path / "out").finished.manifest.details
    assert sorted(note.split(": ")[1] for note in details["notes"]) == ["1 record in 1 shard", "no images"]


def test_a_policy_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown policy: boxes 'squeeze'"):
        job(boxes="squeeze")
