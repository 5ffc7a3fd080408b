"""boxbeam on a real Flink cluster: the same rows as on one machine, made by the cluster's workers."""

import pathlib

import pytest

from .flink import FlinkCluster
from .material import FRAMES, IMAGES, LocalRun, commits, infer, rows

pytestmark = pytest.mark.cluster


def test_infer_gives_the_rows_of_a_local_run(flink: FlinkCluster, local_run: LocalRun, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "out"
    infer(
        local_run.material,
        f"--input={local_run.material.inputs}",
        f"--output={output}",
        *flink.options,
        log=tmp_path / "infer.log",
        witness=tmp_path / "launcher",
    )

    assert len(local_run.rows) == IMAGES + FRAMES
    assert {found["label"] for row in local_run.rows for found in row["detections"]} == {"red", "green", "blue"}
    assert rows(output) == local_run.rows
    assert (output / "manifest.json").exists()
    assert not (output / "_work").exists()

    by_workers = set().union(*commits(flink.witness).values())
    by_launcher = set().union(*commits(tmp_path / "launcher").values())
    parts = f"{output}/_work/parts/"
    assert any(path.startswith(parts) for path in by_workers)
    assert not any(path.startswith(parts) for path in by_launcher)
    assert str(output / "manifest.json") in by_launcher
