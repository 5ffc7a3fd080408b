"""convert against the API's own converters, and against TensorFlow reading its shards as the API's decoder does.

What may differ from the API is said in each test, value by value; everything else must be equal: bytes and integers as
they are, floats as float32.
"""

import copy
import io
import json
import pathlib
from typing import Any

import pytest
from PIL import Image

from od_core.annotations.image_folder import ImageFolder
from od_core.label_map import read_label_map
from od_core.records.tfrecord import read_records
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from tests.pipelines.conversions import do, job
from tests.pipelines.made_annotations import (
    features_of,
    index_of,
    manifest_of,
    picture,
    record_of,
    voc_object,
    voc_xml,
    write_files,
    write_voc,
)

Records = dict[str, dict[str, list[Any]]]
BOX = "image/object/bbox/"
MASK = "image/object/mask"


def values(serialized: bytes) -> dict[str, list[Any]]:
    """The values of every feature that has any: to TensorFlow an empty list is an absent feature."""
    return {key: found for key, (_, found) in features_of(serialized).items() if found}


def of_the_api(*paths: pathlib.Path) -> Records:
    """The API's records, by file name."""
    records: Records = {}
    for path in paths:
        with open(path, "rb") as file:
            for _, payload in read_records(file):
                assert isinstance(payload, bytes)
                found = values(payload)
                records[found["image/filename"][0].decode()] = found
    return records


def of_ours(output: pathlib.Path) -> Records:
    return {row["key"]: values(record_of(output, row)) for row in index_of(output)}


def with_flags(records: Records, flag: str) -> Records:
    """The records with a flag that is 0 for every object, which boxbeam writes and the API's script does not."""
    found = copy.deepcopy(records)
    for record in found.values():
        if f"{BOX}ymin" in record:
            assert f"image/object/{flag}" not in record
            record[f"image/object/{flag}"] = [0] * len(record[f"{BOX}ymin"])
    return found


def with_class_ids(records: Records, output: pathlib.Path) -> Records:
    """The records with class ids, which the API's COCO script leaves to be found by their texts."""
    label_map = read_label_map(str(output / "label_map.pbtxt"))
    found = copy.deepcopy(records)
    for record in found.values():
        if "image/object/class/text" in record:
            assert "image/object/class/label" not in record
            texts = record["image/object/class/text"]
            record["image/object/class/label"] = [label_map.id_of(text.decode()) for text in texts]
    return found


@pytest.mark.shared
def test_bccd_is_as_the_apis_pascal_script_wrote_it(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).symlink_to(shared / "data/datasets/bccd/BCCD" / name)
    names = (shared / "models/ssd_mobilenet_bccd_tf1/split_val.txt").read_text()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)
    (tmp_path / "ImageSets/Main/val.txt").write_text(names)
    label_map = read_label_map(str(shared / "oracles/records/bccd_label_map.pbtxt"))
    do(tmp_path / "ImageSets/Main/val.txt", tmp_path / "out", job(label_map=label_map))
    api = of_the_api(shared / "oracles/records/bccd_val.record")
    assert len(api) == 73
    assert of_ours(tmp_path / "out") == with_flags(api, "is_crowd")


@pytest.mark.shared
@pytest.mark.parametrize(("split", "count"), [("train", 32), ("val", 6)])
def test_coco_is_as_the_apis_coco_script_wrote_it(
    shared: pathlib.Path, tmp_path: pathlib.Path, split: str, count: int
) -> None:
    do(shared / f"data/datasets/coco_tiny/annotations/instances_{split}2017.json", tmp_path / "out", job())
    api = of_the_api(*sorted((shared / "oracles/records/coco_tiny").glob(f"coco_{split}*")))
    assert len(api) == count
    assert of_ours(tmp_path / "out") == with_class_ids(with_flags(api, "difficult"), tmp_path / "out")


def decoded_masks(records: Records) -> Records:
    """The records with the pixels of masks instead of their PNG files, which encoders write differently."""
    found = copy.deepcopy(records)
    for record in found.values():
        if MASK in record:
            images = [Image.open(io.BytesIO(encoded)) for encoded in record[MASK]]
            record[MASK] = [(image.mode, image.size, image.tobytes()) for image in images]
    return found


@pytest.mark.shared
@pytest.mark.parametrize(("split", "count"), [("train", 32), ("val", 6)])
def test_masks_are_as_the_apis_coco_script_wrote_them(
    shared: pathlib.Path, tmp_path: pathlib.Path, split: str, count: int
) -> None:
    path = shared / f"data/datasets/coco_tiny/annotations/instances_{split}2017.json"
    do(path, tmp_path / "out", job(masks=True))
    api = of_the_api(*sorted((shared / "oracles/records/coco/masks").glob(f"coco_{split}*")))
    assert len(api) == count
    assert sum(len(record.get(MASK, [])) for record in api.values()) > 100
    expected = with_class_ids(with_flags(api, "difficult"), tmp_path / "out")
    assert decoded_masks(of_ours(tmp_path / "out")) == decoded_masks(expected)


