"""render: videos frame by frame, and records one by one."""

import gzip
import io
import pathlib
from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from od_core.detections import Detections
from od_core.drawing import caption, draw_detections, draw_ground_truth, side_by_side
from od_core.ground_truth import GroundTruth
from od_core.images import decode_image, encode_jpeg
from od_core.records.examples import encode_example
from od_core.records.tfrecord import scan_records, write_record
from od_core.schemas import FrameError, FrameRow
from od_core.video.frames import VideoFrame, read_video
from od_core.video.writer import VideoWriter
from pipelines.infer import job as infer
from pipelines.render import cutting
from pipelines.render.job import RenderJob
from pipelines.render.rows import DetectionRow, DetectionRows, RowSpan
from tests.blocks_scene import draw_scene, jpeg, write_video
from tests.pipelines.render_files import (
    LABELS,
    detect,
    do,
    found_in,
    render_it,
    rendered,
    row_of,
    stamps,
    tell,
    truth_of,
    write_truth,
)

# Videos


def frames_of(path: pathlib.Path) -> list[VideoFrame]:
    return [frame for frame in read_video(path) if isinstance(frame, VideoFrame)]


def video(tmp_path: pathlib.Path, name: str = "clip.mp4", count: int = 12) -> list[FrameRow]:
    scenes = write_video(tmp_path / "in" / name, count)
    return [
        row_of(name, scene, "video", frame_index=number, timestamp_us=number * 40_000)
        for number, scene in enumerate(scenes)
    ]


def captioned(frame: VideoFrame, found: Detections | None, words: str) -> np.ndarray:
    """How a frame without ground truth is to look."""
    image = frame.image if found is None else draw_detections(frame.image, found, LABELS.labels)
    return caption(image, f"0:00.{40 * frame.index:03}  frame {frame.index}  {words}")


def as_video(pictures: list[np.ndarray], file: pathlib.Path, rate: int = 25, **options: int) -> bytes:
    """The bytes of a video of these pictures."""
    with VideoWriter(file, rate=Fraction(rate), **options) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number * 40_000)
    return file.read_bytes()


def test_a_video_keeps_its_frames_and_times_and_each_has_its_boxes(tmp_path: pathlib.Path) -> None:
    rows = video(tmp_path)
    tell(tmp_path, *rows)
    (row,) = render_it(tmp_path).values()
    boxes = sum(len(one.detections or ()) for one in rows)
    assert (row["kind"], row["frames"], row["detections"], row["file"]) == ("video", 12, boxes, "clip.mp4")
    assert [frame.timestamp_us for frame in frames_of(tmp_path / "out/clip.mp4")] == [n * 40_000 for n in range(12)]
    originals = zip(frames_of(tmp_path / "in/clip.mp4"), rows, strict=True)
    pictures = [captioned(frame, one.detections, f"{len(one.detections or ())} found") for frame, one in originals]
    assert (tmp_path / "out/clip.mp4").read_bytes() == as_video(pictures, tmp_path / "expected.mp4")
    render_it(tmp_path, "small", crf=40)
    assert (tmp_path / "small/clip.mp4").read_bytes() == as_video(pictures, tmp_path / "expected.mp4", crf=40)


def test_frames_that_were_not_looked_at_or_failed_say_so_and_have_no_boxes(tmp_path: pathlib.Path) -> None:
    rows = video(tmp_path)
    error = FrameError("detect", "DetectError", "the model failed")
    damage = FrameRow("clip.mp4", "", "video", error=FrameError("decode", "VideoError", "damaged here", 2))
    tell(tmp_path, rows[0], rows[2], damage, rows[4], rows[5]._replace(detections=None, error=error))
    (row,) = render_it(tmp_path, unsampled="plain").values()
    assert (row["status"], row["frames"]) == ("done", 12)
    pictures = []
    for frame in frames_of(tmp_path / "in/clip.mp4"):
        found = rows[frame.index].detections if frame.index in (0, 2, 4) else None
        words = "failed" if frame.index == 5 else "not looked at"
        pictures.append(captioned(frame, found, words if found is None else f"{len(found)} found"))
    assert (tmp_path / "out/clip.mp4").read_bytes() == as_video(pictures, tmp_path / "expected.mp4")


def test_frames_of_a_video_have_their_own_ground_truth(tmp_path: pathlib.Path) -> None:
    rows = video(tmp_path)
    tell(tmp_path, *rows)
    box = GroundTruth.of([[0.2, 0.2, 0.8, 0.8]], [1], labels=["blue"])
    # In no order, and of another video between them.
    frames = [("clip.mp4", 5, box), ("else.mp4", 1, box), ("clip.mp4", 2, box)]
    truth = write_truth(tmp_path / "t.parquet", frames)
    (row,) = render_it(tmp_path, layout="side_by_side", ground_truth=truth).values()
    assert row["objects"] == 2
    pictures = []
    for frame, one in zip(frames_of(tmp_path / "in/clip.mp4"), rows, strict=True):
        left = captioned(frame, one.detections, f"{len(one.detections or ())} found")
        right, title = frame.image, "no ground truth"
        if frame.index in (2, 5):
            right, title = draw_ground_truth(right, GroundTruth.of(box.boxes, [3]), LABELS.labels), "ground truth"
        pictures.append(side_by_side(left, right, ("detections", title)))
    assert (tmp_path / "out/clip.mp4").read_bytes() == as_video(pictures, tmp_path / "expected.mp4")


