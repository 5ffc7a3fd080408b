"""Every promise of docs/detections-format.md, broken once: the check names it, with the file and the row."""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from od_core.checks.detections import check_detections
from od_core.detections import Detections
from od_core.schemas import DETECTIONS, DETECTIONS_VERSION, FrameError, FrameRow, detections_table

LABELS = {1: "cat", 2: "dog"}
METADATA = {"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": '{"model_sha256": "0a1b"}'}
DAMAGE = FrameError("decode", "VideoError", "packet 7 is damaged", 41)
FILE = "detections-00000-0123456789ab.parquet"


def found(*scores: float, class_id: int = 1) -> Detections:
    count = len(scores)
    boxes = np.linspace(0, 1, 4 * count).reshape(count, 4)
    return Detections.best_first(boxes, scores, np.full(count, class_id))


# One row of each kind there can be.
ROWS = [
    FrameRow("a.jpg", "/in/a.jpg", "image", 0, width=640, height=480, detections=found(0.875, 0.25)),
    FrameRow("b.jpg", "/in/b.jpg", "image", 0, width=640, height=480, detections=Detections.empty()),
    FrameRow("c.jpg", "/in/c.jpg", "image", 0, error=FrameError("decode", "ImageError", "cut off")),
    FrameRow("v.mp4", "/in/v.mp4", "video", 0, None, 0, 64, 48, found(0.5, class_id=9)),
    FrameRow("v.mp4", "/in/v.mp4", "video", 1, None, None, 64, 48, Detections.empty()),
    FrameRow("v.mp4", "/in/v.mp4", "video", None, None, 80_000, error=DAMAGE),
    FrameRow("v.mp4", "/in/v.mp4", "video", 2, None, 120_000, 64, 48, error=FrameError("detect", "DetectError", "no")),
    FrameRow("w.mp4", "/in/w.mp4", "video", error=FrameError("read", "InputError", "no such file")),
    FrameRow("id7", "/in/x.tfrecord", "record", 0, 7, None, 32, 20, found(0.75, class_id=2)),
    FrameRow("x.tfrecord#8", "/in/x.tfrecord", "record", 0, 8, error=FrameError("read", "RecordError", "damaged")),
    FrameRow("y.tfrecord", "/in/y.tfrecord", "record", error=FrameError("read", "InputError", "no such file")),
]
TABLE = detections_table(ROWS, LABELS).replace_schema_metadata(METADATA)


