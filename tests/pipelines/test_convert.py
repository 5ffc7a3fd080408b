"""The convert job on the engine: what lands in shards, index and manifest, however often a run is repeated or ended."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from od_core import storage
from od_core.errors import LabelMapError, OutputError, StorageError, UsageError
from od_core.images import decode_image
from od_core.label_map import LabelMap, parse_label_map, read_label_map
from od_core.records.tfrecord import read_records, scan_records
from od_core.schemas import ground_truths_of
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.finalize import Finished
from pipelines.observer import Silent
from pipelines.work import Engine, RunResult, run
from tests.pipelines.made_annotations import (
    DEADLY,
    DeadlyJob,
    HopelessJob,
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
from tests.pipelines.toy_job import toy_work

LAYOUT = Layout({"train": 0.7, "val": 0.3}, images_per_shard=3)
ONE_SPLIT = Layout({"train": 1.0}, num_shards=1)


def do(
    input: pathlib.Path, output: pathlib.Path, job: ConvertJob | None = None, *more: pathlib.Path, **changes: object
) -> RunResult:
    """Convert with a job (LAYOUT if there is none); in this process unless `changes` say otherwise."""
    changes.setdefault("isolation", "none")
    work = toy_work([str(input), *map(str, more)], output, job or ConvertJob(LAYOUT), **changes)  # type: ignore[arg-type]
    return run(work, Engine(), Silent(), max_failed_ratio=1.0)


def job(layout: Layout = ONE_SPLIT, **options: Any) -> ConvertJob:
    return ConvertJob(layout, **options)


def by_key(output: pathlib.Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in index_of(output)}


def one_voc(root: pathlib.Path, *objects: str, **sizes: int) -> pathlib.Path:
    """A data set of one good image, a.jpg of 40 x 30, with these objects."""
    return write_files(root, {"Annotations/a.xml": voc_xml("a.jpg", objects, **sizes), "JPEGImages/a.jpg": picture()})


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


def test_killed_and_repeated_the_bytes_are_those_of_one_run(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 40)
    boxbeam = pathlib.Path(sys.executable).with_name("boxbeam")
    argv = [str(boxbeam), "convert", "--input", str(tmp_path / "in"), "--images_per_shard", "1", "--workers", "1"]
    output = tmp_path / "out"
    process = subprocess.Popen(
        [*argv, "--output", str(output), "--isolation", "process"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list((output / "_work/parts").glob("*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = len(list((output / "_work/parts").glob("*.parquet")))
    assert 3 <= done < 40, "it was over before it was killed: not a test"
    assert not (output / "manifest.json").exists()
    one_each = ConvertJob(Layout({"train": 0.8, "val": 0.2}, images_per_shard=1))
    assert do(tmp_path / "in", output, one_each).planned_inputs == 40 - done
    do(tmp_path / "in", tmp_path / "fresh", one_each)
    assert files_of(output) == files_of(tmp_path / "fresh")


# Run again


def test_run_again_there_is_nothing_to_do(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    before = files_of(tmp_path / "out")
    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    again = do(tmp_path / "in", tmp_path / "out")
    assert (again.planned_inputs, again.finished.changed) == (0, False)
    assert files_of(tmp_path / "out") == before
    assert {path.name: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == inodes


def test_a_changed_annotation_makes_all_shards_anew(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in/Annotations/img04.xml").write_text(voc_xml("img04.jpg", [voc_object("zebra", (1, 1, 9, 9))]))
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 12
    assert [item["label"] for item in by_key(tmp_path / "out")["img04.jpg"]["objects"]] == ["zebra"]
    assert read_label_map(str(tmp_path / "out/label_map.pbtxt")).names[3] == "zebra"
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_shards_of_another_count_go_and_nobody_elses_files(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in", 20), tmp_path / "out")
    before = {path.name for path in (tmp_path / "out").glob("*.tfrecord")}
    others = {"notes.txt": "x", "old.tfrecord": "x", "train-00000-of-00001.tfrecord.bak": "x", "sub/train-0.txt": "x"}
    write_files(tmp_path / "out", others)
    for number in range(6, 20):
        (tmp_path / f"in/Annotations/img{number:02}.xml").unlink()
    do(tmp_path / "in", tmp_path / "out")
    do(tmp_path / "in", tmp_path / "fresh")
    shards = {path.name for path in (tmp_path / "fresh").glob("*.tfrecord")}
    assert before - shards, "no shard had to go: not a test"
    assert {path.name for path in (tmp_path / "out").glob("*.tfrecord")} == {*shards, "old.tfrecord"}
    for name in others:
        assert (tmp_path / "out" / name).read_text() == "x"


def test_shards_that_are_not_ours_are_not_touched(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path / "out", {"train-00000-of-00001.tfrecord": "of another program"})
    with pytest.raises(OutputError, match=r"train-00000-of-00001\.tfrecord\): nobody could tell them"):
        do(write_voc(tmp_path / "in", 3), tmp_path / "out", job())
    assert (tmp_path / "out/train-00000-of-00001.tfrecord").read_text() == "of another program"


def test_other_options_are_refused_and_taken_with_overwrite(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    other = ConvertJob(dataclasses.replace(LAYOUT, seed=5, splits={"a": 0.5, "b": 0.5}))
    with pytest.raises(OutputError, match=r"--seed was 0, now 5; --splits was train=0\.7,val=0\.3, now a=0"):
        do(tmp_path / "in", tmp_path / "out", other)
    do(tmp_path / "in", tmp_path / "out", other, overwrite=True)
    do(tmp_path / "in", tmp_path / "fresh", other)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_an_image_that_was_repaired_is_tried_again(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    image = tmp_path / "in/JPEGImages/img05.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:200] + bytes(len(whole) - 200))
    status = image.stat()
    assert do(tmp_path / "in", tmp_path / "out").finished.manifest.counts["failed"] == 1
    image.write_bytes(whole)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))  # nothing but --retry_failed can know
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 0
    assert by_key(tmp_path / "out")["img05.jpg"]["status"] == "failed"
    again = do(tmp_path / "in", tmp_path / "out", retry_failed=True)
    assert 1 <= again.planned_inputs <= 3, "more than its shard was made anew"
    do(tmp_path / "in", tmp_path / "fresh")
    names = {path.name for path in (tmp_path / "fresh").glob("*.tfrecord")}
    after, fresh = files_of(tmp_path / "out"), files_of(tmp_path / "fresh")
    assert {name: after[name] for name in names} == {name: fresh[name] for name in names}
    assert index_of(tmp_path / "out") == index_of(tmp_path / "fresh")
    assert manifest_of(tmp_path / "out")["details"] == manifest_of(tmp_path / "fresh")["details"]


def test_an_image_of_another_time_or_size_is_another_image(tmp_path: pathlib.Path) -> None:
    do(write_voc(tmp_path / "in"), tmp_path / "out")
    (tmp_path / "in/JPEGImages/img05.jpg").write_bytes(picture(99))
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 12
    row = by_key(tmp_path / "out")["img05.jpg"]
    assert features_of(record_of(tmp_path / "out", row))["image/encoded"][1] == [picture(99)]


# Interrupted


@pytest.mark.parametrize("moment", ["before the first shard", "after two shards", "before the manifest"])
@pytest.mark.parametrize("former", [False, True])
def test_interrupted_while_shards_take_their_places_the_next_run_completes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, moment: str, former: bool
) -> None:
    write_voc(tmp_path / "in", 20)
    if former:
        do(tmp_path / "in", tmp_path / "out")
    for number in range(8, 20):
        (tmp_path / f"in/Annotations/img{number:02}.xml").unlink()
    moves = []
    real_move, real_write = storage.move, storage.write_text

    def move(source: str, target: str) -> None:
        moves.append(target)
        if len(moves) > {"before the first shard": 0, "after two shards": 2}.get(moment, 99):
            raise StorageError("the plug was pulled")
        real_move(source, target)

    def write_text(path: str, text: str) -> None:
        if path.endswith("manifest.json"):
            raise StorageError("the plug was pulled")
        real_write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "move", move)
        patch.setattr(storage, "write_text", write_text)
        with pytest.raises(StorageError, match="the plug was pulled"):
            do(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists(), "shards of two conversions could be taken for one"
    assert do(tmp_path / "in", tmp_path / "out").planned_inputs == 0
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_parts_of_a_plan_that_was_left_and_come_back_to_are_made_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_voc(tmp_path / "in")
    annotation = tmp_path / "in/Annotations/img01.xml"
    first, second = annotation.read_text(), voc_xml("img01.jpg", [voc_object("cat", (9, 9, 20, 20))])

    def stopped(*_: object) -> Finished:
        raise StorageError("stopped")

    for text in (first, second):
        annotation.write_text(text)
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.work.finalize", stopped)
            with pytest.raises(StorageError):
                do(tmp_path / "in", tmp_path / "out")
    annotation.write_text(first)
    do(tmp_path / "in", tmp_path / "out")
    do(tmp_path / "in", tmp_path / "fresh")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


def test_shards_of_an_unfinished_run_with_other_options_are_not_taken_for_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (-9, 0, 20, 20)), voc_object("cat", (1, 1, 5, 5)))

    def stopped(*_: object) -> Finished:
        raise StorageError("stopped")

    for policy in ("clip", "drop"):
        with monkeypatch.context() as patch:
            patch.setattr("pipelines.work.finalize", stopped)
            with pytest.raises(StorageError):
                do(tmp_path / "in", tmp_path / "out", job(boxes=policy), overwrite=True)
    do(tmp_path / "in", tmp_path / "out", job(boxes="clip"), overwrite=True)
    do(tmp_path / "in", tmp_path / "fresh", job(boxes="clip"))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "fresh")


# Images and annotations that cannot be used


def failures(output: pathlib.Path) -> dict[str, str]:
    return {row["key"]: row["error"]["message"] for row in index_of(output) if row["status"] == "failed"}


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


OVER, EMPTY, OUTSIDE = (-6, 2, 10, 20), (5, 5, 5, 9), (31, 2, 40, 9)


@pytest.mark.parametrize(
    ("policy", "kept", "remarks"),
    [
        (
            "clip",
            [(0, 2, 10, 20), (1, 1, 9, 9)],
            ["boxes_clipped", "empty_boxes_dropped", "outside_boxes_dropped"],
        ),
        (
            "drop",
            [(1, 1, 9, 9)],
            ["over_border_boxes_dropped", "empty_boxes_dropped", "outside_boxes_dropped"],
        ),
    ],
)
def test_boxes_that_do_not_lie_in_their_image(
    tmp_path: pathlib.Path, policy: str, kept: list[tuple[int, ...]], remarks: list[str]
) -> None:
    boxes = (OVER, EMPTY, (1, 1, 9, 9), OUTSIDE)
    one_voc(tmp_path / "in", *(voc_object("cat", box) for box in boxes))
    result = do(tmp_path / "in", tmp_path / "out", job(boxes=policy))
    (row,) = index_of(tmp_path / "out")
    found = [[item[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] for item in row["objects"]]
    np.testing.assert_allclose(found, [np.divide(box, (30, 40, 30, 40)) for box in kept], atol=1e-6)
    assert [remark["kind"] for remark in row["remarks"]] == remarks
    assert row["remarks"][0]["text"] == (
        "Annotations/a.xml: object 1 (cat): its box, x 2 to 20, y -6 to 10, reaches 6 px over the border of the 40 x 30"
        " image"
    )
    counts = result.finished.manifest.counts
    assert {kind: counts[kind] for kind in remarks} == dict.fromkeys(remarks, 1)
    assert counts["boxes"] == len(kept)


@pytest.mark.parametrize("box", [OVER, EMPTY, OUTSIDE])
def test_strict_fails_an_image_with_such_a_box(tmp_path: pathlib.Path, box: tuple[float, ...]) -> None:
    write_voc(tmp_path / "in", 3)
    (tmp_path / "in/Annotations/img01.xml").write_text(voc_xml("img01.jpg", [voc_object("cat", box)]))  # type: ignore[arg-type]
    do(tmp_path / "in", tmp_path / "out", job(boxes="strict"))
    said = failures(tmp_path / "out")
    assert said.keys() == {"img01.jpg"}
    assert said["img01.jpg"].startswith("Annotations/img01.xml: object 1 (cat): its box, ")
    assert said["img01.jpg"].endswith("; correct it, or choose --boxes clip or drop")


def test_boxes_are_of_the_size_that_the_annotation_gives(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (30, 40, 150, 240)), width=400, height=300)
    do(tmp_path / "in", tmp_path / "out", job())
    (row,) = index_of(tmp_path / "out")
    (box,) = row["objects"]
    assert [box[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] == pytest.approx([0.1, 0.1, 0.5, 0.6])
    assert (row["width"], row["height"]) == (40, 30)


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
def test_an_item_that_is_given_up_leaves_an_empty_shard_never_a_former_one(
    tmp_path: pathlib.Path, former: bool
) -> None:
    write_voc(tmp_path / "in")
    files = {f"Annotations/{DEADLY}.xml": voc_xml(DEADLY), f"JPEGImages/{DEADLY}": picture(77)}
    write_files(tmp_path / "in", files)
    layout = Layout({"train": 1.0}, num_shards=2)
    if former:
        do(tmp_path / "in", tmp_path / "out", ConvertJob(layout))
        (tmp_path / "in/Annotations/img01.xml").write_text(voc_xml("img01.jpg"))
    do(tmp_path / "in", tmp_path / "out", HopelessJob(layout))
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


# Classes


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


# Refused before anything is done


def test_two_annotations_of_one_image_are_refused(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 3)
    write_files(tmp_path / "more", {"Annotations/x.xml": voc_xml("img01.jpg"), "JPEGImages/img01.jpg": picture(1)})
    with pytest.raises(UsageError) as caught:
        do(tmp_path / "in", tmp_path / "out", job(), tmp_path / "more")
    assert str(caught.value) == (
        "two annotations are about an image called img01.jpg: Annotations/img01.xml and Annotations/x.xml; remove one,"
        " or, if they are different images, convert them into two outputs"
    )


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
