"""Ground truth that is kept as Parquet: the index of a record dataset, or any files with a column `objects`."""

import contextlib
import functools
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import AnnotationFault
from od_core.closest_name import did_you_mean
from od_core.errors import AnnotationError, UsageError
from od_core.label_map import LabelMap, read_label_map
from od_core.schemas import ERROR, GROUND_TRUTH, OBJECT

MANIFEST = "manifest.json"
INDEX_PREFIX = "index-"
LABEL_MAP = "label_map.pbtxt"
SPLIT = "split"

TABLE_ROWS = 1000

_EDGES = ("ymin", "xmin", "ymax", "xmax")
_FLAGS = ("is_crowd", "difficult", "group_of")
_NOT_BOXES = "the row has a box with an edge that is missing or not finite"


class StoredFiles(NamedTuple):
    """Parquet files of ground truth; folder: where the label map lies."""

    form: str
    folder: str
    paths: tuple[str, ...]


def find_stored_truth(path: str) -> StoredFiles | None:
    """The Parquet files at a path; None if it is something else.

    Raises:
        UsageError: Parquet of another kind, or a record dataset that is not finished.
    """
    if storage.stat(path) is not None:
        if not path.lower().endswith(".parquet"):
            return None
        found = StoredFiles("parquet", posixpath.dirname(path) or ".", (path,))
    else:
        names = [name for name in storage.names_in(path) if name.endswith(".parquet") and name[0] not in "._"]
        index = [name for name in names if name.startswith(INDEX_PREFIX)]
        if not names:
            return None
        if index and storage.stat(storage.join(path, MANIFEST)) is None:
            raise UsageError(
                f"{path}: a record dataset without {MANIFEST}: it is not finished; repeat the command that makes it"
            )
        form = "records" if index else "parquet"
        found = StoredFiles(form, path, tuple(storage.join(path, name) for name in index or names))
    with _opened(found.paths[0]) as file:
        _check_columns(found.paths[0], file.schema_arrow)
    return found


class StoredTruth:
    """A `GroundTruthSet` of Parquet files, read in the order of their names.

    Columns as `ground_truth_table` writes them. Of files from elsewhere, only `key` and `objects` with the box edges
    are needed; numbers of other widths are converted. A row with a box that is none becomes a failed row.
    """

    own_names = None
    object_faults = 0
    first_object_faults: Sequence[AnnotationFault] = ()

    def __init__(self, files: StoredFiles, splits: Sequence[str] = (), columns: Sequence[str] = ()):
        """See `open_ground_truth`. Raises UsageError for splits that are not there."""
        self._files = files
        self._more = tuple(name for name in columns if name not in GROUND_TRUTH.names)
        self._splits = tuple(splits)
        if splits:
            self._check_splits()

    @property
    def form(self) -> str:
        return self._files.form

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """The label map beside the files, if there is one."""
        path = storage.join(self._files.folder, LABEL_MAP)
        return read_label_map(path) if storage.stat(path) is not None else None

    @functools.cached_property
    def columns(self) -> Sequence[str]:
        """See `GroundTruthSet`."""
        names: dict[str, None] = {}
        for path in self._files.paths:
            with _opened(path) as file:
                names.update(dict.fromkeys(field.name for field in file.schema_arrow if _is_value(field.type)))
        return list(names)

    def left_out(self) -> Mapping[str, str | None]:
        """See `GroundTruthSet`."""
        names: dict[str, str | None] = {}
        for path in self._files.paths if self._splits else ():
            with _opened(path) as file:
                wanted = [name for name in ("key", "source_id", SPLIT) if name in file.schema_arrow.names]
                for batch in file.iter_batches(100_000, columns=wanted):
                    table = pa.Table.from_batches([batch])
                    table = table.filter(pc.invert(_is_in(table, self._splits)))
                    keys = table.column("key").to_pylist()
                    ids = table.column("source_id").to_pylist() if "source_id" in wanted else [None] * len(keys)
                    names.update(zip(keys, ids, strict=True))
        return names

    def tables(self) -> Iterator[pa.Table]:
        """See `GroundTruthSet.tables`."""
        for path in self._files.paths:
            for table in self._read(path):
                if len(table):
                    conformed = _conformed(path, table)
                    for name in self._more:
                        if name in table.column_names and _is_value(table.schema.field(name).type):
                            conformed = conformed.append_column(name, table.column(name))
                    yield conformed

    def _read(self, path: str) -> Iterator[pa.Table]:
        with _opened(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, file.schema_arrow)
            extra = [SPLIT] if self._splits else []
            columns = [name for name in dict.fromkeys([*GROUND_TRUTH.names, *extra, *self._more]) if name in names]
            for batch in file.iter_batches(TABLE_ROWS, columns=columns):
                table = pa.Table.from_batches([batch])
                if self._splits:
                    table = table.filter(_is_in(table, self._splits))
                yield table

    def _check_splits(self) -> None:
        there: set[str] = set()
        for path in self._files.paths:
            with _opened(path) as file:
                if SPLIT not in file.schema_arrow.names:
                    raise UsageError(f"{path}: this ground truth is not divided into splits; leave the option out")
                for batch in file.iter_batches(100_000, columns=[SPLIT]):
                    there.update(name for name in pc.unique(batch.column(0)).to_pylist() if name is not None)
        for split in self._splits:
            if split not in there:
                advice = did_you_mean(split, sorted(there), lead=" ")
                raise UsageError(
                    f"{self._files.folder}: there is no split {split!r};{advice} there are: "
                    f"{', '.join(sorted(there)) or 'none'}"
                )


