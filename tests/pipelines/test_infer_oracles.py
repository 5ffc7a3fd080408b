"""infer on the real models and data: its rows against what the TensorFlow Object Detection API itself answered."""

import collections
import csv
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_jobs import infer
from od_core.checks.detections import check_detections

pytestmark = pytest.mark.shared

TOLERANCE = 1e-5
BROKEN_PHOTOS = {"image1_truncated.jpg", "not_an_image.jpg", "empty.jpg"}
Run = Callable[..., int]


@pytest.fixture
def run(shared: pathlib.Path, tmp_path: pathlib.Path) -> Run:
    def run_it(model: str, input: object, *more: str) -> int:
        folder = shared / "models" / model
        argv = ["--model", folder, "--label_map", folder / "label_map.pbtxt", "--input", input, "--output"]
        return infer.main([*map(str, argv), str(tmp_path / "out"), "--progress", "off", *more])

    return run_it


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    assert check_detections(output).problems == []
    return pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()


def validation_images(shared: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The 73 held-out photos, as a folder of links."""
    folder.mkdir()
    split = (shared / "models/ssd_mobilenet_bccd_tf1/split_val.txt").read_text().split()
    for name in split:
        (folder / f"{name}.jpg").symlink_to(shared / f"data/datasets/bccd/BCCD/JPEGImages/{name}.jpg")
    assert len(split) == 73
    return folder


def oracle(path: pathlib.Path) -> dict[str, list[dict[str, str]]]:
    wanted = collections.defaultdict(list)
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            wanted[line["filename"]].append(line)
    return wanted


def numbers(detection: dict[str, Any]) -> np.ndarray:
    return np.array([float(detection[name]) for name in ("score", "ymin", "xmin", "ymax", "xmax")])


def differences(rows: list[dict[str, Any]], wanted: dict[str, list[dict[str, str]]]) -> list[str]:
    """Every detection that has no partner: same class, all five numbers within the tolerance.

    Partners are looked for among the neighbours in rank, because equal scores may stand in either order.
    """
    problems = []
    for row in rows:
        expected = wanted[row["key"]]
        if len(row["detections"]) != len(expected):
            problems.append(f"{row['key']}: {len(row['detections'])} detections, not {len(expected)}")
            continue
        free = dict(enumerate(expected))
        for rank, found in enumerate(row["detections"]):
            near = [
                at for at in range(rank - 3, rank + 4) if at in free and int(free[at]["class"]) == found["class_id"]
            ]
            match = next((at for at in near if np.abs(numbers(found) - numbers(free[at])).max() <= TOLERANCE), None)
            if match is None:
                problems.append(f"{row['key']} rank {rank}: {found}, not {expected[rank]}")
            else:
                del free[match]
    return problems


@pytest.mark.parametrize(
    ("model", "answers"),
    [
        ("ssd_mobilenet_bccd_tf1", "infer_detections"),
        ("ssd_mobilenet_v2_fpnlite_bccd_tf2", "tf2"),
    ],
)
def test_detections_equal_the_apis_own_on_the_validation_images(
    shared: pathlib.Path, tmp_path: pathlib.Path, run: Run, model: str, answers: str
) -> None:
    assert run(model, validation_images(shared, tmp_path / "in")) == 0
    rows = rows_of(tmp_path / "out")
    wanted = oracle(shared / f"oracles/{answers}/bccd_val_detections.csv")
    assert {row["key"] for row in rows} == wanted.keys()
    assert sum(len(row["detections"]) for row in rows) == 7300
    assert differences(rows, wanted) == []


def test_detections_equal_the_apis_own_on_its_records(shared: pathlib.Path, tmp_path: pathlib.Path, run: Run) -> None:
    assert run("ssd_mobilenet_bccd_tf1", shared / "oracles/records/bccd_val.record") == 0
    rows = rows_of(tmp_path / "out")
    assert [row["record_index"] for row in rows] == list(range(73))
    assert differences(rows, oracle(shared / "oracles/infer_detections/bccd_val_detections.csv")) == []


def test_every_photo_ends_as_done_or_failed_rightly(shared: pathlib.Path, tmp_path: pathlib.Path, run: Run) -> None:
    assert run("ssd_mobilenet_bccd_tf1", shared / "data/photos") == 3
    rows = rows_of(tmp_path / "out")
    names = {path.name for path in (shared / "data/photos").iterdir() if path.suffix != ".txt"}
    assert {row["key"] for row in rows} == names
    assert {row["key"] for row in rows if row["status"] == "failed"} == BROKEN_PHOTOS
    sizes = {row["key"]: (row["width"], row["height"]) for row in rows if row["status"] == "done"}
    assert sizes["Landscape_6.jpg"] == sizes["Landscape_0.jpg"] == (1800, 1200), "EXIF orientation is not applied"
    assert sizes["Portrait_6.jpg"] == sizes["Portrait_5.jpg"] == (1200, 1800)
    assert {row["kind"] for row in rows if row["key"] == "image2_animated.gif"} == {"video"}


def decoded_by_pyav(path: pathlib.Path) -> list[int | None]:
    """pts of every frame in order of output, by nothing but PyAV: the sequential decode with one thread."""
    with av.open(str(path)) as container:
        container.flags &= ~1
        stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        stream.thread_type = "NONE"
        frames = []
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                continue
        scale = stream.time_base * 1_000_000
        return [None if frame.pts is None else round(float(frame.pts * scale)) for frame in frames]


def test_every_video_gives_one_row_per_decoded_frame_with_its_time(
    shared: pathlib.Path, tmp_path: pathlib.Path, run: Run
) -> None:
    assert run("ssd_mobilenet_bccd_tf1", shared / "data/videos", "--max_detections", "1") == 3
    by_key = collections.defaultdict(list)
    for row in rows_of(tmp_path / "out"):
        by_key[row["key"]].append(row)
    videos = {path.name for path in (shared / "data/videos").iterdir() if path.is_file()}
    bad = {f"bad/{path.name}" for path in (shared / "data/videos/bad").iterdir()}
    assert by_key.keys() == videos | bad
    for name in sorted(videos):
        rows = by_key[name]
        assert {row["status"] for row in rows} == {"done"}, name
        assert [row["frame_index"] for row in rows] == list(range(len(rows))), name
        times, wanted = [row["timestamp_us"] for row in rows], decoded_by_pyav(shared / "data/videos" / name)
        assert len(times) == len(wanted), name
        for mine, theirs in zip(times, wanted, strict=True):
            assert (mine is None) == (theirs is None), name
            assert mine is None or abs(mine - theirs) <= 1, name
    for name in bad - {"bad/pancake_truncated.mkv"}:
        (row,) = by_key[name]
        assert (row["status"], row["frame_index"]) == ("failed", None)
    *frames, damage = by_key["bad/pancake_truncated.mkv"]
    assert frames
    assert {row["status"] for row in frames} == {"done"}
    assert (damage["status"], damage["error"]["last_frame_index"]) == ("failed", len(frames) - 1)


def test_frame_counts_are_those_of_ffprobe(shared: pathlib.Path, tmp_path: pathlib.Path, run: Run) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed (Debian: ffmpeg)")
    names = ["bikes_vfr.mp4", "pancake_cut_nonkey.mp4", "bikes_xvid_bframes.avi", "bikes_mpeg2.mpg", "bikes.gif"]
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).symlink_to(shared / "data/videos" / name)
    assert run("ssd_mobilenet_bccd_tf1", tmp_path / "in", "--max_detections", "1") == 0
    counts = collections.Counter(row["key"] for row in rows_of(tmp_path / "out"))
    for name in names:
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames"]
        command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(shared / "data/videos" / name)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert counts[name] == int(printed.split(",")[0].split()[0]), name
