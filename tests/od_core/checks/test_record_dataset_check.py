"""Every promise of docs/records-format.md, broken once in a dataset that convert made: the check names it."""

import collections
import hashlib
import io
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from od_core.checks.record_dataset import RecordDatasetReport, check_record_dataset
from od_core.records.tfrecord import read_records, write_record
from od_core.schemas import FrameError, FrameRow, ground_truth_table
from tests.pipelines.made_annotations import manifest_of


@pytest.fixture
def dataset(record_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of a good dataset, to be spoilt."""
    return pathlib.Path(shutil.copytree(record_folder, tmp_path / "out"))


def told(dataset: pathlib.Path) -> list[str]:
    return [str(problem) for problem in check_record_dataset(dataset).problems]


def kinds(dataset: pathlib.Path) -> list[str]:
    return [problem.fault.what for problem in check_record_dataset(dataset).problems]


def rewrite_manifest(dataset: pathlib.Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = manifest_of(dataset)
    change(manifest)
    (dataset / "manifest.json").write_text(json.dumps(manifest))


def rewrite_shard(dataset: pathlib.Path, change: Callable[[list[bytes]], list[bytes]], number: int = 0) -> str:
    """Change the records of a shard, and its entry in the manifest with them."""
    entry = manifest_of(dataset)["details"]["shards"][number]
    path = dataset / entry["name"]
    payloads = [bytes(payload) for _, payload in read_records(io.BytesIO(path.read_bytes()))]
    file = io.BytesIO()
    changed = change(payloads)
    for payload in changed:
        write_record(file, payload)
    path.write_bytes(file.getvalue())
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    fields = {"records": len(changed), "bytes": len(file.getvalue()), "sha256": digest}
    rewrite_manifest(dataset, lambda manifest: manifest["details"]["shards"][number].update(fields))
    return path.name


def rewrite_index(dataset: pathlib.Path, change: Callable[[pa.Table], pa.Table]) -> str:
    """Change the index, and its entry in the manifest with it."""
    (path,) = dataset.glob("index-*.parquet")
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)
    fields = {"rows": pq.read_metadata(path).num_rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    rewrite_manifest(dataset, lambda manifest: manifest["files"][0].update(fields))
    return path.name


def with_column(table: pa.Table, name: str, change: Callable[[list[Any]], list[Any]]) -> pa.Table:
    field = table.schema.field(name)
    return table.set_column(
        table.schema.get_field_index(name), field, pa.array(change(table[name].to_pylist()), field.type)
    )


def add_to_first(number: int) -> Callable[[list[Any]], list[Any]]:
    """Add to the first value that is not null."""

    def change(values: list[Any]) -> list[Any]:
        at = next(index for index, value in enumerate(values) if value is not None)
        return [*values[:at], values[at] + number, *values[at + 1 :]]

    return change


def test_what_convert_makes_is_valid(record_folder):
    seen: list[int] = []
    report = check_record_dataset(record_folder, decode=True, advance=seen.append)
    assert list(report.problems) == []
    records = report.statistics.records
    assert (report.format, records.total(), set(records)) == ("voc", 11, {"train", "val"})
    assert report.shards == collections.Counter(path.name.split("-")[0] for path in record_folder.glob("*.tfrecord"))
    assert (report.index.rows, report.index.failed) == (12, 1)
    (failure,) = report.index.first_failures
    assert failure.startswith("img04.jpg: not a supported image but plain text")
    assert {label: by.total() for label, by in report.statistics.objects.items()} == {"cat": 11, "dog": 4}
    assert report.bytes == sum(seen) == sum(path.stat().st_size for path in record_folder.glob("*.tfrecord"))


def test_a_dataset_without_a_manifest_is_not_finished(dataset):
    (dataset / "manifest.json").unlink()
    (said,) = told(dataset)
    assert "manifest.json is missing: the dataset is not finished; repeat its command" in said


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}'])
def test_a_manifest_that_says_nothing(dataset, text):
    (dataset / "manifest.json").write_text(text)
    (said,) = told(dataset)
    assert "manifest.json: cannot be understood" in said


@pytest.mark.parametrize("details", [None, {}, {"shards": [3]}, {"shards": 3}])
def test_a_manifest_without_shards(dataset, details):
    rewrite_manifest(dataset, lambda manifest: manifest.update(details=details))
    assert "its list of shards cannot be understood" in told(dataset)[0]


def test_a_shard_that_is_missing(dataset):
    name = manifest_of(dataset)["details"]["shards"][1]["name"]
    (dataset / name).unlink()
    (said,) = told(dataset)
    assert f"{name}: named by the manifest, but missing" in said


def test_a_shard_too_many(dataset):
    (dataset / "train-00000-of-00001.tfrecord").write_bytes(b"")
    (said,) = told(dataset)
    assert "train-00000-of-00001.tfrecord: not in the manifest" in said


def test_a_flipped_bit_in_a_shard(dataset):
    name = manifest_of(dataset)["details"]["shards"][0]["name"]
    content = bytearray((dataset / name).read_bytes())
    content[100] ^= 1
    (dataset / name).write_bytes(content)
    first, second = told(dataset)
    assert first.startswith(f"a damaged record (1): {name}: record 0: the record at byte 0 is damaged")
    assert f"{name}: its bytes are not those the manifest names (SHA-256 differs)" in second


def test_a_shard_that_is_cut_off(dataset):
    name = manifest_of(dataset)["details"]["shards"][0]["name"]
    content = (dataset / name).read_bytes()
    (dataset / name).write_bytes(content[:-1])
    first, second = told(dataset)
    assert first.startswith(f"a file in which no more records can be found (1): {name}: after 2 records")
    assert f"{name}: has {len(content) - 1:,} bytes, the manifest says {len(content):,}" in second


def test_a_damaged_header_ends_the_records_but_not_the_checksum(dataset):
    name = manifest_of(dataset)["details"]["shards"][0]["name"]
    content = bytearray((dataset / name).read_bytes())
    content[0] ^= 1
    (dataset / name).write_bytes(content)
    report = check_record_dataset(dataset)
    assert report.bytes == sum(path.stat().st_size for path in dataset.glob("*.tfrecord"))
    first, second = map(str, report.problems)
    assert first.startswith(f"a file in which no more records can be found (1): {name}: after 0 records")
    assert f"{name}: its bytes are not those the manifest names (SHA-256 differs)" in second


def test_records_that_changed_places(dataset):
    """Each record is whole, and so is the manifest: only the index tells."""
    name = rewrite_shard(dataset, lambda payloads: [payloads[1], payloads[0], *payloads[2:]])
    assert "a record whose size, names or objects are not those in the index" in kinds(dataset)
    assert any(f"{name}: record 0" in said for said in told(dataset))


def test_a_record_too_many_and_one_too_few(dataset):
    first = rewrite_shard(dataset, lambda payloads: [*payloads, payloads[0]])
    last = rewrite_shard(dataset, lambda payloads: payloads[:-1], number=-1)
    assert first != last
    too_many, too_few = told(dataset)
    assert too_many.startswith(f"a record that the index does not have (1): {first}: record 3.")
    assert too_few.startswith(f"index rows without a record of their own (1): {last}: 1 of its")


def test_a_manifest_that_counts_otherwise(dataset):
    rewrite_manifest(dataset, lambda manifest: manifest["details"]["shards"][0].update(records=7))
    (said,) = told(dataset)
    assert "has 3 records, the manifest says 7" in said


@pytest.mark.parametrize("column", ["offset", "length"])
def test_an_index_that_points_elsewhere(dataset, column):
    rewrite_index(dataset, lambda table: with_column(table, column, add_to_first(1)))
    (said,) = told(dataset)
    assert said.startswith("a record that lies elsewhere than the index says (1): ")


@pytest.mark.parametrize("column", ["width", "height"])
def test_an_index_of_other_sizes(dataset, column):
    rewrite_index(dataset, lambda table: with_column(table, column, add_to_first(1)))
    (said,) = told(dataset)
    assert said.startswith("a record whose size, names or objects are not those in the index (1): ")


@pytest.mark.parametrize(
    ("field", "value"), [("ymin", 0.0), ("class_id", 2), ("is_crowd", True), ("difficult", True), ("group_of", True)]
)
def test_an_index_of_other_objects(dataset, field, value):
    def change(rows: list[Any]) -> list[Any]:
        at = next(index for index, objects in enumerate(rows) if objects and objects[0][field] != value)
        rows[at][0][field] = value
        if field == "class_id":
            rows[at][0]["label"] = "dog"
        return rows

    rewrite_index(dataset, lambda table: with_column(table, "objects", change))
    (said,) = told(dataset)
    assert said.startswith("a record whose size, names or objects are not those in the index (1): ")


def test_a_label_in_the_index_that_is_not_of_the_label_map(dataset):
    def change(rows: list[Any]) -> list[Any]:
        return [[{**one, "label": "cow"} for one in objects] if objects else objects for objects in rows]

    name = rewrite_index(dataset, lambda table: with_column(table, "objects", change))
    (said,) = told(dataset)
    assert f"{name}: class 1 is cow; in the label map it is cat" in said


def test_an_image_that_is_there_twice(dataset):
    def change(table: pa.Table) -> pa.Table:
        return with_column(table, "key", lambda keys: [keys[1], *keys[1:]])

    name = rewrite_index(dataset, change)
    (said,) = told(dataset)
    assert said.startswith(f"an image that is in the index twice (1): {name}: row 1: img01.jpg.")


def test_a_row_that_is_there_twice(dataset):
    rewrite_index(dataset, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    assert kinds(dataset) == ["an image that is in the index twice", "index rows without a record of their own"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("shard", None), ("offset", None), ("record_index", None), ("split", "test"), ("objects", None)],
)
def test_a_row_without_a_place(dataset, column, value):
    def change(values: list[Any]) -> list[Any]:
        at = next(index for index, one in enumerate(values) if one is not None)
        return [*values[:at], value, *values[at + 1 :]]

    rewrite_index(dataset, lambda table: with_column(table, column, change))
    first, second = kinds(dataset)
    assert first == "an index row that is not as docs/records-format.md has it"
    assert second == "a record that the index does not have"


def test_an_index_of_another_version_or_kind(dataset):
    (path,) = dataset.glob("index-*.parquet")
    rows = [FrameRow("a.jpg", "a.jpg", "image", 0, error=FrameError("read", "X", "y"))]
    pq.write_table(ground_truth_table(rows, {}), path)
    said = [one for one in told(dataset) if one.startswith("an index that cannot be read (2)")]
    assert "schema is not named, expected boxbeam.records/1" in said[0]
    assert "columns missing or of another type: split, shard, offset, length, format, remarks" in said[0]


def test_an_index_that_is_no_parquet(dataset):
    (path,) = dataset.glob("index-*.parquet")
    path.write_bytes(b"hello")
    assert "an index that cannot be read" in kinds(dataset)


def test_a_label_map_that_is_missing_or_another(dataset):
    labels = dataset / "label_map.pbtxt"
    labels.write_text('item { id: 1 name: "dog" } item { id: 2 name: "cat" }')
    assert set(kinds(dataset)) == {
        "a label in the index that is not that of the label map",
        "a class id that stands for another name in the label map",
    }
    labels.unlink()
    (said,) = told(dataset)
    assert said.startswith("a label map that cannot be used (1): ")


def test_an_index_row_of_a_shard_that_nobody_else_knows(dataset):
    def change(table: pa.Table) -> pa.Table:
        other = pc.if_else(pc.starts_with(table["shard"], "val-00000"), "val-00007-of-00009.tfrecord", table["shard"])
        return table.set_column(table.schema.get_field_index("shard"), table.schema.field("shard"), other)

    rewrite_index(dataset, change)
    assert any("val-00007-of-00009.tfrecord: named by the index, but missing" in said for said in told(dataset))


def test_compressed_shards_are_checked_as_well(packed_record_folder):
    """Their bytes are not those of the manifest, which was not written anew; records and index agree."""
    (said,) = told(packed_record_folder)
    assert said.startswith("a file that is not as the manifest says")


def test_the_report_of_an_empty_folder(tmp_path):
    report: RecordDatasetReport = check_record_dataset(tmp_path)
    assert (report.shards, report.bytes, report.index.rows) == ({}, 0, 0)
    assert not report.problems.is_valid
