"""infer for some minutes on thousands of inputs, good and bad, killed at random: its rows are those of a quiet run.

`make soak`; see kills.py for its settings.
"""

import io
import pathlib
import sys
from typing import Any

import pyarrow.parquet as pq
import pytest

from od_core.checks.detections import check_detections
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import write_video
from tests.soak.kills import SECONDS, repeatable, run_quietly_and_killed
from tests.soak.pictures import Pictures

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

# Items of a second or two, so that many begin and end between kills.
LAUNCHER = """
import sys
from pipelines.grouping import ItemLimit
from pipelines.infer import job
job._ITEM_LIMITS = {"image": ItemLimit(60, 1 << 30), "record": ItemLimit(2, 1 << 30), "video": ItemLimit(2, 1 << 30)}
from beam_jobs.infer import main
sys.exit(main())
"""

IMAGES = 1800
VIDEOS = 9
RECORD_FILES = 8


def write_inputs(folder: pathlib.Path) -> None:
    """Thousands of files, about one in ten of them bad."""
    originals = folder.with_name("originals")
    pictures = Pictures(originals)
    for number in range(IMAGES):
        pictures.link(number, folder / f"day_{number // 250}/{number:05}.jpg")
    write_video(originals / "clip.mkv", 120)
    clip = (originals / "clip.mkv").read_bytes()
    (originals / "cut.mkv").write_bytes(clip[: len(clip) * 2 // 3])
    (originals / "no.mkv").write_bytes(b"\0" * 5000)
    for number in range(VIDEOS):
        name = {3: "cut.mkv", 7: "no.mkv"}.get(number, "clip.mkv")
        (folder / f"clip_{number:02}.mkv").symlink_to(originals / name)
    for number in range(RECORD_FILES):
        content = io.BytesIO()
        for record in range(60):
            encoded = pictures.good[record % len(pictures.good)]
            write_record(content, encode_example({"image/encoded": encoded, "image/source_id": f"{number}/{record}"}))
        broken = bytearray(content.getvalue())
        if number == 5:
            broken[len(broken) // 2] ^= 0xFF
        (folder / f"some_{number}.tfrecord").write_bytes(broken)


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    assert check_detections(output).problems == []
    rows = pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()
    return sorted(rows, key=lambda row: (row["source"], row["record_index"] or 0, row["frame_index"] or 0, row["key"]))


def test_killed_at_random_the_rows_are_those_of_a_quiet_run(tmp_path: pathlib.Path) -> None:
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    write_inputs(tmp_path / "in")
    options = {"model": "model.pb", "label_map": "labels.pbtxt", "input": "in"}
    command = [sys.executable, "-c", LAUNCHER, *(f"--{name}={tmp_path / path}" for name, path in options.items())]
    with repeatable(tmp_path):
        quiet, killed = run_quietly_and_killed("infer", command, tmp_path, SECONDS)
        expected, rows = rows_of(quiet), rows_of(killed)
        assert len(rows) == len(expected) >= IMAGES
        for row, other in zip(rows, expected, strict=True):
            assert row == other
