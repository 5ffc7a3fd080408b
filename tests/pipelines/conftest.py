"""Folders of toy inputs, and what a finished toy dataset holds."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Rows = list[tuple[object, ...]]


@pytest.fixture
def texts(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    """Write text files: `texts(a="x\\ny\\n")` makes in/a.t with two lines; returns the folder."""

    def write(**contents: str) -> pathlib.Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            (folder / f"{name}.t").write_text(content)
        return folder

    return write


@pytest.fixture
def diary(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder for ToyJob's diary."""
    folder = tmp_path / "diary"
    folder.mkdir()
    return folder


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that this process has opened with os.open, as `od_core.storage` does."""
    opened: list[str] = []
    real = os.open

    def spy(path: Any, *arguments: Any, **named: Any) -> int:
        opened.append(os.path.basename(os.fspath(path)))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "open", spy)
    return opened


def entries(diary: pathlib.Path) -> list[str]:
    """Every line of every process's diary."""
    return [line for page in sorted(diary.iterdir()) for line in page.read_text().splitlines()]


def dataset_rows(output: pathlib.Path) -> Rows:
    """The rows of the files that the manifest names, in order; no other file may lie about."""
    manifest = json.loads((output / "manifest.json").read_text())
    names = [file["name"] for file in manifest["files"]]
    assert sorted(path.name for path in output.glob("*.parquet")) == sorted(names)
    assert not (output / "_work").exists()
    tables = [pq.read_table(output / name) for name in names]
    if not tables:
        return []
    table = pa.concat_tables(tables)
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=repr)
