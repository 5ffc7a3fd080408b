"""Data files: rows taken out of many parts come in order of their inputs, and no part is opened again and again."""

import collections
import pathlib
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from od_core import storage
from pipelines import data_files, parts
from pipelines.data_files import Layout, Slice, write_data_file
from pipelines.items import Outcome, Piece, Source
from pipelines.parts import RowFile, commit_rows
from tests.pipelines.toy_job import SCHEMA, ToyJob


def written(folder: pathlib.Path, name: str, pieces: dict[str, int]) -> list[Slice]:
    """A part with so many lines for each key, as slices."""
    path, slices, first = str(folder / name), [], 0
    with commit_rows(path, SCHEMA, {b"of": name.encode()}) as rows:
        for key, lines in pieces.items():
            outcome = Outcome(Piece(Source(key, "", "text", 1, 1)), "done", lines)
            rows.write(
                pa.table(
                    {"key": [key] * lines, "line": range(lines), "text": ["x"] * lines, "error": [None] * lines}, SCHEMA
                )
            )
            rows.finish(outcome)
            slices.append(Slice(key, 0, path, first, outcome, 10 * lines))
            first += lines
    return slices


@pytest.mark.parametrize("group_rows", [7, 1 << 16])
def test_rows_of_images_dealt_to_many_parts_come_in_order_of_key(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    monkeypatch.setattr(parts, "MAX_GROUP_ROWS", group_rows)
    monkeypatch.setattr(data_files, "MAX_GROUP_ROWS", 10 * group_rows)
    rng = np.random.default_rng(5)
    lines = {f"{number:04d}": int(rng.integers(0, 4)) for number in range(600)}
    lines["0300"] = 700  # a video among images
    dealt: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for key, count in lines.items():
        dealt[f"part{rng.integers(40)}" if key < "0400" else "part_last"][key] = count
    slices = sorted(one for name, pieces in dealt.items() for one in written(tmp_path, name, pieces))
    opened: collections.Counter[str] = collections.Counter()

    def open_input(path: str, real: object = storage.open_input) -> BinaryIO:
        opened[path] += 1
        return real(path)  # type: ignore[operator,no-any-return]

    monkeypatch.setattr(storage, "open_input", open_input)
    file = write_data_file(str(tmp_path), ToyJob(), {}, Layout("lines-00000-0123456789ab.parquet", slices))
    assert (file.rows, file.inputs) == (sum(lines.values()), len(lines))
    table = pq.read_table(tmp_path / file.name)
    assert list(zip(table["key"].to_pylist(), table["line"].to_pylist(), strict=True)) == [
        (key, line) for key, count in lines.items() for line in range(count)
    ]
    with RowFile(str(tmp_path / file.name)) as rows:
        assert [(one.piece.source.key, one.rows) for one in rows.outcomes] == list(lines.items())
    if group_rows > 7:
        assert max(opened.values()) <= 3  # once before the video, once after it, once for it
