import dataclasses
import json
import pathlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.schemas import (
    DETECTIONS,
    DETECTIONS_VERSION,
    GROUND_TRUTH,
    KINDS,
    STATUSES,
    FrameError,
    FrameObjects,
    FrameRow,
    detections_of,
    detections_table,
    ground_truth_table,
    ground_truths_of,
)

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "detections-format.md"
LABELS = {1: "cat", 2: "dog"}


def _found(*classes):
    count = len(classes)
    boxes = np.linspace(0, 1, 4 * count).reshape(count, 4)
    return Detections.best_first(boxes, np.linspace(1, 0.5, count), np.array(classes))


WITH_SHAPES = Detections(
    np.array([[0, 0.25, 0.5, 0.75]], np.float32),
    np.array([0.5], np.float32),
    np.array([2], np.int32),
    masks=(b"PP0",),
    keypoints=np.array([[[0.25, 0.5, 1.0], [0.75, 0.125, 0.5]]], np.float32),
)
BROKEN = FrameError("decode", "VideoError", "packet 7 is damaged", 41)
ROWS = [
    FrameRow("a.jpg", "/in/a.jpg", "image", 0, None, None, 640, 480, _found(1, 2, 9)),
    FrameRow("v.mp4", "/in/v.mp4", "video", None, None, 1_400_000, error=BROKEN),
    FrameRow("b.jpg", "/in/b.jpg", "image", 0, None, None, 320, 200, Detections.empty()),
    FrameRow("id7", "/in/x.tfrecord", "record", 0, 7, None, 32, 20, WITH_SHAPES),
]


def _through_a_file(table, tmp_path):
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    return pq.read_table(tmp_path / "t.parquet")


def test_rows_are_written_column_by_column(tmp_path):
    table = _through_a_file(detections_table(ROWS, LABELS), tmp_path)
    assert table.schema.equals(DETECTIONS)
    image, video, empty, record = table.to_pylist()
    assert [row["status"] for row in (image, video, empty, record)] == ["done", "failed", "done", "done"]
    assert (image["key"], image["source"], image["kind"]) == ("a.jpg", "/in/a.jpg", "image")
    assert (image["width"], image["height"], image["frame_index"], image["record_index"]) == (640, 480, 0, None)
    assert [found["label"] for found in image["detections"]] == ["cat", "dog", None]  # the map lacks 9
    assert [found["class_id"] for found in image["detections"]] == [1, 2, 9]
    assert image["detections"][0]["mask"] is image["detections"][0]["keypoints"] is image["error"] is None
    assert video["error"] == BROKEN._asdict()
    assert (video["frame_index"], video["timestamp_us"], video["width"]) == (None, 1_400_000, None)
    assert video["detections"] is None
    assert empty["detections"] == []
    assert record["record_index"] == 7
    assert record["detections"] == [
        {
            "class_id": 2,
            "label": "dog",
            "score": 0.5,
            "ymin": 0.0,
            "xmin": 0.25,
            "ymax": 0.5,
            "xmax": 0.75,
            "mask": b"PP0",
            "keypoints": [{"x": 0.5, "y": 0.25, "score": 1.0}, {"x": 0.125, "y": 0.75, "score": 0.5}],
        }
    ]


def test_no_rows_make_a_table_of_the_same_schema(tmp_path):
    for table, schema, read in (
        (detections_table([], LABELS), DETECTIONS, detections_of),
        (ground_truth_table([], LABELS), GROUND_TRUTH, ground_truths_of),
    ):
        table = _through_a_file(table, tmp_path)
        assert table.schema.equals(schema)
        assert read(table) == []


def _bare(found):
    return None if found is None else Detections(found.boxes, found.scores, found.classes)


found_or_failed = st.lists(
    st.none() | st.lists(st.integers(0, 4), max_size=4).map(lambda ids: _found(*ids)), max_size=6
)


@settings(deadline=None)
@given(found_or_failed, st.data())
def test_detections_are_read_back_from_any_slice_and_any_chunks(founds, data):
    error = FrameError("read", "OSError", "gone")
    rows = [
        FrameRow(f"{n}", f"/{n}", "image", 0, detections=found, error=error if found is None else None)
        for n, found in enumerate(founds)
    ]
    table = detections_table(rows, LABELS)
    cut = data.draw(st.integers(0, len(rows)))
    assert detections_of(table) == founds
    assert detections_of(table.slice(cut)) == founds[cut:]
    assert detections_of(pa.concat_tables([table.slice(cut), table.slice(0, cut)])) == founds[cut:] + founds[:cut]
    assert [row["detections"] is None for row in table.to_pylist()] == [found is None for found in founds]