def test_a_video_that_is_not_the_one_of_the_detections_fails_and_leaves_no_file(tmp_path: pathlib.Path) -> None:
    rows = {name: video(tmp_path, name) for name in ("cut.mp4", "good.mp4", "size.mp4")}
    told = [row for some in rows.values() for row in some]
    tell(tmp_path, *told)
    render_it(tmp_path)
    write_video(tmp_path / "in/cut.mp4", 8)
    found = render_it(tmp_path)
    assert "when the detections were made: it was changed since" in found["cut.mp4"]["error"]["message"]  # type: ignore[index]
    write_video(tmp_path / "in/size.mp4", 12, width=160, height=120)
    tell(tmp_path, *told)  # by the size of the files, those are they
    found = render_it(tmp_path)
    assert found["good.mp4"]["status"] == "done"
    assert found["cut.mp4"]["error"]["message"].startswith(  # type: ignore[index]
        "it ends before the detections do, which go on with frame 8: it is not the video that they were made from"
    )
    assert "has 160 x 120 pixels, the detections were made from 320 x 240" in found["size.mp4"]["error"]["message"]  # type: ignore[index]
    assert sorted(stamps(tmp_path / "out")) == ["good.mp4"]


def test_a_video_that_failed_as_a_whole_has_nothing_to_draw(tmp_path: pathlib.Path) -> None:
    video(tmp_path)
    error = FrameError("decode", "VideoError", "is no video that ffmpeg knows")
    tell(tmp_path, FrameRow("clip.mp4", "", "video", error=error))
    (row,) = render_it(tmp_path).values()
    assert row["error"]["message"].endswith("none to draw: is no video that ffmpeg knows")  # type: ignore[index]


def test_a_video_no_longer_to_be_decoded_fails_without_naming_temporary_files(tmp_path: pathlib.Path) -> None:
    tell(tmp_path, *video(tmp_path))
    clip = tmp_path / "in/clip.mp4"
    clip.write_bytes(b"\0" * clip.stat().st_size)
    message = render_it(tmp_path)["clip.mp4"]["error"]["message"]  # type: ignore[index]
    assert message.startswith("is no video that ffmpeg knows")


# Records


def records(tmp_path: pathlib.Path, names: list[str], *, compressed: bool = False) -> list[FrameRow]:
    """tmp_path/in/val.tfrecord with a scene under each of these source ids; the rows of all."""
    content = io.BytesIO()
    scenes = [draw_scene(number) for number in range(len(names))]
    for name, scene in zip(names, scenes, strict=True):
        write_record(content, encode_example({"image/encoded": jpeg(scene.image), "image/source_id": name}))
    (tmp_path / "in").mkdir(exist_ok=True)
    raw = content.getvalue()
    (tmp_path / "in/val.tfrecord").write_bytes(gzip.compress(raw) if compressed else raw)
    return [
        row_of(name or f"val.tfrecord#{number}", scene, "record", record_index=number)
        for number, (name, scene) in enumerate(zip(names, scenes, strict=True))
    ]


@pytest.mark.parametrize("way", ["plain", "compressed", "cut"])
def test_records_become_pictures_in_a_folder_of_their_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    rows = records(tmp_path, ["a", "b.jpg", "", "d", "e"], compressed=way == "compressed")
    if way == "cut":
        monkeypatch.setattr(infer, "_RECORD_BYTES_PER_PIECE", 60_000)
        monkeypatch.setattr(cutting, "_RECORD_BYTES_PER_PIECE", 50_000)
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": rows})
    found = render_it(tmp_path)
    files = ["000000-a.jpg", "000001-b.jpg", "000002-val.tfrecord_2.jpg", "000003-d.jpg", "000004-e.jpg"]
    assert [row["file"] for row in found.values()] == [f"val.tfrecord/{name}" for name in files]
    assert [row["record_index"] for row in found.values()] == list(range(5))
    for row, name in zip(rows, files, strict=True):
        scene = draw_scene(row.record_index or 0)
        original = decode_image(jpeg(scene.image))
        expected = encode_jpeg(draw_detections(original, found_in(scene), LABELS.labels))
        assert (tmp_path / "out/val.tfrecord" / name).read_bytes() == expected


