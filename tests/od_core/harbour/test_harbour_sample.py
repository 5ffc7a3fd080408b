"""The sample's files hold the views that they were made from, and their annotations say what is in them."""

import pathlib
from xml.etree import ElementTree

import numpy as np
import pytest

from od_core.harbour import sample
from od_core.harbour.scene import Harbour, HarbourObject
from od_core.harbour.ships import LABELS
from od_core.images import decode_image
from od_core.label_map import read_label_map
from od_core.schemas import ground_truth_table, ground_truths_of
from od_core.video.frames import VideoDamage, VideoFrame, read_video

SMALL = {"width": 320, "height": 192}


def read_voc(path: pathlib.Path) -> list[tuple[str, bool, bool, tuple[float, ...]]]:
    """(name, truncated, difficult, box) of each object, read as a stranger would."""
    return [
        (
            element.findtext("name", ""),
            element.findtext("truncated") == "1",
            element.findtext("difficult") == "1",
            tuple(float(element.findtext(f"bndbox/{edge}", "")) for edge in ("ymin", "xmin", "ymax", "xmax")),
        )
        for element in ElementTree.parse(path).getroot().findall("object")
    ]


def as_voc(objects: tuple[HarbourObject, ...]) -> list[tuple[str, bool, bool, tuple[float, ...]]]:
    return [(found.label, found.truncated, found.difficult, found.box_px) for found in objects]


def test_images_and_their_annotations(tmp_path):
    folder = tmp_path / "new" / "folder"
    sample.write_images(folder, 3, seed=20, **SMALL)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert names == [f"Annotations/harbour_00{number}.xml" for number in range(3)] + [
        f"JPEGImages/harbour_00{number}.jpg" for number in range(3)
    ]
    for number in range(3):
        view = Harbour(20 + number, **SMALL).view(sample.image_time_s(number))
        image = decode_image((folder / f"JPEGImages/harbour_00{number}.jpg").read_bytes())
        assert np.abs(image.astype(int) - view.image).mean() < 4
        annotation = folder / f"Annotations/harbour_00{number}.xml"
        assert read_voc(annotation) == as_voc(view.objects)
        root = ElementTree.parse(annotation).getroot()
        assert root.findtext("folder") == "JPEGImages"
        assert root.findtext("filename") == f"harbour_00{number}.jpg"
        assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["320", "192", "3"]
        assert all(pose.text == "Unspecified" for pose in root.findall("object/pose"))


def test_the_same_call_writes_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        sample.write_images(tmp_path / name, 1, seed=4, **SMALL)
        sample.write_video(tmp_path / name / "clip.mp4", 5, seed=4, **SMALL)
    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*"))}
        for folder in (tmp_path / "first", tmp_path / "second")
    )
    assert len(first) == 3
    assert first == second


@pytest.mark.parametrize("rate", [25, 30])
def test_each_frame_of_a_video_is_the_view_that_its_row_tells_of(tmp_path, rate):
    path = tmp_path / "new" / "clip.mp4"
    sample.write_video(path, 12, rate=rate, seed=6, **SMALL)
    rows = list(sample.video_ground_truth("clip.mp4", 12, rate=rate, seed=6, **SMALL))
    frames: list[VideoFrame] = []
    for frame in read_video(path):
        assert not isinstance(frame, VideoDamage)
        frames.append(frame)
    assert [(frame.index, frame.timestamp_us) for frame in frames] == [
        (row.frame_index, row.timestamp_us) for row in rows
    ]
    harbour = Harbour(6, **SMALL)
    views = [harbour.view(index / rate) for index in range(12)]
    for frame, row in zip(frames, rows, strict=True):
        away = [np.abs(frame.image.astype(int) - view.image).mean() for view in views]
        assert int(np.argmin(away)) == frame.index
        assert away[frame.index] < 8
        assert (row.key, row.source, row.kind, row.width, row.height) == ("clip.mp4", "clip.mp4", "video", 320, 192)
        assert row.objects == sample.ground_truth(views[frame.index].objects, 320, 192)


def test_a_video_starts_to_play_before_it_is_there_in_full(tmp_path):
    sample.write_video(tmp_path / "clip.mp4", 3, **SMALL)
    encoded = (tmp_path / "clip.mp4").read_bytes()
    assert encoded.index(b"moov") < encoded.index(b"mdat")


def test_ground_truth_keeps_boxes_classes_and_flags_through_a_table():
    rows = list(sample.video_ground_truth("a/clip.mp4", 2, source="/data/a/clip.mp4", seed=8, **SMALL))
    table = ground_truth_table(rows, LABELS)
    assert table.column("source").to_pylist() == ["/data/a/clip.mp4"] * 2
    assert table.column("frame_index").to_pylist() == [0, 1]
    objects = Harbour(8, **SMALL).objects(0.0)
    (truth, _) = ground_truths_of(table)
    assert truth is not None
    np.testing.assert_allclose(truth.boxes * (192, 320, 192, 320), [found.box_px for found in objects], atol=1e-4)
    assert truth.classes.tolist() == [found.class_id for found in objects]
    assert truth.labels == tuple(found.label for found in objects)
    assert truth.difficult.tolist() == [found.difficult for found in objects]


def test_the_label_map_beside_the_model_is_the_one_written(tmp_path):
    sample.write_label_map(tmp_path / "new" / "label_map.pbtxt")
    assert (tmp_path / "new" / "label_map.pbtxt").read_bytes() == sample.LABEL_MAP.read_bytes()
    assert read_label_map(sample.LABEL_MAP).labels == LABELS
