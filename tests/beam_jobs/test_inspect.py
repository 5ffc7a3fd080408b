"""boxbeam inspect, on every kind of path: what it holds, whether it is valid, and the exit status that says so."""

import gzip
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_jobs import inspect
from od_core.detections import Detections
from od_core.records.examples import (
    ENCODED,
    OBJECT_BOX,
    OBJECT_CLASS_LABEL,
    OBJECT_CLASS_TEXT,
    SOURCE_ID,
    encode_example,
)
from od_core.records.tfrecord import write_record
from od_core.schemas import DETECTIONS_VERSION, FrameError, FrameRow, detections_table
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.dataset import DataFile, Manifest
from pipelines.observer import Silent
from pipelines.work import Engine, run
from tests.blocks_scene import draw_scene, jpeg, write_video
from tests.pipelines.made_annotations import index_of, voc_xml, write_voc
from tests.pipelines.toy_job import toy_work

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LABELS = {1: "cat", 2: "dog"}
Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys) -> Said:
    """Exit status and output of `boxbeam inspect` with these arguments: on stdout, but for wrong usage."""

    def run(*argv: object) -> tuple[int, str]:
        try:
            status = inspect.main(list(map(str, argv)))
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert (printed.err if status < 2 else printed.out) == ""
        return status, printed.out or printed.err

    return run


def found(*classes: int) -> Detections:
    scores = np.linspace(0.9, 0.3, len(classes))
    return Detections.best_first(np.tile([0.1, 0.2, 0.5, 0.6], (len(classes), 1)), scores, np.array(classes))


ROWS = [
    FrameRow("a.jpg", "/in/a.jpg", "image", 0, width=64, height=48, detections=found(1, 2, 9)),
    FrameRow("b.jpg", "/in/b.jpg", "image", 0, width=64, height=48, detections=Detections.empty()),
    FrameRow("v.mp4", "/in/v.mp4", "video", 0, None, 0, 64, 48, found(1)),
    FrameRow("v.mp4", "/in/v.mp4", "video", 1, None, 40_000, 64, 48, found(1)),
    FrameRow("w.mp4", "/in/w.mp4", "video", error=FrameError("decode", "VideoError", "not a video")),
]


def write_dataset(folder: pathlib.Path, *files: Sequence[FrameRow]) -> pathlib.Path:
    folder.mkdir()
    entries = []
    for number, rows in enumerate(files):
        path = folder / f"detections-{number:05d}-{number:012x}.parquet"
        metadata = {"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": "{}"}
        pq.write_table(detections_table(rows, LABELS).replace_schema_metadata(metadata), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(DataFile(path.name, len(rows), path.stat().st_size, digest, len(rows)))
    manifest = Manifest("infer", DETECTIONS_VERSION, {}, {}, {"inputs": 4}, tuple(entries))
    (folder / "manifest.json").write_text(manifest.to_text())
    return folder


def test_a_dataset_is_counted_by_kind_status_and_class(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS[:2], ROWS[2:])
    assert said(folder) == (
        0,
        f"{folder}: detections dataset, valid\n"
        "  5 rows (2 image, 3 video) of 4 keys in 2 files; 4 done, 1 failed\n"
        "  5 detections, scores 0.3 to 0.9\n"
        "    cat                                3\n"
        "    dog                                1\n"
        "    class 9                            1\n",
    )


def test_one_file_of_a_dataset_can_be_looked_at(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS[:2], ROWS[2:])
    status, text = said(sorted(folder.glob("*.parquet"))[0])
    assert status == 0
    assert "  2 rows (2 image) of 2 keys in 1 file; 2 done\n" in text


def test_a_dataset_without_rows_is_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found")
    lines = (f"{folder}: detections dataset, valid", "  0 rows (none) of 0 keys in 0 files", "  0 detections", "")
    assert said(folder) == (0, "\n".join(lines))


def test_many_classes_are_shown_up_to_a_limit(said, tmp_path):
    rows = [FrameRow("a.jpg", "/a.jpg", "image", 0, width=9, height=9, detections=found(*range(1, 26)))]
    status, text = said(write_dataset(tmp_path / "found", rows))
    assert status == 0
    assert text.count("\n    class ") == 20 - len(LABELS)
    assert text.endswith("    and 5 more\n")


def test_a_dataset_whose_bytes_changed_is_not_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS)
    (file,) = folder.glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    status, text = said(folder)
    assert status == 1
    assert text.startswith(f"{folder}: detections dataset, NOT valid\n")
    assert f"  problem: {file.name}: its bytes are not those the manifest names (SHA-256 differs)\n" in text


