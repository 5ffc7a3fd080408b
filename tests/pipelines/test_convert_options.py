"""Options of convert that change images and shards: what they do to boxes, and that every reader still reads them."""

import gzip
import hashlib
import io
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_jobs import evaluate, infer, render
from od_core.images import decode_image, read_header
from od_core.records.stored_image import ImageRules
from od_core.records.tfrecord import read_records
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import draw_scene, jpeg
from tests.pipelines.conversions import do, failures, job, one_voc
from tests.pipelines.made_annotations import (
    features_of,
    files_of,
    index_of,
    manifest_of,
    picture,
    record_of,
    voc_object,
    voc_xml,
    write_files,
    write_voc,
)
from tests.pipelines.test_convert_report import reasons, summed_up
from tests.pipelines.test_convert_shapes import HALF, features, left_half, masks_of, write_one

GZIP = Layout({"train": 0.7, "val": 0.3}, images_per_shard=3, compression="gzip")
EDGES = ("ymin", "xmin", "ymax", "xmax")


def rules(**changes: Any) -> ConvertJob:
    return job(image_rules=ImageRules(**changes))


def one_turned(root: pathlib.Path, orientation: int, **sizes: int) -> pathlib.Path:
    """A VOC folder of one image, stored as 40 x 30, with a box from (4, 3) to (24, 13)."""
    xml = voc_xml("a.jpg", [voc_object("cat", (3, 4, 13, 24))], **sizes)
    return write_files(root, {"Annotations/a.xml": xml, "JPEGImages/a.jpg": picture(orientation=orientation)})


def box_of(output: pathlib.Path) -> list[float]:
    (row,) = index_of(output)
    (item,) = row["objects"]
    found = features_of(record_of(output, row))
    assert [found[f"image/object/bbox/{edge}"][1] for edge in EDGES] == [[item[edge]] for edge in EDGES]
    return [item[edge] for edge in EDGES]


# EXIF

