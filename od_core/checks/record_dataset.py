"""Is this a valid record dataset? Every promise of docs/records-format.md that can be checked from the files."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from od_core.checks.example import CheckedExample, check_example
from od_core.checks.manifest import MANIFEST, NOT_A_MANIFEST, check_data_files
from od_core.checks.problems import Fault, Problems
from od_core.checks.record_files import CUT_OFF, DAMAGED, add_faults, split_of_name
from od_core.checks.record_index import AGAIN, IndexedRecords, Places, content_digest
from od_core.checks.record_statistics import RecordStatistics
from od_core.errors import LabelMapError, RecordError
from od_core.label_map import LabelMap, read_label_map
from od_core.records.file import RecordFile
from od_core.records.tfrecord import FOOTER_BYTES, HEADER_BYTES

LABEL_MAP = "label_map.pbtxt"
SHARDS = "*.tfrecord*"
INDEX = "index-*.parquet"

_NOT_AS_LISTED = Fault("a file that is not as the manifest says", AGAIN)
_BAD_LABEL_MAP = Fault("a label map that cannot be used", AGAIN)
_NOT_INDEXED = Fault("a record that the index does not have", AGAIN)
_NO_RECORD = Fault("index rows without a record of their own", AGAIN)
_OTHER_PLACE = Fault("a record that lies elsewhere than the index says", AGAIN)
_OTHER_CONTENT = Fault("a record whose size, names or objects are not those in the index", AGAIN)


class _ListedShard(NamedTuple):
    """What the manifest says of a shard."""

    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass
class RecordDatasetReport:
    """What a record dataset holds.

    Attributes:
        format: of the annotations it was made from; None where the manifest does not say.
        shards: split -> how many.
        bytes: of all shards.
        statistics: counts of records and objects.
        index: what the index says.
        problems: faults and notes.
    """

    format: str | None
    shards: dict[str, int]
    bytes: int
    statistics: RecordStatistics
    index: IndexedRecords
    problems: Problems


def check_record_dataset(
    path: str | os.PathLike[str], *, decode: bool = False, advance: Callable[[int], None] = lambda count: None
) -> RecordDatasetReport:
    """Read the folder of a record dataset, one record at a time, and check everything in it.

    Memory grows by some fifty bytes a record, for the places that the index gives.

    Args:
        decode: decode all pixels too.
        advance: hears of bytes of shards as they are read.
    """
    folder, problems = pathlib.Path(path), Problems()
    index_files, manifest = check_data_files(folder, INDEX, lambda text: problems.add(_NOT_AS_LISTED, text))
    details = (manifest or {}).get("details")
    if not isinstance(details, Mapping):
        details = {}
    label_map = _label_map(folder, details if manifest else {"label_map": LABEL_MAP}, problems)
    index = IndexedRecords(index_files, label_map, problems)
    report = RecordDatasetReport(details.get("format"), {}, 0, RecordStatistics(label_map), index, problems)
    listed = _listed_shards(manifest, problems)
    present = {file.name for file in folder.glob(SHARDS)}
    for name in sorted({*present, *(listed or ()), *index.shards}):
        if listed is not None and name not in listed and name in present:
            problems.add(_NOT_AS_LISTED, f"{name}: not in the manifest, yet a reader of {SHARDS} would take it in")
            continue
        report.shards[split_of_name(name)] = report.shards.get(split_of_name(name), 0) + 1
        if name not in present:
            by_whom = "manifest" if listed is not None and name in listed else "index"
            problems.add(_NOT_AS_LISTED, f"{name}: named by the {by_whom}, but missing")
            continue
        file = RecordFile(str(folder / name), advance)
        read = _check_shard(name, file, report, label_map, decode)
        report.bytes += file.size
        if listed is not None:
            _compare(name, listed[name], file, read, problems)
    return report


def _label_map(folder: pathlib.Path, details: Mapping[str, Any], problems: Problems) -> LabelMap | None:
    name = details.get("label_map")
    if not name:
        return None
    try:
        return read_label_map(folder / name)
    except LabelMapError as error:
        problems.add(_BAD_LABEL_MAP, str(error))
        return None


def _listed_shards(manifest: Mapping[str, Any] | None, problems: Problems) -> dict[str, _ListedShard] | None:
    """The shards that the manifest names; None where it does not say."""
    if manifest is None:
        return None
    try:
        listed = manifest["details"]["shards"]
        return {str(s["name"]): _ListedShard(int(s["records"]), int(s["bytes"]), str(s["sha256"])) for s in listed}
    except NOT_A_MANIFEST as error:
        problems.add(_NOT_AS_LISTED, f"{MANIFEST}: its list of shards cannot be understood ({error!r})")
        return None


def _compare(name: str, listed: _ListedShard, file: RecordFile, read: int, problems: Problems) -> None:
    """Hold a shard against its entry in the manifest."""
    if file.size != listed.bytes:
        problems.add(_NOT_AS_LISTED, f"{name}: has {file.size:,} bytes, the manifest says {listed.bytes:,}")
    elif file.sha256 != listed.sha256:
        problems.add(_NOT_AS_LISTED, f"{name}: its bytes are not those the manifest names (SHA-256 differs)")
    if read != listed.records and file.damage is None:
        problems.add(_NOT_AS_LISTED, f"{name}: has {read:,} records, the manifest says {listed.records:,}")


def _check_shard(
    name: str, file: RecordFile, report: RecordDatasetReport, label_map: LabelMap | None, decode: bool
) -> int:
    """Check a shard's records, each against its index row; returns how many there are."""
    rows = report.index.of_shard(name)
    ordinals = np.ascontiguousarray(rows["ordinal"])
    read = matched = 0
    for ordinal, offset, payload in file.records():
        read += 1
        at = int(np.searchsorted(ordinals, ordinal))
        row = rows[at] if at < len(rows) and ordinals[at] == ordinal else None
        matched += row is not None
        place = f"{name}: record {ordinal}"
        if row is None:
            report.problems.add(_NOT_INDEXED, place)
        if isinstance(payload, RecordError):
            report.problems.add(DAMAGED, f"{place}: {payload}")
            continue
        if row is not None and (row["offset"], row["length"]) != (offset, HEADER_BYTES + len(payload) + FOOTER_BYTES):
            told = f"{row['offset']:,} with {row['length']:,} bytes"
            report.problems.add(_OTHER_PLACE, f"{place}: it begins at byte {offset:,}, the index says {told}")
        example = check_example(payload, label_map, decode=decode)
        add_faults(report.problems, name, ordinal, example)
        report.statistics.add(split_of_name(name), example)
        if row is not None and _says_otherwise(example, row):
            report.problems.add(_OTHER_CONTENT, place)
    if file.damage is not None:
        report.problems.add(CUT_OFF, f"{name}: after {read:,} records: {file.damage}")
    elif lost := len(rows) - matched:
        report.problems.add(_NO_RECORD, f"{name}: {lost:,} of its {len(rows):,} rows, where it has {read:,} records")
    return read


def _says_otherwise(example: CheckedExample, row: Places) -> bool:
    image, truth = example.image, example.truth
    if image is None or truth is None:
        return False  # told already
    return content_digest(image.width, image.height, image.format, image.source_id, truth) != row["digest"]