def test_a_dataset_that_was_not_finished_is_not_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS)
    (folder / "manifest.json").unlink()
    status, text = said(folder)
    assert status == 1
    assert "manifest.json is missing: the dataset is not finished; repeat its command" in text
    assert "  5 rows (" in text  # what is there is counted all the same


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_is_no_parquet_is_not_valid(said, tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    status, text = said(tmp_path / "x.parquet")
    assert status == 1
    assert "  problem: x.parquet: not a readable Parquet file (" in text


# Label maps


def test_a_label_map_is_listed(said, tmp_path):
    (tmp_path / "l.pbtxt").write_text("item { id: 12 name: '/m/1' display_name: 'cat' } item { id: 3 name: 'dog' }")
    assert said(tmp_path / "l.pbtxt") == (
        0,
        f"{tmp_path}/l.pbtxt: label map of 2 classes\n      3  dog\n     12  cat\n",
    )


@pytest.mark.parametrize("name", ["l.pbtxt", "l.txt"])
def test_a_list_of_names_is_not_a_valid_label_map(said, tmp_path, name):
    (tmp_path / name).write_text("cat\ndog\n")
    status, text = said(tmp_path / name)
    assert status == 1
    assert f"{name}: not valid: " in text
    assert "this is a plain list of names" in text


# Images


def test_an_image_is_described_as_it_stands_upright(said, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_scene(0).image).save(tmp_path / "turned.jpg", exif=exif)
    assert said(tmp_path / "turned.jpg") == (
        0,
        f"{tmp_path}/turned.jpg: jpeg image of 240 x 320, turned upright by its EXIF orientation 6; it decodes\n",
    )


@pytest.mark.parametrize("name", ["cut.jpg", "CUT.JPG", "cut.gif"])
def test_an_image_that_is_cut_off_is_not_valid(said, tmp_path, name):
    """Its header alone would look fine."""
    file = io.BytesIO()
    Image.fromarray(draw_scene(0).image).save(file, "GIF" if name.endswith("gif") else "JPEG")
    (tmp_path / name).write_bytes(file.getvalue()[:-2000])
    status, text = said(tmp_path / name)
    assert status == 1
    assert text.startswith(f"{tmp_path / name}: not valid: a damaged or cut-off ")


@pytest.mark.parametrize(("content", "what"), [(b"", "an empty file"), (b"hello", "plain text")])
def test_what_is_no_image_is_not_valid_as_one(said, tmp_path, content, what):
    (tmp_path / "x.png").write_bytes(content)
    status, text = said(tmp_path / "x.png")
    assert (status, text.count("\n")) == (1, 1)
    assert what in text


# TFRecords that others wrote


def packed(*payloads: bytes) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    return file.getvalue()


def example(number: int = 0, label: str = "cat", **more: object) -> bytes:
    fields = {ENCODED: jpeg(draw_scene(number, width=64, height=48).image), SOURCE_ID: str(number)}
    fields |= dict(zip(OBJECT_BOX, (0.25, 0.25, 0.75, 0.75), strict=True))
    return encode_example({**fields, OBJECT_CLASS_TEXT: [label], OBJECT_CLASS_LABEL: [1], **more})


FEATURES = [
    "  features:",
    "    image/encoded                    bytes    in all records, 1 value each",
    "    image/object/bbox/xmax           float    in all records, 1 value each",
    "    image/object/bbox/xmin           float    in all records, 1 value each",
    "    image/object/bbox/ymax           float    in all records, 1 value each",
    "    image/object/bbox/ymin           float    in all records, 1 value each",
    "    image/object/class/label         int64    in all records, 1 value each",
    "    image/object/class/text          bytes    in all records, 1 value each",
    "    image/source_id                  bytes    in all records, 1 value each",
]


@pytest.mark.parametrize("name", ["x.tfrecord", "train-00000-of-00001", "x.tfrecord.gz", "records.bin", "packed.bin"])
def test_records_are_described_packed_or_not_whatever_their_name(said, tmp_path, name):
    content = packed(example(0), example(1))
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") or "packed" in name else content)
    status, text = said(tmp_path / name)
    head, *lines = text.splitlines()
    assert (status, head) == (0, f"{tmp_path / name}: tf.train.Examples of object detection, valid")
    assert lines[0].startswith("  2 records in 1 file (")
    assert ("GZIP" in lines[0]) == (name.endswith("gz") or "packed" in name)
    assert lines[1:] == [
        "  images: 2 jpeg; width 64, height 48 px",
        "  objects: 2; per image 1",
        "  sizes: 2 small, 0 medium, 0 large (COCO's, by area: below 32², from 96² px)",
        "    1 class                      objects",
        "    cat                                2",
        *FEATURES,
    ]


def write_shards(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir()
    (folder / "train-00000-of-00002").write_bytes(packed(example(0), example(1)))
    (folder / "train-00001-of-00002").write_bytes(packed(example(2)))
    (folder / "val-00000-of-00001").write_bytes(packed(example(3)))
    return folder


@pytest.mark.parametrize(
    "given",
    [["."], ["*"], ["train-*", "val-*"], ["train-00000-of-00002", "train-00001-of-00002", "val-00000-of-00001"]],
)
def test_several_files_are_taken_together(said, tmp_path, given):
    folder = write_shards(tmp_path / "in")
    status, text = said(*(folder / one for one in given))
    assert status == 0
    assert "  4 records in 3 files (" in text
    assert (
        "    1 class                        train         val\n    cat                                3           1\n"
        in text
    )


def test_shards_that_are_not_there_are_only_noted(said, tmp_path):
    status, text = said(write_shards(tmp_path / "in") / "train-00000-of-00002")
    assert status == 0
    assert "  note: shards that are not here (1): train: 1 of 2 are here, number 1 for one is not." in text


def test_the_label_map_beside_records_is_used(said, tmp_path):
    folder = write_shards(tmp_path / "in")
    (folder / "my_label_map.pbtxt").write_text('item { id: 1 name: "dog" }')
    status, text = said(folder)
    assert status == 1
    assert f"\n  label map: 1 class ({folder}/my_label_map.pbtxt)\n" in text
    assert (
        "  problem: a class that the label map lacks (4): train-00000-of-00002: record 0: object 0: called 'cat'"
        in text
    )


def test_a_label_map_can_be_given(said, tmp_path):
    folder = write_shards(tmp_path / "in")
    (tmp_path / "l.pbtxt").write_text('item { id: 1 name: "cat" }')
    status, text = said(folder, "--label_map", tmp_path / "l.pbtxt")
    assert (status, f"  label map: 1 class ({tmp_path}/l.pbtxt)" in text) == (0, True)
    (tmp_path / "l.pbtxt").write_text("cat")
    assert said(folder, "--label_map", tmp_path / "l.pbtxt")[0] == 2
    status, text = said(tmp_path / "l.pbtxt", "--label_map", tmp_path / "l.pbtxt")
    assert (status, "--label_map is for TFRecords that others wrote" in text) == (2, True)


def test_a_record_without_an_image_is_named(said, tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(packed(example(0), encode_example({"label": 3}), example(1)))
    status, text = said(tmp_path / "x.tfrecord")
    assert status == 1
    assert text.startswith(f"{tmp_path}/x.tfrecord: tf.train.Examples of object detection, NOT valid\n  3 records ")
    assert (
        "  problem: a record without an image as the API wants it (1): x.tfrecord: record 1: the record has no" in text
    )
    assert "    label                            int64    in 1 of 3 records, 1 value each\n" in text


def test_damage_is_named_and_other_records_are_counted(said, tmp_path):
    content = packed(example(0))
    (tmp_path / "x.tfrecord").write_bytes(content + content[:100] + b"?" + content[101:] + content[:-5])
    status, text = said(tmp_path / "x.tfrecord")
    assert status == 1
    assert "  3 records in 1 file" not in text
    assert "  2 records in 1 file" in text
    assert (
        f"  problem: a damaged record (1): x.tfrecord: record 1: the record at byte {len(content)} is damaged" in text
    )
    assert "  problem: a file in which no more records can be found (1): x.tfrecord: after 2 records: " in text


def test_only_decoding_finds_pixels_that_are_cut_off(said, tmp_path):
    cut = jpeg(draw_scene(0, width=64, height=48).image)[:-300]
    (tmp_path / "x.tfrecord").write_bytes(packed(example(0, **{ENCODED: cut})))
    assert said(tmp_path / "x.tfrecord")[0] == 0
    status, text = said(tmp_path / "x.tfrecord", "--decode")
    assert (status, "problem: an image that cannot be used (1): x.tfrecord: record 0" in text) == (1, True)


def test_what_records_say_does_not_steer_the_terminal(said, tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(packed(example(0, label="cat\x1b[2J\n")))
    status, text = said(tmp_path / "x.tfrecord")
    assert (status, "    cat\\x1b[2J\\n" in text, "\x1b" in text) == (0, True, False)


def test_many_classes_of_records_are_shown_up_to_a_limit(said, tmp_path):
    records = [example(n, f"class {n}", **{OBJECT_CLASS_LABEL: [n + 1]}) for n in range(50)]
    (tmp_path / "x.tfrecord").write_bytes(packed(*records))
    status, text = said(tmp_path / "x.tfrecord")
    assert (status, text.count("\n    class "), "\n    and 10 more\n" in text) == (0, 40, True)


# Record datasets


@pytest.fixture(scope="module")
def records_folder(tmp_path_factory) -> pathlib.Path:
    """What convert makes of four images, one of them without objects, one damaged."""
    root = tmp_path_factory.mktemp("records")
    write_voc(root / "in", 4)
    (root / "in" / "Annotations" / "img01.xml").write_text(voc_xml("img01.jpg"))
    (root / "in" / "JPEGImages" / "img02.jpg").write_bytes(b"hello")
    job = ConvertJob(Layout({"train": 0.5, "val": 0.5}, num_shards=1))
    work = toy_work([str(root / "in")], root / "out", job, isolation="none")
    run(work, Engine(), Silent(), max_failed_ratio=1.0)
    return root / "out"


def test_a_record_dataset_is_described(said, records_folder):
    status, text = said(records_folder)
    head, first, *lines = text.splitlines()
    assert (status, head) == (0, f"{records_folder}: record dataset, valid")
    assert first.startswith("  3 records in 2 shards (")
    assert first.endswith(" KiB), made from voc annotations")
    split = {row["key"]: row["split"] for row in index_of(records_folder)}
    assert set(split.values()) == {"train", "val"}
    counts = {name: [key for key in split if split[key] == name and key != "img02.jpg"] for name in ("train", "val")}
    told = [f"{name}: {len(keys)} record{'s' * (len(keys) != 1)} in 1 shard" for name, keys in counts.items()]
    assert lines[0] == f"  {', '.join(told)}"
    assert lines[1].startswith("  index: 4 images, 1 of them failed (img02.jpg: not a supported image but plain text")
    assert lines[2:6] == [
        "  remarks: images damaged (1)",
        "  images: 3 jpeg; width 40, height 30 px",
        "  objects: 4; per image 0 to 2 (median 2); 1 image without any",
        "  sizes: 4 small, 0 medium, 0 large (COCO's, by area: below 32², from 96² px)",
    ]
    cats = [sum(key in ("img00.jpg", "img03.jpg") for key in keys) for keys in counts.values()]
    assert lines[6:] == [
        "    2 classes                      train         val",
        *(f"    {name:<24}{cats[0]:>12}{cats[1]:>12}" for name in ("cat", "dog")),
    ]


def test_a_record_dataset_whose_bytes_changed_is_not_valid(said, records_folder, tmp_path):
    folder = shutil.copytree(records_folder, tmp_path / "out")
    shard = next(path for path in sorted(folder.glob("*.tfrecord")) if path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    status, text = said(folder)
    assert status == 1
    assert text.startswith(f"{folder}: record dataset, NOT valid\n")
    assert f"  problem: a damaged record (1): {shard.name}: record " in text
    assert "Way out: make the dataset again with boxbeam convert --overwrite" in text


def test_a_record_dataset_without_its_manifest_is_still_known(said, records_folder, tmp_path):
    folder = shutil.copytree(records_folder, tmp_path / "out")
    (folder / "manifest.json").unlink()
    status, text = said(folder)
    assert status == 1
    assert text.startswith(f"{folder}: record dataset, NOT valid\n  3 records in 2 shards")
    assert "manifest.json is missing: the dataset is not finished" in text


def test_the_index_of_a_record_dataset_is_not_looked_at_alone(said, records_folder):
    (index,) = records_folder.glob("index-*.parquet")
    status, text = said(index)
    assert status == 2
    assert f"give its folder, {records_folder}" in text


def test_an_output_that_is_not_finished_is_not_valid(said, tmp_path):
    (tmp_path / "_work").mkdir()
    status, text = said(tmp_path)
    assert (status, text) == (
        1,
        f"{tmp_path}: not valid: the output of a boxbeam command that is not finished; repeat it, it continues\n",
    )


def test_outputs_that_are_not_inspected_are_named(said, tmp_path):
    (tmp_path / "manifest.json").write_text('{"boxbeam": "manifest/1", "job": "render"}')
    status, text = said(tmp_path)
    assert status == 2
    assert "the output of boxbeam render, which is not inspected" in text


# Videos


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, 30, width=160, height=120)
    return path


def test_a_video_is_described_from_its_header(said, video):
    status, text = said(video)
    assert status == 0
    first, second, third = text.splitlines()
    assert first == f"{video}: h264 video in mov,mp4,m4a,3gp,3g2,mj2"
    assert second.startswith("  160 x 120 upright (rotation 0), 25.000 frames/s on average, 1.200 s declared, 30 ")
    assert third == "  what containers declare is often wrong: --decode counts"


def test_decoding_counts_the_frames_there_are(said, video):
    status, text = said(video, "--decode")
    assert (status, text.splitlines()[-1]) == (0, "  decoded: 30 frames, no damaged stretch")


def test_decoding_finds_the_damage(said, video, tmp_path):
    content = bytearray(video.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    (tmp_path / "clip.mp4").write_bytes(content)
    status, text = said(tmp_path / "clip.mp4", "--decode")
    assert status == 1
    assert "\n  damage after frame " in text
    assert text.endswith(", 1 damaged stretch\n")


@pytest.mark.parametrize("keep", [0, 5000])
def test_a_video_that_does_not_open_is_not_valid(said, video, tmp_path, keep):
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:keep])
    status, text = said(tmp_path / "cut.mp4")
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith(f"{tmp_path}/cut.mp4: not valid: ")


def test_an_animated_gif_is_a_video(said, tmp_path):
    frames = [Image.fromarray(draw_scene(number).image) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    status, text = said(tmp_path / "a.gif", "--decode")
    assert status == 0
    assert text.startswith(f"{tmp_path}/a.gif: gif video")
    assert "decoded: 3 frames" in text


# Models: those that open are held against the API in tests/od_core/model/test_model.py


def test_a_file_that_is_a_model_by_name_only_is_not_valid(said, tmp_path):
    (tmp_path / "m.pb").write_bytes(b"no graph")
    status, text = said(tmp_path / "m.pb")
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith(f"{tmp_path}/m.pb: not valid: ")
    assert "is not a frozen graph" in text


def test_a_model_says_what_it_takes_and_gives(said, tmp_path):
    from tests.blocks_model import write_frozen_graph

    (tmp_path / "label_map.pbtxt").write_text('item { id: 1 name: "cat" }')
    write_frozen_graph(tmp_path / "frozen_inference_graph.pb")
    digest = hashlib.sha256((tmp_path / "frozen_inference_graph.pb").read_bytes()).hexdigest()
    status, text = said(tmp_path)
    assert status == 0
    assert text.splitlines() == [
        f"{tmp_path}: a detector boxbeam can run",
        f"  frozen graph at {tmp_path}/frozen_inference_graph.pb, sha256 {digest}",
        "  input:  image_tensor (image_tensor:0), batch size any",
        *(f"  output: {name} ({name}:0)" for name in (
            "detection_boxes", "detection_scores", "detection_classes", "num_detections"
        )),
        f"  label map beside it: 1 class ({tmp_path}/label_map.pbtxt)",
    ]  # fmt: skip


# What boxbeam has no word for


def test_a_path_that_is_not_there_is_wrong_usage(said, tmp_path):
    status, text = said(tmp_path / "gone")
    assert (status, text) == (
        2,
        f"boxbeam inspect: error: {tmp_path}/gone: no such file or folder (see boxbeam inspect --help)\n",
    )


def test_what_a_remote_path_needs_is_said(said, monkeypatch):
    monkeypatch.setattr("pipelines.remote.file_systems._is_installed", lambda module: False)
    status, text = said("gs://bucket/found")
    assert status == 2
    assert "gs://bucket/found: gs:// needs a package that is not installed: pip install google-cloud-storage" in text


def test_a_folder_and_a_file_of_no_kind_are_wrong_usage(said, tmp_path):
    (tmp_path / "notes.odt").write_bytes(b"x")
    assert said(tmp_path / "notes.odt")[0] == 2
    status, text = said(tmp_path)
    assert status == 2
    assert "found notes.odt; images, videos and label maps are looked at one by one" in text


def test_an_empty_folder_and_a_pattern_without_a_match_are_wrong_usage(said, tmp_path):
    status, text = said(tmp_path)
    assert (status, f"error: {tmp_path}: an empty folder (" in text) == (2, True)
    status, text = said(tmp_path / "*.tfrecord")
    assert (status, "*.tfrecord: this pattern matches no file (" in text) == (2, True)


def test_a_folder_of_checkpoints_is_told_to_be_exported(said, tmp_path):
    """Their parts are named like shards."""
    for name in ("ckpt-0.data-00000-of-00001", "ckpt-0.index", "checkpoint"):
        (tmp_path / name).write_bytes(b"x")
    status, text = said(tmp_path)
    assert status == 2
    assert "This looks like a training folder: export it" in text


def test_the_name_that_was_meant_is_guessed(said, tmp_path):
    (tmp_path / "train.tfrecord").write_bytes(b"")
    status, text = said(tmp_path / "train.tfrecords")
    assert (status, f"did you mean {tmp_path}/train.tfrecord?" in text) == (2, True)


def test_several_paths_are_looked_at_one_after_the_other(said, tmp_path):
    (tmp_path / "l.pbtxt").write_text('item { id: 1 name: "cat" }')
    (tmp_path / "a.jpg").write_bytes(b"hello")
    status, text = said(tmp_path / "a.jpg", tmp_path / "l.pbtxt")
    assert status == 1
    assert text.startswith(f"{tmp_path}/a.jpg: not valid: ")
    assert f"\n{tmp_path}/l.pbtxt: label map of 1 class\n" in text


@pytest.mark.parametrize("name", ["p.jpg", "p.tfrecord", "p.parquet"])
def test_a_named_pipe_is_refused_at_once(said, tmp_path, name):
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / name)
    status, text = said(tmp_path / name)
    assert status in (1, 2)
    assert "not a regular file" in text


def test_a_link_to_nowhere_is_told(said, tmp_path):
    (tmp_path / "l.jpg").symlink_to("gone.jpg")
    status, text = said(tmp_path / "l.jpg")
    assert status == 2
    assert f"{tmp_path}/l.jpg: cannot be read (No such file or directory)" in text


def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path):
    """As old archives have them; printing such a name as it is would be an error of its own."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(jpeg(draw_scene(0, width=64, height=48).image))
    run = subprocess.run([sys.executable, "-m", "beam_jobs.inspect", name], capture_output=True, cwd=REPOSITORY)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.decode() == f"{tmp_path}/caf\\xe9.jpg: jpeg image of 64 x 48; it decodes\n"
