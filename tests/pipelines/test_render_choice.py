"""render: which detections are drawn, and which pictures and frames there are: by score, by content, by sample."""

import io
import pathlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from od_core.detections import Detections
from od_core.drawing import draw_detections, fit_within
from od_core.errors import UsageError
from od_core.ground_truth import GroundTruth
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from od_core.schemas import FrameError, FrameRow
from od_core.video.frames import VideoFrame, read_video
from pipelines.render.job import RenderJob
from tests.blocks_scene import draw_scene, jpeg, write_video
from tests.pipelines.render_files import (
    LABELS,
    detect,
    do,
    found_in,
    images,
    pixels,
    render_it,
    row_of,
    stamps,
    tell,
    truth_of,
    write_pngs,
    write_truth,
)

NOTHING = Detections.empty()


def one_box(score: float, class_id: int = 1, box: tuple[float, ...] = (0.1, 0.1, 0.5, 0.5)) -> Detections:
    return Detections.best_first([box], [score], [class_id])


def told(tmp_path: pathlib.Path, found: Mapping[str, Detections | FrameError]) -> None:
    """Images with these detections."""
    scenes = write_pngs(tmp_path / "in", *found)
    rows = []
    for name, what in found.items():
        is_error = isinstance(what, FrameError)
        fields = {"error": what, "detections": None} if is_error else {"detections": what}
        rows.append(row_of(name, scenes[name], **fields))
    tell(tmp_path, *rows)


# By score


def test_classes_have_scores_of_their_own_by_name_or_number(tmp_path: pathlib.Path) -> None:
    (scene,) = write_pngs(tmp_path / "in", "a.png").values()
    found = found_in(scene, {1: 0.9, 2: 0.3, 3: 0.6})
    tell(tmp_path, row_of("a.png", scene, detections=found))
    assert render_it(tmp_path, class_scores=(("green", 0.3), ("3", 0.7)))["a.png"]["detections"] == 2
    shown = found.where(found.classes != 3)
    expected = draw_detections(scene.image, shown, LABELS.labels, min_score=0)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gren", "--min_score: the detections have no class called 'gren'; did you mean 'green'?"),
        ("17", "--min_score: the detections have no class called '17'; they have 'blue', 'green', 'red'"),
    ],
)
def test_a_class_that_the_detections_lack_is_refused(tmp_path: pathlib.Path, name: str, said: str) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(UsageError) as refused:
        render_it(tmp_path, class_scores=((name, 0.5),))
    assert str(refused.value) == said


# By what is in them


def test_only_pictures_with_detections_are_rendered_and_the_others_are_not_even_opened(tmp_path: pathlib.Path) -> None:
    failed = FrameError("detect", "DetectError", "the model failed")
    some = {"a.png": one_box(0.9), "b.png": one_box(0.4), "c.png": NOTHING, "d.png": failed, "e.png": one_box(0.5)}
    told(tmp_path, some)
    (tmp_path / "in/c.png").write_text("no picture any more")
    job = RenderJob(only="detections")
    counts = do(job, tmp_path / "found", output=tmp_path / "out").manifest.counts
    assert (counts["done"], counts["empty"], counts["failed"]) == (2, 3, 0)
    assert set(render_it(tmp_path, only="detections")) == {"a.png", "e.png"}
    assert set(render_it(tmp_path, "low", only="detections", min_score=0.4)) == {"a.png", "b.png", "e.png"}


def test_only_errors_are_pictures_with_a_wrong_detection_or_a_missed_object(tmp_path: pathlib.Path) -> None:
    here, there = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    some = {
        "missed.png": NOTHING,
        "right.png": one_box(0.9),
        "shifted.png": one_box(0.9, box=there),
        "too_low.png": one_box(0.4),
        "unknown.png": one_box(0.9, class_id=2),  # nobody has annotated green
        "no_truth.png": one_box(0.9),
        "crowd.png": one_box(0.9),
        "foreign.png": one_box(0.9),
    }
    told(tmp_path, some)
    red = GroundTruth.of([here], [1], labels=["red"])
    truths = dict.fromkeys(("missed.png", "right.png", "shifted.png", "too_low.png"), red)
    truths["unknown.png"] = GroundTruth.empty()
    truths["crowd.png"] = GroundTruth.of([here], [1], labels=["red"], is_crowd=[True])
    truths["foreign.png"] = GroundTruth.of([here, there], [1, 2], labels=["red", "bicycle"])
    truth = write_truth(tmp_path / "t.parquet", [(name, 0, one) for name, one in truths.items()])
    rows = render_it(tmp_path, only="errors", ground_truth=truth)
    assert set(rows) == {"missed.png", "shifted.png", "too_low.png", "foreign.png"}
    strict = render_it(tmp_path, "low", only="errors", ground_truth=truth, min_score=0.4)
    assert set(strict) == {"missed.png", "shifted.png", "foreign.png"}


