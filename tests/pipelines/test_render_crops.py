"""render --crops, --blur and --boxes off: parts of originals, and originals with parts hidden."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from od_core.detections import Detections
from od_core.drawing import blur, draw_detections, fit_within
from od_core.errors import UsageError
from od_core.ground_truth import GroundTruth
from od_core.images import encode_jpeg
from od_core.label_map import LabelMap
from od_core.schemas import FrameError
from od_core.video.frames import VideoFrame, read_video
from pipelines.dataset import Dataset
from pipelines.render.job import RenderJob
from pipelines.render.names import file_of_crop
from pipelines.render.video import VideoRenderer
from tests.blocks_scene import draw_scene, write_video
from tests.pipelines.render_files import (
    LABELS,
    detect,
    do,
    found_in,
    images,
    pixels,
    render_it,
    row_of,
    run_it,
    tell,
    write_pngs,
    write_truth,
)
from tests.pipelines.test_render_choice import records_of

# Crops


def crops(tmp_path: pathlib.Path, output: str = "out", **options: object) -> list[dict[str, object]]:
    """The rows of a rendering into crops; the files that they name, and no others, are there."""
    do(RenderJob(crops=True, **options), tmp_path / "found", output=tmp_path / output)  # type: ignore[arg-type]
    files = Dataset(str(tmp_path / output)).manifest().files  # type: ignore[union-attr]
    rows = [row for file in files for row in pq.read_table(tmp_path / output / file.name).to_pylist()]
    there = {str(path.relative_to(tmp_path / output)) for path in (tmp_path / output).rglob("*.jpg")}
    assert there == {row["file"] for row in rows if row["file"]}
    return rows


def test_every_detection_is_a_jpeg_in_the_folder_of_its_class(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "p/a.png").values()
    rows = crops(tmp_path)
    names = {1: "red", 2: "green", 3: "blue"}
    expected = {f"{names[c]}/p/a.png-{n:02}.jpg": c for n, c in enumerate(found_in(scene).classes.tolist())}
    assert {row["file"]: row["class_id"] for row in rows} == expected
    for row in rows:
        top, left, bottom, right = scene.boxes_px[int(str(row["class_id"]))]
        assert (row["width"], row["height"]) == (right - left, bottom - top)
        content = (tmp_path / "out" / str(row["file"])).read_bytes()
        assert content == encode_jpeg(np.ascontiguousarray(scene.image[top:bottom, left:right]), 90)
        assert (row["key"], row["frames"], row["detections"], row["status"]) == ("p/a.png", 1, 1, "done")
        assert (row["label"], row["frame_index"]) == (names[int(str(row["class_id"]))], None)
        assert row["score"] == pytest.approx(0.9)


def test_margin_size_and_score_and_the_number_stays_that_of_the_row(tmp_path: pathlib.Path) -> None:
    (scene,) = write_pngs(tmp_path / "in", "a.png").values()
    boxes = [[0.2, 0.2, 0.6, 0.4], [0, 0, 0.1, 0.1], [0.5, 0.5, 0.5, 0.5], [-0.4, 0.1, -0.1, 0.2], [0, 0, 1, 1]]
    found = Detections.best_first(boxes, [0.9, 0.8, 0.7, 0.6, 0.3], [1, 1, 2, 1, 1])
    tell(tmp_path, row_of("a.png", scene, detections=found))
    rows = crops(tmp_path, crop_margin=0.5, class_scores=(("red", 0.75),))
    assert [(row["file"], row["width"], row["height"]) for row in rows] == [
        ("red/a.png-00.jpg", 128, 192),  # 64 x 96, and half of it on every side
        ("red/a.png-01.jpg", 48, 36),  # cut off at the border
        ("green/a.png-02.jpg", 1, 1),
    ]
    (small, *_) = crops(tmp_path, "small", crop_margin=0.5, max_side=64)
    assert (small["width"], small["height"]) == (43, 64)
    part = np.ascontiguousarray(scene.image[0:192, 32:160])
    assert (tmp_path / "small/red/a.png-00.jpg").read_bytes() == encode_jpeg(fit_within(part, 64), 90)
    assert [row["detection_index"] for row in crops(tmp_path, "low", min_score=0.2)] == [0, 1, 2, 4]


def test_crops_of_videos_and_records_are_told_apart_by_their_numbers(tmp_path: pathlib.Path) -> None:
    scenes = write_video(tmp_path / "in/clip.avi", 3)
    rows = {"clip.avi": [row_of("clip.avi", s, "video", frame_index=n) for n, s in enumerate(scenes)]}
    rows["val.tfrecord"] = records_of(tmp_path, 4)
    detect(tmp_path / "in", tmp_path / "found", rows)
    found = crops(tmp_path)
    assert [row["file"] for row in found if row["frame_index"] == 2 and row["class_id"] == 1] == [
        "red/clip.avi.mp4/000002-00.jpg"
    ]
    assert len([row for row in found if row["kind"] == "video"]) == sum(len(s.boxes_px) for s in scenes)
    of_records = [(row["file"], row["record_index"]) for row in found if row["kind"] == "record"]
    assert of_records == [
        ("red/val.tfrecord/000000-val.tfrecord-0.jpg-00.jpg", 0),
        ("red/val.tfrecord/000003-val.tfrecord-3.jpg-00.jpg", 3),
    ]


def test_what_cannot_be_cut_is_a_failed_row_and_leaves_no_crop(tmp_path: pathlib.Path) -> None:
    scenes = write_video(tmp_path / "in/clip.mp4", 3)
    rows = {"clip.mp4": [row_of("clip.mp4", scenes[n % 3], "video", frame_index=n) for n in range(5)]}
    rows["a.png"] = [row_of("a.png", write_pngs(tmp_path / "in", "a.png")["a.png"])]
    rows["b.png"] = [row_of("b.png", draw_scene(0))]
    (tmp_path / "in/b.png").write_text("no picture")
    detect(tmp_path / "in", tmp_path / "found", rows)
    found = crops(tmp_path)
    failed = {row["key"]: row["error"]["message"] for row in found if row["error"]}  # type: ignore[index]
    assert failed.keys() == {"b.png", "clip.mp4"}
    assert [row["key"] for row in found].count("clip.mp4") == 1
    assert failed["clip.mp4"].startswith("it ends before the detections do, which go on with frame 3")
    assert {path.name.partition("-")[0] for path in (tmp_path / "out").rglob("*.jpg")} == {"a.png"}


def test_a_process_that_ends_in_the_middle_of_a_video_leaves_no_crop(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b/c.mp4"):
        scenes = write_video(tmp_path / "in" / name, 3)
    names = ("a.mp4", "b/c.mp4")
    tell(tmp_path, *(row_of(name, s, "video", frame_index=n) for name in names for n, s in enumerate(scenes)))
    frames = VideoRenderer.frames

    def broken(self: VideoRenderer, key: str, *more: Any) -> Iterator[Any]:
        for number, frame in enumerate(frames(self, key, *more)):
            if key == "b/c.mp4" and number == 2:
                raise RuntimeError("nobody foresaw this")
            yield frame

    monkeypatch.setattr(VideoRenderer, "frames", broken)
    rows = run_it(tmp_path, "out", RenderJob(crops=True))  # the files that they name, and no others, are there
    assert {key: row["status"] for key, row in rows.items()} == {"a.mp4": "done", "b/c.mp4": "failed"}
    assert list((tmp_path / "out").rglob("a.mp4/*.jpg"))


def test_crops_of_inputs_that_are_gone_go_too(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, "a.png", "b.png")
    crops(tmp_path)
    (tmp_path / "in/a.png").unlink()
    tell(tmp_path, row_of("b.png", scenes["b.png"]))
    assert {row["key"] for row in crops(tmp_path)} == {"b.png"}


def test_crops_want_a_folder_of_their_own(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png")
    for output in ("in", "other"):
        (tmp_path / output).mkdir(exist_ok=True)
        (tmp_path / output / "mine.txt").write_text("mine")
        with pytest.raises(UsageError, match=r"is not empty, there is .*--crops needs a folder of its own"):
            crops(tmp_path, output)


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("ship", "ship"),
        ("cargo ship", "cargo ship"),
        ("Köter", "Köter"),
        ("<script>", "_script_~"),
        ("../up", "_up~"),
        (".", "~"),
        ("_work", "_work~"),
        ("manifest.json", "manifest.json~"),
        ("a/b", "a_b~"),
        ("x" * 300, "x" * 120 + "~"),
    ],
)
def test_every_label_is_one_folder_that_stays_in_the_output(label: str, folder: str) -> None:
    parts = file_of_crop(label, "a.png", 3, None).split("/")
    assert parts[1:] == ["a.png-03.jpg"]
    assert parts[0] == folder if folder[-1] != "~" else parts[0].startswith(folder)
    assert file_of_crop("a_b", "a.png", 3, None) != file_of_crop("a/b", "a.png", 3, None)
    assert len(file_of_crop(label, "k" * 255, 3, 7).encode().split(b"/")[-1]) <= 255


def test_a_class_without_a_name_has_a_folder_of_its_number(tmp_path: pathlib.Path) -> None:
    scene = write_pngs(tmp_path / "in", "a.png")["a.png"]
    detect(tmp_path / "in", tmp_path / "found", {"a.png": [row_of("a.png", scene)]}, LabelMap.of_names(["red"]))
    assert {str(row["file"]).split("/")[0] for row in crops(tmp_path)} >= {"red", "class 2"}


# Blur


def hidden(image: np.ndarray, found: Detections, *class_ids: int) -> np.ndarray:
    return blur(image, found.boxes[np.isin(found.classes, class_ids)])


def test_chosen_classes_are_blurred_and_their_boxes_drawn_or_not(tmp_path: pathlib.Path) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    found = found_in(scene)
    render_it(tmp_path, blur=("green", "1"))
    blurred = hidden(scene.image, found, 1, 2)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), draw_detections(blurred, found, LABELS.labels))
    render_it(tmp_path, "clean", blur=("green", "1"), boxes=False)
    np.testing.assert_array_equal(pixels(tmp_path / "clean/a.png"), blurred)
    render_it(tmp_path, "plain", boxes=False)
    np.testing.assert_array_equal(pixels(tmp_path / "plain/a.png"), scene.image)
    row = crops(tmp_path, "crops", blur=("green",))[1]
    top, left, bottom, right = scene.boxes_px[2]
    part = np.ascontiguousarray(hidden(scene.image, found, 2)[top:bottom, left:right])
    assert (tmp_path / "crops" / str(row["file"])).read_bytes() == encode_jpeg(part, 90)


def test_what_people_annotated_is_blurred_too_on_both_sides(tmp_path: pathlib.Path) -> None:
    (scene,) = write_pngs(tmp_path / "in", "a.png").values()
    tell(tmp_path, row_of("a.png", scene, detections=Detections.empty()))
    people = GroundTruth.of([[0.1, 0.1, 0.6, 0.6]], [1], labels=["green"])
    truth = write_truth(tmp_path / "t.parquet", [("a.png", 0, people)])
    render_it(tmp_path, layout="side_by_side", ground_truth=truth, blur=("green",), boxes=False)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), blur(scene.image, people.boxes))


def test_a_frame_in_which_nobody_has_looked_is_blurred_as_a_whole(tmp_path: pathlib.Path) -> None:
    scenes = write_video(tmp_path / "in/clip.mp4", 4)
    rows = [row_of("clip.mp4", scene, "video", frame_index=n) for n, scene in enumerate(scenes)]
    error = FrameError("detect", "DetectError", "the model failed")
    tell(tmp_path, rows[0], rows[1]._replace(detections=None, error=error), rows[3])
    render_it(tmp_path, blur=("green",), boxes=False)
    frames = [frame.image for frame in read_video(tmp_path / "out/clip.mp4") if isinstance(frame, VideoFrame)]
    roughness = [np.abs(np.diff(frame[:200].astype(int), axis=0)).mean() for frame in frames]
    assert max(roughness[1:3]) < 3 < 5 < min(roughness[0], roughness[3])  # the ground is noise
    top, left, bottom, _ = scenes[0].boxes_px[2]
    edge = frames[0][top:bottom, left - 2 : left + 2].astype(int)
    assert np.abs(np.diff(edge, axis=1)).max() < 60  # it was 100 from grey to green


def test_blurred_classes_must_be_known(tmp_path: pathlib.Path) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(UsageError, match=r"--blur: the detections have no class called 'Green'; did you mean 'green'"):
        render_it(tmp_path, blur=("Green",))
