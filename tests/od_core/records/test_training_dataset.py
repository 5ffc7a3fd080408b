"""The tf.data reader gives what the records hold, every one once an epoch, and plain tf.data reads the same."""

import collections
import shutil

import numpy as np
import pytest

from od_core.errors import UsageError
from od_core.records import examples
from od_core.records.dataset import open_records
from od_core.records.tfrecord import write_record
from od_core.records.training import training_dataset
from tests.od_core.checks.test_example_check import JPEG
from tests.od_core.records.test_record_dataset import NAMES


def names_of(data: object) -> list[str]:
    return [one["filename"].numpy().decode() for one in data]  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_packed", [False, True])
def test_images_and_objects_are_those_of_the_records(request, is_packed):
    place = request.getfixturevalue("packed_record_folder" if is_packed else "record_folder")
    records = open_records(str(place))
    found = {one["filename"].numpy().decode(): one for one in training_dataset(records)}
    assert sorted(found) == NAMES
    for record in records:
        one, truth = found[record.key], record.truth
        assert one["image"].dtype.name == "uint8"
        assert one["image"].shape == (30, 40, 3)
        assert one["source_id"].numpy().decode() == record.image.source_id
        assert one["original_image_spatial_shape"].numpy().tolist() == [30, 40]
        np.testing.assert_array_equal(one["groundtruth_boxes"], truth.boxes)
        np.testing.assert_array_equal(one["groundtruth_classes"], truth.classes)
        np.testing.assert_array_equal(one["groundtruth_difficult"], truth.difficult)
        np.testing.assert_array_equal(one["groundtruth_is_crowd"], truth.is_crowd)
        np.testing.assert_array_equal(one["groundtruth_group_of"], truth.group_of)
        sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]) * (30, 40)
        np.testing.assert_allclose(one["groundtruth_area"], sides.prod(axis=1), rtol=1e-5)
        assert int(one["num_groundtruth_boxes"]) == len(truth)


def test_pixels_are_those_of_tensorflow_and_files_can_be_had(record_folder):
    import tensorflow as tf

    records = open_records(str(record_folder)).of_split("val")
    decoded = list(training_dataset(records, shuffle=None))
    encoded = list(training_dataset(records, shuffle=None, decode=False))
    assert names_of(decoded) == list(records.keys)
    for one, file, record in zip(decoded, encoded, records, strict=True):
        assert file["image"].numpy() == record.image.encoded
        np.testing.assert_array_equal(one["image"], tf.io.decode_jpeg(record.image.encoded, channels=3))


def test_every_epoch_has_every_record_in_another_order_of_its_own(record_folder):
    records = open_records(str(record_folder))
    read = names_of(training_dataset(records, epochs=3, seed=7, decode=False))
    epochs = [read[start : start + 11] for start in (0, 11, 22)]
    assert [sorted(epoch) for epoch in epochs] == [NAMES] * 3
    assert len({tuple(epoch) for epoch in [*epochs, list(records.keys)]}) == 4
    assert names_of(training_dataset(records, epochs=3, seed=7, decode=False)) == read
    assert names_of(training_dataset(records, epochs=3, seed=8, decode=False)) != read


def test_without_end(record_folder):
    records = open_records(str(record_folder)).of_split("val")
    read = names_of(training_dataset(records, epochs=None, shuffle=2, decode=False).take(5 * len(records)))
    assert collections.Counter(read) == dict.fromkeys(records.keys, 5)


def test_a_size_of_nothing_is_refused(record_folder):
    records = open_records(str(record_folder))
    with pytest.raises(UsageError, match="epochs must be at least 1, or None, got 0"):
        training_dataset(records, epochs=0)
    with pytest.raises(UsageError, match="shuffle must be at least 1, or None, got -1"):
        training_dataset(records, shuffle=-1)


def test_an_image_without_objects_has_empty_lists_of_the_right_kinds(record_folder, tmp_path):
    records = open_records(str(shutil.copytree(record_folder, tmp_path / "out"))).of_split("val")
    for shard in records.shards:
        with open(shard, "wb") as file:
            write_record(
                file, examples.encode_example({examples.ENCODED: JPEG, examples.HEIGHT: 30, examples.WIDTH: 40})
            )
    one = next(iter(training_dataset(records, shuffle=None)))
    shapes = {name: (tensor.dtype.name, tuple(tensor.shape)) for name, tensor in one.items() if "groundtruth" in name}
    assert shapes == {
        "groundtruth_boxes": ("float32", (0, 4)),
        "groundtruth_classes": ("int64", (0,)),
        "groundtruth_area": ("float32", (0,)),
        "groundtruth_is_crowd": ("bool", (0,)),
        "groundtruth_difficult": ("bool", (0,)),
        "groundtruth_group_of": ("bool", (0,)),
        "num_groundtruth_boxes": ("int32", ()),
    }