def test_a_detection_counts_as_right_from_the_overlap_that_is_asked_for(tmp_path: pathlib.Path) -> None:
    told(tmp_path, {"a.png": one_box(0.9, box=(0, 0, 0.5, 1))})
    red = GroundTruth.of([[0, 0, 0.8, 1]], [1], labels=["red"])  # by 0.625
    truth = write_truth(tmp_path / "t.parquet", [("a.png", 0, red)])
    assert render_it(tmp_path, only="errors", ground_truth=truth) == {}
    assert set(render_it(tmp_path, "strict", only="errors", ground_truth=truth, iou=0.7)) == {"a.png"}


def test_frames_without_what_is_asked_for_are_left_out_and_the_others_follow_each_other(tmp_path: pathlib.Path) -> None:
    scenes = write_video(tmp_path / "in/clip.mp4", 12)
    write_video(tmp_path / "in/empty.mp4", 4)
    rows = [
        row_of("clip.mp4", scene, "video", frame_index=n, detections=one_box(0.9) if n in (2, 3, 8) else NOTHING)
        for n, scene in enumerate(scenes)
    ]
    rows += [row_of("empty.mp4", scenes[n], "video", frame_index=n, detections=NOTHING) for n in range(4)]
    tell(tmp_path, *rows)
    (row,) = render_it(tmp_path, only="detections").values()
    assert (row["key"], row["frames"], row["detections"]) == ("clip.mp4", 3, 3)
    frames = [frame for frame in read_video(tmp_path / "out/clip.mp4") if isinstance(frame, VideoFrame)]
    assert [frame.timestamp_us for frame in frames] == [0, 40_000, 80_000]
    for frame, number in zip(frames, (2, 3, 8), strict=True):  # the caption, in the corner, tells which it was
        difference = np.abs(frame.image[:200].astype(int) - scenes[number].image[:200])
        assert np.median(difference) < 12


def records_of(tmp_path: pathlib.Path, count: int, name: str = "val.tfrecord") -> list[FrameRow]:
    """A record file of scenes, and its rows: every third with a detection."""
    content = io.BytesIO()
    rows = []
    for number in range(count):
        scene = draw_scene(number)
        key = f"{name}-{number}"
        write_record(content, encode_example({"image/encoded": jpeg(scene.image), "image/source_id": key}))
        found = one_box(0.9) if number % 3 == 0 else NOTHING
        rows.append(row_of(key, scene, "record", record_index=number, detections=found))
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / name).write_bytes(content.getvalue())
    return rows


def test_records_are_chosen_one_by_one(tmp_path: pathlib.Path) -> None:
    rows = records_of(tmp_path, 7)
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": rows})
    assert [row["record_index"] for row in render_it(tmp_path, only="detections").values()] == [0, 3, 6]
    sampled = render_it(tmp_path, "some", sample=4)
    assert len(sampled) == 4
    both = render_it(tmp_path, "both", sample=4, only="detections")
    assert both.keys() == sampled.keys() & {"val.tfrecord-0", "val.tfrecord-3", "val.tfrecord-6"}


# By sample


