"""Records of a dataset that convert made, one by one: the images and boxes that were annotated."""

import pathlib
import pickle
import shutil

import numpy as np
import pytest

from od_core.errors import RecordError, UsageError
from od_core.records.dataset import open_records
from tests.pipelines.made_annotations import index_of, picture

NAMES = [f"img{number:02}.jpg" for number in range(12) if number != 4]


def test_every_record_by_its_number(record_folder):
    records = open_records(str(record_folder))
    assert len(records) == 11
    assert sorted(records.keys) == NAMES
    rows = {row["key"]: row for row in index_of(record_folder)}
    for number, record in enumerate(records):
        image = int(record.key[3:5])
        assert record.key == records.keys[number]
        assert record.image.encoded == picture(image)
        assert (record.image.filename, record.image.width, record.image.height) == (record.key, 40, 30)
        assert record.truth.labels == (("cat", "dog") if image % 3 == 0 else ("cat",))
        boxes = [[one[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] for one in rows[record.key]["objects"]]
        np.testing.assert_array_equal(record.truth.boxes, np.array(boxes, np.float32))
        assert record.split == rows[record.key]["split"]
    assert records[-1].key == records.keys[10]
    for beyond in (11, -12):
        with pytest.raises(IndexError):
            records[beyond]


def test_records_stand_in_the_order_of_their_shards(record_folder):
    rows = {row["key"]: (row["split"], row["shard"], row["record_index"]) for row in index_of(record_folder)}
    places = [rows[key] for key in open_records(str(record_folder)).keys]
    assert places == sorted(places)


def test_a_record_by_its_key(record_folder):
    records = open_records(str(record_folder))
    assert [records.of_key(name).key for name in NAMES] == NAMES
    assert records.keys[records.number_of("img07.jpg")] == "img07.jpg"
    for missing in ("img04.jpg", "nothing.jpg"):
        with pytest.raises(UsageError, match=f"no record of an image called '{missing}'; keys are paths below"):
            records.of_key(missing)


def test_the_records_of_a_split(record_folder):
    records = open_records(str(record_folder))
    assert records.splits == ["train", "val"]
    parts = [records.of_split(split) for split in records.splits]
    assert [key for part in parts for key in part.keys] == list(records.keys)
    assert {record.split for record in parts[1]} == {"val"}
    assert parts[1].splits == ["val"]
    assert [pathlib.Path(shard) for part in parts for shard in part.shards] == sorted(record_folder.glob("*.tfrecord"))
    with pytest.raises(UsageError, match="there is no split 'test'; there are: train, val"):
        records.of_split("test")


def test_a_dataset_can_be_pickled(record_folder):
    records = open_records(str(record_folder))
    assert pickle.loads(pickle.dumps(records)).of_key("img03.jpg").image == records.of_key("img03.jpg").image


def test_the_label_map_comes_with_it(record_folder, tmp_path):
    assert open_records(str(record_folder)).label_map.labels == {1: "cat", 2: "dog"}
    copy = shutil.copytree(record_folder, tmp_path / "out")
    (copy / "label_map.pbtxt").unlink()
    assert open_records(str(copy)).label_map is None


def test_compressed_shards_can_be_entered_too(record_folder, packed_record_folder):
    assert list(open_records(str(packed_record_folder))) == list(open_records(str(record_folder)))


def test_a_shard_that_is_not_as_the_index_says(record_folder, tmp_path):
    copy = shutil.copytree(record_folder, tmp_path / "out")
    records = open_records(str(copy))
    shard = pathlib.Path(records.shards[0])
    shard.write_bytes(b"?" + shard.read_bytes()[1:])
    with pytest.raises(
        RecordError, match=rf"{shard.name}: record 0 \({records.keys[0]}\): no TFRecord header .* inspect"
    ):
        records[0]
    shard.unlink()
    with pytest.raises(FileNotFoundError):
        records[0]


def test_what_is_no_record_dataset_is_refused(record_folder, tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        open_records(str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="not a record dataset"):
        open_records(str(tmp_path))
    copy = shutil.copytree(record_folder, tmp_path / "out")
    (copy / "manifest.json").unlink()
    with pytest.raises(UsageError, match="it is not finished"):
        open_records(str(copy))
