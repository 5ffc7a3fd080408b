"""Names of rendered files: people find them again, no two are the same, and none leads out of the output."""

import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.images import IMAGE_EXTENSIONS
from od_core.video.frames import VIDEO_EXTENSIONS
from pipelines.render.names import file_of, file_of_record


@pytest.mark.parametrize(
    ("key", "kind", "file"),
    [
        ("a/photo.jpg", "image", "a/photo.jpg"),
        ("a/photo.JPEG", "image", "a/photo.JPEG"),
        ("photo.png", "image", "photo.png"),
        ("photo.webp", "image", "photo.webp.jpg"),
        ("scan.TIF", "image", "scan.TIF.jpg"),
        ("still.gif", "image", "still.gif.jpg"),
        ("photo.webp.jpg", "image", "photo.webp.jpg.jpg"),
        ("photo.png.jpg", "image", "photo.png.jpg"),
        ("movie.mp4.jpg", "image", "movie.mp4.jpg"),
        ("clip.mp4", "video", "clip.mp4"),
        ("clip.avi", "video", "clip.avi.mp4"),
        ("clip.avi.mp4", "video", "clip.avi.mp4.mp4"),
        ("moving.gif", "video", "moving.gif.mp4"),
        ("val.tfrecord", "record", "val.tfrecord"),
        ("_work/a.jpg", "image", "__work/a.jpg"),
        ("../../etc/a.jpg", "image", "_/_/etc/a.jpg"),
        ("/a//b.jpg", "image", "_/a/_/b.jpg"),
        ("a\\..\\b.jpg", "image", "a\\..\\b.jpg"),
        ("a\nb\0.png", "image", "a_b_.png"),
    ],
)
def test_names(key: str, kind: str, file: str) -> None:
    assert file_of(key, kind) == file


STEMS = st.text("ab.", min_size=1, max_size=4).map(lambda stem: f"x{stem}")
IMAGES = st.tuples(STEMS, st.lists(st.sampled_from([".jpg", ".png", ".webp", ".tif", ".JPG"]), min_size=1, max_size=3))
VIDEOS = st.tuples(STEMS, st.lists(st.sampled_from([".mp4", ".avi", ".mkv", ".gif"]), min_size=1, max_size=3))


@given(st.lists(IMAGES, min_size=2, unique_by=str), st.lists(VIDEOS, unique_by=str))
def test_no_two_originals_share_a_file(
    images: list[tuple[str, list[str]]], videos: list[tuple[str, list[str]]]
) -> None:
    keys = {(stem + "".join(endings), "image") for stem, endings in images}
    keys |= {(stem + "".join(endings), "video") for stem, endings in videos}
    assert len({file_of(key, kind) for key, kind in keys}) == len(keys)


@given(
    st.text(max_size=400),
    st.sampled_from(sorted(IMAGE_EXTENSIONS | VIDEO_EXTENSIONS)),
    st.sampled_from(["image", "video"]),
)
def test_names_stay_in_the_output_and_can_be_written(key: str, extension: str, kind: str) -> None:
    file = file_of(key + extension, kind)
    assert os.path.normpath(file) == file
    assert not file.startswith("/")
    assert ".." not in file.split("/")
    assert max(len(part.encode()) for part in file.split("/")) <= 255
    assert file.split("/")[0].lower() != "_work"


def test_names_too_long_for_a_file_system_are_cut_and_kept_apart() -> None:
    files = [file_of(f"{'é' * 124}{end}.avi", "video") for end in "ab"]
    assert len(set(files)) == 2
    assert all(file.endswith(".mp4") and file.startswith("é" * 100) for file in files)
    assert all(230 < len(file.encode()) <= 255 for file in files)


@given(st.text(max_size=3000), st.integers(0, 10**9))
def test_a_record_of_any_name_is_a_file_in_its_folder(key: str, index: int) -> None:
    file = pathlib.PurePosixPath(file_of_record("val.tfrecord", index, key))
    assert (file.parent.name, file.suffix) == ("val.tfrecord", ".jpg")
    assert file.name.startswith(f"{index:06d}-")
    assert len(file.name.encode()) <= 255
    assert not set(file.name) & set('/\\\0\n\r\t:*?"<>|')


def test_records_keep_what_can_be_kept_of_their_names() -> None:
    assert file_of_record("val", 7, "a/b 1.jpg") == "val/000007-a_b 1.jpg"
    assert file_of_record("val", 7, "397133") == "val/000007-397133.jpg"
