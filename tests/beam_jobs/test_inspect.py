"""boxbeam inspect, on every kind of path: what it holds, whether it is valid, and the exit status that says so."""

import gzip
import hashlib
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_jobs import inspect
from od_core.detections import Detections
from od_core.examples import ENCODED, encode_example
from od_core.records import write_record
from od_core.schemas import DETECTIONS_VERSION, FrameError, FrameRow, detections_table
from pipelines.dataset import DataFile, Manifest
from tests.blocks_scene import draw_scene, jpeg, write_video

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LABELS = {1: "cat", 2: "dog"}
Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys) -> Said:
    """Exit status and output of `boxbeam inspect` with these arguments: on stdout, but for wrong usage."""

    def run(*argv: object) -> tuple[int, str]:
        try:
            status = inspect.main(list(map(str, argv)))
        except SystemExit as stopped:
            status = stopped.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert (printed.err if status < 2 else printed.out) == ""
        return status, printed.out or printed.err

    return run


def found(*classes: int) -> Detections:
    scores = np.linspace(0.9, 0.3, len(classes))
    return Detections.best_first(np.tile([0.1, 0.2, 0.5, 0.6], (len(classes), 1)), scores, np.array(classes))


ROWS = [
    FrameRow("a.jpg", "/in/a.jpg", "image", 0, width=64, height=48, detections=found(1, 2, 9)),
    FrameRow("b.jpg", "/in/b.jpg", "image", 0, width=64, height=48, detections=Detections.empty()),
    FrameRow("v.mp4", "/in/v.mp4", "video", 0, None, 0, 64, 48, found(1)),
    FrameRow("v.mp4", "/in/v.mp4", "video", 1, None, 40_000, 64, 48, found(1)),
    FrameRow("w.mp4", "/in/w.mp4", "video", error=FrameError("decode", "VideoError", "not a video")),
]


def write_dataset(folder: pathlib.Path, *files: Sequence[FrameRow]) -> pathlib.Path:
    folder.mkdir()
    entries = []
    for number, rows in enumerate(files):
        path = folder / f"detections-{number:05d}-{number:012x}.parquet"
        metadata = {"boxbeam.schema": DETECTIONS_VERSION, "boxbeam.provenance": "{}"}
        pq.write_table(detections_table(rows, LABELS).replace_schema_metadata(metadata), path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(DataFile(path.name, len(rows), path.stat().st_size, digest, len(rows)))
    manifest = Manifest("infer", DETECTIONS_VERSION, {}, {}, {"inputs": 4}, tuple(entries))
    (folder / "manifest.json").write_text(manifest.to_text())
    return folder


def test_a_dataset_is_counted_by_kind_status_and_class(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS[:2], ROWS[2:])
    assert said(folder) == (
        0,
        f"{folder}: detections dataset, valid\n"
        "  5 rows (2 image, 3 video) of 4 keys in 2 files; 4 done, 1 failed\n"
        "  5 detections, scores 0.3 to 0.9\n"
        "    cat                                3\n"
        "    dog                                1\n"
        "    class 9                            1\n",
    )


def test_one_file_of_a_dataset_can_be_looked_at(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS[:2], ROWS[2:])
    status, text = said(sorted(folder.glob("*.parquet"))[0])
    assert status == 0
    assert "  2 rows (2 image) of 2 keys in 1 file; 2 done\n" in text


def test_a_dataset_without_rows_is_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found")
    lines = (f"{folder}: detections dataset, valid", "  0 rows (none) of 0 keys in 0 files", "  0 detections", "")
    assert said(folder) == (0, "\n".join(lines))


def test_many_classes_are_shown_up_to_a_limit(said, tmp_path):
    rows = [FrameRow("a.jpg", "/a.jpg", "image", 0, width=9, height=9, detections=found(*range(1, 26)))]
    status, text = said(write_dataset(tmp_path / "found", rows))
    assert status == 0
    assert text.count("\n    class ") == 20 - len(LABELS)
    assert text.endswith("    and 5 more\n")


def test_a_dataset_whose_bytes_changed_is_not_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS)
    (file,) = folder.glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    status, text = said(folder)
    assert status == 1
    assert text.startswith(f"{folder}: detections dataset, NOT valid\n")
    assert f"  problem: {file.name}: its bytes are not those the manifest names (SHA-256 differs)\n" in text


