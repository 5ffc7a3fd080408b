"""The index of a record dataset as compact arrays, to hold its records against, and what is wrong with it itself."""

import collections
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.checks.problems import Fault, Problems
from od_core.checks.record_files import split_of_name
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap
from od_core.records.index import RECORD_INDEX, RECORDS_VERSION
from od_core.schemas import ground_truths_of

AGAIN = "make the dataset again with boxbeam convert --overwrite"

_BAD_INDEX = Fault("an index that cannot be read", AGAIN)
_BAD_ROW = Fault("an index row that is not as docs/records-format.md has it", AGAIN)
_REPEATED_KEY = Fault("an image that is in the index twice", AGAIN)
_OTHER_LABEL = Fault("a label in the index that is not that of the label map", AGAIN)

_ROWS_AT_A_TIME = 1000
# Thirty-six bytes a record: the index of a million images fits where one image of twelve megapixels does.
_PLACE = np.dtype([("shard", "<i4"), ("ordinal", "<i8"), ("offset", "<i8"), ("length", "<i8"), ("digest", "<u8")])

Places = npt.NDArray[Any]


class IndexedRecords:
    """What the index says of every record.

    Attributes:
        rows: images in the index.
        failed: how many of them have no record.
        first_failures: key and reason of the first few.
        remarks: kind of remark on an annotation -> how often.
    """

    def __init__(self, files: Sequence[pathlib.Path], label_map: LabelMap | None, problems: Problems):
        """Read index files; faults go into `problems`."""
        self.rows = 0
        self.failed = 0
        self.first_failures: list[str] = []
        self.remarks: collections.Counter[str] = collections.Counter()
        self._label_map = label_map
        self._problems = problems
        self._shards: dict[str, int] = {}
        self._labels_checked: set[tuple[int, str | None]] = set()
        places = [np.empty(0, _PLACE)]
        keys = [np.empty(0, np.uint64)]
        for file in files:
            for before, table in self._tables(file):
                places.append(self._read(file.name, before, table))
                keys.append(np.array([_short_hash(key.encode()) for key in table["key"].to_pylist()], np.uint64))
        self._places = np.concatenate(places)
        self._places.sort(order=("shard", "ordinal"))
        self._name_repeated(files, np.concatenate(keys))

    @property
    def shards(self) -> list[str]:
        """The shards that the index names."""
        return sorted(self._shards)

    def of_shard(self, shard: str) -> Places:
        """Fields ordinal, offset, length and digest of the records of a shard, in their order."""
        number = self._shards.get(shard, -1)
        start, stop = np.searchsorted(self._places["shard"], [number, number + 1])
        return self._places[start:stop]

    def _tables(self, file: pathlib.Path) -> Iterator[tuple[int, pa.Table]]:
        """The file in small tables, each with the number of rows before it."""
        try:
            with storage.open_input(str(file)) as opened, pq.ParquetFile(opened) as parquet:
                version = (parquet.metadata.metadata or {}).get(b"boxbeam.schema", b"").decode(errors="replace")
                if version != RECORDS_VERSION:
                    what = f"{file.name}: schema is {version or 'not named'}, expected {RECORDS_VERSION}"
                    self._problems.add(_BAD_INDEX, what)
                schema = parquet.schema_arrow
                wrong = [
                    field.name
                    for field in RECORD_INDEX
                    if schema.get_field_index(field.name) < 0 or schema.field(field.name).type != field.type
                ]
                if wrong:
                    self._problems.add(
                        _BAD_INDEX, f"{file.name}: columns missing or of another type: {', '.join(wrong)}"
                    )
                    return
                before = 0
                for batch in parquet.iter_batches(_ROWS_AT_A_TIME, columns=RECORD_INDEX.names):
                    yield before, pa.Table.from_batches([batch])
                    before += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            self._problems.add(_BAD_INDEX, f"{file.name}: {error}")

    def _read(self, name: str, before: int, table: pa.Table) -> Places:
        self.rows += table.num_rows
        for remark in pc.value_counts(pc.struct_field(pc.list_flatten(table["remarks"]), "kind")).to_pylist():
            self.remarks[remark["values"]] += remark["counts"]
        self._check_labels(name, table)
        try:
            truths = ground_truths_of(table)
        except ValueError as error:
            self._problems.add(_BAD_ROW, f"{name}: rows {before} to {before + table.num_rows - 1}: {error}")
            return np.empty(0, _PLACE)
        found = []
        wanted = table.drop_columns(["objects", "remarks"]).to_pylist()
        for number, (row, truth) in enumerate(zip(wanted, truths, strict=True), before):
            if row["status"] == "failed":
                self.failed += 1
                if len(self.first_failures) < 3:
                    self.first_failures.append(f"{row['key']}: {row['error'] and row['error']['message']}")
                continue
            numbers = [row[column] for column in ("record_index", "offset", "length")]
            if truth is None or row["shard"] is None or None in numbers or split_of_name(row["shard"]) != row["split"]:
                what = f"{name}: row {number} ({row['key']}): no objects, no place, or a place in another split"
                self._problems.add(_BAD_ROW, what)
                continue
            shard = self._shards.setdefault(row["shard"], len(self._shards))
            digest = content_digest(row["width"], row["height"], row["format"], row["source_id"], truth)
            found.append((shard, *numbers, digest))
        return np.array(found, _PLACE)

    def _check_labels(self, name: str, table: pa.Table) -> None:
        if self._label_map is None:
            return
        flat = pc.list_flatten(table["objects"]).combine_chunks()
        pairs = pa.table({"class_id": flat.field("class_id"), "label": flat.field("label")})
        for pair in pairs.group_by(["class_id", "label"]).aggregate([]).to_pylist():
            class_id, label = pair["class_id"], pair["label"]
            if (class_id, label) not in self._labels_checked and self._label_map.labels.get(class_id) != label:
                known = self._label_map.labels.get(class_id, "nothing")
                self._problems.add(_OTHER_LABEL, f"{name}: class {class_id} is {label}; in the label map it is {known}")
            self._labels_checked.add((class_id, label))

    def _name_repeated(self, files: Sequence[pathlib.Path], hashes: npt.NDArray[np.uint64]) -> None:
        """Find the keys that are there twice; only then are they read again."""
        values, counts = np.unique(hashes, return_counts=True)
        suspects = set(values[counts > 1].tolist())
        if not suspects:
            return
        seen: set[str] = set()
        for file in files:
            for number, key in enumerate(_keys(file)):
                if _short_hash(key.encode()) in suspects:
                    if key in seen:
                        self._problems.add(_REPEATED_KEY, f"{file.name}: row {number}: {key}")
                    seen.add(key)


def _keys(file: pathlib.Path) -> Iterator[str]:
    with storage.open_input(str(file)) as opened, pq.ParquetFile(opened) as parquet:
        if "key" in parquet.schema_arrow.names:
            for batch in parquet.iter_batches(columns=["key"]):
                yield from batch.column(0).to_pylist()


def content_digest(
    width: int | None, height: int | None, format: str | None, source_id: str | None, truth: GroundTruth
) -> int:
    """64 bits of what a record and its index row both say: equal for both, or one of them is wrong."""
    parts = [repr((width, height, format, source_id)).encode(), truth.boxes.tobytes(), truth.classes.tobytes()]
    parts += [flags.tobytes() for flags in (truth.is_crowd, truth.difficult, truth.group_of)]
    return _short_hash(b"\0".join(parts))


def _short_hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