def write(folder: pathlib.Path, tables: dict[str, pa.Table], **manifest: object) -> pathlib.Path:
    """A dataset of these files, and the manifest that goes with them; `manifest` replaces parts of its entries."""
    folder.mkdir(exist_ok=True)
    entries = []
    for name, table in tables.items():
        pq.write_table(table, folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        entries.append({"name": name, "rows": table.num_rows, "sha256": digest, **manifest})
    (folder / "manifest.json").write_text(json.dumps({"files": entries}))
    return folder


@pytest.fixture
def problems(tmp_path) -> Callable[[pa.Table], list[str]]:
    """What is wrong with a dataset of one file with this table in it."""
    return lambda table: check_detections(write(tmp_path / "found", {FILE: table})).problems


def with_column(name: str, values: Sequence[object]) -> pa.Table:
    """The table with one column replaced; nulls are let through, as another tool would write them."""
    index = TABLE.schema.get_field_index(name)
    return TABLE.set_column(index, pa.field(name, TABLE.schema.field(name).type), pa.array(values, TABLE[name].type))


def with_value(name: str, row: int, value: object) -> pa.Table:
    values = TABLE[name].to_pylist()
    assert values[row] != value
    values[row] = value
    return with_column(name, values)


def test_a_dataset_with_every_kind_of_row_is_valid_and_counted(tmp_path):
    report = check_detections(
        write(tmp_path / "found", {"one.parquet": TABLE.slice(0, 4), "two.parquet": TABLE.slice(4)})
    )
    assert report.problems == []
    assert (report.files, report.rows, report.keys, report.detections) == (2, 11, 8, 4)
    assert report.rows_by == {"kind": {"image": 3, "video": 5, "record": 3}, "status": {"done": 5, "failed": 6}}
    assert report.labels == {"cat": 2, "class 9": 1, "dog": 1}
    assert report.score_range == (0.25, 0.875)


def test_row_groups_are_checked_one_after_the_other_and_rows_counted_through(tmp_path):
    table = with_value("width", 9, 0)
    pq.write_table(table, tmp_path / FILE, row_group_size=4)
    report = check_detections(tmp_path / FILE)
    assert report.rows == 11
    assert report.problems == [f"{FILE}: row 9: width must be at least 1"]


def test_a_file_alone_is_checked_without_a_manifest(tmp_path):
    pq.write_table(TABLE, tmp_path / FILE)
    report = check_detections(str(tmp_path / FILE))
    assert (report.problems, report.files, report.rows) == ([], 1, 11)


def test_more_columns_than_promised_are_fine(problems):
    """Columns can be added under the same version; readers ignore those they do not know."""
    assert problems(TABLE.append_column("camera", pa.array(["north"] * TABLE.num_rows))) == []


def test_without_detections_there_is_no_range_of_scores(tmp_path):
    report = check_detections(write(tmp_path / "found", {FILE: TABLE.slice(1, 2)}))
    assert (report.problems, report.score_range, report.labels) == ([], None, {})


# Rows that break a promise


@pytest.mark.parametrize(
    ("name", "row", "value", "rule"),
    [
        ("kind", 1, "sound", "kind must be image or video or record"),
        ("status", 1, "empty", "status must be done or failed"),
        ("frame_index", 3, None, "a done row must have a frame_index"),
        ("width", 0, None, "a done row must have a width"),
        ("height", 8, None, "a done row must have a height"),
        ("width", 0, 0, "width must be at least 1"),
        ("height", 0, -480, "height must be at least 1"),
        ("frame_index", 3, -1, "frame_index must be at least 0"),
        ("record_index", 8, -1, "record_index must be at least 0"),
        ("frame_index", 0, 3, "frame_index must be 0 where it is not a video"),
        ("frame_index", 8, 7, "frame_index must be 0 where it is not a video"),
        ("record_index", 3, 0, "record_index is for a record only"),
        ("timestamp_us", 0, 0, "timestamp_us is for a video only"),
        ("record_index", 8, None, "a done record must have a record_index"),
    ],
)
def test_a_value_that_must_not_be_is_told_with_its_row(problems, name, row, value, rule):
    assert problems(with_value(name, row, value)) == [f"{FILE}: row {row}: {rule}"]


@pytest.mark.parametrize("name", ["key", "source", "kind", "status"])
def test_a_null_where_none_may_be_is_told(problems, name):
    assert problems(with_value(name, 1, None)) == [f"{FILE}: row 1: {name} must not be null"]


def test_a_failed_row_must_say_why_and_hold_no_detections(problems):
    errors, lists = TABLE["error"].to_pylist(), TABLE["detections"].to_pylist()
    assert problems(with_value("error", 2, None)) == [f"{FILE}: row 2: a failed row must have an error"]
    error = {"stage": "read", "type": "InputError", "message": "gone", "last_frame_index": None}
    assert problems(with_value("error", 0, error)) == [f"{FILE}: row 0: a done row must have no error (null)"]
    assert lists[2] is None
    assert errors[2] is not None
    assert problems(_with_lists(2, [])) == [f"{FILE}: row 2: a failed row must have no detections (null)"]
    assert problems(_with_lists(1, None)) == [
        f"{FILE}: row 1: a done row must have a list of detections, empty if nothing was found"
    ]


def _with_lists(row: int, value: object) -> pa.Table:
    lists = TABLE["detections"].to_pylist()
    lists[row] = value
    return TABLE.set_column(
        len(DETECTIONS) - 1, DETECTIONS.field("detections"), pa.array(lists, TABLE["detections"].type)
    )


def _with_detection(row: int, number: int, **changes: object) -> pa.Table:
    found_there = TABLE["detections"].to_pylist()[row]
    found_there[number] |= changes
    return _with_lists(row, found_there)


def test_detections_must_be_best_first(problems):
    said = problems(_with_detection(0, 1, score=0.9))
    assert said == [f"{FILE}: rows 0 to 10: scores must not increase: detections are kept best first"]


@pytest.mark.parametrize(("name", "value"), [("score", float("nan")), ("ymax", float("inf"))])
def test_numbers_must_be_finite(problems, name, value):
    (said,) = problems(_with_detection(0, 0, **{name: value}))
    assert said.startswith(f"{FILE}: rows 0 to 10: ")
    assert "must be finite" in said


@pytest.mark.parametrize("turned", [{"ymin": 0.9}, {"xmin": 0.95}])
def test_a_box_must_not_be_turned_inside_out(problems, turned):
    said = problems(_with_detection(0, 1, **turned, ymax=0.75, xmax=0.8))
    assert said == [f"{FILE}: row 0: detection 1 has its minimum above its maximum"]


def test_only_the_first_row_that_breaks_a_rule_is_told_and_not_every_rule_without_end(tmp_path):
    widths = with_column("width", [0] * TABLE.num_rows)
    report = check_detections(write(tmp_path / "found", {f"{n:03}.parquet": widths for n in range(30)}))
    assert len(report.problems) == 20
    assert report.problems[1] == "001.parquet: row 0: width must be at least 1"
    assert report.rows == 30 * TABLE.num_rows


# Files that break a promise


def test_a_missing_column_and_one_of_another_type_are_named(problems):
    table = TABLE.drop_columns("status").set_column(8 - 1, "height", pc.cast(TABLE["height"], pa.int64()))
    assert problems(table) == [
        f"{FILE}: columns that are not those of {DETECTIONS_VERSION}: height (int64), status (missing)"
    ]


def test_the_version_must_be_the_one_that_is_read_here(problems):
    other = TABLE.replace_schema_metadata({**METADATA, "boxbeam.schema": "boxbeam.detections/2"})
    assert problems(other) == [f"{FILE}: schema is boxbeam.detections/2, expected {DETECTIONS_VERSION}"]
    none = TABLE.replace_schema_metadata({"boxbeam.provenance": "{}"})
    assert problems(none) == [f"{FILE}: schema is not named, expected {DETECTIONS_VERSION}"]


@pytest.mark.parametrize("provenance", [{}, {"boxbeam.provenance": "made yesterday"}, {"boxbeam.provenance": b"\xff"}])
def test_provenance_must_be_there_and_be_json(problems, provenance):
    table = TABLE.replace_schema_metadata({"boxbeam.schema": DETECTIONS_VERSION, **provenance})
    assert problems(table) == [f"{FILE}: says not where its rows come from (boxbeam.provenance, a JSON text)"]


@pytest.mark.parametrize("content", [b"", b"no parquet at all", None])
def test_a_file_that_is_no_parquet_is_told_and_the_others_are_counted(tmp_path, content):
    pq.write_table(TABLE, tmp_path / "cut.parquet")
    whole = (tmp_path / "cut.parquet").read_bytes()
    write(tmp_path / "found", {"a.parquet": TABLE, "cut.parquet": TABLE})
    (tmp_path / "found" / "cut.parquet").write_bytes(whole[: len(whole) // 2] if content is None else content)
    report = check_detections(tmp_path / "found")
    assert report.rows == TABLE.num_rows
    other_bytes, not_readable = report.problems
    assert other_bytes == "cut.parquet: its bytes are not those the manifest names (SHA-256 differs)"
    assert not_readable.startswith("cut.parquet: not a readable Parquet file (")


def test_a_page_that_is_damaged_is_told(tmp_path):
    """The footer is sound, the data are not."""
    pq.write_table(TABLE, tmp_path / FILE, compression="zstd")
    content = bytearray((tmp_path / FILE).read_bytes())
    content[4:400] = bytes(396)
    (tmp_path / FILE).write_bytes(content)
    (said,) = check_detections(tmp_path / FILE).problems
    assert said.startswith(f"{FILE}: not a readable Parquet file (")


# The manifest


def test_without_a_manifest_the_dataset_is_not_finished(tmp_path):
    (write(tmp_path / "found", {FILE: TABLE}) / "manifest.json").unlink()
    report = check_detections(tmp_path / "found")
    assert report.problems == ["found/manifest.json is missing: the dataset is not finished; repeat its command"]
    assert report.rows == TABLE.num_rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"files": 3}',
        '{"files": [{"name": "a.parquet"}]}',
        '{"files": ["a.parquet"]}',
        "\N{SNOWMAN}".encode("utf-16"),
    ],
)
def test_a_manifest_that_is_none_is_told_and_the_files_are_checked(tmp_path, text):
    folder = write(tmp_path / "found", {FILE: TABLE})
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    report = check_detections(folder)
    (said,) = report.problems
    assert said.startswith("manifest.json: cannot be understood (")
    assert report.rows == TABLE.num_rows