def _is_in(table: pa.Table, splits: Sequence[str]) -> pa.ChunkedArray:
    """Whether a row is in one of the splits."""
    return pc.is_in(table.column(SPLIT).cast(pa.string()), pa.array(splits))


def _is_value(type: pa.DataType) -> bool:
    """Whether a column of this type has single values that a person can read."""
    return not pa.types.is_nested(type) and not pa.types.is_binary(type) and not pa.types.is_large_binary(type)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with storage.open_input(path) as file:
            yield pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error})") from error


def _check_columns(path: str, schema: pa.Schema) -> None:
    if "objects" not in schema.names and "detections" in schema.names:
        raise UsageError(f"{path}: detections, where ground truth is wanted (a column `objects`)")
    missing = [name for name in ("key", "objects") if name not in schema.names]
    if missing:
        found = ", ".join(schema.names[:8]) + ", ..." * (len(schema.names) > 8)
        raise UsageError(
            f"{path}: Parquet without a column `{missing[0]}`, which ground truth has; its columns: {found}"
        )
    type = schema.field("objects").type
    struct = type.value_type if pa.types.is_list(type) or pa.types.is_large_list(type) else None
    if struct is None or not pa.types.is_struct(struct):
        raise UsageError(f"{path}: the column `objects` must be a list of structs, see GROUND_TRUTH; it is {type}")
    names = {field.name for field in struct}
    edges = [edge for edge in _EDGES if edge not in names]
    if edges or not names & {"class_id", "label"}:
        wanted = edges[0] if edges else "class_id"
        raise UsageError(
            f"{path}: the structs in `objects` have no field `{wanted}`; they have {', '.join(sorted(names))}"
        )


