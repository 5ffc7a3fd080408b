import io
import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from od_core.annotations.annotated import AnnotationFault
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.errors import AnnotationError, LabelMapError, UsageError
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap, LabelMapItem, read_label_map
from od_core.records import examples, tfrecord
from od_core.schemas import (
    DETECTIONS,
    GROUND_TRUTH,
    FrameError,
    FrameRow,
    detections_table,
    ground_truth_table,
    ground_truths_of,
)

SIZE = "<size><width>100</width><height>50</height></size>"


def xml(*labels: str, size: str = SIZE, extra: str = "") -> str:
    box = "<bndbox><xmin>10</xmin><ymin>-5</ymin><xmax>60</xmax><ymax>20</ymax></bndbox>"
    objects = "".join(f"<object><name>{label}</name>{box}<difficult>1</difficult></object>" for label in labels)
    return f"<annotation>{size}{objects}{extra}</annotation>"


@pytest.fixture
def write(tmp_path):
    def written(files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path)

    return written


@pytest.fixture
def save(tmp_path):
    """Write a table, or columns, as a Parquet file below a folder."""

    def saved(table, name: str = "t.parquet", **options) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, **options)
        return str(path)

    return saved


def rows_of(truth):
    tables = list(truth.tables())
    for table in tables:
        assert table.schema.equals(GROUND_TRUTH)
        assert 1 <= len(table) <= 1000
    return [row for table in tables for row in table.to_pylist()]


def truths_of(truth):
    return [found for table in truth.tables() for found in ground_truths_of(table)]


def test_voc_becomes_rows_with_classes_numbered_by_name(write):
    root = write({"V/Annotations/b.xml": xml("ox", "cat"), "V/Annotations/a.xml": xml(), "V/JPEGImages/a.jpg": b""})
    truth = open_ground_truth(f"{root}/V")
    assert (truth.form, truth.label_map) == ("voc", LabelMap.of_names(["cat", "ox"]))
    a, b = rows_of(truth)
    assert (a["key"], a["source"], a["objects"]) == ("a.jpg", f"{root}/V/JPEGImages/a.jpg", [])
    assert (b["kind"], b["frame_index"], b["status"], b["error"], b["source_id"]) == ("image", 0, "done", None, None)
    assert (b["key"], b["width"], b["height"]) == ("b.jpg", 100, 50)
    expected = GroundTruth.of([[-0.1, 0.1, 0.4, 0.6]] * 2, [2, 1], difficult=[1, 1], labels=["ox", "cat"])
    assert truths_of(truth) == [GroundTruth.empty(), expected]


