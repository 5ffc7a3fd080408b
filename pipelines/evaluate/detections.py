"""A detections dataset as an evaluation reads it: row groups, and of each only the columns that are asked for."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.errors import UsageError
from od_core.schemas import DETECTIONS_VERSION
from pipelines.dataset import MANIFEST, Dataset
from pipelines.parts import PROVENANCE

IDENTITY = ("key", "frame_index", "status", "width", "height")
_LIST = "detections"
_FIELDS = ("class_id", "label", "score", "ymin", "xmin", "ymax", "xmax")


class RowGroup(NamedTuple):
    """A row group of a data file: the unit of work."""

    path: str
    number: int


class DetectionsSet(NamedTuple):
    """The data files of a detections dataset, in the order of the manifest, and where its rows come from."""

    path: str
    files: tuple[str, ...]
    provenance: Mapping[str, Any]

    def row_groups(self) -> Iterator[RowGroup]:
        """All the rows there are."""
        for path in self.files:
            yield from row_groups_of(path)


def row_groups_of(path: str) -> Iterator[RowGroup]:
    """The row groups of a data file.

    Raises:
        UsageError: see `opened`.
    """
    with opened(path) as file:
        count = file.metadata.num_row_groups
    for number in range(count):
        yield RowGroup(path, number)


def find_detections(path: str) -> DetectionsSet:
    """The detections dataset at a path: a finished folder, or one Parquet file.

    Raises:
        UsageError: nothing there, something else, or a dataset that is not finished.
    """
    if storage.stat(path) is not None:
        found = DetectionsSet(path, (path,), {})
        with opened(path) as file:
            return found._replace(provenance=json.loads((file.schema_arrow.metadata or {}).get(PROVENANCE, b"{}")))
    if not storage.is_folder(path):
        what = "this pattern matches no TFRecord file" if storage.has_wildcard(path) else "no such file or folder"
        raise UsageError(
            f"{path}: {what}; --detections is what boxbeam infer wrote as its --output (evaluate takes COCO results"
            " and TFRecords with detections too)"
        )
    dataset = Dataset(path)
    manifest = dataset.manifest()
    if manifest is None:
        raise UsageError(
            f"{path}: no {MANIFEST}, so this is not a finished detections dataset; repeat the boxbeam infer that makes"
            " it, or name a single Parquet file"
        )
    if manifest.schema != DETECTIONS_VERSION:
        raise UsageError(
            f"{path}: holds the output of boxbeam {manifest.job} ({manifest.schema}), expected detections"
            f" ({DETECTIONS_VERSION}) as boxbeam infer writes them"
        )
    return DetectionsSet(path, tuple(dataset.data_path(file) for file in manifest.files), manifest.provenance)


@contextlib.contextmanager
def opened(path: str) -> Iterator[pq.ParquetFile]:
    """A data file.

    Raises:
        UsageError: no Parquet file, or not of detections.
    """
    try:
        with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
            _check_columns(path, parquet.schema_arrow)
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error}); boxbeam inspect says more") from error


def _check_columns(path: str, schema: pa.Schema) -> None:
    if "objects" in schema.names and _LIST not in schema.names:
        raise UsageError(f"{path}: this is ground truth (it has a column objects); --detections wants detections")
    missing = [name for name in (*IDENTITY, _LIST) if name not in schema.names]
    if not missing:
        type = schema.field(_LIST).type
        is_list = pa.types.is_list(type) or pa.types.is_large_list(type)
        there = {field.name for field in type.value_type} if is_list and pa.types.is_struct(type.value_type) else set()
        missing = [f"{_LIST}[].{name}" for name in _FIELDS if name not in there]
    if missing:
        raise UsageError(
            f"{path}: not detections: no column {', '.join(missing)}; docs/detections-format.md says what there must be"
        )


def leaves(file: pq.ParquetFile, fields: Sequence[str] = _FIELDS) -> list[str]:
    """The columns, as Parquet names them, of some fields of the detections: masks and keypoints are not read."""
    paths = [file.schema.column(index).path.split(".") for index in range(len(file.schema))]
    return [".".join(path) for path in paths if len(path) == 4 and path[0] == _LIST and path[3] in fields]


def read_columns(group: RowGroup, fields: Sequence[str] = (), more: Sequence[str] = ()) -> pa.Table:
    """What identifies the rows of a row group, and some fields of their detections; missing frame numbers are kept.

    `more` are further columns; all null where the file lacks them.
    """
    with opened(group.path) as file:
        there = [name for name in more if name in file.schema_arrow.names]
        table = file.read_row_group(group.number, columns=[*IDENTITY, *there, *leaves(file, fields)])
    for name in more:
        if name not in there:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.int64()))
    return table


def is_looked_at(status: pa.Array, lists: pa.Array) -> npt.NDArray[np.bool_]:
    """Of which rows a model has answered, bool (N,), by two of their columns.

    One that is done and has no list of detections tells nothing, not even that nothing was found.
    """
    is_done = pc.and_(pc.equal(status, "done").fill_null(False), lists.is_valid())
    return np.asarray(is_done.to_numpy(zero_copy_only=False))


def read_boxes(group: RowGroup, rows: int, more: Sequence[str] = ()) -> Iterator[pa.ListArray]:
    """The detections of a row group, a list a row, some rows at a time; `more`: further fields of theirs."""
    with opened(group.path) as file:
        for batch in file.iter_batches(rows, row_groups=[group.number], columns=leaves(file, (*_FIELDS, *more))):
            yield batch.column(0)
