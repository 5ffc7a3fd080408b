"""A harbour is the same at every look, and its boxes are those of the silhouettes that it draws."""

import itertools

import cv2
import numpy as np
import pytest

from od_core.harbour.scene import DIFFICULT_BELOW, MIN_VISIBLE, Harbour, HarbourObject
from od_core.harbour.ships import LABELS, LENGTHS, SPRITE_SCALE, Vessel, draw_vessel

SEEDS = range(6)
WITH_BRIDGE = 9  # the seed of a harbour in which ships pass under a bridge


@pytest.fixture(scope="module")
def harbours() -> list[Harbour]:
    return [Harbour(seed) for seed in SEEDS]


def test_every_view_is_a_function_of_seed_and_time_alone(harbours):
    again = Harbour(2)
    for time_s in (30.0, 0.0, 700.04, 30.0):  # in any order, so that nothing is left over from the view before
        first, second = harbours[2].view(time_s), again.view(time_s)
        np.testing.assert_array_equal(first.image, second.image)
        assert first.objects == second.objects == again.objects(time_s)
    assert first.image.shape == (384, 640, 3)
    assert first.image.dtype == np.uint8


def test_other_times_and_seeds_are_other_pictures(harbours):
    images = [harbours[seed].view(time_s).image for seed, time_s in ((0, 0.0), (0, 0.04), (1, 0.0))]
    for first, second in itertools.combinations(images, 2):
        assert (first != second).mean() > 0.2


def extent(silhouette: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(silhouette)
    return float(rows.min()), float(columns.min()), float(rows.max() + 1), float(columns.max() + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_are_the_extents_of_silhouettes(harbours, seed):
    for time_s in (0.0, 212.36):
        objects = harbours[seed].objects(time_s)
        assert len({found.object_id for found in objects}) == len(objects) > 3
        for found in objects:
            assert found.label == LABELS[found.class_id]
            silhouette = harbours[seed].silhouette(found.object_id, time_s)
            assert silhouette.shape == (384, 640)
            assert found.box_px == extent(silhouette)


def test_who_is_not_in_sight_has_no_silhouette(harbours):
    assert not harbours[0].silhouette(123_456_789, 0.0).any()


def test_silhouettes_lie_where_the_picture_shows_edges(harbours):
    """Moved by a pixel either way, their outlines lie on less of the picture's edges."""
    moves = [(down, aside) for down in (-2, -1, 0, 1, 2) for aside in (-2, -1, 0, 1, 2)]
    strength = dict.fromkeys(moves, 0.0)
    for harbour in harbours:
        view = harbour.view(40.0)
        image = view.image.astype(np.float32)
        slopes = [cv2.Sobel(image, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
        edges = np.minimum(np.sqrt(np.sum(np.square(slopes), axis=(0, 3))), 300)
        for found in view.objects:
            if found.visible == 1:
                silhouette = harbour.silhouette(found.object_id, 40.0).astype(np.uint8)
                outline = cv2.morphologyEx(silhouette, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
                for move in moves:
                    strength[move] += float(edges[np.roll(outline, move, axis=(0, 1))].sum())
    best = strength.pop((0, 0))
    assert best > 1.02 * max(strength.values())
    assert best > 1.1 * max(strength[move] for move in ((2, 0), (-2, 0), (0, 2), (0, -2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_flags_follow_from_what_is_visible(harbours, seed):
    for time_s in (5.0, 90.0):
        for found in harbours[seed].objects(time_s):
            ymin, xmin, ymax, xmax = found.box_px
            assert 0 <= ymin < ymax <= 384
            assert 0 <= xmin < xmax <= 640
            assert MIN_VISIBLE <= found.visible <= 1
            assert found.difficult == (found.visible < DIFFICULT_BELOW)
            if found.truncated:
                assert found.visible < 1
                assert ymin == 0 or xmin == 0 or ymax == 384 or xmax == 640


def followed(harbour: Harbour, seconds: float, step: float) -> dict[int, list[HarbourObject]]:
    """Object id -> what it was in each view that it was in, in order."""
    tracks: dict[int, list[HarbourObject]] = {}
    for number in range(int(seconds / step)):
        for found in harbour.objects(number * step):
            tracks.setdefault(found.object_id, []).append(found)
    return tracks


def test_objects_keep_id_and_class_and_move_smoothly(harbours):
    for track in followed(harbours[1], 4, 0.04).values():
        assert len({found.class_id for found in track}) == 1
        for before, after in itertools.pairwise(track):
            if not (before.truncated or after.truncated):
                assert np.abs(np.subtract(before.box_px, after.box_px)).max() <= 4


def test_who_passes_under_the_bridge_is_hidden_for_a_while_and_keeps_its_box():
    tracks = followed(Harbour(WITH_BRIDGE), 60, 0.5).values()
    whole = [[found for found in track if not found.truncated] for track in tracks]
    passed = [
        track
        for track in whole
        if track and track[0].visible > 0.95 < track[-1].visible and min(found.visible for found in track) < 0.7
    ]
    assert passed
    for track in passed:
        sides = np.array([found.box_px[2:] for found in track]) - [found.box_px[:2] for found in track]
        assert (np.ptp(sides, axis=0) <= 0.35 * sides.max()).all()  # it only turns a little on its way


def test_all_classes_are_met_and_few_objects_are_difficult(harbours):
    met = [found for harbour in harbours for time_s in (0.0, 500.0) for found in harbour.objects(time_s)]
    assert {found.class_id for found in met} == set(LABELS)
    assert sum(found.difficult for found in met) < 0.25 * len(met)


def test_other_sizes_show_the_same_harbour():
    small, large = Harbour(3, width=320, height=192), Harbour(3, width=640, height=384)
    assert small.view(8.0).image.shape == (192, 320, 3)
    boxes = {found.object_id: found.box_px for found in large.objects(8.0) if not found.difficult}
    shrunk = {found.object_id: found.box_px for found in small.objects(8.0) if not found.difficult}
    shared = boxes.keys() & shrunk.keys()
    assert len(shared) > 0.9 * len(boxes)
    for object_id in shared:
        np.testing.assert_allclose(2 * np.array(shrunk[object_id]), boxes[object_id], atol=3)


@pytest.mark.parametrize(("seed", "width", "height"), [(-1, 640, 384), (0, 63, 384), (0, 640, 10)])
def test_impossible_harbours_are_refused(seed, width, height):
    with pytest.raises(ValueError, match="must"):
        Harbour(seed, width=width, height=height)


@pytest.mark.parametrize("class_id", LABELS)
def test_a_vessel_is_as_long_as_it_says_and_nothing_of_it_is_cut_off(class_id):
    for paint, length in enumerate(np.linspace(*LENGTHS[class_id], 8)):
        sprite = draw_vessel(Vessel(class_id, float(length), paint, paint % 2 == 0), 1.0)
        alpha = sprite[..., 3]
        assert (sprite[..., :3] <= alpha[..., None]).all()
        ymin, xmin, ymax, xmax = extent(alpha >= 128)
        assert (xmax - xmin) / SPRITE_SCALE == pytest.approx(length, abs=2.5)
        assert ymax - ymin < xmax - xmin or class_id == 5
        for border in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
            assert not border.any()
