"""What review pages are told; how they show it is tests/browser's."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import unicodedata
import urllib.parse
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from od_core import storage
from od_core.annotations.shapes import encode_runs
from od_core.detections import Detections
from od_core.errors import OutputError, UsageError
from od_core.images import MAX_FILE_BYTES, read_header
from od_core.records.examples import encode_example
from od_core.records.tfrecord import write_record
from od_core.review.shapes import MOST_MASKS, MOST_POINTS, shapes_of
from od_core.source_root import NOT_MOVED, SourceRoot
from od_core.video.frames import VideoFrame, describe_video, read_video
from pipelines.review.pages import ReviewAsk, Reviewed, review
from tests.blocks_scene import draw_scene, jpeg
from tests.memory_files import MemoryFiles
from tests.pipelines.evaluation_files import found_row, write_detections
from tests.pipelines.review_files import HOSTILE_KEY, LEFT, SIZE, Place, write_place, write_shapes


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return write_place(tmp_path_factory.mktemp("review"))


@pytest.fixture(scope="module")
def pages(place: Place, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    output = place.found.parent / "pages"
    done = review(ReviewAsk(str(place.found), str(output), (str(place.truth),)))
    assert done == Reviewed(items=6, detections=15, failed=2, not_shown=2)
    return output


def told(script: pathlib.Path) -> list[Any]:
    """The arguments of the call that a script is."""
    (arguments,) = re.fullmatch(r"boxbeam\.\w+\((.*)\);\n", script.read_text("ascii")).groups()
    return json.loads(f"[{arguments}]")


def items_of(pages: pathlib.Path) -> dict[str, dict[str, Any]]:
    names = ("key", "kind", "width", "height", "thumbnail", "url", "note", "mistakes", "summary", "failure", "file")
    _, rows = told(pages / "data/index-00000.js")
    return {row[0]: {"number": n, **dict(zip(names, row, strict=True))} for n, row in enumerate(rows)}


def boxes_of(pages: pathlib.Path, key: str) -> Any:
    return told(pages / "data/boxes-00000.js")[1][items_of(pages)[key]["number"]]


def test_every_picture_and_video_is_an_item(pages: pathlib.Path) -> None:
    items = items_of(pages)
    assert list(items) == ["a/bad.png", "a/good.png", "broken.png", "clip.mp4", "gone.png", HOSTILE_KEY]
    good = items["a/good.png"]
    assert (good["width"], good["height"], good["kind"], good["url"]) == (*SIZE, 0, "../in/a/good.png")
    assert good["summary"] == [1, 0, 0.9, 1, 2, 0.9]  # right at 0.9; missed above that
    assert items["broken.png"]["failure"] == "it is a text file"
    assert items["gone.png"]["note"] == "the original cannot be opened: No such file or directory"
    assert items["gone.png"]["url"] == ""


def test_boxes_have_verdicts_that_hold_at_every_threshold(pages: pathlib.Path) -> None:
    found, truth = boxes_of(pages, "a/bad.png")
    assert [(box[0], box[1], box[6], box[7]) for box in found] == [
        *((1, 0.8, 1, 2), (2, 0.6, 0, 0), (2, 0.3, 0, 0)),  # a cat that is a dog: wrong class
    ]
    assert found[0][2:6] == [0.2, 0.6, 0.6, 0.9]
    assert sorted((box[0], box[5], box[6]) for box in truth) == [(2, 0, 0.3), (2, 0, 0.6), (2, 2, 0)]
    assert items_of(pages)["a/bad.png"]["mistakes"] == pytest.approx(0.8 + 2)  # two are missed at 0.5
    assert boxes_of(pages, HOSTILE_KEY) == [[[3, 0.7, 0.1, 0.1, 0.5, 0.4, 4, 0, 0]], None]


def test_the_overview_counts_by_class_mark_and_score(pages: pathlib.Path) -> None:
    (overview,) = told(pages / "data/overview.js")
    counts = {"images": 4, "videos": 1, "frames": 60, "empty": 51, "detections": 15, "annotated": 17}
    assert overview["counts"] == {**counts, "failed": 2, "notShown": 2}
    by_class = {row[0]: row[3] for row in overview["classes"]}
    assert by_class[1]["fp"][16] == 1
    assert by_class[1]["tp"][18] == 1
    assert by_class[2]["tp"][18] == 10
    assert by_class[2]["fn"][0] == 1 + 5
    (failures,) = overview["failures"]
    assert (failures["stage"], failures["type"], failures["total"]) == ("decode", "ImageError", 2)
    assert failures["first"][0] == ["broken.png", "it is a text file"]


def test_a_video_has_a_timeline_and_its_frames(pages: pathlib.Path) -> None:
    number, video = told(pages / "data/video-000003.js")
    assert (number, video["end"], video["columns"], video["starts"]) == (3, pytest.approx(59 * 0.04), 60, [0])
    ((class_id, columns),) = video["lanes"]
    assert class_id == 2
    assert [(column[0], column[1]) for column in columns if column[1] > 0] == [(n, 0.9) for n in range(30, 40)]
    assert [column[0] for column in columns if column[4] < 0.5] == list(range(45, 50))
    assert video["damage"] == [[pytest.approx(59 * 0.04), "it is a text file"]]  # behind all frames, as its row is
    _, chunk, frames = told(pages / "data/video-000003-00000.js")
    assert (chunk, len(frames)) == (0, 60)
    assert frames[30][:2] == [1.2, 30]
    assert frames[30][2] == [[2, 0.9, 0.1, 0.1, 0.5, 0.4, 0, 0, 1]]
    assert items_of(pages)["clip.mp4"]["url"] == "../in/clip.mp4"


@pytest.mark.parametrize("copied", [False, True])
def test_frames_of_a_video_have_the_times_of_its_player(tmp_path: pathlib.Path, copied: bool) -> None:
    with av.open(str(tmp_path / "late.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = (*SIZE, "yuv420p")
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(draw_scene(number).image, format="rgb24")
            frame.pts = number + 5  # half a second in which there is nothing
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    rows = [
        found_row("late.mp4", (1, LEFT, 0.9), frame=number, kind="video", size=SIZE)._replace(
            source=str(tmp_path / "late.mp4"), timestamp_us=500_000 + number * 100_000
        )
        for number in range(3)
    ]
    found = write_detections(tmp_path / "found", rows, {1: "cat"})
    review(ReviewAsk(str(found), str(tmp_path / "pages"), self_contained=copied))
    _, _, frames = told(tmp_path / "pages/data/video-000000-00000.js")
    file = tmp_path / "pages" / items_of(tmp_path / "pages")["late.mp4"]["url"]
    played = [frame.timestamp_us for frame in read_video(file) if isinstance(frame, VideoFrame)]
    assert [frame[0] for frame in frames] == [one / 1e6 for one in played if one is not None]
    assert frames[0][0] == (0 if copied else 0.5)


def test_thumbnails_are_small(pages: pathlib.Path) -> None:
    files = sorted((pages / "thumbs/000").iterdir())
    assert [path.name for path in files] == ["0.jpg", "1.jpg", "3.jpg", "5.jpg"]
    for path in files:
        header = read_header(path.read_bytes())
        assert (header.format, header.width, header.height) == ("jpeg", 240, 180)


def test_nothing_ends_a_script_or_begins_a_tag(pages: pathlib.Path) -> None:
    scripts = list((pages / "data").glob("*.js"))
    assert len(scripts) == 5
    for script in scripts:
        assert "<" not in script.read_text("ascii")


def test_the_same_dataset_gives_the_same_pages(place: Place, pages: pathlib.Path, tmp_path: pathlib.Path) -> None:
    again = place.found.parent / "again"
    review(ReviewAsk(str(place.found), str(again), (str(place.truth),), workers=3))
    assert content_of(again) == content_of(pages)
    review(ReviewAsk(str(place.found), str(again), min_score=0.85))
    assert content_of(again) != content_of(pages)
    assert boxes_of(again, "a/good.png") == [[[1, 0.9, 0.1, 0.1, 0.5, 0.4, 4, 0, 0]], None]
    shutil.rmtree(again)


def content_of(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pages_that_are_self_contained_need_no_originals(place: Place, tmp_path: pathlib.Path) -> None:
    review(ReviewAsk(str(place.found), str(tmp_path / "pages"), self_contained=True))
    items = items_of(tmp_path / "pages")
    urls = {item["url"] for item in items.values()}
    assert urls == {"", "previews/000/0.jpg", "previews/000/1.jpg", "previews/000/5.jpg", "videos/000/3.mp4"}
    assert read_header((tmp_path / "pages/previews/000/1.jpg").read_bytes()).width == 320
    assert describe_video(tmp_path / "pages/videos/000/3.mp4").codec == "h264"


def test_originals_can_be_elsewhere_and_another_size_is_said(place: Place, tmp_path: pathlib.Path) -> None:
    moved = tmp_path / "moved"
    (moved / "a").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(moved / "a/good.png")
    done = review(ReviewAsk(str(place.found), str(tmp_path / "pages"), source_root=SourceRoot(str(moved))))
    assert done.not_shown == 5
    good = items_of(tmp_path / "pages")["a/good.png"]
    assert good["url"] == "../moved/a/good.png"
    assert good["note"].startswith("the original is 64 x 48 now, but was 320 x 240 when it was looked at")


def test_records_are_shown_as_copies(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "x.tfrecord", "wb") as file:
        for number in range(3):
            encoded = jpeg(draw_scene(number).image)
            write_record(file, encode_example({"image/encoded": encoded, "image/source_id": f"id{number}"}))
    rows = [
        found_row(f"id{number}", (1, LEFT, 0.9), size=SIZE, kind="record")._replace(
            source=str(tmp_path / "x.tfrecord"), record_index=number
        )
        for number in (0, 2)
    ]
    found = write_detections(tmp_path / "found", rows)
    assert review(ReviewAsk(str(found), str(tmp_path / "pages"))).not_shown == 0
    items = items_of(tmp_path / "pages")
    assert [(key, item["kind"], item["url"], item["file"]) for key, item in items.items()] == [
        *(("id0", 1, "previews/000/0.jpg", "x.tfrecord"), ("id2", 1, "previews/000/1.jpg", "x.tfrecord")),
    ]
    headers = [read_header((tmp_path / f"pages/previews/000/{number}.jpg").read_bytes()) for number in range(2)]
    assert [(header.width, header.height) for header in headers] == [SIZE, SIZE]
    thumbnails = [(tmp_path / f"pages/thumbs/000/{number}.jpg").read_bytes() for number in range(2)]
    assert thumbnails[0] != thumbnails[1]


@pytest.mark.parametrize("name", [b"caf\xe9.png", "cafe\u0301.png".encode()])
@pytest.mark.parametrize("moved", [False, True])
def test_originals_are_shown_whatever_the_bytes_of_a_name(tmp_path: pathlib.Path, name: bytes, moved: bool) -> None:
    place = os.path.join(os.fsencode(tmp_path / "in"), name)
    os.mkdir(tmp_path / "in")
    pathlib.Path(os.fsdecode(place)).write_bytes(jpeg(draw_scene(0).image))
    key = unicodedata.normalize("NFC", storage.printable(os.fsdecode(name)))
    row = found_row(key, size=SIZE)._replace(source=storage.printable(os.fsdecode(place)))
    found = write_detections(tmp_path / "found", [row], {})
    root = SourceRoot(str(tmp_path / "in")) if moved else NOT_MOVED
    assert review(ReviewAsk(str(found), str(tmp_path / "pages"), source_root=root)).not_shown == 0
    assert items_of(tmp_path / "pages")[key]["url"] == f"../in/{urllib.parse.quote(name)}"


def test_of_a_file_larger_than_any_image_nothing_is_read(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    row = found_row("huge.png", size=SIZE)._replace(source=str(tmp_path / "huge.png"))
    found = write_detections(tmp_path / "found", [row], {})
    assert review(ReviewAsk(str(found), str(tmp_path / "pages"))).not_shown == 1
    note = items_of(tmp_path / "pages")["huge.png"]["note"]
    assert note.startswith("the original cannot be shown: a file of 536,870,911 bytes, which is more than 511 MiB")


def test_many_items_come_in_pieces(tmp_path: pathlib.Path) -> None:
    """Of a bounded size each, whatever their number."""
    rows = [found_row(f"{n:05}.jpg", (1, LEFT, 0.9)) for n in range(2100)]
    found = write_detections(tmp_path / "found", rows, per_file=3000, row_group=1000)
    review(ReviewAsk(str(found), str(tmp_path / "pages")))
    (overview,) = told(tmp_path / "pages/data/overview.js")
    assert (overview["items"], overview["pieces"]) == (2100, 2)
    assert len(told(tmp_path / "pages/data/index-00000.js")[1]) == 2000
    assert told(tmp_path / "pages/data/index-00001.js")[1][99][0] == "02099.jpg"
    assert len(list((tmp_path / "pages/data").glob("boxes-*.js"))) == 66
    assert len(told(tmp_path / "pages/data/boxes-00065.js")[1]) == 20


def test_numbers_of_an_evaluation_are_shown(place: Place, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.json").write_text('{"metrics": {"mAP": 0.5, "AR": null}}')
    ask = ReviewAsk(str(place.found), str(tmp_path / "pages"), evaluation=str(tmp_path))
    review(ask)
    assert told(tmp_path / "pages/data/overview.js")[0]["metrics"] == [["mAP", 0.5], ["AR", None]]
    with pytest.raises(UsageError, match="boxbeam evaluate wrote"):
        review(dataclasses.replace(ask, evaluation=str(tmp_path / "no")))


def test_wrong_usage_is_refused_and_nothing_changes(place: Place, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").touch()
    found = str(place.found)
    for output in (tmp_path / "mine", place.found / "pages"):
        with pytest.raises(OutputError):
            review(ReviewAsk(found, str(output)))
    for other in ({"source_root": SourceRoot(str(tmp_path / "no"))}, {"ground_truth": (str(tmp_path / "no.json"),)}):
        with pytest.raises(UsageError, match="no such"):
            review(ReviewAsk(found, str(tmp_path / "pages"), **other))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_pages_on_an_object_store_are_self_contained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As are those of originals that lie on one."""
    bucket = MemoryFiles()
    monkeypatch.setattr(storage, "_remote", bucket)
    assert review(ReviewAsk(str(place.found), "mem://b/pages")).not_shown == 2
    names = {path.removeprefix("mem://b/pages/") for path in bucket.files}
    assert {"index.html", "manifest.json", "data/overview.js", "previews/000/1.jpg", "videos/000/3.mp4"} <= names
    for path in place.originals.rglob("*.*"):
        bucket.files[f"mem://b/in/{path.relative_to(place.originals)}"] = path.read_bytes()
    output = place.found.parent / "of_a_bucket"
    assert review(ReviewAsk(str(place.found), str(output), source_root=SourceRoot("mem://b/in"))).not_shown == 2
    urls = {item["url"] for item in items_of(output).values()}
    assert urls == {"", "previews/000/0.jpg", "previews/000/1.jpg", "previews/000/5.jpg", "videos/000/3.mp4"}
    shutil.rmtree(output)