def test_masks_and_keypoints_are_read_back_when_asked_for():
    bare = _found(1, 2)
    points = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    points[1, 0] = np.nan
    whole = dataclasses.replace(bare, masks=(b"one", b"two"), keypoints=points)
    founds = [bare, whole, None, dataclasses.replace(whole, masks=None), _found()]
    errors = [BROKEN if one is None else None for one in founds]
    rows = [
        FrameRow(f"{n}", "", "image", 0, None, None, 9, 9, *row)
        for n, row in enumerate(zip(founds, errors, strict=True))
    ]
    table = detections_table(rows, LABELS)
    read = detections_of(table, with_shapes=True)
    assert [None if one is None else one.masks for one in read] == [None, (b"one", b"two"), None, None, None]
    assert [one is None or one.keypoints is None for one in read] == [True, False, True, False, True]
    np.testing.assert_array_equal(read[1].keypoints, points)
    np.testing.assert_array_equal(detections_of(table.slice(3), with_shapes=True)[0].keypoints, points)


def test_readers_take_what_other_tools_make_of_the_columns():
    table = detections_table(ROWS, LABELS)
    lists = table.column("detections").combine_chunks()
    wider = [
        pa.field(field.name, pa.float64() if pa.types.is_floating(field.type) else field.type)
        for field in lists.type.value_type
    ]
    structs = lists.values
    columns = [structs.field(field.name).cast(field.type) for field in wider]
    more = pa.StructArray.from_arrays(
        [*columns, pa.array(range(len(structs)))], fields=[*wider, pa.field("track_id", pa.int64())]
    )
    offsets = lists.offsets.cast(pa.int64())
    large = pa.LargeListArray.from_arrays(offsets, more, mask=lists.is_null())
    foreign = pa.table({"camera": ["north"] * len(ROWS), "detections": large})
    assert detections_of(foreign) == [_bare(row.detections) for row in ROWS]


TRUTH = GroundTruth.of(
    [[0, 0, 0.5, 0.5], [0.1, -0.1, 1.2, 0.3], [0, 0, 1, 1]],
    [1, -1, 2],
    is_crowd=[0, 1, 0],
    difficult=[1, 0, 0],
    group_of=[0, 0, 1],
    labels=["cat", "ox", None],
    area=[12.5, np.nan, 3],
)


def test_ground_truth_is_read_back(tmp_path):
    plain = GroundTruth.of([[0, 0, 1, 1], [0, 0, 0.5, 1]], [2, 9])
    truths = [TRUTH, None, GroundTruth.empty(), plain]
    rows = [
        FrameRow(f"{n}", f"/{n}", "image", 0, objects=truth, error=BROKEN if truth is None else None)
        for n, truth in enumerate(truths)
    ]
    table = _through_a_file(ground_truth_table(rows, LABELS), tmp_path)
    assert table.schema.equals(GROUND_TRUTH)
    first, failed, empty, last = table.column("objects").to_pylist()
    assert [item["label"] for item in first] == ["cat", "ox", "dog"]  # its own, or that of its id
    assert [item["area"] for item in first] == [12.5, None, 3]
    assert [item["label"] for item in last] == ["dog", None]
    assert (failed, empty) == (None, [])

    labelled = GroundTruth.of(
        TRUTH.boxes,
        TRUTH.classes,
        is_crowd=TRUTH.is_crowd,
        difficult=TRUTH.difficult,
        group_of=TRUTH.group_of,
        labels=["cat", "ox", "dog"],
        area=TRUTH.area,
    )
    expected = [labelled, None, GroundTruth.empty(), GroundTruth.of(plain.boxes, plain.classes, labels=["dog", None])]
    assert ground_truths_of(table) == expected
    assert ground_truths_of(table.slice(2)) == expected[2:]


def test_the_data_sets_own_name_of_an_image_is_a_column_of_ground_truth_only(tmp_path):
    rows = [
        FrameRow("a.jpg", "/a.jpg", "image", 0, objects=GroundTruth.empty(), source_id="397133"),
        FrameRow("b.jpg", "/b.jpg", "image", 0, error=BROKEN),
    ]
    table = _through_a_file(ground_truth_table(rows, LABELS), tmp_path)
    assert table.column("source_id").to_pylist() == ["397133", None]
    assert "source_id" not in detections_table(rows[1:], LABELS).schema.names


