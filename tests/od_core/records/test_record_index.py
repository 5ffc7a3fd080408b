import pyarrow as pa

from od_core.ground_truth import GroundTruth
from od_core.records.index import RECORD_INDEX, RecordPlace, record_index_table
from od_core.schemas import GROUND_TRUTH, FrameError, FrameRow, ground_truths_of

TRUTH = GroundTruth.of([(0, 0, 0.5, 1)], [2], difficult=[True], area=[12])
DONE = FrameRow("a.jpg", "/in/a.jpg", "image", 0, record_index=3, width=4, height=3, objects=TRUTH, source_id="a")
FAILED = FrameRow("b.jpg", "", "image", 0, error=FrameError("decode", "ImageError", "cut off"))
REMARK = {"kind": "boxes_clipped", "text": "object 1 reaches out"}


def test_a_row_has_its_ground_truth_and_its_place():
    place = RecordPlace("train", "train-00000-of-00001.tfrecord", 100, 900, "jpeg", (REMARK,))
    table = record_index_table([DONE], [place], {2: "dog"})
    assert table.schema.equals(RECORD_INDEX)
    (row,) = table.to_pylist()
    assert {name: row[name] for name in RecordPlace._fields} == {
        "split": "train",
        "shard": "train-00000-of-00001.tfrecord",
        "offset": 100,
        "length": 900,
        "format": "jpeg",
        "remarks": [REMARK],
    }
    assert (row["key"], row["record_index"], row["width"], row["height"], row["status"]) == ("a.jpg", 3, 4, 3, "done")
    assert [(item["label"], item["class_id"], item["area"]) for item in row["objects"]] == [("dog", 2, 12)]
    (truth,) = ground_truths_of(table)
    assert truth.boxes.tolist() == TRUTH.boxes.tolist()


def test_a_failed_image_has_a_split_and_no_place():
    table = record_index_table([FAILED, DONE], [RecordPlace("val"), RecordPlace("train")], {})
    row = table.to_pylist()[0]
    assert [row[name] for name in RecordPlace._fields] == ["val", None, None, None, None, []]
    assert (row["status"], row["objects"]) == ("failed", None)
    assert row["error"]["message"] == "cut off"


def test_no_rows_make_an_empty_table():
    assert record_index_table([], [], {}).schema.equals(RECORD_INDEX)


def test_the_index_begins_with_the_columns_of_ground_truth():
    assert pa.schema(list(RECORD_INDEX)[: len(GROUND_TRUTH)]).equals(GROUND_TRUTH)