def _conformed(path: str, table: pa.Table) -> pa.Table:
    """The table in the schema `GROUND_TRUTH`, whatever wrote it."""
    try:
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        objects, bad = _object_lists(columns["objects"])
        defaults = _defaults(path, len(table), objects.is_null())
        arrays = {
            field.name: _cast(columns.get(field.name, defaults.get(field.name)), field.type, len(table))
            for field in list(GROUND_TRUTH)[:-1]
        }
        told = arrays["status"].cast(pa.string())
        has_failed = pc.equal(told, "failed").fill_null(False).to_numpy(zero_copy_only=False)
        silent = objects.is_null().to_numpy(zero_copy_only=False) & ~bad & ~has_failed
        if bad.any() or silent.any() or told.null_count:
            status = pc.if_else(pa.array(bad | silent), "failed", told.fill_null("done"))
            arrays["status"] = _cast(status, arrays["status"].type, len(table))
            rows = zip(arrays["error"].to_pylist(), bad, silent, strict=True)
            arrays["error"] = pa.array([_FAULT if broken else _NULL if null else e for e, broken, null in rows], ERROR)
        conformed = pa.table({**arrays, "objects": objects}, GROUND_TRUTH)
    except pa.ArrowException as error:
        raise UsageError(f"{path}: its columns cannot be read as ground truth: {error}") from error
    if conformed.column("key").null_count:
        raise UsageError(f"{path}: a row without a `key`, by which ground truth is joined")
    return conformed


_FAULT = {"stage": AnnotationError.stage, "type": AnnotationError.__name__, "message": _NOT_BOXES}
_NULL = {**_FAULT, "message": "the row has no objects, not even an empty list, and does not say why"}


def _defaults(path: str, count: int, is_failed: pa.Array) -> dict[str, pa.Array]:
    """Columns that files from elsewhere can lack."""
    return {
        "source": pa.array([storage.printable(path)] * count),
        "kind": pa.array(["image"] * count),
        "frame_index": pa.array([0] * count),
        "status": pc.if_else(is_failed, "failed", "done"),
        "error": pa.array([_NULL if failed else None for failed in is_failed.to_pylist()], ERROR),
    }


def _object_lists(lists: pa.Array) -> tuple[pa.ListArray, npt.NDArray[np.bool_]]:
    """The column `objects` in its own type, with nulls in place of rows that have a broken box; and which these are."""
    structs = lists.flatten()
    edges = np.stack([_floats(structs.field(edge)) for edge in _EDGES], axis=1)
    is_broken = ~np.isfinite(edges).all(axis=1)
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    bad = np.zeros(len(lists), np.bool_)
    bad[rows[is_broken]] = True
    kept = structs.filter(pa.array(~bad[rows]))
    lengths = np.where(bad, 0, lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    is_null = lists.is_null().to_numpy(zero_copy_only=False) | bad
    type = GROUND_TRUTH.field("objects").type
    return pa.ListArray.from_arrays(pa.array(offsets), _objects(kept), type=type, mask=pa.array(is_null)), bad


def _floats(array: pa.Array) -> npt.NDArray[np.float32]:
    numbers: npt.NDArray[np.float64] = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # which then counts as infinite
        return numbers.astype(np.float32)


def _objects(structs: pa.StructArray) -> pa.StructArray:
    there = {field.name for field in structs.type}
    columns = []
    for field in OBJECT:
        column = _cast(structs.field(field.name) if field.name in there else None, field.type, len(structs))
        if field.name == "class_id":
            column = column.fill_null(-1)
        elif field.name in _FLAGS:
            column = column.fill_null(False)
        elif field.name == "area":
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
        columns.append(column)
    return pa.StructArray.from_arrays(columns, fields=list(OBJECT))


def _cast(array: Any, type: pa.DataType, count: int) -> pa.Array:
    """In another type, structs field by field by name; nulls in place of None."""
    if array is None:
        return pa.nulls(count, type)
    if pa.types.is_struct(type) and pa.types.is_struct(array.type):
        there = {field.name for field in array.type}
        fields = [_cast(array.field(f.name) if f.name in there else None, f.type, count) for f in type]
        return pa.StructArray.from_arrays(fields, fields=list(type), mask=array.is_null())
    return array if array.type.equals(type) else array.cast(type, safe=not pa.types.is_floating(type))
