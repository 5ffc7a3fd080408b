"""Boxes coloured by verdict, the legend that explains the colours, and pictures made smaller."""

import itertools

import cv2
import numpy as np
import pytest

from od_core.detections import Detections
from od_core.drawing import (
    VERDICT_COLOURS,
    caption,
    draw_judged_detections,
    draw_judged_ground_truth,
    fit_within,
)
from od_core.drawing.palette import DARK, WHITE
from od_core.drawing.tags import Tag, tag_picture
from od_core.drawing.text import line_height, text_mask
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import Verdict, Verdicts, verdicts_of

LABELS = {1: "car", 2: "dog"}
GREY = np.full((480, 640, 3), 200, np.uint8)
BOXES = [(0.1, 0.1, 0.4, 0.4), (0.5, 0.1, 0.9, 0.4), (0.1, 0.6, 0.4, 0.9), (0.5, 0.6, 0.9, 0.9)]
TRUTH = GroundTruth.of(BOXES[:3], [1, 2, 1], difficult=[False, False, True])
FOUND = Detections.best_first([BOXES[0], BOXES[3], BOXES[2]], [0.9, 0.8, 0.7], [1, 1, 1])
TP, FP, FN, IGNORED = (VERDICT_COLOURS[verdict] for verdict in Verdict)


def judged() -> Verdicts:
    return verdicts_of(EvaluatedFrame("a", 480, 640, TRUTH, FOUND))


def colour_at_edge(image: np.ndarray, box: tuple[float, ...]) -> tuple[int, ...]:
    """The colour in the middle of a box's lower edge."""
    return tuple(image[round(box[2] * 480) - 1, round((box[1] + box[3]) * 320)].tolist())


def holds(image: np.ndarray, part: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(image, (1, part.shape[1], 3))[..., 0, :, :]
    starts = np.argwhere((windows[:, :, 0] == part[0]).all(axis=(2, 3)))
    return any(
        np.array_equal(image[top : top + part.shape[0], left : left + part.shape[1]], part) for top, left in starts
    )


def test_detections_have_the_colours_of_their_verdicts_and_say_why_they_are_wrong() -> None:
    drawn = draw_judged_detections(GREY, FOUND, judged(), LABELS)
    assert [colour_at_edge(drawn, BOXES[index]) for index in (0, 3, 2)] == [TP, FP, IGNORED]
    for note, ground in (("90%", TP), ("80% background", FP), ("70% ignored", IGNORED)):
        assert holds(drawn, tag_picture(Tag("car", note, 11, 264, ground, (0, 0, 0))))


def test_detections_without_verdicts_are_grey() -> None:
    drawn = draw_judged_detections(GREY, FOUND, None, LABELS)
    assert {colour_at_edge(drawn, BOXES[index]) for index in (0, 3, 2)} == {IGNORED}
    assert holds(drawn, tag_picture(Tag("car", "80%", 11, 264, IGNORED, (0, 0, 0))))


def test_objects_have_the_colours_of_their_verdicts_and_say_that_they_were_missed() -> None:
    drawn = draw_judged_ground_truth(GREY, TRUTH, judged(), LABELS)
    assert [colour_at_edge(drawn, BOXES[index]) for index in (0, 1)] == [TP, FN]
    assert holds(drawn, tag_picture(Tag("dog", "missed", 11, 264, DARK, WHITE, FN, 1)))
    assert holds(drawn, tag_picture(Tag("car", "difficult", 11, 264, DARK, WHITE, IGNORED, 1)))
    without = draw_judged_ground_truth(GREY, TRUTH, judged(), LABELS, with_found=False)
    assert [colour_at_edge(without, BOXES[index]) for index in (0, 1)] == [(200, 200, 200), FN]


def test_nothing_to_judge_leaves_the_picture_as_it_is() -> None:
    verdicts = verdicts_of(EvaluatedFrame("a", 480, 640, GroundTruth.empty(), Detections.empty()))
    np.testing.assert_array_equal(draw_judged_detections(GREY, Detections.empty(), verdicts, LABELS), GREY)
    np.testing.assert_array_equal(draw_judged_ground_truth(GREY, GroundTruth.empty(), verdicts, LABELS), GREY)


@pytest.mark.parametrize(
    "sees",
    [
        np.eye(3),
        # Vienot, Brettel and Mollon (1999): linear RGB as seen without red, and without green cones.
        [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    ],
)
def test_the_colours_of_verdicts_are_told_apart_by_everybody(sees: np.ndarray) -> None:
    linear = (np.array(list(VERDICT_COLOURS.values())) / 255) ** 2.2
    seen = np.clip(linear @ np.transpose(sees), 0, 1) ** (1 / 2.2)
    lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 30


LEGEND = [(TP, "2 true positive"), (FP, "1 false positive"), (FN, "0 missed")]


def swatches(image: np.ndarray) -> list[tuple[int, int]]:
    """Top and left of the patches of the legend's colours."""
    return [tuple(np.argwhere((image == colour).all(axis=-1)).min(axis=0).tolist()) for colour, _ in LEGEND]


def test_the_legend_follows_the_text_in_its_line() -> None:
    drawn = caption(GREY, "frame 7", LEGEND)
    plain = caption(GREY, "frame 7")
    words = text_mask("frame 7", 11).shape[1]
    np.testing.assert_array_equal(drawn[:, : 6 + words], plain[:, : 6 + words])
    places = swatches(drawn)
    assert len({top for top, _ in places}) == 1
    assert 6 + words < places[0][1] < places[1][1] < places[2][1]
    patch = drawn[places[0][0] :, places[0][1] :]
    assert (patch[:10, :10] == TP).all()
    assert (drawn[: 480 - line_height(11)] == 200).all()


def test_what_does_not_fit_begins_another_line() -> None:
    narrow = GREY[:, :170]
    drawn = caption(narrow, "frame 7", LEGEND)
    tops = [top for top, _ in swatches(drawn)]
    assert tops[0] == tops[1] - line_height(11)
    assert (drawn[: 480 - 2 * line_height(11)] == 200).all() or tops[2] > tops[1]


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 200, 3), (200, 5, 3), (20, 20, 3)])
def test_a_legend_on_a_picture_that_is_too_small_for_it(shape: tuple[int, int, int]) -> None:
    assert caption(np.full(shape, 9, np.uint8), "frame 7", LEGEND).shape == shape


def test_a_legend_needs_no_text() -> None:
    assert swatches(caption(GREY, "", LEGEND))[0][1] == 6
    np.testing.assert_array_equal(caption(GREY, ""), GREY)


def test_pictures_are_made_smaller_but_never_larger() -> None:
    chess = np.kron(np.indices((30, 40)).sum(axis=0) % 2 * 200, np.ones((2, 2))).astype(np.uint8)
    image = np.stack([chess] * 3, axis=-1)
    assert fit_within(image, None) is image
    assert fit_within(image, 80) is image
    assert fit_within(image, 20).shape == (15, 20, 3)
    assert np.ptp(fit_within(image, 20)) == 0  # every pixel is the mean of two dark and two light squares
    assert fit_within(np.zeros((1000, 2, 3), np.uint8), 64).shape == (64, 1, 3)