def coco(images: int = 1, **members) -> str:
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 100, "height": 50} for n in range(images)],
        "annotations": [
            {"image_id": 0, "category_id": 18, "bbox": [10, 20, 30, 40], "area": 7, "iscrowd": 1},
            {"image_id": 0, "category_id": 1, "bbox": [0, 0, 100, 50]},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    return json.dumps(document | members)


def test_coco_becomes_rows_with_ids_of_its_own(write):
    truth = open_ground_truth(write({"x.json": coco(2)}) + "/x.json")
    assert truth.form == "coco"
    assert truth.label_map == LabelMap((LabelMapItem(1, "person"), LabelMapItem(18, "dog")))
    first, second = rows_of(truth)
    assert (first["key"], first["source"], first["source_id"]) == ("0.jpg", "0.jpg", "0")
    assert (second["key"], second["source_id"], second["objects"]) == ("1.jpg", "1", [])
    expected = GroundTruth.of(
        [[0.4, 0.1, 1.2, 0.4], [0, 0, 1, 1]], [18, 1], is_crowd=[1, 0], labels=["dog", "person"], area=[7, np.nan]
    )
    assert truths_of(truth)[0] == expected


def test_classes_counted_from_zero_get_the_ids_of_the_label_map(write):
    content = coco(categories=[{"id": 0, "name": "ox"}, {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}])
    truth = open_ground_truth(write({"x.json": content}) + "/x.json")
    assert truth.label_map.names == {1: "ox", 2: "person", 19: "dog"}
    assert truths_of(truth)[0].classes.tolist() == [19, 2]


def test_tables_have_at_most_a_thousand_rows(write):
    truth = open_ground_truth(write({"x.json": coco(2001)}) + "/x.json")
    assert [len(table) for table in truth.tables()] == [1000, 1000, 1]
    assert [row["source_id"] for row in rows_of(truth)] == [str(n) for n in range(2001)]


def test_an_annotation_that_cannot_be_used_is_a_failed_row(write):
    root = write({"Annotations/a.xml": xml("ox"), "Annotations/b.xml": "<annotation>", "Annotations/c.xml": "<html/>"})
    done, broken, other = rows_of(open_ground_truth(root))
    assert done["status"] == "done"
    assert (broken["key"], broken["status"], broken["objects"]) == ("Annotations/b.xml", "failed", None)
    assert (broken["error"]["stage"], broken["error"]["type"]) == ("read", AnnotationError.__name__)
    assert broken["error"]["message"].startswith("Annotations/b.xml: not well-formed XML")
    assert "web page" in other["error"]["message"]


def test_an_object_that_cannot_be_used_is_counted_and_its_image_is_done(write):
    bad = "<object><name>eel</name></object>"
    truth = open_ground_truth(write({f"Annotations/{n:02}.xml": xml("ox", extra=bad) for n in range(25)}))
    for _ in range(2):  # the count begins anew
        rows = rows_of(truth)
        assert {row["status"] for row in rows} == {"done"}
        assert {len(row["objects"]) for row in rows} == {1}
        assert truth.object_faults == 25
        assert len(truth.first_object_faults) == 20
    assert truth.first_object_faults[0] == AnnotationFault(
        "Annotations/00.xml: object 2", "the object 'eel' has no <bndbox>, only <name>", "00.jpg", True
    )
    assert truth.label_map.names == {1: "ox"}


def jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "jpeg", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_size_that_is_not_annotated_is_that_of_the_image(write, elsewhere):
    folder = "photos" if elsewhere else "V/JPEGImages"
    files = {f"V/Annotations/{name}.xml": xml("ox", size="") for name in "abc"}
    images = {
        f"{folder}/a.jpg": jpeg(100, 50),
        f"{folder}/b.jpg": jpeg(50, 100, orientation=6),
        f"{folder}/c.jpg": b"x",
    }
    root = write(files | images | {"V/Annotations/d.xml": xml("ox", size=""), "V/Annotations/e.xml": xml(size="")})
    a, b, c, d, e = rows_of(open_ground_truth(f"{root}/V", images=f"{root}/photos" if elsewhere else None))
    assert (a["width"], a["height"]) == (b["width"], b["height"]) == (100, 50)
    assert a["objects"][0]["xmax"] == b["objects"][0]["xmax"] == pytest.approx(0.6)
    assert a["source"] == f"{root}/{folder}/a.jpg"
    for row, why in ((c, "not a supported image"), (d, "No such file or directory")):
        assert row["status"] == "failed"
        assert row["error"]["message"].startswith(f"Annotations/{row['key'][0]}.xml: it does not say how large")
        assert why in row["error"]["message"]
    assert (e["status"], e["width"], e["objects"]) == ("done", None, [])  # nothing in it, whatever its size


def test_the_image_is_found_however_the_disk_spells_its_name(write):
    annotation = xml("ox", size="").replace("<annotation>", "<annotation><filename>caf\u00e9.jpg</filename>")
    root = write({"Annotations/a.xml": annotation, "JPEGImages/cafe\u0301.jpg": jpeg(100, 50)})
    (row,) = rows_of(open_ground_truth(root))
    assert (row["key"], row["width"], row["height"]) == ("caf\u00e9.jpg", 100, 50)


def test_an_annotated_size_is_believed_without_looking(write):
    root = write({"Annotations/a.xml": xml("ox"), "JPEGImages/a.jpg": b"not looked at"})
    (row,) = rows_of(open_ground_truth(root))
    assert (row["width"], row["height"]) == (100, 50)


def test_without_images_the_size_has_to_be_annotated(write):
    (row,) = rows_of(open_ground_truth(write({"Annotations/a.xml": xml("ox", size="")})))
    assert "where the images lie is not known" in row["error"]["message"]


TRUTHS = [
    GroundTruth.of([[0, 0, 0.5, 0.5], [-0.25, 0, 1.5, 1]], [1, 2], is_crowd=[1, 0], labels=["cat", "ox"], area=[4, 9]),
    GroundTruth.empty(),
    None,
]
ROWS = [
    FrameRow(
        f"{n}.jpg",
        f"/in/{n}.jpg",
        "image",
        0,
        width=64,
        height=48,
        objects=truth,
        error=None if truth is not None else FrameError("read", "AnnotationError", "broken", 7),
        source_id=str(n),
    )
    for n, truth in enumerate(TRUTHS)
]
TABLE = ground_truth_table(ROWS, {})
LABEL_MAP = 'item { id: 1 name: "cat" } item { id: 2 name: "ox" }'


def test_stored_ground_truth_is_read_back(save, write):
    truth = open_ground_truth(save(TABLE))
    assert (truth.form, truth.label_map) == ("parquet", None)
    assert rows_of(truth) == TABLE.to_pylist()
    assert rows_of(truth) == TABLE.to_pylist()
    assert (truth.object_faults, list(truth.first_object_faults)) == (0, [])
    folder = write({"label_map.pbtxt": LABEL_MAP})
    assert open_ground_truth(folder).label_map == LabelMap.of_names(["cat", "ox"])
    write({"label_map.pbtxt": "item {"})
    with pytest.raises(LabelMapError):
        open_ground_truth(folder).label_map  # noqa: B018


def test_a_folder_is_read_in_the_order_of_its_names_and_in_small_tables(save, tmp_path):
    for name in ("b", "a"):
        rows = [ROWS[1]._replace(key=f"{name}{n}") for n in range(1500)]
        save(ground_truth_table(rows, {}), f"{name}.parquet")
    save(pa.table({"x": [1]}), "_hidden.parquet")
    truth = open_ground_truth(str(tmp_path))
    assert [len(table) for table in truth.tables()] == [1000, 500, 1000, 500]
    assert [row["key"] for row in rows_of(truth)] == [f"{name}{n}" for name in "ab" for n in range(1500)]


def dataset(save, write) -> str:
    """A record dataset of two index files and the splits train, val and test."""
    for number, splits in enumerate((["train", "val", "train"], ["test", "val", None])):
        table = TABLE.append_column("split", pa.array(splits).dictionary_encode()).append_column("shard", [["x"] * 3])
        save(table, f"index-{number}.parquet")
    save(pa.table({"x": [1]}), "other.parquet")
    return write({"label_map.pbtxt": LABEL_MAP, "manifest.json": "{}"})


def test_a_record_dataset_is_read_by_its_index(save, write):
    truth = open_ground_truth(dataset(save, write))
    assert (truth.form, truth.label_map) == ("records", LabelMap.of_names(["cat", "ox"]))
    assert rows_of(truth) == TABLE.to_pylist() * 2


@pytest.mark.parametrize(
    ("splits", "keys"),
    [
        (["val"], ["1.jpg", "1.jpg"]),
        (["train"], ["0.jpg", "2.jpg"]),
        (["test", "val"], ["1.jpg", "0.jpg", "1.jpg"]),
        ([], ["0.jpg", "1.jpg", "2.jpg"] * 2),
    ],
)
def test_splits_are_chosen_by_name(save, write, splits, keys):
    assert [row["key"] for row in rows_of(open_ground_truth(dataset(save, write), splits=splits))] == keys


def test_splits_that_are_not_there_are_refused(save, write):
    folder = dataset(save, write)
    with pytest.raises(UsageError, match=r"no split 'vall'; did you mean val\? there are: test, train, val"):
        open_ground_truth(folder, splits=["train", "vall"])
    with pytest.raises(UsageError, match="not divided into splits"):
        open_ground_truth(save(TABLE, "alone/t.parquet"), splits=["train"])
    with pytest.raises(UsageError, match="only record datasets have splits"):
        open_ground_truth(write({"x.json": coco()}) + "/x.json", splits=["train"])


def test_an_unfinished_record_dataset_is_refused(save, write, tmp_path):
    folder = dataset(save, write)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"without manifest\.json: it is not finished"):
        open_ground_truth(folder)


