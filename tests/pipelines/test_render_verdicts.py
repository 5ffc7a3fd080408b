"""render --colour_by verdict: overlay and side by side, with a legend that counts."""

import pathlib

import numpy as np

from od_core.detections import Detections
from od_core.drawing import (
    VERDICT_COLOURS,
    caption,
    draw_judged_detections,
    draw_judged_ground_truth,
    side_by_side,
)
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import Verdict, verdicts_of
from tests.blocks_scene import Scene
from tests.pipelines.render_files import LABELS, pixels, render_it, row_of, tell, write_pngs, write_truth

FOUND = Detections.best_first(
    [[0.1, 0.1, 0.5, 0.5], [0.1, 0.12, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9], [0, 0, 1, 1]],
    [0.9, 0.8, 0.7, 0.3],
    [1, 1, 2, 1],
)
SHOWN = FOUND.best(min_score=0.5)
PEOPLE = GroundTruth.of([[0.1, 0.1, 0.5, 0.5], [0.1, 0.6, 0.4, 0.9]], [1, 2], labels=["red", "bicycle"])
HERE = GroundTruth.of(PEOPLE.boxes, [1, -1], labels=["red", "bicycle"])
"""The same in the detections' numbering."""


def legend(*counts: int) -> list[tuple[tuple[int, int, int], str]]:
    words = ("true positive", "false positive", "missed", "ignored")
    return [
        (VERDICT_COLOURS[verdict], f"{count} {word}")
        for verdict, count, word in zip(Verdict, counts, words, strict=True)
    ]


def scene_and_truth(tmp_path: pathlib.Path) -> tuple[Scene, pathlib.Path]:
    scenes = write_pngs(tmp_path / "in", "a.png", "b.png")
    tell(tmp_path, *(row_of(name, scene, detections=FOUND) for name, scene in scenes.items()))
    return scenes["a.png"], write_truth(tmp_path / "t.parquet", [("a.png", 0, PEOPLE)])


def test_wrong_right_and_missed_on_one_picture(tmp_path: pathlib.Path) -> None:
    scene, truth = scene_and_truth(tmp_path)
    render_it(tmp_path, colour_by="verdict", ground_truth=truth)
    # Nobody annotates green, so what was found of it is ignored; a bicycle cannot be found, so it is missed.
    numbered = GroundTruth.of(PEOPLE.boxes, [1, 9])
    red = verdicts_of(EvaluatedFrame("", 240, 320, numbered, SHOWN.where(SHOWN.classes == 1)))
    verdicts = verdicts_of(EvaluatedFrame("", 240, 320, numbered, SHOWN))
    verdicts.found[2], verdicts.reasons[2] = Verdict.IGNORED, 0
    assert red.found.tolist() == verdicts.found.tolist()[:2] == [Verdict.TP, Verdict.FP]
    below = draw_judged_ground_truth(scene.image, HERE, verdicts, LABELS.labels, with_found=False)
    both = draw_judged_detections(below, SHOWN, verdicts, LABELS.labels)
    expected = caption(both, "", legend(1, 1, 1, 1))
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), expected)


def test_side_by_side_found_objects_are_on_the_right(tmp_path: pathlib.Path) -> None:
    scene, truth = scene_and_truth(tmp_path)
    render_it(tmp_path, layout="side_by_side", colour_by="verdict", ground_truth=truth, min_score=0.85)
    shown = FOUND.best(limit=1)
    verdicts = verdicts_of(EvaluatedFrame("", 240, 320, GroundTruth.of(PEOPLE.boxes, [1, 9]), shown))
    left = caption(draw_judged_detections(scene.image, shown, verdicts, LABELS.labels), "", legend(1, 0, 1, 0))
    right = draw_judged_ground_truth(scene.image, HERE, verdicts, LABELS.labels)
    np.testing.assert_array_equal(pixels(tmp_path / "out/a.png"), side_by_side(left, right))


def test_what_has_no_ground_truth_is_grey_and_says_so(tmp_path: pathlib.Path) -> None:
    _, truth = scene_and_truth(tmp_path)
    render_it(tmp_path, colour_by="verdict", ground_truth=truth)
    scene = write_pngs(tmp_path / "again", "a.png", "b.png")["b.png"]
    expected = caption(draw_judged_detections(scene.image, SHOWN, None, LABELS.labels), "no ground truth")
    np.testing.assert_array_equal(pixels(tmp_path / "out/b.png"), expected)


def test_classes_are_known_by_a_label_map_even_where_nothing_is_annotated(tmp_path: pathlib.Path) -> None:
    (scene,) = write_pngs(tmp_path / "in", "a.png").values()
    tell(tmp_path, row_of("a.png", scene, detections=FOUND.where(FOUND.classes == 2)))
    truth = write_truth(tmp_path / "truth/t.parquet", [("a.png", 0, GroundTruth.empty())])
    assert render_it(tmp_path, only="errors", ground_truth=truth) == {}
    (tmp_path / "truth/label_map.pbtxt").write_text("item { id: 4 name: 'green' }")
    assert set(render_it(tmp_path, only="errors", ground_truth=truth)) == {"a.png"}  # the former answer is not kept