_STORED_BY = {
    Image.Transpose.FLIP_LEFT_RIGHT: 2,
    Image.Transpose.ROTATE_180: 3,
    Image.Transpose.FLIP_TOP_BOTTOM: 4,
    Image.Transpose.TRANSPOSE: 5,
    Image.Transpose.ROTATE_90: 6,
    Image.Transpose.TRANSVERSE: 7,
    Image.Transpose.ROTATE_270: 8,
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_keep_leaves_pixels_and_boxes_as_they_are(tmp_path: pathlib.Path, orientation: int) -> None:
    do(one_turned(tmp_path / "in", orientation), tmp_path / "out", rules(exif="keep"))
    (row,) = index_of(tmp_path / "out")
    found = features_of(record_of(tmp_path / "out", row))
    assert found["image/encoded"][1] == [picture(orientation=orientation)]
    assert (found["image/width"][1], found["image/height"][1]) == ([40], [30])
    assert box_of(tmp_path / "out") == pytest.approx([3 / 30, 4 / 40, 13 / 30, 24 / 40])
    assert reasons(tmp_path / "out") == {}


@pytest.mark.parametrize(("orientation", "box"), [(6, (4, 17, 24, 27)), (8, (16, 3, 36, 13)), (5, (4, 3, 24, 13))])
def test_exif_keep_turns_boxes_of_the_upright_image_back(
    tmp_path: pathlib.Path, orientation: int, box: tuple[int, ...]
) -> None:
    files = {
        "Annotations/a.xml": voc_xml("a.jpg", [voc_object("cat", box)], width=30, height=40),  # type: ignore[arg-type]
        "JPEGImages/a.jpg": picture(orientation=orientation),
    }
    do(write_files(tmp_path / "in", files), tmp_path / "out", rules(exif="keep"))
    assert box_of(tmp_path / "out") == pytest.approx([3 / 30, 4 / 40, 13 / 30, 24 / 40])
    do(tmp_path / "in", tmp_path / "upright", rules())
    assert box_of(tmp_path / "upright") == pytest.approx(np.divide(box, (40, 30, 40, 30)))


@pytest.mark.parametrize("exif", ["keep", "rotate"])
@pytest.mark.parametrize("max_side", [None, 60])
@pytest.mark.parametrize(("orientation", "turn"), [(1, None), *((number, turn) for turn, number in _STORED_BY.items())])
def test_boxes_in_units_of_the_image_are_of_the_upright_one(
    tmp_path: pathlib.Path, orientation: int, turn: Image.Transpose | None, exif: str, max_side: int | None
) -> None:
    upright = np.zeros((80, 120, 3), np.uint8)
    upright[16:32, 24:72] = 255
    stored = Image.fromarray(upright)
    tags = Image.Exif()
    tags[0x0112] = orientation
    (tmp_path / "in/images").mkdir(parents=True)
    (stored if turn is None else stored.transpose(turn)).save(tmp_path / "in/images/a.png", exif=tags)
    write_files(tmp_path / "in", {"data.yaml": "names: [cat]", "labels/a.txt": "0 0.4 0.3 0.4 0.2"})
    do(tmp_path / "in", tmp_path / "out", rules(exif=exif, max_side=max_side))
    (row,) = index_of(tmp_path / "out")
    encoded = features_of(record_of(tmp_path / "out", row))["image/encoded"][1][0]
    is_white = np.asarray(Image.open(io.BytesIO(encoded)).convert("L")) > 127  # as TensorFlow sees it
    assert is_white.shape == (row["height"], row["width"])
    ys, xs = np.nonzero(is_white)
    white = np.array([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]) / (2 * is_white.shape)
    assert box_of(tmp_path / "out") == pytest.approx(white.tolist(), abs=1e-6)


def test_exif_fail_rejects_only_what_is_turned(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 3)
    (tmp_path / "in/JPEGImages/img01.jpg").write_bytes(picture(1, orientation=3))
    do(tmp_path / "in", tmp_path / "out", rules(exif="fail"))
    said = failures(tmp_path / "out")
    assert said == {
        "img01.jpg": "its EXIF orientation is 3; store it upright, or choose --exif rotate or keep",
    }
    summed_up(tmp_path / "out")


# Sizes


def test_scaled_images_have_the_same_boxes_and_smaller_areas(tmp_path: pathlib.Path) -> None:
    path = write_one(tmp_path / "in", {"segmentation": HALF, "area": 240.0})
    do(path, tmp_path / "out", job(masks=True, image_rules=ImageRules(max_side=20)))
    found = features(tmp_path / "out")
    assert (found["image/width"], found["image/height"]) == ([20], [15])
    assert read_header(found["image/encoded"][0])[1:3] == (20, 15)
    assert found["image/object/bbox/xmax"] == pytest.approx([24 / 40])
    assert found["image/object/area"] == [60.0]
    (mask,) = masks_of(found)
    assert mask.shape == (15, 20)
    assert abs(int(mask.sum()) - int(left_half().sum()) / 4) <= 7
    (row,) = index_of(tmp_path / "out")
    assert (row["width"], row["height"]) == (20, 15)
    assert [(remark["kind"], remark["text"]) for remark in row["remarks"]] == [
        ("images_scaled", "it was 40 x 30, and is 20 x 15")
    ]


def test_an_annotation_of_another_shape_is_noticed_however_small_the_image_becomes(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (1, 1, 9, 9)), width=400, height=400)
    do(tmp_path / "in", tmp_path / "out", rules(max_side=2))
    assert failures(tmp_path / "out") == {
        "a.jpg": "the annotation is of a 400 x 400 image, the file is 40 x 30: it is another one"
    }


def test_turned_and_scaled_at_once(tmp_path: pathlib.Path) -> None:
    do(one_turned(tmp_path / "in", 6), tmp_path / "out", rules(max_side=20, jpeg_quality=50))
    (row,) = index_of(tmp_path / "out")
    assert (row["width"], row["height"]) == (15, 20)
    assert box_of(tmp_path / "out") == pytest.approx([4 / 40, 17 / 30, 24 / 40, 27 / 30], abs=1e-6)
    assert reasons(tmp_path / "out") == {"images_turned_upright": 1, "images_scaled": 1}
    assert manifest_of(tmp_path / "out")["counts"]["images_re_encoded"] == 1


