"""Row files: rows come back by position, the footer says which are whose, and a file appears whole or not at all."""

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from od_core.detections import Detections
from od_core.schemas import DETECTIONS, FrameRow, detections_table
from pipelines import parts
from pipelines.items import Outcome, Piece, Source
from pipelines.parts import RowFile, commit_rows, read_footer

SCHEMA = pa.schema([("n", pa.int64())])


def piece(name: str) -> Piece:
    return Piece(Source(name, f"/in/{name}", "text", 5, 7), 1, 2, 4)


def table(*numbers: int) -> pa.Table:
    return pa.table({"n": pa.array(numbers, pa.int64())})


def test_rows_and_outcomes_come_back(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_GROUP_ROWS", 3)  # several row groups, as in a large file
    path = str(tmp_path / "x.parquet")
    with commit_rows(path, SCHEMA, {b"k": b"v"}) as rows:
        rows.write(table(0, 1))
        rows.write(table(2, 3, 4, 5))
        rows.finish(Outcome(piece("a"), "done", 5, {"lines": 5}))
        rows.finish(Outcome(piece("b"), "empty", 0))
        rows.finish(Outcome(piece("c"), "failed", 1, error="why — ü"))
    with RowFile(path) as file:
        assert file.num_rows == 6
        assert [o.piece.source.key for o in file.outcomes] == ["a", "b", "c"]
        assert [(o.status, o.rows, o.counts, o.error) for o in file.outcomes] == [
            ("done", 5, {"lines": 5}, None),
            ("empty", 0, {}, None),
            ("failed", 1, {}, "why — ü"),
        ]
        assert file.outcomes[0].piece == piece("a")._replace(source=piece("a").source._replace(uri=""))
        for start in range(7):
            for stop in range(start, 7):
                read = [n for batch in file.rows(start, stop) for n in batch.column("n").to_pylist()]
                assert read == list(range(start, stop))
    assert read_footer(path)[0][b"k"] == b"v"  # type: ignore[index]


def test_fractions_have_no_dictionary_and_all_else_has(tmp_path: pathlib.Path) -> None:
    found = Detections.best_first([[0, 0, 0.5, 1]], [0.75], [7])
    shapes = dataclasses.replace(found, masks=(b"12",), keypoints=np.zeros((1, 2, 3), np.float32))
    rows_found = [FrameRow(name, name, "image", 0, None, None, 4, 4, shapes) for name in "ab"]
    path = tmp_path / "x.parquet"
    with commit_rows(str(path), DETECTIONS, {}) as rows:
        rows.write(detections_table(rows_found, {7: "cat"}))
        rows.finish(Outcome(piece("a"), "done", 2))
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    plain = {one.path_in_schema for one in columns if "RLE_DICTIONARY" not in one.encodings}
    edges = {f"detections.list.element.{name}" for name in ("score", "ymin", "xmin", "ymax", "xmax")}
    assert plain == edges | {f"detections.list.element.keypoints.list.element.{name}" for name in ("x", "y", "score")}
    assert len(columns) > len(plain) + 12
    assert pq.read_table(path).equals(detections_table(rows_found, {7: "cat"}))


def test_nothing_appears_when_writing_fails(tmp_path: pathlib.Path) -> None:
    def write_half() -> None:
        with commit_rows(str(tmp_path / "x.parquet"), SCHEMA, {}) as rows:
            rows.write(table(1))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_rows_that_belong_to_no_piece_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="1 rows were written, but the pieces finished have 0"):
        with commit_rows(str(tmp_path / "x.parquet"), SCHEMA, {}) as rows:
            rows.write(table(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 100])
def test_a_damaged_file_has_no_footer(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    assert read_footer(str(path)) is None
    assert read_footer(str(tmp_path / "gone.parquet")) is None