def test_outlines_are_those_of_the_masks(tmp_path: pathlib.Path) -> None:
    review(ReviewAsk(str(write_shapes(tmp_path)), str(tmp_path / "pages")))
    (((*_, rings, points),), _) = boxes_of(tmp_path / "pages", "ring.png")
    assert points == [0.25, 0.5, 0.75, 0.5]
    assert len(rings) == 2  # the ring and its hole
    height, width = 300, 400
    drawn = np.zeros((height, width), np.uint8)
    corners = [np.rint(np.reshape(ring, (-1, 2)) * (width, height)).astype(np.int32) for ring in rings]
    cv2.fillPoly(drawn, corners, 1)
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    mask = (distance < 0.3) & (distance > 0.1)
    assert (mask & (drawn > 0)).sum() > 0.85 * (mask | (drawn > 0)).sum()


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (480, 640), (4320, 7680)])
def test_outlines_are_bounded_however_fine_masks_are(size: tuple[int, int]) -> None:
    inside = [np.random.default_rng(0).random(size) < 0.5, np.ones(size), np.zeros(size)]
    masks = tuple(encode_runs(one) for one in inside)
    found = Detections.best_first(np.zeros((3, 4)), np.ones(3), np.ones(3))
    told = shapes_of(dataclasses.replace(found, masks=masks), *size)
    assert all(sum(len(ring) for ring in rings) <= 2 * 64 for rings, _ in told)
    assert told[2] == ([], [])
    assert all(0 <= x <= 1 for rings, _ in told for ring in rings for x in ring)
    assert len(told[1][0]) == 1


def test_outlines_of_many_masks_are_bounded_together() -> None:
    y, x = np.mgrid[:96, :128]
    disc = encode_runs(np.hypot(y - 48, x - 64) < 40)
    found = Detections.best_first(np.zeros((400, 4)), np.ones(400), np.ones(400))
    told = shapes_of(dataclasses.replace(found, masks=(disc,) * 400), 96, 128)
    assert sum(len(ring) // 2 for rings, _ in told for ring in rings) <= MOST_POINTS
    assert [bool(rings) for rings, _ in told] == [True] * MOST_MASKS + [False] * (400 - MOST_MASKS)
