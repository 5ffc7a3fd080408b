"""The queries on the pages about detections work when pasted: DuckDB, pandas, Polars, pyarrow, pycocotools."""

import contextlib
import io
import os
import pathlib
import re
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from beam_jobs import infer
from tests import shapes_model
from tests.blocks_model import BLOCKS_LABEL_MAP
from tests.blocks_scene import write_images, write_video

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/detections-format.md"
README = ROOT / "README.md"

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a dataset with images, a video and a failure; it lies in one folder as OUTPUT and found."""
    place = tmp_path_factory.mktemp("page")
    shapes_model.frozen_graph(place / "model.pb")
    (place / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_images(place / "in", 4)
    write_video(place / "in/clip.mp4", 10)
    (place / "in/bad.jpg").write_text("no image")
    command = ["--model", "model.pb", "--label_map", "labels.pbtxt", "--input", "in", "--output", "OUTPUT"]
    paths = [word if word.startswith("--") else str(place / word) for word in command]
    quietly = ["--isolation", "none", "--progress", "off", "--keep", "masks,keypoints"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert infer.main([*paths, *quietly]) == 3
    (place / "found").symlink_to(place / "OUTPUT")
    return [*pq.read_table(sorted((place / "OUTPUT").glob("*.parquet"))).to_pylist(), {"place": place}]


@pytest.fixture
def expected(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.chdir(rows[-1]["place"])
    return rows[:-1]


def blocks(page: pathlib.Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def boxes_of(rows: Rows, min_score: float = 0.0) -> list[tuple[str, int, dict[str, Any]]]:
    found = [(row["key"], row["frame_index"], one) for row in rows for one in row["detections"] or []]
    return [one for one in found if one[2]["score"] >= min_score]


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    return {**names, "printed": printed.getvalue()}


def test_duckdb(expected: Rows) -> None:
    (queries,) = blocks(PAGE, "sql")
    boxes, outcomes = (duckdb.sql(query).fetchall() for query in queries.split(";") if query.strip())
    wanted = []
    by_key = {(row["key"], row["frame_index"]): row for row in expected}
    for key, index, one in boxes_of(expected, 0.5):
        row = by_key[key, index]
        left, top = one["xmin"] * row["width"], one["ymin"] * row["height"]
        size = (one["xmax"] - one["xmin"]) * row["width"], (one["ymax"] - one["ymin"]) * row["height"]
        wanted.append((key, index, one["label"], one["score"], left, top, *size))
    assert len(boxes) == len(wanted) > 20
    for got, want in zip(sorted(boxes), sorted(wanted), strict=True):
        assert got[:3] == want[:3]
        assert got[3:] == pytest.approx(want[3:], rel=1e-5)
    assert sorted(outcomes, key=str) == sorted(
        [
            ("image", "done", None, 4, len(boxes_of([row for row in expected if row["kind"] == "image"]))),
            ("image", "failed", "decode", 1, None),
            ("video", "done", None, 10, len(boxes_of([row for row in expected if row["kind"] == "video"]))),
        ],
        key=str,
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # pycocotools, of numpy 2
def test_pandas_polars_and_pyarrow(expected: Rows) -> None:
    with_pandas, with_polars, with_pyarrow, mask = blocks(PAGE, "python")
    found = run(with_pandas)["boxes"]
    assert isinstance(found, pd.DataFrame)
    wanted = sorted((key, index, one["class_id"], one["score"]) for key, index, one in boxes_of(expected))
    columns = ["key", "frame_index", "box.class_id", "box.score"]
    assert sorted(found[columns].itertuples(index=False, name=None)) == wanted
    found = run(with_polars)["boxes"].select("key", "frame_index", "class_id", "score").rows()
    assert sorted(found) == [one for one in wanted if one[3] >= 0.5]
    done = run(with_pyarrow)
    assert done["boxes"].num_rows == len(wanted)
    assert sorted(
        zip(*(done["boxes"].column(name).to_pylist() for name in ("key", "class_id")), strict=True)
    ) == sorted((key, class_id) for key, _, class_id, _ in wanted)
    assert "red" in done["printed"]
    row = next(row for row in expected if row["detections"])
    detection = row["detections"][0]
    names = {"detection": detection, "height": row["height"], "width": row["width"]}
    exec(mask, names)
    assert names["mask"].shape == (row["height"], row["width"])


def test_the_readmes_queries(expected: Rows) -> None:
    wanted: dict[str, int] = {}
    for _, _, one in boxes_of(expected, 0.5):
        wanted[one["label"]] = wanted.get(one["label"], 0) + 1
    (query,) = blocks(README, "sql")
    assert dict(duckdb.sql(query).fetchall()) == wanted
    (code,) = [block for block in blocks(README, "python") if "import pandas" in block]
    assert run(code)["counts"].to_dict() == wanted
    assert os.path.samefile("found", "OUTPUT")
