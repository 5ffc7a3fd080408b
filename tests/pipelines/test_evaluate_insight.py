"""What boxbeam evaluate looks into beside the numbers: metrics.json's insight, curves.parquet."""

import json
import pathlib

import pyarrow.parquet as pq
import pytest

from beam_jobs import evaluate
from od_core.evaluation_page.page import evaluation_page, plots
from od_core.evaluation_page.png import png_of
from od_core.insight.insight import CURVES, BoxInsight
from od_core.metrics.frame import EvaluatedFrame
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import WHOLE, found_row, truth_row


@pytest.fixture
def scene(tmp_path):
    """40 frames in folders by their last digit, and the insight of them."""
    found, truth = files.random_rows(3, 40)

    def placed(row):
        return row._replace(key=f"camera_{row.key[2]}/{row.key}")

    found, truth = [placed(row) for row in found], [placed(row) for row in truth]
    objects = {row.key: row.objects for row in truth}
    frames = [
        EvaluatedFrame(row.key, 100, 200, objects[row.key], row.detections, slices=(row.key[:8], row.key[7]))
        for row in found
    ]
    direct = BoxInsight(files.LABELS, slice_kinds=["folder", "camera_(.)"])
    direct.update(frames)
    files.write_detections(tmp_path / "found", found)
    files.write_truth(tmp_path / "truth.parquet", truth)
    return direct.value()


def evaluated(folder: pathlib.Path, *options: str) -> int:
    argv = ["--detections", "found", "--ground_truth", "truth.parquet", "--output", "scores"]
    argv = [option if option.startswith("--") else str(folder / option) for option in argv]
    return evaluate.main([*argv, *options])


def test_it_is_that_of_the_frames(scene, tmp_path, capsys):
    assert evaluated(tmp_path, "--slice_by", "folder", "--slice_by", "camera_(.)") == 0
    document = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert document["insight"] == json.loads(json.dumps(scene.report).replace("NaN", "null"))
    assert {name: x for name, x in document["metrics"].items() if name.startswith("Insight_")} == scene.numbers
    assert pq.read_table(tmp_path / "scores/curves.parquet").equals(scene.curves)
    assert pq.read_schema(tmp_path / "scores/curves.parquet").equals(CURVES, check_metadata=True)
    out = capsys.readouterr().out
    best = scene.report["overall"]["best_f1"]
    assert f"best F1 {best['f1']:.4f} at scores of at least {best['score']:.4f}: precision" in out
    assert f"({best['tp']:,} right, {best['fp']:,} wrong, {best['fn']:,} missed)" in out
    assert "camera_3" in out
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines if "localisation" in line] == [
        ["localisation", str(scene.report["errors"][1]["count"])]
    ]
    page = (tmp_path / "scores/evaluation.html").read_text(encoding="utf-8")
    assert page == evaluation_page(document, scene.curves)
    drawn = plots(document["insight"], scene.curves)
    files_there = {path.name: path.read_bytes() for path in (tmp_path / "scores/plots").iterdir()}
    assert files_there == {
        **{name: svg.encode() for name, svg in drawn.items()},
        **{name.replace(".svg", ".png"): png_of(svg) for name, svg in drawn.items()},
    }
    assert evaluated(tmp_path, "--numbers_only") == 0  # and nothing of it stays
    assert [path.name for path in (tmp_path / "scores").iterdir()] == ["metrics.json"]
    assert "insight" not in json.loads((tmp_path / "scores/metrics.json").read_text())
    assert "best F1" not in capsys.readouterr().out


def test_a_gate_on_it_and_an_undefined_number(tmp_path, capsys):
    files.write_detections(tmp_path / "found", [found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg")])
    files.write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, WHOLE))])
    assert evaluated(tmp_path, "--fail_under", "F1=0.7", "--fail_under", "Recall=0.5") == evaluate.EXIT_BELOW
    assert "--fail_under: Insight_F1 is 0.666667, wanted at least 0.7" in capsys.readouterr().err
    document = json.loads((tmp_path / "scores/metrics.json").read_text(), parse_constant=pytest.fail)
    assert document["insight"]["classes"][1]["best_f1"]["precision"] is None