def test_headers_only_lets_through_what_only_decoding_shows(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in", 2)
    (tmp_path / "in/JPEGImages/img01.jpg").write_bytes(picture(1)[:-100])
    do(tmp_path / "in", tmp_path / "out")
    assert failures(tmp_path / "out").keys() == {"img01.jpg"}
    do(tmp_path / "in", tmp_path / "quick", rules(verify="header"))
    assert failures(tmp_path / "quick") == {}


# GZIP


def test_compressed_shards_have_the_same_records_at_the_offsets_of_the_index(tmp_path: pathlib.Path) -> None:
    import tensorflow as tf

    write_voc(tmp_path / "in")
    do(tmp_path / "in", tmp_path / "out", ConvertJob(GZIP))
    do(tmp_path / "in", tmp_path / "plain", ConvertJob(Layout({"train": 0.7, "val": 0.3}, images_per_shard=3)))
    plain = {row["key"]: row for row in index_of(tmp_path / "plain")}
    for row in index_of(tmp_path / "out"):
        other = plain[row["key"]]
        assert row["shard"] == f"{other['shard']}.gz"
        assert (row["offset"], row["length"], row["record_index"]) == tuple(
            other[name] for name in ("offset", "length", "record_index")
        )
        assert record_of(tmp_path / "out", row) == record_of(tmp_path / "plain", other)
    shards = manifest_of(tmp_path / "out")["details"]["shards"]
    for shard in shards:
        content = (tmp_path / "out" / shard["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
        assert gzip.decompress(content) == (tmp_path / "plain" / shard["name"][:-3]).read_bytes()
        with gzip.open(tmp_path / "out" / shard["name"]) as file:
            assert sum(isinstance(payload, bytes) for _, payload in read_records(file)) == shard["records"]
    paths = [str(tmp_path / "out" / shard["name"]) for shard in shards]
    assert len(list(tf.data.TFRecordDataset(paths, compression_type="GZIP"))) == 12


def test_compressed_shards_are_the_same_bytes_every_time(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    (tmp_path / "in/JPEGImages/img03.jpg").write_bytes(picture(3)[:300])
    do(tmp_path / "in", tmp_path / "one", ConvertJob(GZIP))
    do(tmp_path / "in", tmp_path / "two", ConvertJob(GZIP), isolation="process", spread=ConvertJob(GZIP).spread(2))
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")
    assert do(tmp_path / "in", tmp_path / "one", ConvertJob(GZIP)).planned_inputs == 0


def test_a_compressed_shard_without_records_has_no_bytes(tmp_path: pathlib.Path) -> None:
    one_voc(tmp_path / "in", voc_object("cat", (1, 1, 9, 9)))
    (tmp_path / "in/JPEGImages/a.jpg").write_bytes(b"no image")
    do(tmp_path / "in", tmp_path / "out", job(Layout({"train": 1.0}, num_shards=1, compression="gzip")))
    (shard,) = manifest_of(tmp_path / "out")["details"]["shards"]
    assert (shard["records"], shard["bytes"]) == (0, 0)
    assert (tmp_path / "out" / shard["name"]).read_bytes() == b""


def test_shards_of_the_other_kind_go(tmp_path: pathlib.Path) -> None:
    write_voc(tmp_path / "in")
    do(tmp_path / "in", tmp_path / "out", ConvertJob(GZIP))
    do(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert not list((tmp_path / "out").glob("*.gz"))
    index_of(tmp_path / "out")


def test_compressed_records_go_the_whole_way(tmp_path: pathlib.Path) -> None:
    for number in range(3):
        scene = draw_scene(number)
        objects = [voc_object(("red", "green", "blue")[class_id - 1], box) for class_id, box in scene.boxes_px.items()]
        height, width = scene.image.shape[:2]
        name = f"s{number}.jpg"
        files = {f"Annotations/{name}.xml": voc_xml(name, objects, width=width, height=height)}
        write_files(tmp_path / "in", {**files, f"JPEGImages/{name}": jpeg(scene.image)})
    do(tmp_path / "in", tmp_path / "records", job(Layout({"val": 1.0}, num_shards=1, compression="gzip")))
    write_frozen_graph(tmp_path / "frozen_inference_graph.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)

    def run(main: Any, output: str, **options: str) -> None:
        argv = [word for name, value in options.items() for word in (f"--{name}", str(tmp_path / value))]
        assert main([*argv, "--output", str(tmp_path / output)]) == 0

    run(infer.main, "found", model="frozen_inference_graph.pb", label_map="labels.pbtxt", input="records")
    run(evaluate.main, "scores", detections="found", ground_truth="records")
    run(render.main, "pictures", detections="found", ground_truth="records")
    scores = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert scores["frames"]["evaluated"] == 3
    assert scores["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"] > 0.5
    pictures = list((tmp_path / "pictures").rglob("*.jpg"))
    assert len(pictures) == 3
    assert decode_image(pictures[0].read_bytes()).shape[2] == 3
    rows = pq.read_table(sorted((tmp_path / "pictures").glob("rendered-*.parquet")))
    assert set(rows.column("status").to_pylist()) == {"done"}
