"""infer through its command line, with a real TensorFlow Session on boxbeam's own sample model and scenes."""

import gzip
import io
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beam_jobs import infer
from od_core.checks.detections import check_detections
from od_core.detections import Detections
from od_core.errors import DetectError
from od_core.images import decode_image
from od_core.model.detector import Detector, open_detector
from od_core.model.tensors import ROLES
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from od_core.schemas import detections_of
from od_core.video.frames import read_video
from pipelines.grouping import ItemLimit
from pipelines.infer import job as infer_job
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import draw_scene, jpeg, write_images, write_video

Run = Callable[..., int]
SIZES = {"red": 1, "green": 2, "blue": 3}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("model")
    write_frozen_graph(folder / "frozen_inference_graph.pb")
    (folder / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    return folder


@pytest.fixture(scope="session")
def detector(model: pathlib.Path) -> Detector:
    return open_detector(model)


@pytest.fixture
def run(model: pathlib.Path, tmp_path: pathlib.Path) -> Run:
    """Run infer in this process on tmp_path/in into tmp_path/out."""

    def run_it(*more: str, input: object = None, output: str = "out") -> int:
        return infer.main(
            [
                *("--model", str(model), "--label_map", str(model / "labels.pbtxt"), "--progress", "off"),
                *("--input", str(input or tmp_path / "in"), "--output", str(tmp_path / output)),
                *("--isolation", "none", *more),
            ]
        )

    return run_it


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    report = check_detections(output)
    assert report.problems == []
    table = pq.read_table(sorted(output.glob("*.parquet")))
    return [{**row, "found": found} for row, found in zip(table.to_pylist(), detections_of(table), strict=True)]


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def example(image: bytes, source_id: str = "", filename: str = "") -> bytes:
    return encode_example({"image/encoded": image, "image/source_id": source_id, "image/filename": filename})


def test_images_of_mixed_sizes_and_kinds_get_what_the_detector_says_directly(
    run: Run, tmp_path: pathlib.Path, detector: Detector
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(30):
        width, height = [(320, 240), (160, 200), (97, 131)][number % 3]
        image = draw_scene(number, width=width, height=height).image
        name, encoded = (f"{number:02}.png", png(image)) if number % 2 else (f"{number:02}.jpg", jpeg(image))
        (folder / name).write_bytes(encoded)
    assert run() == 0
    rows = rows_of(tmp_path / "out")
    assert [row["key"] for row in rows] == sorted(path.name for path in folder.iterdir())
    for row in rows:
        pixels = decode_image((folder / row["key"]).read_bytes(), decode_jpeg=detector.decode_jpeg)
        assert (row["height"], row["width"]) == pixels.shape[:2]
        assert (row["kind"], row["status"], row["frame_index"], row["timestamp_us"]) == ("image", "done", 0, None)
        assert row["found"] == detector.detect(pixels[None])[0]
        assert len(row["found"]) >= 2
        assert all(SIZES[d["label"]] == d["class_id"] for d in row["detections"])


def test_a_model_of_other_names_gives_the_same_once_told(run: Run, tmp_path: pathlib.Path, model: pathlib.Path) -> None:
    """The same graph, read as if its corners were given the other way round, and its ids from 0."""
    write_images(tmp_path / "in", 3)
    assert run(output="straight") == 0
    outputs = ",".join(f"{role}={name}:0" for role, name in list(ROLES.items())[:4])
    read = ("--output_tensors", outputs, "--box_format", "xmin_ymin_xmax_ymax", "--first_class_id", "0")
    (tmp_path / "more.pbtxt").write_text(BLOCKS_LABEL_MAP + 'item { id: 4 name: "more" }')
    assert run(*read, "--input_tensor", "image_tensor", "--label_map", str(tmp_path / "more.pbtxt")) == 0
    for straight, other in zip(rows_of(tmp_path / "straight"), rows_of(tmp_path / "out"), strict=True):
        assert len(straight["found"]) >= 2
        np.testing.assert_array_equal(other["found"].boxes, straight["found"].boxes[:, [1, 0, 3, 2]])
        np.testing.assert_array_equal(other["found"].classes, straight["found"].classes + 1)


def test_a_video_gives_one_row_per_frame_with_its_time(run: Run, tmp_path: pathlib.Path, detector: Detector) -> None:
    write_video(tmp_path / "in/clip.mp4", 60)
    assert run() == 0
    rows = rows_of(tmp_path / "out")
    frames = list(read_video(tmp_path / "in/clip.mp4"))
    assert [(row["frame_index"], row["timestamp_us"]) for row in rows] == [(n, n * 40_000) for n in range(60)]
    for row, frame in zip(rows, frames, strict=True):
        assert row["found"] == detector.detect(frame.image[None])[0].best(min_score=0.05)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--every", "7"], range(0, 60, 7)),
        (["--fps", "5"], range(0, 60, 5)),
        (["--keyframes"], None),  # asked of ffmpeg
        (["--start", "0:01", "--end", "1.5"], range(25, 38)),
        (["--fps", "5", "--start", "1"], range(25, 60, 5)),
        (["--start", "1:00:00"], []),
    ],
    ids=["every", "fps", "keyframes", "window", "fps_in_window", "after_the_end"],
)
def test_sampled_rows_are_some_of_the_rows_of_all_frames(
    run: Run, tmp_path: pathlib.Path, options: list[str], wanted: Sequence[int] | None
) -> None:
    write_video(tmp_path / "in/clip.mkv", 60)
    write_images(tmp_path / "in", 1)
    assert run(output="all") == 0
    assert run(*options) == 0
    every = rows_of(tmp_path / "all")
    if wanted is None:
        with av.open(str(tmp_path / "in/clip.mkv")) as container:
            wanted = [index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame]
        assert len(wanted) == 3
    assert rows_of(tmp_path / "out") == [*(every[index] for index in wanted), every[-1]]
    assert run("--every", "3") == 2  # rows of two samplings would not belong together


