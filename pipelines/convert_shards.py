"""Shards in the making: where they wait for the end of the run, and what is noted of each."""

import json
from typing import NamedTuple

from od_core import storage


class ShardFile(NamedTuple):
    """One shard of a finished dataset."""

    name: str
    split: str
    records: int
    bytes: int
    sha256: str


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
