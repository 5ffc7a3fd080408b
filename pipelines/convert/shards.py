"""Shards in the making: where they wait for the end of the run, what is noted of each, and which took their place."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

from od_core import storage
from od_core.records.tfrecord import write_record
from pipelines.convert.layout import GZIP_EXTENSION

SHARD_NAME = re.compile(r"[A-Za-z0-9_]+-\d{5,}-of-\d{5,}\.tfrecord(\.gz)?")


class ShardFile(NamedTuple):
    """One shard of a finished dataset."""

    name: str
    split: str
    records: int
    bytes: int
    sha256: str


class RecordSpot(NamedTuple):
    """Where a record is in its shard: offset and length in bytes of the uncompressed stream, with framing."""

    offset: int
    length: int


class ShardWriter:
    """Writes the records of one shard into an open file, one after another.

    A shard without records stays a file of no bytes, also a compressed one.

    Attributes:
        records: how many it has by now: the number of the next one.
    """

    def __init__(self, file: BinaryIO, name: str):
        """`name`: that of the shard, which says whether it is compressed."""
        self._name = name
        self._raw = file
        self._file = cast(BinaryIO, _HashedFile(file))
        self._gzip: gzip.GzipFile | None = None
        self.records = 0
        self._offset = 0

    def add(self, payload: bytes) -> RecordSpot:
        """Append a record."""
        spot = RecordSpot(self._offset, write_record(self._target(), payload))
        self.records += 1
        self._offset += spot.length
        return spot

    def finish(self) -> ShardFile:
        """Write what is left, and say what is in the file, which stays open."""
        if self._gzip is not None:
            self._gzip.close()
        self._raw.flush()
        digest = cast(_HashedFile, self._file).digest.hexdigest()
        return ShardFile(self._name, split_of(self._name), self.records, self._raw.tell(), digest)

    def _target(self) -> BinaryIO:
        if not self._name.endswith(GZIP_EXTENSION):
            return self._file
        if self._gzip is None:
            # No name and no time: the same records are the same bytes.
            self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self._file, mtime=0)
        return cast(BinaryIO, self._gzip)


class _HashedFile:
    """What gzip and `write_record` ask of a file; knows the SHA-256 of all that was written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Write and hash."""
        self.digest.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        """See io.IOBase."""
        self._file.flush()


def empty_shard(name: str) -> ShardFile:
    """A shard without records, a file of no bytes: none of its images could be used."""
    return ShardFile(name, split_of(name), 0, 0, hashlib.sha256().hexdigest())


def plan_path(output: str) -> str:
    """Where the plan of a run lies."""
    return storage.join(output, "_work", "convert_plan.parquet")


def shards_folder(output: str) -> str:
    """Where shards wait for the end of the run, each with a note: NAME and NAME.json."""
    return storage.join(output, "_work", "shards")


def split_of(shard: str) -> str:
    """The split that a shard's name begins with."""
    return shard.rsplit("-", 3)[0]


def note_shard(output: str, file: ShardFile) -> None:
    """Say that a shard is complete."""
    storage.write_text(storage.join(shards_folder(output), f"{file.name}.json"), json.dumps(file._asdict()))


def staged_shards(output: str) -> dict[str, ShardFile]:
    """The shards that are complete, by name."""
    folder = shards_folder(output)
    if not storage.is_folder(folder):
        return {}
    notes = [name for name in storage.names_in(folder) if name.endswith(".json") and not name.startswith(".")]
    files = [ShardFile(**json.loads(storage.read_bytes(storage.join(folder, name)))) for name in notes]
    return {file.name: file for file in files}


def placed_shards(output: str, former: Mapping[str, Any]) -> set[str]:
    """Names of all shards that this run or one before it put into the output, as far as they are still of use.

    Args:
        former: the details of the manifest there is; empty if there is none.
    """
    path = _placed_path(output)
    noted = json.loads(storage.read_bytes(path)) if storage.stat(path) is not None else []
    return {*noted, *(file["name"] for file in former.get("shards", []))}


def note_placed(output: str, names: Iterable[str]) -> None:
    """Remember shards that are about to be put into the output, for while there is no manifest that names them."""
    storage.write_text(_placed_path(output), json.dumps(sorted(names)))


def _placed_path(output: str) -> str:
    return storage.join(output, "_work", "convert_placed.json")
