"""A record dataset as convert wrote it: any record by its number or its key, without reading the others."""

import gzip
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import no_such_path
from od_core.annotations.stored_truth import LABEL_MAP, find_stored_truth
from od_core.errors import RecordError, UsageError
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap, read_label_map
from od_core.records.examples import ImageExample, parse_ground_truth, parse_image_example
from od_core.records.tfrecord import is_gzip, read_record

_COLUMNS = ("key", "split", "shard", "record_index", "offset")
_IN_ROW = [("split", "ascending"), ("shard", "ascending"), ("record_index", "ascending")]


class Record(NamedTuple):
    """One annotated image.

    key: the image's path below its folder, as in the index; split: such as train; image: its file and names, not
    decoded; truth: its objects.
    """

    key: str
    split: str
    image: ImageExample
    truth: GroundTruth


class RecordDataset:
    """The records of a dataset, in the order of their splits, shards and places; images that failed are not among them.

    Holds the index in memory, some sixty bytes and the key for each record, and nothing open: it may be shared by
    threads, pickled, and used after a fork. Indexing raises RecordError where a shard is not as the index says.

    A shard that is compressed has no entrance in the middle: it is read from its start for every record.
    """

    def __init__(self, folder: str, table: pa.Table, label_map: LabelMap | None):
        """`table` has the columns `key`, `split`, `shard`, `record_index` and `offset`; see `open_records`."""
        self.folder = folder
        self.label_map = label_map
        self._table = table
        self._keys = table["key"]
        self._offsets: npt.NDArray[np.int64] = table["offset"].to_numpy()

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, number: int) -> Record:
        number = range(len(self))[number]  # negative ones count from the end; IndexError for others
        serialized = self.serialized(number)
        row = self._row(number)
        try:
            return Record(row["key"], row["split"], parse_image_example(serialized), parse_ground_truth(serialized))
        except RecordError as error:
            raise RecordError(f"{self._place(number)}: {error}") from error

    def __iter__(self) -> Iterator[Record]:
        return (self[number] for number in range(len(self)))

    def serialized(self, number: int) -> bytes:
        """The serialized tf.train.Example of record `number`, from 0, checksums verified.

        Raises:
            RecordError: no whole record where the index says; names the shard.
            OSError: the shard is missing or cannot be read.
        """
        path = storage.join(self.folder, self._row(number)["shard"])
        offset = int(self._offsets[number])
        try:
            with storage.open_input(path) as file:
                if is_gzip(file):
                    return read_record(cast(BinaryIO, gzip.GzipFile(fileobj=file)), offset)
                return read_record(file, offset)
        except RecordError as error:
            advice = f"`boxbeam inspect {self.folder}` says what else is wrong"
            raise RecordError(f"{self._place(number)}: {error}; {advice}") from error

    def number_of(self, key: str) -> int:
        """The number of the record of an image; equal keys are refused when the dataset is made.

        Raises:
            UsageError: there is no such image, or it failed and has no record.
        """
        number: int = pc.index(self._keys, key).as_py()
        if number < 0:
            such = f", such as {self._keys[0]}" if len(self) else ""
            raise UsageError(
                f"{self.folder}: no record of an image called {key!r}; keys are paths below the image folder{such}"
            )
        return number

    def of_key(self, key: str) -> Record:
        """The record of an image; see `number_of`."""
        return self[self.number_of(key)]

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all records, in their order."""
        keys: list[str] = self._keys.to_pylist()
        return keys

    @property
    def splits(self) -> Sequence[str]:
        """The splits there are, sorted."""
        return sorted(pc.unique(self._table["split"]).to_pylist())

    def of_split(self, split: str) -> "RecordDataset":
        """The records of one split.

        Raises:
            UsageError: there is none of that name.
        """
        if split not in self.splits:
            raise UsageError(
                f"{self.folder}: there is no split {split!r}; there are: {', '.join(self.splits) or 'none'}"
            )
        return RecordDataset(self.folder, self._table.filter(pc.equal(self._table["split"], split)), self.label_map)

    @property
    def shards(self) -> Sequence[str]:
        """The paths of the shards that hold these records, sorted."""
        return [storage.join(self.folder, name) for name in sorted(pc.unique(self._table["shard"]).to_pylist())]

    def _row(self, number: int) -> dict[str, str]:
        return {name: self._table[name][number].as_py() for name in ("key", "split", "shard")}

    def _place(self, number: int) -> str:
        row = self._row(number)
        return f"{row['shard']}: record {self._table['record_index'][number]} ({row['key']})"


def open_records(folder: str) -> RecordDataset:
    """The record dataset in a folder. Only its index is read here.

    Raises:
        UsageError: no such folder, no record dataset, or one that is not finished.
        LabelMapError: its label map is damaged.
    """
    if not storage.is_folder(folder):
        raise no_such_path(folder)
    files = find_stored_truth(folder)
    if files is None or files.form != "records":
        raise UsageError(f"{folder}: not a record dataset: it has no index-*.parquet; make one with boxbeam convert")
    tables = []
    for path in files.paths:
        with storage.open_input(path) as file:
            table = pq.read_table(file, columns=list(_COLUMNS))
        tables.append(table.filter(table["shard"].is_valid()).unify_dictionaries())
    table = pa.concat_tables(tables).sort_by(_IN_ROW)
    for name in ("split", "shard"):
        column = table.schema.get_field_index(name)
        table = table.set_column(column, name, table[name].combine_chunks().dictionary_encode())
    labels = storage.join(folder, LABEL_MAP)
    return RecordDataset(folder, table, read_label_map(labels) if storage.stat(labels) is not None else None)