def test_a_row_that_neither_failed_nor_has_detections_is_refused():
    with pytest.raises(ValueError, match=r"b\.jpg: a row that did not fail must have detections"):
        detections_table([ROWS[0], FrameRow("b.jpg", "/b.jpg", "image", 0)], LABELS)


def _columns(fields, prefix=""):
    """(name as on the page, type in words, whether it can be null) of a schema's columns and all within them."""
    for field in fields:
        type, name = field.type, prefix + field.name
        struct = type.value_type if pa.types.is_list(type) else type
        if pa.types.is_struct(struct):
            words = "list of struct" if struct is not type else "struct"
            yield name, words, field.nullable
            yield from _columns(struct, f"{name}[]." if struct is not type else f"{name}.")
        else:
            # The schema module spells types the way pyarrow does; the page's words for them are these.
            words = {"float": "float32"}.get(str(type), str(type))
            yield name, words, field.nullable


def _page_tables():
    """The tables of the page as lists of rows of cells, headings left out."""
    tables = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]] for table in tables
    ]


@pytest.mark.parametrize(("table", "schema"), [(0, DETECTIONS), (2, GROUND_TRUTH)])
def test_the_published_page_lists_exactly_the_columns_of_the_schema(table, schema):
    fields = list(schema) if schema is DETECTIONS else [schema.field("objects")]
    published = [(name.strip("`"), words, null != "never") for name, words, _, null in _page_tables()[table]]
    assert published == list(_columns(fields))
    own = ["source_id"] if schema is GROUND_TRUTH else []
    assert schema.names[:-1] == DETECTIONS.names[:-1] + own


def test_the_published_page_names_every_value_and_the_version():
    rows = {name.strip("`"): values for name, _, values, _ in _page_tables()[0]}
    assert re.findall(r"`(\w+)`", rows["kind"]) == list(KINDS)
    assert re.findall(r"`(\w+)`", rows["status"]) == list(STATUSES)
    metadata = {name.strip("`"): text for name, text in _page_tables()[1]}
    assert list(metadata) == ["boxbeam.schema", "boxbeam.provenance", "boxbeam.coverage"]
    assert f"`{DETECTIONS_VERSION}`" in metadata["boxbeam.schema"]
    assert f"version {DETECTIONS_VERSION.rsplit('/', 1)[1]}\n" in PAGE.read_text(encoding="utf-8")


def test_the_pages_pyarrow_example_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"\npyarrow:\n\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "OUTPUT").mkdir()
    metadata = {"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": json.dumps({"model": "0a1b"})}
    table = detections_table(ROWS, LABELS).replace_schema_metadata(metadata)
    pq.write_table(table.slice(0, 2), tmp_path / "OUTPUT" / "one.parquet")
    pq.write_table(table.slice(2), tmp_path / "OUTPUT" / "two.parquet")
    (tmp_path / "OUTPUT" / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    assert names["provenance"] == {"model": "0a1b"}
    assert names["boxes"].select(["key", "label"]).to_pylist() == [
        {"key": "a.jpg", "label": "cat"},
        {"key": "a.jpg", "label": "dog"},
        {"key": "a.jpg", "label": None},
        {"key": "id7", "label": "dog"},
    ]
    assert "dog" in capsys.readouterr().out


def test_objects_end_to_end_make_the_table_that_those_of_each_row_make():
    first = GroundTruth.of([[0, 0, 1, 1], [0, 0, 0.5, 0.5]], [1, 2], labels=["tom", None], area=[3, np.nan])
    last = GroundTruth.of([[0.5, 0, 1, 1]], [2], difficult=[True], masks=[b"m"])
    truths = [first, None, GroundTruth.empty(), last]
    rows = [
        FrameRow(f"{n}.jpg", "", "image", 0, error=BROKEN if truth is None else None, objects=truth)
        for n, truth in enumerate(truths)
    ]
    joined = FrameObjects(GroundTruth.joined([first, last]), [2, None, 0, 1])
    without = [row._replace(objects=None) for row in rows]
    assert ground_truth_table(without, LABELS, joined).equals(ground_truth_table(rows, LABELS))
