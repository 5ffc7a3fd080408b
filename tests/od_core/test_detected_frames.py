"""Detections as a stream of frames, in an order of their own."""

import pathlib

import numpy as np
import pytest

from od_core.detected_frames import dataset_files, only, read_frames
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.schemas import FrameError
from tests.pipelines.evaluation_files import BROKEN, failed_row, found_row, write_detections

BOX, OTHER = (0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 1.0, 1.0)


def test_every_row_is_a_frame(tmp_path: pathlib.Path) -> None:
    rows = [found_row("a.jpg", (1, BOX, 0.9), (3, OTHER, 0.5)), found_row("b.jpg"), failed_row("c.jpg")]
    first, second, third = read_frames(str(write_detections(tmp_path / "found", rows)))
    assert first.detections == Detections.best_first([BOX, OTHER], [0.9, 0.5], [1, 3])
    assert first.labels == ("cat", "class 3")
    assert (first.key, first.source, first.kind, first.width, first.height) == ("a.jpg", "/in/a.jpg", "image", 200, 100)
    assert (second.detections, second.labels, second.error) == (Detections.empty(), (), None)
    assert (third.detections, third.error) == (None, FrameError(*BROKEN))


def test_frames_are_named_after_their_number(tmp_path: pathlib.Path) -> None:
    rows = [
        found_row("clip.mp4", frame=7, kind="video"),
        failed_row("clip.mp4", frame=None, kind="video"),
        found_row("id-1", kind="record"),
    ]
    frames = read_frames(str(write_detections(tmp_path / "found", rows)))
    assert [frame.name for frame in frames] == ["clip.mp4/000000007.jpg", "clip.mp4", "id-1"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("per_file", "row_group"), [(1, 1), (7, 3), (100, 100)])
def test_the_order_is_that_of_sources_and_frames(
    tmp_path: pathlib.Path, seed: int, per_file: int, row_group: int
) -> None:
    """However rows are spread over files and row groups."""
    rng = np.random.default_rng(seed)
    rows = [found_row(f"{n}.jpg", (1, BOX, 0.5)) for n in "abc"]
    rows += [found_row(f"{n}.mp4", frame=frame, kind="video") for n in "ac" for frame in range(0, 15, 3)]
    rows += [found_row(f"id{9 - n}", kind="record")._replace(source="/in/b.record", record_index=n) for n in range(4)]
    shuffled = [rows[n] for n in rng.permutation(len(rows))]
    found = write_detections(tmp_path / "found", shuffled, per_file=per_file, row_group=row_group)
    wanted = sorted(rows, key=lambda row: (row.source, row.record_index or row.frame_index or 0))
    assert [(f.key, f.frame_index, f.detections) for f in read_frames(str(found))] == [
        (row.key, row.frame_index, row.detections) for row in wanted
    ]


def test_a_stretch_of_a_video_that_failed_stays_in_its_place(tmp_path: pathlib.Path) -> None:
    rows = [found_row("a.mp4", frame=n, kind="video") for n in range(4)]
    rows.insert(2, failed_row("a.mp4", frame=None, kind="video"))
    found = write_detections(tmp_path / "found", rows, per_file=100)
    assert [frame.frame_index for frame in read_frames(str(found))] == [0, 1, None, 2, 3]


def test_detections_can_be_chosen(tmp_path: pathlib.Path) -> None:
    rows = [found_row("a.jpg", (1, BOX, 0.9), (2, OTHER, 0.8), (1, OTHER, 0.2)), failed_row("b.jpg")]
    found = str(write_detections(tmp_path / "found", rows))
    chosen, failed = only(read_frames(found), min_score=0.5, labels=frozenset({"dog"}))
    assert (chosen.detections, chosen.labels) == (Detections.best_first([OTHER], [0.8], [2]), ("dog",))
    assert failed.detections is None
    chosen, _ = only(read_frames(found), min_score=0.5)
    assert chosen.labels == ("cat", "dog")


def test_one_file_is_read_alone(tmp_path: pathlib.Path) -> None:
    found = write_detections(tmp_path / "found", [found_row(f"{n}.jpg") for n in range(4)], per_file=2)
    assert [frame.key for frame in read_frames(str(found / "00001.parquet"))] == ["2.jpg", "3.jpg"]


def test_what_is_no_dataset_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(UsageError, match="not a manifest"):
        dataset_files(str(tmp_path))
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        dataset_files(str(tmp_path / "nothing"))
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        list(read_frames(str(tmp_path / "x.parquet")))