EDGES = ("ymin", "xmin", "ymax", "xmax")


def foreign(boxes, **fields):
    """Objects as other tools write them: doubles, large lists, fields in another order, some missing."""
    struct_type = pa.struct(
        [*((edge, pa.float64()) for edge in reversed(EDGES)), *((n, t) for n, (t, _) in fields.items())]
    )
    objects = [
        None
        if row is None
        else [
            None
            if box is None
            else dict(zip(EDGES, box, strict=True)) | {name: value for name, (_, value) in fields.items()}
            for box in row
        ]
        for row in boxes
    ]
    return pa.table(
        {"objects": pa.array(objects, pa.large_list(struct_type)), "key": [f"{n}" for n in range(len(boxes))]}
    )


def test_files_of_other_tools_need_only_keys_and_boxes(save):
    path = save(foreign([[(0, 0.25, 0.5, 1)] * 2, [], None], label=(pa.string(), "cat")))
    truth = open_ground_truth(path)
    first, empty, failed = rows_of(truth)
    assert truths_of(truth)[0] == GroundTruth.of([[0, 0.25, 0.5, 1]] * 2, [-1, -1], labels=["cat", "cat"])
    assert (first["key"], first["source"], first["kind"], first["frame_index"]) == ("0", path, "image", 0)
    assert (first["status"], first["width"], first["source_id"], first["error"]) == ("done", None, None, None)
    assert (empty["status"], empty["objects"]) == ("done", [])
    assert (failed["status"], failed["objects"]) == ("failed", None)
    assert "does not say why" in failed["error"]["message"]