def test_a_sample_is_of_the_size_asked_for_and_more_inputs_change_little(tmp_path: pathlib.Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    scenes = images(tmp_path, *names[:8])
    first = set(render_it(tmp_path, sample=4))
    assert len(first) == 4
    assert set(render_it(tmp_path, "other", sample=4, seed=1)) != first
    assert len(render_it(tmp_path, "all", sample=40)) == 8
    before = stamps(tmp_path / "out")
    (tmp_path / "in/new").mkdir()
    for name in names[8:]:
        Image.fromarray(draw_scene(0).image).save(tmp_path / "in/new" / name)
    rows = [row_of(key, scene) for key, scene in scenes.items()]
    tell(tmp_path, *rows, *(row_of(f"new/{name}", draw_scene(0)) for name in names[8:]))
    second = set(render_it(tmp_path, sample=4))  # files of those that left it are gone: render_it looks
    added = second - first
    assert len(second) == 4
    assert all(name.startswith("new/") for name in added)
    assert added
    assert second != added
    after = stamps(tmp_path / "out")
    assert all(after[name] == before[name] for name in second & first)


def test_a_sample_goes_with_ground_truth_of_others(tmp_path: pathlib.Path) -> None:
    scenes = images(tmp_path, *(f"{number}.png" for number in range(6)))
    pairs = [(name, 0, truth_of(scene)) for name, scene in list(scenes.items())[:3]]
    truth = write_truth(tmp_path / "t.parquet", pairs)
    for seed in range(4):
        assert len(render_it(tmp_path, f"out{seed}", sample=1, seed=seed, ground_truth=truth)) == 1


# What is no longer chosen


def test_starting_anew_with_fewer_pictures_leaves_none_of_the_others(tmp_path: pathlib.Path) -> None:
    told(tmp_path, {"a.png": one_box(0.9), "b.png": NOTHING})
    render_it(tmp_path)
    (tmp_path / "out/mine.txt").write_text("mine")
    do(RenderJob(only="detections"), tmp_path / "found", output=tmp_path / "out", overwrite=True)
    assert set(stamps(tmp_path / "out")) == {"a.png"}
    assert (tmp_path / "out/mine.txt").exists()
    do(RenderJob(), tmp_path / "found", output=tmp_path / "out", overwrite=True)
    assert set(stamps(tmp_path / "out")) == {"a.png", "b.png"}


def test_parts_that_another_job_left_are_no_hindrance(tmp_path: pathlib.Path) -> None:
    told(tmp_path, {"a.png": one_box(0.9)})
    (tmp_path / "out/_work/parts").mkdir(parents=True)
    pq.write_table(pa.table({"key": ["b.png"]}), tmp_path / "out/_work/parts/0.parquet")
    do(RenderJob(), tmp_path / "found", output=tmp_path / "out", overwrite=True)
    assert set(stamps(tmp_path / "out")) == {"a.png"}


def test_options_that_change_nothing_do_not_part_old_outputs_from_new(tmp_path: pathlib.Path) -> None:
    assert set(RenderJob().options) == {"--layout", "--min_score", "--crf", "--ground_truth", "drawing"}
    assert RenderJob(class_scores=(("b", 0.25), ("a", 1.0))).options["--min_score"] == "0.5,a=1,b=0.25"
    assert RenderJob(sample=3).options != RenderJob(sample=3, seed=1).options
    assert RenderJob(iou=0.6).options == RenderJob().options


# How large


@pytest.mark.parametrize(
    ("max_side", "size"), [(160, (160, 120)), (319, (319, 239)), (320, (320, 240)), (999, (320, 240))]
)
def test_larger_pictures_are_made_smaller_before_they_are_drawn_on(
    tmp_path: pathlib.Path, max_side: int, size: tuple[int, int]
) -> None:
    (scene,) = images(tmp_path, "a.png").values()
    row = render_it(tmp_path, max_side=max_side)["a.png"]
    assert (row["width"], row["height"]) == size
    expected = draw_detections(fit_within(scene.image, max_side), found_in(scene), LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


def test_videos_are_made_smaller_too(tmp_path: pathlib.Path) -> None:
    scenes = write_video(tmp_path / "in/clip.mp4", 3)
    tell(tmp_path, *(row_of("clip.mp4", scene, "video", frame_index=n) for n, scene in enumerate(scenes)))
    (row,) = render_it(tmp_path, max_side=111).values()
    assert (row["width"], row["height"]) == (112, 84)  # H.264 takes even sizes only
    frame = next(frame for frame in read_video(tmp_path / "out/clip.mp4") if isinstance(frame, VideoFrame))
    assert frame.image.shape == (84, 112, 3)