def test_records_are_matched_with_their_own_ground_truth(tmp_path: pathlib.Path) -> None:
    rows = records(tmp_path, ["17", "18", "19"])
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": rows})
    people = GroundTruth.of([[0, 0, 1, 1]] * 2, [1, 1], labels=["red", "red"])
    truth = write_truth(tmp_path / "t.parquet", [("train/x.jpg", 0, people)], source_id="18")
    found = render_it(tmp_path, layout="side_by_side", ground_truth=truth)
    assert {key: row["objects"] for key, row in found.items()} == {"17": None, "18": 2, "19": None}


def test_no_name_of_a_record_leads_out_of_its_folder(tmp_path: pathlib.Path) -> None:
    names = ["../../evil", "/etc/evil", "..", "a\\..\\b", "x" * 3000, "new\nline", "twice", "twice", "nul\0", "é/ü"]
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": records(tmp_path, names)})
    finished = do(RenderJob(), tmp_path / "found", output=tmp_path / "deep/er/out")
    assert finished.manifest.counts["records"] == len(names)
    pictures = list(tmp_path.rglob("*.jpg"))
    assert {path.parent for path in pictures} == {tmp_path / "deep/er/out/val.tfrecord"}
    assert len(pictures) == len(names)


def test_a_record_that_was_damaged_since_says_so_and_not_that_it_is_another_one(tmp_path: pathlib.Path) -> None:
    rows = records(tmp_path, ["a", "b", "c"])
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": rows})
    with open(tmp_path / "in/val.tfrecord", "r+b") as file:
        second = list(scan_records(file))[1]
        file.seek(second.offset + second.length // 2)
        file.write(b"damage")
    do(RenderJob(), tmp_path / "found", output=tmp_path / "out")
    a, b, c = rendered(tmp_path / "out").values()
    assert (a["status"], b["status"], c["status"]) == ("done", "failed", "done")
    assert b["error"]["message"].startswith(f"the record at byte {second.offset} is damaged: the checksum")


def test_records_of_another_file_fail_one_by_one(tmp_path: pathlib.Path) -> None:
    rows = records(tmp_path, ["a", "b", "c", "d"])
    records(tmp_path, ["a", "other", "c"])
    detect(tmp_path / "in", tmp_path / "found", {"val.tfrecord": rows})
    do(RenderJob(), tmp_path / "found", output=tmp_path / "out")
    found = rendered(tmp_path / "out")
    assert [key for key, row in found.items() if row["status"] == "done"] == ["a", "c"]
    assert found["other"]["error"]["message"].startswith("the record is called 'other', in the detections 'b'")
    assert found["val.tfrecord"]["error"]["message"].startswith(
        "it ends before the detections do, which go on with record 3"
    )


# However the rows lie


def test_rows_are_found_however_they_lie_in_groups_and_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {name: video(tmp_path, name) for name in ("a.mp4", "b.mp4", "c.avi")}
    told["val.tfrecord"] = records(tmp_path, [str(number) for number in range(9)])
    truth = write_truth(
        tmp_path / "t.parquet",
        [(row.key, row.frame_index or 0, truth_of(draw_scene(3))) for rows in told.values() for row in rows[::2]],
    )
    options = {"layout": "side_by_side", "ground_truth": truth}
    detect(tmp_path / "in", tmp_path / "found", told)
    expected = render_it(tmp_path, "whole", **options)
    assert len(expected) == 12
    for name, value in {
        "parts.MAX_GROUP_ROWS": 4,
        "data_files.TARGET_FILE_BYTES": 1,
        "render.rows.INDEX_GROUP_ROWS": 1,
        "render.rows._ROWS_PER_BLOCK": 3,
        "render.rows._OPEN_FILES": 1,
        "render.sources._ROWS_AT_ONCE": 2,
        "render.truth.INDEX_GROUP_ROWS": 1,
        "render.truth._GROUP_ROWS": 2,
    }.items():
        monkeypatch.setattr(f"pipelines.{name}", value)
    detect(tmp_path / "in", tmp_path / "found", told)
    assert len(list((tmp_path / "found").glob("*.parquet"))) == 4
    assert render_it(tmp_path, "parts", **options) == expected
    for row in expected.values():
        file = str(row["file"])
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


def test_no_more_than_some_hundred_rows_are_held_of_a_video(tmp_path: pathlib.Path) -> None:
    rows = video(tmp_path)
    many = [rows[0]._replace(frame_index=number) for number in range(3000)]
    tell(tmp_path, *many)
    held: list[int] = []

    class Looked(DetectionRows):
        def blocks(self, spans: Iterable[RowSpan]) -> Iterator[list[DetectionRow]]:
            for block in super().blocks(spans):
                held.append(len(block))
                yield block

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipelines.render.worker.DetectionRows", Looked)
        (row,) = render_it(tmp_path).values()
    assert row["status"] == "failed"  # it has twelve frames
    assert held == [256]