def test_a_row_that_is_done_without_a_list_of_objects_is_not_one_without_objects(save):
    """Nor does a row that says nothing of how it is lose its objects."""
    table = foreign([[(0, 0.25, 0.5, 1)], None, None, [], None], class_id=(pa.int32(), 1))
    rows = rows_of(
        open_ground_truth(save(table.append_column("status", pa.array(["done", "done", None, None, "failed"]))))
    )
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "done", "failed"]
    assert [row["objects"] is None for row in rows] == [False, True, True, False, True]
    assert "does not say why" in rows[1]["error"]["message"]


def test_numbers_of_other_widths_are_converted(save):
    fields = {
        "class_id": (pa.int64(), 7),
        "difficult": (pa.bool_(), None),
        "group_of": (pa.int8(), 1),
        "area": (pa.float64(), 1e300),
    }
    (found,) = truths_of(open_ground_truth(save(foreign([[(0, 0, 1, 1)]], **fields))))
    assert found == GroundTruth.of([[0, 0, 1, 1]], [7], group_of=[1])


@pytest.mark.parametrize("box", [(0, np.nan, 1, 1), (0, 0, np.inf, 1), (0, 0, 1e300, 1), (None, 0, 1, 1), None])
def test_a_row_with_a_box_that_is_none_fails_alone(save, box):
    fine = (0, 0, 1, 1)
    own = (0, 0, 0.5, 0.25)
    truth = open_ground_truth(save(foreign([[fine], [fine, box, fine], [own, fine]], class_id=(pa.int32(), 1))))
    first, broken, last = rows_of(truth)
    assert (first["status"], last["status"]) == ("done", "done")
    assert truths_of(truth) == [GroundTruth.of([fine], [1]), None, GroundTruth.of([own, fine], [1, 1])]
    assert (broken["status"], broken["objects"]) == ("failed", None)
    assert broken["error"]["message"] == "the row has a box with an edge that is missing or not finite"


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (detections_table([], {}), "detections, where ground truth is wanted"),
        ({"key": ["a"]}, "without a column `objects`.*its columns: key"),
        ({"objects": pa.array([[]], TABLE.schema.field("objects").type)}, "without a column `key`"),
        ({"key": ["a"], "objects": ["x"]}, "must be a list of structs.*it is string"),
        ({"key": ["a"], "objects": [[1]]}, "must be a list of structs"),
        ({"key": ["a"], "objects": [[{"ymin": 1.0, "label": "x"}]]}, "no field `xmin`; they have label, ymin"),
        ({"key": ["a"], "objects": [[dict.fromkeys(EDGES, 1.0)]]}, "no field `class_id`"),
    ],
)
def test_parquet_of_another_kind_is_refused_at_once(save, table, what):
    with pytest.raises(UsageError, match=what):
        open_ground_truth(save(table))


