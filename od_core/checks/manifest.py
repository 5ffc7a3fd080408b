"""Is a dataset finished, and are its Parquet files those that its manifest names?"""

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage

MANIFEST = "manifest.json"

# What reads as JSON and still is no manifest raises one of these when it is asked for its entries.
NOT_A_MANIFEST = (ValueError, KeyError, TypeError, AttributeError)


class DataFiles(NamedTuple):
    """The Parquet files of a dataset that are there; manifest: None where there is none that can be understood."""

    files: list[pathlib.Path]
    manifest: Mapping[str, Any] | None


def job_of(folder: str | os.PathLike[str]) -> str | None:
    """The job whose output a folder holds, as its manifest says; None where there is none that can be understood."""
    try:
        return str(json.loads(pathlib.Path(folder, MANIFEST).read_text(encoding="utf-8"))["job"])
    except (OSError, *NOT_A_MANIFEST):
        return None


def check_data_files(folder: pathlib.Path, pattern: str, problem: Callable[[str], None]) -> DataFiles:
    """The data files that the manifest names, each compared with what it says of it; those there are without one.

    Args:
        pattern: what a reader takes for data files, such as `*.parquet`.
        problem: takes a sentence on what is wrong.
    """
    present = sorted(folder.glob(pattern))
    if not (folder / MANIFEST).exists():
        problem(f"{folder.name}/{MANIFEST} is missing: the dataset is not finished; repeat its command")
        return DataFiles(present, None)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        entries = {str(entry["name"]): (entry["rows"], entry["sha256"]) for entry in manifest["files"]}
    except NOT_A_MANIFEST as error:
        problem(f"{MANIFEST}: cannot be understood ({error!r})")
        return DataFiles(present, None)
    for name, (rows, sha256) in entries.items():
        if not (folder / name).is_file():
            problem(f"{name}: named by the manifest, but missing")
        elif _sha256(folder / name) != sha256:
            problem(f"{name}: its bytes are not those the manifest names (SHA-256 differs)")
        elif (found := _rows_in(folder / name)) not in (None, rows):
            problem(f"{name}: has {found} rows, where the manifest says {rows}")
    for file in present:
        if file.name not in entries:
            problem(f"{file.name}: not in the manifest, yet a reader of {pattern} would count its rows")
    return DataFiles([folder / name for name in entries if (folder / name).is_file()], manifest)


def _rows_in(file: pathlib.Path) -> int | None:
    try:
        with storage.open_input(str(file)) as opened:
            return int(pq.read_metadata(opened).num_rows)
    except (pa.ArrowException, OSError):
        return None  # who reads its rows will say why


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