def test_a_dataset_that_was_not_finished_is_not_valid(said, tmp_path):
    folder = write_dataset(tmp_path / "found", ROWS)
    (folder / "manifest.json").unlink()
    status, text = said(folder)
    assert status == 1
    assert "manifest.json is missing: the dataset is not finished; repeat its command" in text
    assert "  5 rows (" in text  # what is there is counted all the same


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(20) + b"PAR1"])
def test_what_is_no_parquet_is_not_valid(said, tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    status, text = said(tmp_path / "x.parquet")
    assert status == 1
    assert "  problem: x.parquet: not a readable Parquet file (" in text


# Label maps


def test_a_label_map_is_listed(said, tmp_path):
    (tmp_path / "l.pbtxt").write_text("item { id: 12 name: '/m/1' display_name: 'cat' } item { id: 3 name: 'dog' }")
    assert said(tmp_path / "l.pbtxt") == (
        0,
        f"{tmp_path}/l.pbtxt: label map of 2 classes\n      3  dog\n     12  cat\n",
    )


@pytest.mark.parametrize("name", ["l.pbtxt", "l.txt"])
def test_a_list_of_names_is_not_a_valid_label_map(said, tmp_path, name):
    (tmp_path / name).write_text("cat\ndog\n")
    status, text = said(tmp_path / name)
    assert status == 1
    assert f"{name}: not valid: " in text
    assert "this is a plain list of names" in text


# Images


def test_an_image_is_described_as_it_stands_upright(said, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(draw_scene(0).image).save(tmp_path / "turned.jpg", exif=exif)
    assert said(tmp_path / "turned.jpg") == (
        0,
        f"{tmp_path}/turned.jpg: jpeg image of 240 x 320, turned upright by its EXIF orientation 6; it decodes\n",
    )


@pytest.mark.parametrize("name", ["cut.jpg", "CUT.JPG", "cut.gif"])
def test_an_image_that_is_cut_off_is_not_valid(said, tmp_path, name):
    """Its header alone would look fine."""
    file = io.BytesIO()
    Image.fromarray(draw_scene(0).image).save(file, "GIF" if name.endswith("gif") else "JPEG")
    (tmp_path / name).write_bytes(file.getvalue()[:-2000])
    status, text = said(tmp_path / name)
    assert status == 1
    assert text.startswith(f"{tmp_path / name}: not valid: a damaged or cut-off ")


@pytest.mark.parametrize(("content", "what"), [(b"", "an empty file"), (b"hello", "plain text")])
def test_what_is_no_image_is_not_valid_as_one(said, tmp_path, content, what):
    (tmp_path / "x.png").write_bytes(content)
    status, text = said(tmp_path / "x.png")
    assert (status, text.count("\n")) == (1, 1)
    assert what in text


# TFRecords


def records(count: int = 4) -> list[bytes]:
    written = []
    for number in range(count):
        file = io.BytesIO()
        write_record(file, encode_example({ENCODED: jpeg(draw_scene(number, width=64, height=48).image)}))
        written.append(file.getvalue())
    return written


def test_records_are_counted_those_without_an_image_too(said, tmp_path):
    without = io.BytesIO()
    write_record(without, encode_example({"label": 3}))
    (tmp_path / "x.tfrecord").write_bytes(b"".join([*records(2), without.getvalue(), *records(1)]))
    status, text = said(tmp_path / "x.tfrecord")
    assert status == 1
    assert text.startswith("  record 2: ")
    assert text.endswith(f"{tmp_path}/x.tfrecord: 4 records, 3 of them with an image, 1 not usable\n")


@pytest.mark.parametrize("name", ["x.tfrecord", "train-00000-of-00002", "x.tfrecord.gz"])
def test_sound_records_are_valid_packed_or_not(said, tmp_path, name):
    content = b"".join(records())
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    expected = f"{tmp_path / name}: 4 records, 4 of them with an image, 0 not usable\n"
    assert said(tmp_path / name) == (0, expected)


def test_a_damaged_record_is_named_and_the_others_are_counted(said, tmp_path):
    written = records()
    written[1] = written[1][:100] + bytes([written[1][100] ^ 1]) + written[1][101:]
    (tmp_path / "x.tfrecord").write_bytes(b"".join(written))
    status, text = said(tmp_path / "x.tfrecord")
    assert status == 1
    assert f"  record 1: the record at byte {len(written[0])} is damaged" in text
    assert "4 records, 3 of them with an image, 1 not usable" in text


def test_a_file_that_is_cut_off_within_a_record_is_not_valid(said, tmp_path):
    (tmp_path / "x.tfrecord").write_bytes(b"".join(records())[:-5])
    status, text = said(tmp_path / "x.tfrecord")
    assert status == 1
    assert "  record 3: the file ends within the record" in text


def test_only_the_first_damaged_records_are_told(said, tmp_path):
    broken = io.BytesIO()
    for _ in range(15):
        write_record(broken, b"no example")
    (tmp_path / "x.tfrecord").write_bytes(broken.getvalue())
    status, text = said(tmp_path / "x.tfrecord")
    assert (status, text.count("\n")) == (1, 11)
    assert "15 records, 0 of them with an image, 15 not usable" in text


# Videos


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, 30, width=160, height=120)
    return path


def test_a_video_is_described_from_its_header(said, video):
    status, text = said(video)
    assert status == 0
    first, second, third = text.splitlines()
    assert first == f"{video}: h264 video in mov,mp4,m4a,3gp,3g2,mj2"
    assert second.startswith("  160 x 120 upright (rotation 0), 25.000 frames/s on average, 1.200 s declared, 30 ")
    assert third == "  what containers declare is often wrong: --decode counts"


def test_decoding_counts_the_frames_there_are(said, video):
    status, text = said(video, "--decode")
    assert (status, text.splitlines()[-1]) == (0, "  decoded: 30 frames, no damaged stretch")


def test_decoding_finds_the_damage(said, video, tmp_path):
    content = bytearray(video.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    (tmp_path / "clip.mp4").write_bytes(content)
    status, text = said(tmp_path / "clip.mp4", "--decode")
    assert status == 1
    assert "\n  damage after frame " in text
    assert text.endswith(", 1 damaged stretch\n")


@pytest.mark.parametrize("keep", [0, 5000])
def test_a_video_that_does_not_open_is_not_valid(said, video, tmp_path, keep):
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:keep])
    status, text = said(tmp_path / "cut.mp4")
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith(f"{tmp_path}/cut.mp4: not valid: ")