@pytest.mark.parametrize(
    ("column", "values", "what"),
    [("width", ["wide"] * 3, "cannot be read as ground truth"), ("key", ["a", None, "b"], "a row without a `key`")],
)
def test_columns_that_make_no_sense_are_refused(save, column, values, what):
    index = TABLE.schema.names.index(column)
    truth = open_ground_truth(save(pa.table(TABLE.columns, TABLE.schema.names).set_column(index, column, [values])))
    with pytest.raises(UsageError, match=what):
        list(truth.tables())


def test_a_file_that_differs_from_the_others_is_refused_by_name(save, tmp_path):
    save(TABLE, "a.parquet")
    save(detections_table([], {}), "b.parquet")
    with pytest.raises(UsageError, match=r"b\.parquet: detections"):
        list(open_ground_truth(str(tmp_path)).tables())


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really PAR1", b"x" * 1000])
def test_damaged_parquet_is_refused(write, content):
    with pytest.raises(UsageError, match=r"t\.parquet: cannot be read as Parquet"):
        open_ground_truth(write({"t.parquet": content}))


def test_parquet_that_is_damaged_within_is_refused(save, tmp_path):
    path = save(TABLE, compression="zstd")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    footer = struct.unpack("<I", content[-8:-4])[0] + 8
    content[4 : len(content) - footer] = bytes(len(content) - footer - 4)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(UsageError, match=r"t\.parquet: cannot be read as Parquet"):
        list(open_ground_truth(path).tables())


@pytest.mark.parametrize(
    ("files", "given", "what"),
    [
        (
            {"labels.doc": ""},
            "labels.doc",
            "expected a record dataset made by boxbeam, other TFRecords, Parquet with a column `objects`",
        ),
        ({"V/a.txt": ""}, "V", r"\(found: 1 \.txt\); expected a record dataset"),
        ({"V/a.jpg": ""}, "V", "images without annotations, expected a record dataset"),
        ({"instances_val.json": ""}, "instance_val.json", r"did you mean .*/instances_val\.json\?"),
        ({"x.json": "[]"}, "x.json", "not a COCO file"),
    ],
)
def test_what_is_no_ground_truth_is_refused(write, files, given, what):
    with pytest.raises(UsageError, match=what):
        open_ground_truth(f"{write(files)}/{given}")


def test_a_missing_image_folder_is_refused(write):
    root = write({"Annotations/a.xml": xml("ox")})
    with pytest.raises(UsageError, match="no such image folder"):
        open_ground_truth(root, images=f"{root}/JPEG")


def test_the_schema_differs_from_that_of_detections_by_what_is_in_it():
    assert set(GROUND_TRUTH.names) - set(DETECTIONS.names) == {"objects", "source_id"}


@pytest.mark.shared
def test_boxes_of_bccd_are_those_in_the_apis_records(shared):
    label_map = read_label_map(shared / "oracles" / "records" / "bccd_label_map.pbtxt")
    truth = open_ground_truth(str(shared / "data" / "datasets" / "bccd" / "BCCD"))
    assert set(truth.label_map.names.values()) == set(label_map.names.values())
    by_key = {}
    for table in truth.tables():
        by_key |= dict(zip(table.column("key").to_pylist(), ground_truths_of(table), strict=True))
    assert len(by_key) == 364
    with (shared / "oracles" / "records" / "bccd_val.record").open("rb") as file:
        payloads = [payload for _, payload in tfrecord.read_records(file)]
    for payload in payloads:
        right = examples.parse_ground_truth(payload, truth.label_map)
        assert by_key[examples.parse_image_example(payload).filename] == right


@pytest.mark.shared
def test_coco_is_joined_to_the_apis_records_by_its_own_ids(shared):
    folder = shared / "data" / "datasets" / "coco_tiny"
    truth = open_ground_truth(str(folder / "annotations" / "instances_val2017.json"))
    by_id = {row["source_id"]: row for row in rows_of(truth)}
    files = sorted((shared / "oracles" / "records" / "coco_tiny").glob("coco_val*"))
    for path in files:
        with path.open("rb") as file:
            for _, payload in tfrecord.read_records(file):
                row = by_id.pop(examples.parse_image_example(payload).source_id)
                right = examples.parse_ground_truth(payload, truth.label_map)
                assert [item["class_id"] for item in row["objects"]] == right.classes.tolist()
                found = np.array([[item[edge] for edge in EDGES] for item in row["objects"]])
                np.testing.assert_allclose(found, right.boxes, atol=1e-7)
    assert by_id == {}
