"""Others see in our records what we see: TensorFlow by the API's feature spec, tf-models-official, and TFDS."""

import glob
import hashlib
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest

from od_core.images import decode_image
from od_core.records.dataset import RecordDataset, open_records


def shards_of(folder: pathlib.Path) -> list[str]:
    return sorted(glob.glob(f"{folder}/*.tfrecord"))


def expected(records: RecordDataset) -> list[dict[str, Any]]:
    """What a reader must see, from the index's side."""
    assert len(records) == 6
    return [
        {
            "source_id": record.image.source_id,
            "height": record.image.height,
            "width": record.image.width,
            "groundtruth_boxes": record.truth.boxes.tolist(),
            "groundtruth_classes": record.truth.classes.tolist(),
            "groundtruth_area": [] if record.truth.area is None else record.truth.area.tolist(),
            "groundtruth_is_crowd": record.truth.is_crowd.tolist(),
        }
        for record in records
    ]


def test_tensorflow_reads_the_features_of_the_api(record_folder):
    """The keys, kinds and defaults that the API's data_decoders/tf_example_decoder.py asks TensorFlow for."""
    import tensorflow as tf

    spec = {
        **{
            key: tf.io.FixedLenFeature([], tf.string, default)
            for key, default in {
                "image/encoded": "",
                "image/format": "jpeg",
                "image/filename": "",
                "image/key/sha256": "",
                "image/source_id": "",
            }.items()
        },
        **{f"image/{side}": tf.io.FixedLenFeature([], tf.int64, 1) for side in ("height", "width")},
        **{f"image/object/bbox/{edge}": tf.io.VarLenFeature(tf.float32) for edge in ("xmin", "xmax", "ymin", "ymax")},
        **{f"image/object/class/{one}": tf.io.VarLenFeature(getattr(tf, kind)) for one, kind in
           (("label", "int64"), ("text", "string"))},
        **{f"image/object/{flag}": tf.io.VarLenFeature(tf.int64) for flag in ("is_crowd", "difficult", "group_of")},
        **{f"image/object/{number}": tf.io.VarLenFeature(tf.float32) for number in ("area", "weight")},
        "image/object/mask": tf.io.VarLenFeature(tf.string),
        "image/class/text": tf.io.VarLenFeature(tf.string),
        "image/class/label": tf.io.VarLenFeature(tf.int64),
        "image/class/confidence": tf.io.VarLenFeature(tf.float32),
    }  # fmt: skip
    records = open_records(str(record_folder))
    seen = []
    for serialized, record in zip(tf.data.TFRecordDataset(shards_of(record_folder)), records, strict=True):
        found = {
            key: tf.sparse.to_dense(value).numpy() if isinstance(value, tf.SparseTensor) else value.numpy()
            for key, value in tf.io.parse_single_example(serialized, spec).items()
        }
        boxes = np.stack([found[f"image/object/bbox/{edge}"] for edge in ("ymin", "xmin", "ymax", "xmax")], axis=1)
        seen.append(
            {
                "source_id": found["image/source_id"].decode(),
                "height": int(found["image/height"]),
                "width": int(found["image/width"]),
                "groundtruth_boxes": boxes.tolist(),
                "groundtruth_classes": found["image/object/class/label"].tolist(),
                "groundtruth_area": found["image/object/area"].tolist(),
                "groundtruth_is_crowd": found["image/object/is_crowd"].astype(bool).tolist(),
            }
        )
        labels = records.label_map.labels if records.label_map else {}
        texts = [text.decode() for text in found["image/object/class/text"].tolist()]
        assert texts == [labels[class_id] for class_id in seen[-1]["groundtruth_classes"]]
        encoded = found["image/encoded"]
        assert found["image/key/sha256"].decode() == hashlib.sha256(encoded).hexdigest()
        assert found["image/format"].decode() == {"jpg": "jpeg", "png": "png"}[record.key[-3:]]
        image = tf.io.decode_image(encoded, channels=3)
        assert tuple(image.shape) == (seen[-1]["height"], seen[-1]["width"], 3)
    assert seen == expected(records)


@pytest.mark.readers
def test_the_decoder_of_tf_models_official_sees_the_same(record_folder, readers):
    records = open_records(str(record_folder))
    seen = readers.run_with_tensorflow("decode_with_model_garden.py", *shards_of(record_folder))
    pixels = [one.pop("pixels_sha256") for one in seen]
    assert seen == expected(records)
    png = next(number for number, record in enumerate(records) if record.image.format == "png")
    assert pixels[png] == hashlib.sha256(decode_image(records[png].image.encoded).tobytes()).hexdigest()
    assert len(set(pixels)) == len(records)


@pytest.mark.readers
def test_tensorflow_datasets_sees_the_same(record_folder, readers, tmp_path):
    folder = shutil.copytree(record_folder, tmp_path / "records")  # it writes files of its own beside the shards
    records = open_records(str(folder))
    shards = json.loads((folder / "manifest.json").read_text())["details"]["shards"]
    seen = readers.run_with_tensorflow("read_with_tfds.py", folder, "train", *(shard["records"] for shard in shards))
    texts, pixels = ([one.pop(name) for one in seen] for name in ("texts", "pixels_sha256"))
    assert seen == expected(records)
    assert texts == [list(record.truth.labels) for record in records]
    png = next(number for number, record in enumerate(records) if record.image.format == "png")
    assert pixels[png] == hashlib.sha256(decode_image(records[png].image.encoded).tobytes()).hexdigest()
    assert len(set(pixels)) == len(records)