@pytest.mark.shared
def test_keypoints_are_as_the_apis_coco_script_wrote_them(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = shared / "data/datasets/coco_tiny"
    content = json.loads((folder / "annotations/instances_val2017.json").read_text())
    # The API takes boxes from one file and keypoints from another; boxbeam takes them from one.
    people = json.loads((shared / "oracles/records/coco/input/person_keypoints_made_val.json").read_text())
    points = {one["id"]: one["keypoints"] for one in people["annotations"]}
    for one in content["annotations"]:
        if one["id"] in points:
            one["keypoints"] = points.pop(one["id"])
    assert points.keys() == {999999999}, "one is about a box that there is not"
    api = of_the_api(*sorted((shared / "oracles/records/coco/keypoints").iterdir()))
    (names,) = {tuple(record["image/object/keypoint/text"][:17]) for record in api.values()}
    for category in content["categories"]:
        if category["name"] == "person":
            category["keypoints"] = [name.decode() for name in names]
    (tmp_path / "instances.json").write_text(json.dumps(content))
    do(tmp_path / "instances.json", tmp_path / "out", job(keypoints=True, images=str(folder)))
    assert of_ours_by_name(tmp_path / "out") == with_class_ids(with_flags(api, "difficult"), tmp_path / "out")


def of_ours_by_name(output: pathlib.Path) -> Records:
    return {record["image/filename"][0].decode(): record for record in of_ours(output).values()}


@pytest.mark.shared
def test_voc_flags_are_as_the_apis_pascal_script_wrote_them(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = shared / "oracles/records/voc_flags"
    label_map = read_label_map(str(folder / "input/label_map.pbtxt"))
    given = job(label_map=label_map)
    do(folder / "input/VOC2007/ImageSets/Main/aeroplane_train.txt", tmp_path / "out", given)
    expected = with_flags(of_the_api(folder / "voc_flags.record"), "is_crowd")
    # The API keeps a box that reaches over the border; boxbeam clips it.
    for edge in ("xmax", "ymax"):
        assert expected["000003.jpg"][BOX + edge][2] > 1
        expected["000003.jpg"][BOX + edge][2] = 1.0
    assert of_ours(tmp_path / "out") == expected


# Objects of a.jpg in coco_made, by annotation: 4 and 5 are empty, 6 and 9 reach over the border to the right and below,
# 8 to the left and above.
API_KEEPS = (1, 2, 3, 7, 8)
OBJECT_FEATURES = ("class/text", "class/label", "is_crowd", "difficult", "area", "bbox/ymin", "bbox/xmin", "bbox/ymax")


@pytest.mark.shared
@pytest.mark.parametrize(("policy", "kept"), [("clip", (1, 2, 3, 6, 7, 8, 9)), ("drop", (1, 2, 3, 7))])
def test_a_made_coco_set_is_as_the_apis_coco_script_wrote_it(
    shared: pathlib.Path, tmp_path: pathlib.Path, policy: str, kept: tuple[int, ...]
) -> None:
    folder = shared / "oracles/records/coco_made"
    do(folder / "input/instances.json", tmp_path / "out", job(boxes=policy))
    api = of_the_api(*sorted((folder / "boxes").iterdir()))
    expected = with_class_ids(with_flags(api, "difficult"), tmp_path / "out")
    found = of_ours(tmp_path / "out")
    # The JSON says that d.jpg is 100 x 80, the file is half of that: boxbeam writes the file's size, and areas in its
    # pixels.
    image = expected["d.jpg"]
    assert (image["image/width"], image["image/height"]) == ([100], [80])
    image["image/width"], image["image/height"] = [50], [40]
    image["image/object/area"] = [area / 4 for area in image["image/object/area"]]
    # The API drops what reaches over the border to the right or below, and keeps negative edges as they are.
    mine, theirs = found.pop("a.jpg"), expected.pop("a.jpg")
    assert found == expected
    for feature in (*OBJECT_FEATURES, "bbox/xmax"):
        ours_by_id = dict(zip(kept, mine.pop(f"image/object/{feature}"), strict=True))
        theirs_by_id = dict(zip(API_KEEPS, theirs.pop(f"image/object/{feature}"), strict=True))
        if feature in ("bbox/ymin", "bbox/xmin"):
            assert theirs_by_id[8] < 0
            theirs_by_id[8] = 0.0
        both = ours_by_id.keys() & theirs_by_id.keys()
        assert both == {1, 2, 3, 7} | ({8} if policy == "clip" else set())
        assert {id: ours_by_id[id] for id in both} == {id: theirs_by_id[id] for id in both}
        if policy == "clip" and feature in ("bbox/xmax", "bbox/ymax"):
            assert ours_by_id[6 if feature == "bbox/xmax" else 9] == 1.0
    assert mine == theirs


@pytest.mark.shared
def test_real_data_sets_are_whole_in_their_shards(shared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    bccd = shared / "data/datasets/bccd/BCCD"
    result = do(bccd, tmp_path / "out", ConvertJob(Layout({"train": 0.8, "val": 0.2}, shard_bytes=1 << 20)))
    counts = result.finished.manifest.counts
    assert (counts["inputs"], counts["done"], counts["failed"]) == (364, 364, 0)
    assert (counts["boxes"], counts["empty_boxes_dropped"]) == (4886, 2)
    shards = manifest_of(tmp_path / "out")["details"]["shards"]
    assert len(shards) > 5
    largest = max(path.stat().st_size for path in (bccd / "JPEGImages").iterdir())
    for split in ("train", "val"):
        sizes = [shard["bytes"] for shard in shards if shard["split"] == split]
        assert max(sizes) - min(sizes) < 2 * largest
        assert max(sizes) < (1 << 20) + largest
    assert [row["key"] for row in index_of(tmp_path / "out")] == sorted(
        path.name for path in (bccd / "JPEGImages").iterdir()
    )
    assert len(ImageFolder(str(bccd / "JPEGImages"))) == 364


def test_tensorflow_reads_the_shards_as_the_apis_decoder_does(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    write_voc(tmp_path / "in", 7)
    cat = voc_object("cat", (1, 2, 20, 30))
    files = {"Annotations/none.xml": voc_xml("none.jpg"), "JPEGImages/none.jpg": picture(50)}
    files |= {"Annotations/w.xml": voc_xml("w.webp", [cat]), "JPEGImages/w.webp": picture(51, format="WEBP")}
    write_files(tmp_path / "in", files)
    do(tmp_path / "in", tmp_path / "out", ConvertJob(Layout({"train": 0.6, "val": 0.4}, images_per_shard=2)))
    text, whole, number = tf.string, tf.int64, tf.float32
    spec: dict[str, Any] = {
        **{f"image/{key}": tf.io.FixedLenFeature((), text, "") for key in ("encoded", "filename", "source_id")},
        "image/format": tf.io.FixedLenFeature((), text, "jpeg"),
        "image/key/sha256": tf.io.FixedLenFeature((), text, ""),
        **{f"image/{key}": tf.io.FixedLenFeature((), whole, 1) for key in ("height", "width")},
        **{f"{BOX}{edge}": tf.io.VarLenFeature(number) for edge in ("ymin", "xmin", "ymax", "xmax")},
        **{f"image/object/{key}": tf.io.VarLenFeature(number) for key in ("area", "weight")},
        "image/object/class/text": tf.io.VarLenFeature(text),
        **{
            f"image/object/{key}": tf.io.VarLenFeature(whole)
            for key in ("class/label", "is_crowd", "difficult", "group_of", "truncated")
        },
    }
    rows = {row["key"]: row for row in index_of(tmp_path / "out")}
    shards = [str(tmp_path / "out" / shard["name"]) for shard in manifest_of(tmp_path / "out")["details"]["shards"]]
    seen = set()
    for serialized in tf.data.TFRecordDataset(shards):
        parsed = tf.io.parse_single_example(serialized, spec)
        row = rows[parsed["image/filename"].numpy().decode()]
        seen.add(row["key"])
        pixels = tf.io.decode_image(parsed["image/encoded"], channels=3)
        assert pixels.shape == (row["height"], row["width"], 3) == (parsed["image/height"], parsed["image/width"], 3)

        def dense(feature: str, parsed: Any = parsed) -> list[Any]:
            return list(tf.sparse.to_dense(parsed[f"image/object/{feature}"]).numpy().tolist())

        for edge in ("ymin", "xmin", "ymax", "xmax"):
            assert dense(f"bbox/{edge}") == [item[edge] for item in row["objects"]]
        assert dense("class/label") == [item["class_id"] for item in row["objects"]]
        assert dense("class/text") == [item["label"].encode() for item in row["objects"]]
        assert dense("difficult") == [int(item["difficult"]) for item in row["objects"]]
        assert dense("is_crowd") == [0] * len(row["objects"])
        assert dense("group_of") == dense("area") == []
    assert seen == rows.keys()
    assert len(seen) == 9