def test_a_file_the_manifest_names_must_be_there(tmp_path):
    folder = write(tmp_path / "found", {"a.parquet": TABLE, "b.parquet": TABLE})
    (folder / "b.parquet").unlink()
    report = check_detections(folder)
    assert report.problems == ["b.parquet: named by the manifest, but missing"]
    assert report.files == 1


def test_a_file_the_manifest_does_not_name_must_not_be_there(tmp_path):
    folder = write(tmp_path / "found", {"a.parquet": TABLE})
    pq.write_table(TABLE, folder / "b.parquet")
    report = check_detections(folder)
    assert report.problems == ["b.parquet: not in the manifest, yet a reader of *.parquet would count its rows"]
    assert report.rows == TABLE.num_rows  # those of the dataset


def test_a_changed_byte_is_told(tmp_path):
    folder = write(tmp_path / "found", {FILE: TABLE}, sha256="0" * 64)
    assert check_detections(folder).problems == [
        f"{FILE}: its bytes are not those the manifest names (SHA-256 differs)"
    ]


def test_a_count_of_rows_that_is_wrong_is_told(tmp_path):
    folder = write(tmp_path / "found", {FILE: TABLE}, rows=12)
    assert check_detections(folder).problems == [f"{FILE}: has 11 rows, where the manifest says 12"]


# What is no dataset


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_detections(tmp_path / "gone.parquet")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.parquet")
    (said,) = check_detections(tmp_path / "p.parquet").problems
    assert "not a regular file" in said
