"""What a detections file comes to: detections of each class, failed rows of each kind."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

_CLASS_COLUMNS = ["detections.list.element.class_id", "detections.list.element.label"]
_ERROR_COLUMNS = ["error.stage", "error.type"]


class DetectionTotals(NamedTuple):
    """Label, or "class N" where there is none -> detections; "stage: type of error" -> failed rows."""

    by_class: dict[str, int]
    by_reason: dict[str, int]


def detection_totals(file: BinaryIO) -> DetectionTotals:
    """Count in a file of schema `DETECTIONS`, a row group at a time; only the columns that it takes are read."""
    by_class: collections.Counter[str] = collections.Counter()
    by_reason: collections.Counter[str] = collections.Counter()
    with pq.ParquetFile(file) as parquet:
        for group in range(parquet.metadata.num_row_groups):
            table = parquet.read_row_group(group, columns=[*_CLASS_COLUMNS, *_ERROR_COLUMNS])
            by_class += class_counts(table)
            errors = table.column("error").drop_null().combine_chunks()
            for kind, count in _value_counts(errors, ("stage", "type")):
                by_reason[": ".join(kind)] += count
    return DetectionTotals(dict(sorted(by_class.items())), dict(sorted(by_reason.items())))


def class_counts(table: pa.Table) -> collections.Counter[str]:
    """Detections by label, or "class N", of rows with a `detections` column."""
    counts: collections.Counter[str] = collections.Counter()
    structs = table.column("detections").combine_chunks().flatten()
    for (class_id, label), count in _value_counts(structs, ("class_id", "label")):
        counts[label if label is not None else f"class {class_id}"] += count
    return counts


def _value_counts(structs: pa.StructArray, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The different values of some fields, and how often each is there."""
    fields = pa.table({name: structs.field(name) for name in names})
    for row in fields.group_by(list(names)).aggregate([([], "count_all")]).to_pylist():
        yield tuple(row[name] for name in names), row["count_all"]
