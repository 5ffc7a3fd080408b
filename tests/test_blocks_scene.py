"""The made scenes hold what they say, to the pixel, and files of them say the same."""

import pathlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from od_core.images import decode_image
from od_core.video.frames import VideoDamage, read_video
from tests.blocks_scene import COLOURS, Scene, draw_scene, jpeg, write_images, write_video

moments = st.integers(0, 500)
sizes = st.integers(24, 400)
seeds = st.integers(0, 50)


def block(scene: Scene, class_id: int) -> np.ndarray:
    """Which pixels a box says are of a block: bool (H, W)."""
    ymin, xmin, ymax, xmax = scene.boxes_px[class_id]
    inside = np.zeros(scene.image.shape[:2], bool)
    inside[ymin:ymax, xmin:xmax] = True
    return inside


@settings(deadline=None)
@given(moments, sizes, sizes, seeds)
@example(0, 48, 248, 15)  # narrow: a block would be as wide as the picture
def test_boxes_are_exactly_the_pixels_of_their_colour(number, width, height, seed):
    scene = draw_scene(number, width=width, height=height, seed=seed)
    assert (scene.image.shape, scene.image.dtype) == ((height, width, 3), np.uint8)
    for class_id, colour in COLOURS.items():
        coloured = (scene.image == colour).all(axis=2)
        if class_id in scene.boxes_px:
            np.testing.assert_array_equal(coloured, block(scene, class_id))
        else:
            assert not coloured.any()


@settings(deadline=None)
@given(moments, seeds)
def test_blocks_never_cover_each_other_and_nothing_else_stands_out(number, seed):
    scene = draw_scene(number, seed=seed)
    covered = np.sum([block(scene, class_id) for class_id in scene.boxes_px], axis=0)
    assert covered.max() == 1
    ground = scene.image[covered == 0]
    assert 100 <= ground.min() <= ground.max() < 140


def test_the_same_moment_is_the_same_picture_and_another_is_not():
    first = draw_scene(5, seed=3)
    np.testing.assert_array_equal(first.image, draw_scene(5, seed=3).image)
    assert first.boxes_px == draw_scene(5, seed=3).boxes_px
    assert (first.image != draw_scene(6, seed=3).image).any()
    assert first.boxes_px != draw_scene(5, seed=4).boxes_px


def test_blocks_drift_and_one_of_them_comes_and_goes():
    boxes = [draw_scene(number).boxes_px for number in range(8)]
    assert [sorted(one) for one in boxes] == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2]] * 2
    assert len({one[1] for one in boxes}) == 8
    assert {one[1][0] for one in boxes} == {boxes[0][1][0]}  # in a lane


def drawn_edges(image: np.ndarray, class_id: int) -> tuple[int, int, int, int]:
    """Where a colour is in a picture that was compressed: nearer to it than to the ground."""
    near = np.abs(image.astype(int) - COLOURS[class_id]).max(axis=2) < 60
    y, x = np.nonzero(near)
    return int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1


def agrees(image: np.ndarray, scene: Scene) -> bool:
    return all(drawn_edges(image, class_id) == box for class_id, box in scene.boxes_px.items())


@pytest.mark.parametrize("number", [0, 3, 17])
def test_a_jpeg_keeps_the_edges_where_they_are(number):
    scene = draw_scene(number)
    assert agrees(decode_image(jpeg(scene.image)), scene)


def test_images_are_written_by_number_as_they_are_returned(tmp_path: pathlib.Path):
    scenes = write_images(tmp_path / "new" / "folder", 4, width=160, height=120, seed=2)
    files = sorted((tmp_path / "new" / "folder").iterdir())
    assert [file.name for file in files] == [f"scene_00{number}.jpg" for number in range(4)]
    assert len(scenes) == 4
    for file, scene in zip(files, scenes, strict=True):
        image = decode_image(file.read_bytes())
        assert image.shape == (120, 160, 3)
        assert agrees(image, scene)


def test_a_video_has_each_scene_as_a_frame_at_its_time(tmp_path: pathlib.Path):
    scenes = write_video(tmp_path / "new" / "clip.mp4", 30, rate=30, seed=1)
    frames = list(read_video(tmp_path / "new" / "clip.mp4"))
    assert len(frames) == len(scenes) == 30
    for number, (frame, scene) in enumerate(zip(frames, scenes, strict=True)):
        assert not isinstance(frame, VideoDamage)
        assert frame.index == number
        assert frame.timestamp_us == pytest.approx(number * 1e6 / 30, abs=1)
        assert agrees(frame.image, scene)