def test_an_animated_gif_is_a_video(said, tmp_path):
    frames = [Image.fromarray(draw_scene(number).image) for number in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    status, text = said(tmp_path / "a.gif", "--decode")
    assert status == 0
    assert text.startswith(f"{tmp_path}/a.gif: gif video")
    assert "decoded: 3 frames" in text


# Models: those that open are held against the API in tests/od_core/test_model.py


def test_a_file_that_is_a_model_by_name_only_is_not_valid(said, tmp_path):
    (tmp_path / "m.pb").write_bytes(b"no graph")
    status, text = said(tmp_path / "m.pb")
    assert (status, text.count("\n")) == (1, 1)
    assert text.startswith(f"{tmp_path}/m.pb: not valid: ")
    assert "is not a frozen graph" in text


def test_a_model_says_what_it_takes_and_gives(said, tmp_path):
    from tests.blocks_model import write_frozen_graph

    write_frozen_graph(tmp_path / "frozen_inference_graph.pb")
    digest = hashlib.sha256((tmp_path / "frozen_inference_graph.pb").read_bytes()).hexdigest()
    status, text = said(tmp_path)
    assert status == 0
    assert text.splitlines() == [
        f"{tmp_path}: a detector boxbeam can run",
        f"  frozen graph at {tmp_path}/frozen_inference_graph.pb, sha256 {digest}",
        "  input:  image_tensor (image_tensor:0), batch size any",
        *(f"  output: {name} ({name}:0)" for name in (
            "detection_boxes", "detection_scores", "detection_classes", "num_detections"
        )),
    ]  # fmt: skip


# What boxbeam has no word for


def test_a_path_that_is_not_there_is_wrong_usage(said, tmp_path):
    status, text = said(tmp_path / "gone")
    assert (status, text) == (
        2,
        f"boxbeam inspect: error: {tmp_path}/gone: no such file or folder (see boxbeam inspect --help)\n",
    )


def test_a_remote_path_is_wrong_usage(said):
    status, text = said("s3://bucket/found")
    assert status == 2
    assert "not on this machine's disks; copy it here first" in text


def test_a_folder_and_a_file_of_no_kind_are_wrong_usage(said, tmp_path):
    (tmp_path / "notes.odt").write_bytes(b"x")
    assert said(tmp_path / "notes.odt")[0] == 2
    status, text = said(tmp_path)
    assert status == 2
    assert "found notes.odt" in text


@pytest.mark.parametrize("name", ["p.jpg", "p.tfrecord", "p.parquet"])
def test_a_named_pipe_is_refused_at_once(said, tmp_path, name):
    """Opening it would wait for ever."""
    os.mkfifo(tmp_path / name)
    status, text = said(tmp_path / name)
    assert status in (1, 2)
    assert "not a regular file" in text


def test_a_link_to_nowhere_is_told(said, tmp_path):
    (tmp_path / "l.jpg").symlink_to("gone.jpg")
    status, text = said(tmp_path / "l.jpg")
    assert status == 2
    assert f"{tmp_path}/l.jpg: cannot be read (No such file or directory)" in text


def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path):
    """As old archives have them; printing such a name as it is would be an error of its own."""
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(jpeg(draw_scene(0, width=64, height=48).image))
    run = subprocess.run([sys.executable, "-m", "beam_jobs.inspect", name], capture_output=True, cwd=REPOSITORY)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.decode() == f"{tmp_path}/caf\\xe9.jpg: jpeg image of 64 x 48; it decodes\n"
