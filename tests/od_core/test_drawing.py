"""Frames and tags on images: exact pixels, nothing ever off the picture, and no text or box that stops a run."""

import concurrent.futures
import itertools
import tracemalloc
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.drawing import caption, colour_of, draw_detections, draw_ground_truth, side_by_side
from od_core.drawing.tags import Tag, tag_picture
from od_core.drawing.text import fitting_mask, line_height, text_mask
from od_core.ground_truth import GroundTruth

LABELS = {1: "car", 2: "dog", 3: "sailboat"}
MIDDLE = (0.25, 0.25, 0.75, 0.75)
GREY = np.full((480, 640, 3), 200, np.uint8)  # lines of 2 pixels, shades of 1
SMALL = np.full((60, 80, 3), 200, np.uint8)  # too small for tags; lines of 1 pixel


def found(*boxes: Sequence[float], scores: Sequence[float] | None = None, classes: Sequence[int] = ()) -> Detections:
    return Detections.best_first(boxes, scores or [0.87] * len(boxes), classes or [1] * len(boxes))


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == colour).all(axis=-1)


def holds(image: np.ndarray, part: np.ndarray) -> bool:
    """Whether `part` is somewhere in the image, pixel by pixel."""
    height, width = part.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(image, (1, width, 3))[..., 0, :, :]  # (H, W', 1, width, 3)
    starts = np.argwhere((windows[:, :, 0] == part[0]).all(axis=(2, 3)))
    return any(np.array_equal(image[top : top + height, left : left + width], part) for top, left in starts)


