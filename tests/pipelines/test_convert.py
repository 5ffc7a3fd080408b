"""The convert job on the engine: what lands in shards, index and manifest."""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest

from od_core.images import decode_image
from od_core.label_map import read_label_map
from od_core.records.tfrecord import read_records, scan_records
from od_core.schemas import ground_truths_of
from pipelines.convert.job import ConvertJob
from tests.pipelines.conversions import LAYOUT, by_key, do, job, one_voc
from tests.pipelines.made_annotations import (
    features_of,
    files_of,
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

# What is in a record


def test_every_feature_of_a_voc_image(tmp_path: pathlib.Path) -> None:
    dog = voc_object("dog", (3, 4, 15, 24), pose="Left", truncated=1, difficult=1)
    one_voc(tmp_path / "in", voc_object("cat", (0, 0, 30, 10.5)), dog)
    do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert features_of(record_of(tmp_path / "out", row)) == {
        "image/encoded": ("bytes_list", [picture()]),
        "image/format": ("bytes_list", [b"jpeg"]),
        "image/filename": ("bytes_list", [b"a.jpg"]),
        "image/source_id": ("bytes_list", [b"a.jpg"]),
        "image/key/sha256": ("bytes_list", [hashlib.sha256(picture()).hexdigest().encode()]),
        "image/height": ("int64_list", [30]),
        "image/width": ("int64_list", [40]),
        "image/object/bbox/ymin": ("float_list", [0.0, np.float32(3 / 30)]),
        "image/object/bbox/xmin": ("float_list", [0.0, np.float32(4 / 40)]),
        "image/object/bbox/ymax": ("float_list", [1.0, 0.5]),
        "image/object/bbox/xmax": ("float_list", [np.float32(10.5 / 40), np.float32(24 / 40)]),
        "image/object/class/text": ("bytes_list", [b"cat", b"dog"]),
        "image/object/class/label": ("int64_list", [1, 2]),
        "image/object/difficult": ("int64_list", [0, 1]),
        "image/object/is_crowd": ("int64_list", [0, 0]),
        "image/object/truncated": ("int64_list", [0, 1]),
        "image/object/view": ("bytes_list", [b"Unspecified", b"Left"]),
    }


def test_every_feature_of_a_coco_image(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in/images", {"sub/b.png": picture(1, format="PNG")})
    boxes = [
        {"image_id": 7, "category_id": 18, "bbox": [4, 3, 20, 12], "area": 200.5, "iscrowd": 0},
        {"image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 30], "area": 1000, "iscrowd": 1},
    ]
    images = [{"id": 7, "file_name": "sub/b.png", "width": 40, "height": 30}]
    path = write_coco(tmp_path / "in/instances.json", images, boxes, {18: "dog", 3: "car"})
    do(path, tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert features_of(record_of(tmp_path / "out", row)) == {
        "image/encoded": ("bytes_list", [picture(1, format="PNG")]),
        "image/format": ("bytes_list", [b"png"]),
        "image/filename": ("bytes_list", [b"sub/b.png"]),
        "image/source_id": ("bytes_list", [b"7"]),
        "image/key/sha256": ("bytes_list", [hashlib.sha256(picture(1, format="PNG")).hexdigest().encode()]),
        "image/height": ("int64_list", [30]),
        "image/width": ("int64_list", [40]),
        "image/object/bbox/ymin": ("float_list", [np.float32(3 / 30), 0.0]),
        "image/object/bbox/xmin": ("float_list", [np.float32(4 / 40), 0.0]),
        "image/object/bbox/ymax": ("float_list", [0.5, 1.0]),
        "image/object/bbox/xmax": ("float_list", [np.float32(24 / 40), 1.0]),
        "image/object/class/text": ("bytes_list", [b"dog", b"car"]),
        "image/object/class/label": ("int64_list", [18, 3]),
        "image/object/difficult": ("int64_list", [0, 0]),
        "image/object/is_crowd": ("int64_list", [0, 1]),
        "image/object/area": ("float_list", [200.5, 1000.0]),
    }
    assert (row["key"], row["source_id"]) == ("sub/b.png", "7")
    assert read_label_map(str(tmp_path / "out/label_map.pbtxt")).names == {18: "dog", 3: "car"}


def test_images_of_every_kind_are_stored_as_tensorflow_sees_them(tmp_path: pathlib.Path) -> None:
    kinds = {"a.jpg": "JPEG", "b.png": "PNG", "c.webp": "WEBP", "d.gif": "GIF", "e.tif": "TIFF", "f.bmp": "BMP"}
    files = {f"JPEGImages/{name}": picture(1, format=format) for name, format in kinds.items()}
    files["JPEGImages/turned.jpg"] = picture(1, orientation=6)
    files["JPEGImages/png_named.jpg"] = picture(1, format="PNG")
    cat = voc_object("cat", (3, 4, 13, 24))
    annotations = {f"Annotations/{path[11:]}.xml": voc_xml(path[11:], [cat]) for path in files}
    write_files(tmp_path / "in", {**files, **annotations})
    result = do(tmp_path / "in", tmp_path / "out", job())
    assert result.finished.manifest.counts["images_re_encoded"] == 5
    rows = by_key(tmp_path / "out")
    for name, row in rows.items():
        features = features_of(record_of(tmp_path / "out", row))
        ((encoded,), (format,)) = (features[f"image/{key}"][1] for key in ("encoded", "format"))
        original = files[f"JPEGImages/{name}"]
        pixels = decode_image(encoded)
        assert (row["height"], row["width"]) == pixels.shape[:2]
        assert features["image/key/sha256"][1] == [hashlib.sha256(encoded).hexdigest().encode()]
        if name in ("a.jpg", "b.png", "png_named.jpg"):
            assert encoded == original
        elif name != "turned.jpg":
            np.testing.assert_array_equal(pixels, decode_image(original))
        assert format.decode() == row["format"] == ("jpeg" if name in ("a.jpg", "turned.jpg") else "png")
    # Its annotation is of the stored 40 x 30 pixels, so the box turns with them.
    (box,) = rows["turned.jpg"]["objects"]
    assert (rows["turned.jpg"]["width"], rows["turned.jpg"]["height"]) == (30, 40)
    edges = [box[edge] for edge in ("ymin", "xmin", "ymax", "xmax")]
    assert edges == pytest.approx([4 / 40, 17 / 30, 24 / 40, 27 / 30], abs=1e-6)


# The index


def test_the_index_leads_to_every_record_and_says_what_is_in_it(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    rows = index_of(tmp_path / "out")
    assert [row["key"] for row in rows] == [f"img{number:02}.jpg" for number in range(12)]
    shards = {shard["name"]: shard for shard in manifest_of(tmp_path / "out")["details"]["shards"]}
    places = {name: [] for name in shards}
    for row in rows:
        features = features_of(record_of(tmp_path / "out", row))
        assert features["image/source_id"][1] == [row["source_id"].encode()] == [row["key"].encode()]
        assert features["image/object/class/text"][1] == [item["label"].encode() for item in row["objects"]]
        assert features["image/object/class/label"][1] == [item["class_id"] for item in row["objects"]]
        for edge in ("ymin", "xmin", "ymax", "xmax"):
            assert features[f"image/object/bbox/{edge}"][1] == [item[edge] for item in row["objects"]]
        assert features["image/object/difficult"][1] == [int(item["difficult"]) for item in row["objects"]]
        assert row["split"] == shards[row["shard"]]["split"] == LAYOUT.split_of(row["key"])
        assert (row["kind"], row["frame_index"], row["status"], row["format"]) == ("image", 0, "done", "jpeg")
        places[row["shard"]].append((row["offset"], row["length"], row["record_index"], row["key"]))
    for name, shard in shards.items():
        content = (tmp_path / "out" / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
        with open(tmp_path / "out" / name, "rb") as file:
            spans = [(span.offset, span.end - span.offset) for span in scan_records(file)]
        assert len(spans) == shard["records"] == len(places[name]) > 0
        assert [place[:3] for place in sorted(places[name])] == [(*span, n) for n, span in enumerate(spans)]
    in_order = [key for name in sorted(shards) for *_, key in sorted(places[name]) if name.startswith("train")]
    assert in_order == sorted(in_order, key=LAYOUT.order_of), "records are not shuffled by their keyed hash"


def test_ground_truth_of_the_index_is_read_by_its_own_reader(tmp_path: pathlib.Path) -> None:
    import pyarrow.parquet as pq

    do(write_voc(tmp_path / "in", 4), tmp_path / "out")
    truths = ground_truths_of(pq.read_table(next((tmp_path / "out").glob("index-*.parquet"))))
    assert [truth and truth.labels for truth in truths] == [("cat", "dog"), ("cat",), ("cat",), ("cat", "dog")]


def test_areas_are_kept_where_only_some_are_known(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "in/images", {"a.jpg": picture()})
    boxes = [
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 12.5},
        {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]},
    ]
    path = write_coco(tmp_path / "in/i.json", [{"id": 1, "file_name": "a.jpg"}], boxes, {1: "cat"})
    do(path, tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert [item["area"] for item in row["objects"]] == [12.5, None]
    assert "image/object/area" not in features_of(record_of(tmp_path / "out", row))


def test_every_shard_and_the_manifest_say_the_same(tmp_path: pathlib.Path) -> None:
    result = do(write_voc(tmp_path / "in", 20), tmp_path / "out")
    manifest = manifest_of(tmp_path / "out")
    names = [shard["name"] for shard in manifest["details"]["shards"]]
    splits = {name: sum(n.startswith(name) for n in names) for name in ("train", "val")}
    assert names == [f"{s}-{n:05}-of-{many:05}.tfrecord" for s, many in splits.items() for n in range(many)]
    counts = result.finished.manifest.counts
    assert counts == {"inputs": 20, "done": 20, "empty": 0, "failed": 0, "boxes": 27, "images": 20}
    assert manifest["details"]["notes"] == [
        f"{split}: {sum(s['records'] for s in manifest['details']['shards'] if s['split'] == split)} records"
        f" in {many} shards"
        for split, many in splits.items()
    ]


# The same bytes


def test_workers_and_isolation_change_no_byte(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    (tmp_path / "in/JPEGImages/img03.jpg").write_bytes(picture(3)[:300])
    do(tmp_path / "in", tmp_path / "none")
    wanted = files_of(tmp_path / "none")
    for workers in (1, 2, 3):
        spread = ConvertJob(LAYOUT).spread(workers)
        do(tmp_path / "in", tmp_path / f"{workers}", isolation="process", spread=spread)
        assert files_of(tmp_path / f"{workers}") == wanted
    shutil.move(tmp_path / "in", tmp_path / "moved" / "in")
    do(tmp_path / "moved/in", tmp_path / "after_move")
    renamed = {name: content for name, content in files_of(tmp_path / "after_move").items() if "tfrecord" in name}
    assert renamed.items() <= wanted.items()


def test_the_order_of_inputs_changes_no_shard(tmp_path: pathlib.Path) -> None:
    for name, number in (("x", 0), ("y", 1)):
        files = {
            f"{name}.jpg": picture(number),
            f"{name}.xml": voc_xml(f"{name}.jpg", [voc_object(name, (1, 1, 9, 9))]),
        }
        write_files(tmp_path / name, files)
    do(tmp_path / "x", tmp_path / "xy", job(), tmp_path / "y")
    do(tmp_path / "y", tmp_path / "yx", job(), tmp_path / "x")
    assert (tmp_path / "xy/train-00000-of-00001.tfrecord").read_bytes() == (
        tmp_path / "yx/train-00000-of-00001.tfrecord"
    ).read_bytes()
    assert len(index_of(tmp_path / "xy")) == 2


def test_names_that_are_no_ascii_come_through(tmp_path: pathlib.Path) -> None:
    name = "straße ä.jpg"
    files = {f"Annotations/{name}.xml": voc_xml(name, [voc_object("größe", (1, 1, 9, 9))])}
    write_files(tmp_path / "in", {**files, f"JPEGImages/{name}": picture()})
    do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    assert (row["key"], row["objects"][0]["label"]) == (name, "größe")
    features = features_of(record_of(tmp_path / "out", row))
    assert features["image/object/class/text"][1] == ["größe".encode()]
    assert features["image/filename"][1] == [name.encode()]


def test_the_manifest_lets_nobody_open_a_shard_that_is_not_whole(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    read = 0
    for shard in json.loads((tmp_path / "out/manifest.json").read_text())["details"]["shards"]:
        with open(tmp_path / "out" / shard["name"], "rb") as file:
            read += sum(isinstance(payload, bytes) for _, payload in read_records(file))
    assert read == 12