@pytest.mark.parametrize("compressed", [False, True])
def test_records_are_named_by_source_id_and_counted(
    run: Run, tmp_path: pathlib.Path, detector: Detector, compressed: bool
) -> None:
    (tmp_path / "in").mkdir()
    images = [jpeg(draw_scene(number).image) for number in range(7)]
    names = [("a", "x.jpg"), ("", "b.jpg"), ("", ""), ("d", ""), ("e", ""), ("f", ""), ("g", "")]
    content = io.BytesIO()
    for image, (source_id, filename) in zip(images, names, strict=True):
        write_record(content, example(image, source_id, filename))
    raw = content.getvalue()
    (tmp_path / "in/val.tfrecord").write_bytes(gzip.compress(raw) if compressed else raw)
    assert run() == 0
    rows = rows_of(tmp_path / "out")
    assert [row["key"] for row in rows] == ["a", "b.jpg", "val.tfrecord#2", "d", "e", "f", "g"]
    assert [row["record_index"] for row in rows] == list(range(7))
    assert {row["kind"] for row in rows} == {"record"}
    for row, image in zip(rows, images, strict=True):
        assert row["found"] == detector.detect(detector.decode_jpeg(image)[None])[0]


def test_record_files_cut_into_pieces_give_the_same_rows(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in/val.record-00000-of-00001", "wb") as file:
        for number in range(9):
            write_record(file, example(jpeg(draw_scene(number).image), f"id{number}"))
    assert run("--output", str(tmp_path / "whole")) == 0
    monkeypatch.setattr(infer_job, "_RECORD_BYTES_PER_PIECE", 50_000)
    assert run("--output", str(tmp_path / "cut")) == 0
    whole, cut = rows_of(tmp_path / "whole"), rows_of(tmp_path / "cut")
    assert len(cut) == 9
    assert whole == cut


def test_a_broken_header_is_one_failed_row_and_one_failed_input_for_any_number_of_ranges(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    file = io.BytesIO()
    second = write_record(file, example(jpeg(draw_scene(0).image), "id0"))
    for number in range(1, 4):
        write_record(file, example(jpeg(draw_scene(number).image), f"id{number}"))
    broken = tmp_path / "in/val.tfrecord"
    broken.write_bytes(good := file.getvalue())
    os.utime(broken, (1e9, 1e9))
    assert run(output="good") == 0
    broken.write_bytes(good[:second] + b"\xff" * 4 + good[second + 4 :])
    os.utime(broken, (1e9, 1e9))
    assert run(output="whole") == 3
    monkeypatch.setattr(infer_job, "_RECORD_BYTES_PER_PIECE", len(good) // 45)
    monkeypatch.setattr(infer_job, "_ITEM_LIMITS", {"record": ItemLimit(1, 1)})
    assert run(output="cut") == 3  # and is not stopped, as if more than 20 inputs had failed
    assert [row["record_index"] for row in rows_of(tmp_path / "whole")] == [0, 1]
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "whole")
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("whole", "cut")]
    assert manifests[0]["counts"] == manifests[1]["counts"]
    report = json.loads((tmp_path / "cut/run.json").read_text())
    assert {status: report["this_run"][status] for status in ("done", "empty", "failed")} == {
        "done": 0,
        "empty": 0,
        "failed": 1,
    }
    assert len(report["failed"]) == 1
    broken.write_bytes(good)
    os.utime(broken, (1e9, 1e9))  # mended in its place: nothing of it may count as done
    assert run("--retry_failed", output="cut") == 0
    assert rows_of(tmp_path / "cut") == rows_of(tmp_path / "good")


def test_bad_inputs_become_failed_rows_and_the_others_are_done(
    run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    write_images(folder, 3)
    good = (folder / "scene_000.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "text.jpg").write_text("this is a text file")
    (folder / "empty.png").write_bytes(b"")
    (folder / "video.mp4").write_bytes(b"\0" * 5000)
    write_video(folder / "half.mkv", 40)
    half = (folder / "half.mkv").read_bytes()
    (folder / "half.mkv").write_bytes(half[: len(half) // 2])
    record = io.BytesIO()
    for number in range(3):
        write_record(record, example(good, f"id{number}"))
    broken = bytearray(record.getvalue())
    broken[len(broken) // 2] ^= 0xFF
    (folder / "some.tfrecord").write_bytes(broken)
    assert run() == 3
    rows = rows_of(tmp_path / "out")
    failed = {row["key"]: row["error"] for row in rows if row["status"] == "failed"}
    assert {"cut.jpg", "text.jpg", "empty.png", "video.mp4", "half.mkv", "some.tfrecord#1"} == failed.keys()
    assert {error["stage"] for key, error in failed.items() if key.endswith((".jpg", ".png"))} == {"decode"}
    assert "text" in failed["text.jpg"]["message"]
    assert failed["half.mkv"]["last_frame_index"] is not None
    done = [row for row in rows if row["status"] == "done"]
    assert {"scene_000.jpg", "scene_001.jpg", "scene_002.jpg", "id0", "id2"} <= {row["key"] for row in done}
    in_half = [row["frame_index"] for row in done if row["key"] == "half.mkv"]
    assert in_half == list(range(failed["half.mkv"]["last_frame_index"] + 1))
    printed = capsys.readouterr().out
    assert "9 inputs: 3 done, 0 empty, 6 failed" in printed
    assert "cut.jpg: " in printed


def test_empty_and_failed_are_told_apart(run: Run, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/grey.png").write_bytes(png(np.full((50, 60, 3), 128, np.uint8)))
    (tmp_path / "in/bad.png").write_bytes(b"nothing")
    assert run() == 3
    bad, grey = rows_of(tmp_path / "out")
    assert (grey["status"], grey["detections"], grey["width"], grey["height"]) == ("done", [], 60, 50)
    assert (bad["status"], bad["detections"], bad["width"]) == ("failed", None, None)


def test_scores_and_numbers_are_limited(run: Run, tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "in", 3)
    assert run("--max_detections", "1") == 0
    assert [len(row["detections"]) for row in rows_of(tmp_path / "out")] == [1, 1, 1]
    assert run("--min_score", "1", "--overwrite") == 0
    scores = [d["score"] for row in rows_of(tmp_path / "out") for d in row["detections"]]
    assert scores
    assert set(scores) == {1.0}


def test_a_label_map_that_knows_none_of_the_classes_stops_the_run(
    run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "in", 2)
    (tmp_path / "other.pbtxt").write_text("item { id: 77 name: 'zebra' }")
    assert run("--label_map", str(tmp_path / "other.pbtxt")) == 2
    message = capsys.readouterr().err
    assert "none of the class ids" in message
    assert "1, 2, 3" in message
    assert "77" in message
    assert not (tmp_path / "out/manifest.json").exists()


def test_labels_the_map_lacks_are_null(run: Run, tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "in", 2)
    (tmp_path / "part.pbtxt").write_text("item { id: 2 name: 'green' display_name: 'Green!' }")
    assert run("--label_map", str(tmp_path / "part.pbtxt")) == 0
    pairs = {(d["class_id"], d["label"]) for row in rows_of(tmp_path / "out") for d in row["detections"]}
    assert pairs == {(1, None), (2, "Green!"), (3, None)}


def test_one_session_is_opened_for_all_items_and_closed(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    opened: list[Any] = []
    real = tf.compat.v1.Session

    class Counted(real):  # type: ignore[misc,valid-type]
        closed = 0

        def __init__(self, *args: Any, **options: Any):
            opened.append(self)
            super().__init__(*args, **options)

        def close(self) -> None:
            self.closed += 1
            super().close()

    monkeypatch.setattr(tf.compat.v1, "Session", Counted)
    monkeypatch.setattr(infer_job, "_ITEM_LIMITS", {"image": infer_job.ItemLimit(2, 1 << 30)})
    write_images(tmp_path / "in", 12)
    assert run("--workers", "2") == 0
    assert len(rows_of(tmp_path / "out")) == 12
    assert [session.closed for session in opened] == [1]


def test_an_image_the_model_fails_on_is_found_within_its_batch(
    run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from od_core.model.tf_session import SessionDetector

    real = SessionDetector.detect

    def detect(self: SessionDetector, images: np.ndarray, **options: Any) -> list[Detections]:
        if (images[:, 0, 0] == (1, 2, 3)).all(axis=1).any():
            raise DetectError("the model does not like this pixel")
        return real(self, images, **options)

    monkeypatch.setattr(SessionDetector, "detect", detect)
    (tmp_path / "in").mkdir()
    for number in range(8):
        image = draw_scene(number).image
        if number == 5:
            image[0, 0] = (1, 2, 3)
        (tmp_path / f"in/{number}.png").write_bytes(png(image))
    assert run() == 3
    errors = {row["key"]: row["error"] for row in rows_of(tmp_path / "out") if row["status"] == "failed"}
    assert errors.keys() == {"5.png"}
    assert errors["5.png"]["stage"] == "detect"
    assert errors["5.png"]["message"] == "the model does not like this pixel"


def test_item_processes_and_workers_do_not_change_the_rows(run: Run, tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "in", 20)
    write_video(tmp_path / "in/clip.mp4", 30)
    assert run("--workers", "1", output="one") == 0
    assert run("--isolation", "process", "--workers", "3", output="three") == 0
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "three")


def test_what_the_files_say_about_themselves(run: Run, tmp_path: pathlib.Path, model: pathlib.Path) -> None:
    import hashlib

    write_images(tmp_path / "in", 1)
    assert run() == 0
    (file,) = (tmp_path / "out").glob("*.parquet")
    metadata = pq.read_metadata(file).metadata
    assert metadata[b"boxbeam.schema"] == b"boxbeam.detections/1"
    provenance = json.loads(metadata[b"boxbeam.provenance"])
    graph = (model / "frozen_inference_graph.pb").read_bytes()
    assert provenance["model_sha256"] == hashlib.sha256(graph).hexdigest()
    assert provenance["signature"]["input_kind"] == "image_tensor"
    assert provenance["versions"]["tensorflow"]
    assert provenance["labels"] == {"1": "red", "2": "green", "3": "blue"}
    assert json.loads((tmp_path / "out/manifest.json").read_text())["provenance"] == provenance


def test_the_decoder_is_part_of_the_result_and_named(
    run: Run, tmp_path: pathlib.Path, detector: Detector, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (96, 128, 3), np.uint8)
    (folder / "a.jpg").write_bytes(encoded := jpeg(noise, quality=60))
    fast, exact = decode_image(encoded, decode_jpeg=detector.decode_jpeg), decode_image(encoded)
    assert (fast != exact).any()
    opencv = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(exact, opencv)
    assert run("--decoder", "pillow", output="exact") == 0
    assert run() == 0
    for name, pixels in (("exact", exact), ("out", fast)):
        (row,) = rows_of(tmp_path / name)
        assert row["found"] == detector.detect(pixels[None])[0]
    files = (sorted((tmp_path / name).glob("*.parquet"))[0] for name in ("exact", "out"))
    named = [json.loads(pq.read_metadata(file).metadata[b"boxbeam.provenance"])["jpeg_decoder"] for file in files]
    assert named == ["Pillow (libjpeg-turbo with its defaults)", "tf.io.decode_jpeg with its defaults (INTEGER_FAST)"]
    assert run("--decoder", "pillow") == 2
    assert "made with other options: decoder was tf.io.decode_jpeg" in capsys.readouterr().err


def test_the_batch_size_and_the_cpu_by_name_change_nothing(run: Run, tmp_path: pathlib.Path) -> None:
    write_video(tmp_path / "in/clip.mp4", 90)
    assert run(output="auto") == 0
    for size in ("1", "5", "auto"):
        assert run("--batch_size", size, "--device", "cpu", output=size) == 0
        assert rows_of(tmp_path / size) == rows_of(tmp_path / "auto")


def test_a_device_that_is_not_there_is_refused(
    run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "in", 1)
    assert run("--device", "gpu:77") == 2
    assert "TensorFlow has no device 'gpu:77' here; it has cpu" in capsys.readouterr().err
    for wrong in ("gpu", "cpu,gpu:0", "cuda:0", "gpu:0,"):
        with pytest.raises(SystemExit, match="2"):
            run("--device", wrong)
        assert "must be cpu or gpu:N" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "image"),
        ("A.JPEG", "image"),
        ("x.y.png", "image"),
        ("clip.MP4", "video"),
        ("cam.ts", "video"),
        ("train.tfrecord", "record"),
        ("train.record", "record"),
        ("coco_val.record-00001-of-00050", "record"),
        ("oid.tfrecord-00000-of-00003", "record"),
        ("train-00000-of-00012.tfrecord", "record"),
        ("train-00000-of-00012", "record"),
        ("train.tfrecords.gz", "record"),
        ("records.txt", None),
        ("a.jpg.part", None),
        ("jpg", None),
        ("labels.pbtxt", None),
        ("model.ckpt.data-00000-of-00001", None),
    ],
)
def test_kinds_are_known_by_name(name: str, kind: str | None) -> None:
    assert infer_job.kind_of(f"/some.where/{name}") == kind


def test_a_file_without_an_extension_is_known_by_its_content(run: Run, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "in"
    write_images(folder, 1)
    (folder / "scene_000.jpg").rename(folder / "0001")
    (folder / "0002").write_bytes(png(draw_scene(1).image))
    for name in ("clip.mp4", "clip.mkv", "clip.ts", "clip.avi"):
        write_video(folder / name, 3)
        (folder / name).rename(folder / name.replace(".", "_"))
    with open(folder / "records", "wb") as file:
        write_record(file, example((folder / "0001").read_bytes(), "one"))
    for name, content in (("README", b"See there."), ("core", b"\x7fELF" + bytes(900)), ("empty", b"")):
        (folder / name).write_bytes(content)
    (folder / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (folder / "photo").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    assert run() == 0
    rows = rows_of(tmp_path / "out")
    counts = {key: sum(row["key"] == key for row in rows) for key in {row["key"] for row in rows}}
    assert counts == {"0001": 1, "0002": 1, "clip_mp4": 3, "clip_mkv": 3, "clip_ts": 3, "clip_avi": 3, "one": 1}


def test_an_animated_gif_is_a_video_and_a_still_one_an_image(tmp_path: pathlib.Path) -> None:
    stills = [Image.fromarray(draw_scene(number).image) for number in range(3)]
    stills[0].save(tmp_path / "still.gif")
    stills[0].save(tmp_path / "moving.gif", save_all=True, append_images=stills[1:])
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    kinds = [infer_job.kind_of(str(tmp_path / f"{name}.gif")) for name in ("still", "moving", "broken")]
    assert kinds == ["image", "video", "image"]
    for name in ("still", "moving", "broken"):
        (tmp_path / f"{name}.gif").rename(tmp_path / name)
    kinds = [infer_job.kind_of(str(tmp_path / name)) for name in ("still", "moving", "broken")]
    assert kinds == ["image", "video", "image"]