def tag_of(text_on: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The tag above the one box `MIDDLE` of a picture of 480 x 640 pixels, found by its colour."""
    plate = has_colour(text_on[:119], colour)
    rows, columns = np.flatnonzero(plate.any(axis=1)), np.flatnonzero(plate.any(axis=0))
    return text_on[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


class TestColours:
    def test_a_class_keeps_its_colour_for_ever(self) -> None:
        # Pictures of last year are compared with those of today.
        assert [colour_of(class_id) for class_id in (1, 2, 3, 7)] == [
            (230, 159, 0),
            (86, 180, 233),
            (213, 94, 0),
            (0, 114, 178),
        ]
        assert (colour_of(8), colour_of(20), colour_of(1203)) == ((235, 130, 237), (186, 237, 130), (32, 223, 86))

    def test_the_first_sixty_differ_and_are_seen_on_dark_and_light(self) -> None:
        colours = [colour_of(class_id) for class_id in range(1, 61)]
        assert len(set(colours)) == 60
        for colour in colours:
            assert 255 >= max(colour) >= 150
            assert 0 <= min(colour) < 200

    def test_no_class_is_grey(self) -> None:
        assert colour_of(0) == colour_of(-1) == colour_of(-(2**31)) == (160, 160, 160)

    @pytest.mark.parametrize(
        "sees",
        [
            np.eye(3),
            # Vienot, Brettel and Mollon (1999), "Digital video colourmaps for checking the legibility of displays by
            # dichromats": linear RGB as seen without red, and without green cones.
            [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
            [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
        ],
    )
    def test_the_first_seven_are_told_apart_by_everybody(self, sees: np.ndarray) -> None:
        linear = (np.array([colour_of(class_id) for class_id in range(1, 8)]) / 255) ** 2.2
        seen = np.clip(linear @ np.transpose(sees), 0, 1) ** (1 / 2.2)
        lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 12


class TestFrames:
    def test_a_line_of_the_class_colour_between_two_shades(self) -> None:
        drawn = draw_detections(GREY, found(MIDDLE), LABELS)
        line, shade, ground = colour_of(1), (100, 100, 100), (200, 200, 200)
        down = [tuple(pixel) for pixel in drawn[116:124, 400].tolist()]
        assert down == [ground, ground, shade, line, line, shade, ground, ground]  # the edge is between 119 and 120
        across = [tuple(pixel) for pixel in drawn[300, 476:484].tolist()]
        assert across == [ground, ground, shade, line, line, shade, ground, ground]
        assert (drawn[122:358, 162:478] == 200).all()

    def test_the_image_itself_stays_as_it_was(self) -> None:
        image = GREY.copy()
        image.flags.writeable = False
        drawn = draw_detections(image, found(MIDDLE), LABELS)
        assert drawn is not image
        assert drawn.flags.writeable
        assert (image == 200).all()
        assert not np.shares_memory(draw_detections(image, Detections.empty(), LABELS), image)

    def test_views_can_be_drawn_on(self) -> None:
        mirrored = GREY[:, ::-1]
        np.testing.assert_array_equal(
            draw_detections(mirrored, found(MIDDLE), LABELS), draw_detections(GREY, found(MIDDLE), LABELS)
        )

    @pytest.mark.parametrize(
        ("size", "line"), [((240, 426), 2), ((720, 1280), 2), ((1080, 1920), 3), ((2160, 3840), 7)]
    )
    def test_lines_grow_with_the_picture(self, size: tuple[int, int], line: int) -> None:
        drawn = draw_detections(np.zeros((*size, 3), np.uint8), found(MIDDLE), LABELS)
        assert has_colour(drawn[:, size[1] * 2 // 3], colour_of(1)).sum() == 2 * line

    def test_a_box_over_everything_has_its_whole_line_in_the_picture(self) -> None:
        drawn = draw_detections(SMALL, found((-0.5, 0, 1, 1.5)), LABELS)
        line = has_colour(drawn, colour_of(1))
        assert line[0].all()
        assert line[-1].all()
        assert line[:, 0].all()
        assert line[:, -1].all()
        assert not line[1:-1, 1:-1].any()

    @pytest.mark.parametrize("box", [(0.9, 1, 1, 1), (1, 1, 1, 1), (1, 0.99, 1.2, 1.3)])
    def test_a_box_on_the_border_has_its_whole_line_in_the_picture(self, box: tuple[float, ...]) -> None:
        drawn = draw_detections(GREY, found(box), {1: "-"}, min_score=0)
        assert has_colour(drawn[-2:, -2:], colour_of(1)).all()

    def test_a_box_outside_is_left_out(self) -> None:
        outside = found((-0.5, 0.2, -0.1, 0.5), (0.2, 1.1, 0.4, 1.3), (3e38, 3e38, 3e38, 3e38))
        np.testing.assert_array_equal(draw_detections(GREY, outside, LABELS), GREY)

    def test_a_box_without_area_is_a_dot(self) -> None:
        drawn = draw_detections(SMALL, found((0.5, 0.5, 0.5, 0.5)), LABELS)
        assert np.argwhere(has_colour(drawn, colour_of(1))).tolist() == [[30, 40]]

    def test_swapped_edges_give_the_same_frame(self) -> None:
        np.testing.assert_array_equal(
            draw_detections(GREY, found((0.75, 0.75, 0.25, 0.25)), LABELS),
            draw_detections(GREY, found(MIDDLE), LABELS),
        )

    def test_the_best_lies_on_top(self) -> None:
        drawn = draw_detections(SMALL, found(MIDDLE, MIDDLE, scores=[0.6, 0.9], classes=[1, 2]), LABELS)
        assert has_colour(drawn, colour_of(2)).any()
        assert not has_colour(drawn, colour_of(1)).any()

    def test_scores_from_the_lowest_asked_for_are_drawn(self) -> None:
        three = found(MIDDLE, (0, 0, 0.1, 0.1), (0.9, 0.9, 1, 1), scores=[0.9, 0.7, 0.6999], classes=[1, 2, 3])
        drawn = draw_detections(SMALL, three, LABELS, min_score=0.7)
        assert [bool(has_colour(drawn, colour_of(class_id)).any()) for class_id in (1, 2, 3)] == [True, True, False]
        best = draw_detections(SMALL, three, LABELS, min_score=0, limit=1)
        assert [bool(has_colour(best, colour_of(class_id)).any()) for class_id in (1, 2, 3)] == [True, False, False]
        assert draw_detections(SMALL, found(MIDDLE, scores=[0.5]), LABELS).tolist() != SMALL.tolist()

    def test_a_thousand_boxes(self) -> None:
        corners = np.random.default_rng(5).random((1000, 4))
        boxes = np.concatenate(
            [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
        )
        many = Detections.best_first(boxes, np.linspace(1, 0.5, 1000), np.arange(1000) % 90 + 1)
        drawn = draw_detections(GREY, many, {})
        assert drawn.shape == GREY.shape
        np.testing.assert_array_equal(drawn, draw_detections(GREY, many, {}))


class TestTags:
    def test_the_tag_stands_on_the_frame_with_name_and_score(self) -> None:
        drawn = draw_detections(GREY, found(MIDDLE), LABELS)
        tag = tag_of(drawn, colour_of(1))
        height = line_height(11)
        assert tag.shape[0] == height
        np.testing.assert_array_equal(drawn[119 - height : 119, 159 : 159 + tag.shape[1]], tag)
        name, score = text_mask("car", 11) == 255, text_mask("87%", 11) == 255
        np.testing.assert_array_equal(has_colour(tag, (0, 0, 0))[:, 4 : 4 + name.shape[1]], name)  # black on orange
        np.testing.assert_array_equal(has_colour(tag, (0, 0, 0))[:, -4 - score.shape[1] : -4], score)

    def test_letters_are_black_or_white_whichever_is_read_better(self) -> None:
        on_yellow = tag_of(draw_detections(GREY, found(MIDDLE, classes=[5]), {5: "M"}), colour_of(5))
        on_blue = tag_of(draw_detections(GREY, found(MIDDLE, classes=[7]), {7: "M"}), colour_of(7))
        assert has_colour(on_yellow, (0, 0, 0)).any()
        assert not has_colour(on_yellow, (255, 255, 255)).any()
        assert has_colour(on_blue, (255, 255, 255)).any()
        assert not has_colour(on_blue, (0, 0, 0)).any()

    @pytest.mark.parametrize(
        ("score", "as_if"),
        [(0.874, 0.87), (0.996, 1.0), (0.0049, 0.005)],
    )
    def test_scores_are_rounded(self, score: float, as_if: float) -> None:
        np.testing.assert_array_equal(
            draw_detections(GREY, found(MIDDLE, scores=[score]), LABELS, min_score=0),
            draw_detections(GREY, found(MIDDLE, scores=[as_if]), LABELS, min_score=0),
        )

    def test_scores_below_one_percent_are_told_apart(self) -> None:
        low, lower = (draw_detections(GREY, found(MIDDLE, scores=[s]), LABELS, min_score=0) for s in (0.004, 0.001))
        assert low.tolist() != lower.tolist()

    @pytest.mark.parametrize("score", [1e30, -2.5, 7.25])
    def test_scores_that_are_no_probabilities_are_shown_as_they_are(self, score: float) -> None:
        drawn = draw_detections(GREY, found(MIDDLE, scores=[score]), LABELS, min_score=-10)
        assert tag_of(drawn, colour_of(1)).shape[1] < 120

    def test_a_class_without_a_name_is_shown_by_its_number(self) -> None:
        by_number = draw_detections(GREY, found(MIDDLE, classes=[4]), {})
        np.testing.assert_array_equal(by_number, draw_detections(GREY, found(MIDDLE, classes=[4]), {4: "class 4"}))
        np.testing.assert_array_equal(by_number, draw_detections(GREY, found(MIDDLE, classes=[4]), {4: ""}))

    @pytest.mark.parametrize("top", [0, 0.4, 0.8])
    @pytest.mark.parametrize("left", [-0.1, 0, 0.4, 0.95])
    def test_the_whole_tag_is_in_the_picture_wherever_the_box_is(self, top: float, left: float) -> None:
        tag = tag_of(draw_detections(GREY, found(MIDDLE, classes=[3]), LABELS), colour_of(3))
        drawn = draw_detections(GREY, found((top, left, top + 0.2, left + 0.2), classes=[3]), LABELS)
        assert holds(drawn, tag)

    @pytest.mark.parametrize("box", [MIDDLE, (0, 0, 1, 1), (0, 0, 0.2, 0.02), (0.9, 0.9, 1, 1)])
    def test_tags_of_one_place_do_not_hide_each_other(self, box: tuple[float, ...]) -> None:
        tags = [
            tag_of(draw_detections(GREY, found(MIDDLE, classes=[class_id]), LABELS), colour_of(class_id))
            for class_id in (1, 2, 3)
        ]
        drawn = draw_detections(GREY, found(box, box, box, classes=[1, 2, 3]), LABELS)
        assert [holds(drawn, tag) for tag in tags] == [True, True, True]

    def test_no_frame_crosses_a_tag(self) -> None:
        tag = tag_of(draw_detections(GREY, found(MIDDLE), LABELS), colour_of(1))
        drawn = draw_detections(GREY, found((0.2, 0.2, 0.22, 0.9), MIDDLE, scores=[0.9, 0.87], classes=[2, 1]), LABELS)
        assert holds(drawn, tag)

    def test_long_names_are_cut_and_the_score_is_kept(self) -> None:
        long = draw_detections(GREY, found(MIDDLE), {1: "w" * 500})
        tag = tag_of(long, colour_of(1))
        assert tag.shape[1] <= 24 * 11
        other = tag_of(draw_detections(GREY, found(MIDDLE, scores=[0.55]), {1: "w" * 500}), colour_of(1))
        assert tag.tolist() != other.tolist()

    def test_what_is_kept_for_the_next_time_is_bounded(self) -> None:
        tracemalloc.start()
        try:
            for number in range(120):
                tag_picture(Tag(f"class number {number}", "87%", 100, 3000, (0, 0, 0), (255, 255, 255)))
            assert tracemalloc.get_traced_memory()[0] < 20 << 20  # all of them would be 45 MiB
        finally:
            tracemalloc.stop()

    def test_threads_draw_as_one_does(self) -> None:
        def draw(number: int) -> bytes:
            return draw_detections(GREY, found(MIDDLE, scores=[0.9]), {1: f"thing {number % 7}"}).tobytes()

        expected = [draw(number) for number in range(7)]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            drawn = list(threads.map(draw, range(140)))
        assert drawn == expected * 20


class TestGroundTruth:
    def test_a_solid_frame_and_a_dark_tag(self) -> None:
        drawn = draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [2]), LABELS)
        assert has_colour(drawn[119:121, 159:481], colour_of(2)).all()
        above = drawn[100:118, 159:300]
        assert has_colour(above, (28, 28, 30)).any()
        assert has_colour(above, (255, 255, 255)).any()

    @pytest.mark.parametrize("flag", ["is_crowd", "difficult", "group_of"])
    def test_objects_that_do_not_count_in_full_have_a_dashed_frame(self, flag: str) -> None:
        drawn = draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [2], **{flag: [True]}), LABELS)
        bottom, right = has_colour(drawn[359], colour_of(2)), has_colour(drawn[:, 479], colour_of(2))
        for line, first, last in ((bottom, 159, 480), (right, 119, 360)):
            assert line[first]
            assert line[last]
            assert 0.5 < line[first : last + 1].mean() < 0.7

    def test_every_flag_is_named(self) -> None:
        flags = [{}, {"is_crowd": [True]}, {"difficult": [True]}, {"group_of": [True]}]
        flags.append({"is_crowd": [True], "difficult": [True]})
        drawn = [draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [2], **given), LABELS).tobytes() for given in flags]
        assert len(set(drawn)) == 5

    def test_a_name_that_the_label_map_lacks_is_shown_as_annotated_in_grey(self) -> None:
        unicorn = draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [-1], labels=["unicorn"]), LABELS)
        assert has_colour(unicorn[300, :], (160, 160, 160)).sum() == 4
        nameless = draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [-1], labels=[None]), LABELS)
        assert unicorn.tolist() != nameless.tolist()

    def test_the_label_map_goes_before_the_annotation(self) -> None:
        np.testing.assert_array_equal(
            draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [2], labels=["/m/0bt9lr"]), LABELS),
            draw_ground_truth(GREY, GroundTruth.of([MIDDLE], [2]), LABELS),
        )

    def test_nothing_annotated(self) -> None:
        np.testing.assert_array_equal(draw_ground_truth(GREY, GroundTruth.empty(), LABELS), GREY)


class TestText:
    @pytest.mark.parametrize("word", ["Ärger", "žluť", "собака", "σκύλος", "自転車", "ネコ", "고양이", "חתול", "سيارة"])
    def test_scripts_that_the_fonts_have(self, word: str) -> None:
        missing = text_mask("?", 40)
        for letter in set(word):
            assert text_mask(letter, 40).tolist() != missing.tolist()

    def test_a_missing_letter_is_a_question_mark(self) -> None:
        np.testing.assert_array_equal(text_mask("🚗", 40), text_mask("?", 40))

    @pytest.mark.parametrize("text", ["\0", "\ud800", "\x1b", "\uffff"])
    def test_what_is_no_character_is_shown_as_a_replacement(self, text: str) -> None:
        np.testing.assert_array_equal(text_mask(f"a{text}b", 20), text_mask("a\N{REPLACEMENT CHARACTER}b", 20))

    def test_a_line_stays_a_line(self) -> None:
        np.testing.assert_array_equal(text_mask("two\nlines\tof", 20), text_mask("two lines of", 20))
        assert text_mask("two\nlines", 20).shape[0] == line_height(20)

    def test_spaces_are_kept_and_marks_of_direction_are_not_seen(self) -> None:
        assert text_mask("a   b", 20).shape[1] > text_mask("a b", 20).shape[1]
        np.testing.assert_array_equal(text_mask("a\u200eb\u00ad", 20), text_mask("ab", 20))

    def test_composed_and_decomposed_are_the_same(self) -> None:
        np.testing.assert_array_equal(text_mask("a\u0308", 20), text_mask("ä", 20))

    def test_hebrew_is_read_from_right_to_left(self) -> None:
        last = text_mask("ב", 40)
        assert text_mask("אב", 40)[:, : last.shape[1]].tolist() == last.tolist()

    def test_numbers_in_hebrew_stay_numbers(self) -> None:
        number = text_mask("12", 40)
        assert text_mask("אב 12", 40)[:, : number.shape[1]].tolist() == number.tolist()
        latin = text_mask("x", 40)
        assert text_mask("x אב", 40)[:, : latin.shape[1]].tolist() == latin.tolist()

    def test_empty(self) -> None:
        assert text_mask("", 20).shape == text_mask("  ", 20).shape == (line_height(20), 0)

    @given(st.text(st.characters(), max_size=300), st.integers(9, 40), st.integers(-5, 300))
    @settings(max_examples=150)
    def test_any_text_fits_its_room(self, text: str, size: int, room: int) -> None:
        mask = fitting_mask(text, size, room)
        assert mask.shape[0] == line_height(size)
        assert mask.shape[1] <= max(0, room)


edge = st.floats(-0.5, 1.5, width=32) | st.floats(allow_nan=False, allow_infinity=False, width=32)


@st.composite
def anything(draw: st.DrawFn) -> tuple[np.ndarray, list[list[float]], list[int], dict[int, str]]:
    height = draw(st.integers(8, 2000))
    width = draw(st.integers(8, max(8, min(2000, 200_000 // height))))
    boxes = draw(st.lists(st.lists(edge, min_size=4, max_size=4), max_size=6))
    classes = draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=len(boxes), max_size=len(boxes)))
    names = draw(st.lists(st.text(st.characters(), max_size=60), min_size=len(boxes), max_size=len(boxes)))
    return np.zeros((height, width, 3), np.uint8), boxes, classes, dict(zip(classes, names, strict=True))


@given(anything(), st.floats(allow_nan=False, allow_infinity=False, width=32))
@settings(max_examples=60)
def test_nothing_ever_raises(
    scene: tuple[np.ndarray, list[list[float]], list[int], dict[int, str]], score: float
) -> None:
    image, boxes, classes, labels = scene
    detections = Detections.best_first(boxes, [score] * len(boxes), classes)
    flags = [index % 2 == 0 for index in range(len(boxes))]
    truth = GroundTruth.of(boxes, classes, difficult=flags, labels=[labels.get(c) for c in classes])
    for drawn in (
        draw_detections(image, detections, labels, min_score=float("-inf")),
        draw_ground_truth(image, truth, labels),
        draw_ground_truth(image, truth, {}),
        caption(image, "".join(labels.values())),
    ):
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        assert not image.any()


class TestCaption:
    def test_white_letters_on_the_darkened_lower_left_corner(self) -> None:
        drawn = caption(GREY, "frame 123")
        height = line_height(11)
        assert (drawn[:-height] == 200).all()
        corner = drawn[-height:, :40]
        assert has_colour(corner, (50, 50, 50)).any()
        assert has_colour(corner, (255, 255, 255)).any()
        assert (drawn[:, 200:] == 200).all()
        assert (GREY == 200).all()

    def test_an_empty_one_changes_nothing(self) -> None:
        np.testing.assert_array_equal(caption(GREY, ""), GREY)

    @pytest.mark.parametrize(("height", "hidden"), [(30, 0), (50, 1), (400, 3)])
    def test_a_caption_hides_no_more_than_a_third_of_a_low_picture(self, height: int, hidden: int) -> None:
        image = np.full((height, 90, 3), 200, np.uint8)
        legend = [((86, 180, 233), "12 right"), ((213, 94, 0), "3 wrong")]
        changed = (caption(image, "frame 7", legend) != image).any(axis=(1, 2)).sum()
        assert (hidden - 1) * 14 < changed <= hidden * 14
        assert changed <= height / 3


class TestSideBySide:
    def test_two_pictures_a_gap_and_a_strip(self) -> None:
        left, right = np.full((480, 640, 3), 10, np.uint8), np.full((480, 640, 3), 240, np.uint8)
        both = side_by_side(left, right)
        strip, gap = both.shape[0] - 480, both.shape[1] - 1280
        assert 0 < strip < 40
        assert 0 < gap < 10
        assert (both[strip:, :640] == 10).all()
        assert (both[strip:, 640 + gap :] == 240).all()
        assert has_colour(both[strip:, 640 : 640 + gap], (28, 28, 30)).all()
        assert has_colour(both[:strip, :640], (255, 255, 255)).any()
        assert has_colour(both[:strip, 640 + gap :], (255, 255, 255)).any()

    def test_titles(self) -> None:
        usual = side_by_side(GREY, GREY)
        np.testing.assert_array_equal(usual, side_by_side(GREY, GREY, ("detections", "ground truth")))
        other = side_by_side(GREY, GREY, ("detections", "w" * 300))
        assert other.shape == usual.shape
        np.testing.assert_array_equal(other[:, :640], usual[:, :640])
        assert other[:, 644:].tolist() != usual[:, 644:].tolist()

    def test_tiny_pictures(self) -> None:
        assert side_by_side(GREY[:1, :1], GREY[:1, :1]).shape[2] == 3

    def test_different_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"same shape.*\(480, 640, 3\).*\(60, 80, 3\)"):
            side_by_side(GREY, SMALL)
