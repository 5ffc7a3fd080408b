"""Detection problems for the tests of metrics: from the oracles, or made from a seed, and as pycocotools takes them."""

import contextlib
import dataclasses
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval

from od_core.annotations.shapes import encode_runs
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame

COCO_NAMES = (
    "Precision/mAP",
    "Precision/mAP@.50IOU",
    "Precision/mAP@.75IOU",
    "Precision/mAP (small)",
    "Precision/mAP (medium)",
    "Precision/mAP (large)",
    "Recall/AR@1",
    "Recall/AR@10",
    "Recall/AR@100",
    "Recall/AR@100 (small)",
    "Recall/AR@100 (medium)",
    "Recall/AR@100 (large)",
)


class Problem(NamedTuple):
    """Frames to evaluate, with the categories to evaluate them for."""

    categories: dict[int, str]
    frames: list[EvaluatedFrame]


def oracle_problem(case: Mapping[str, Any], *, ordered_by: str) -> Problem:
    """A problem of eval_random. Images rank by "id", or by the order in which they were "added".

    Frames are one pixel large and boxes in pixels stay as they are: normalising would lose their last digits.
    """
    frames = []
    verified = {one["image_id"]: one["classes"] for one in case["verified_image_labels"]}
    for number, image in enumerate(case["images"]):
        truth = [one for one in case["ground_truth"] if one["image_id"] == image["id"]]
        found = [one for one in case["detections"] if one["image_id"] == image["id"]]
        frames.append(
            EvaluatedFrame(
                image["id"] if ordered_by == "id" else f"{number:06d}",
                1,
                1,
                GroundTruth.of(
                    [one["box"] for one in truth],
                    [one["class"] for one in truth],
                    is_crowd=[one["is_crowd"] for one in truth],
                    difficult=[one["difficult"] for one in truth],
                    group_of=[one["group_of"] for one in truth],
                    area=[np.nan if one.get("area") is None else one["area"] for one in truth],
                ),
                Detections.best_first(
                    [one["box"] for one in found], [one["score"] for one in found], [one["class"] for one in found]
                ),
                np.array(verified.get(image["id"], ()), np.int32),
            )
        )
    return Problem({one["id"]: one["name"] for one in case["categories"]}, frames)


def read_case(shared: pathlib.Path, number: int, kind: str = "") -> Any:
    """One of the JSON files of a case: the problem itself, or its "metrics" or "pycocotools"."""
    name = f"case_{number:02d}.{kind}.json" if kind else f"case_{number:02d}.json"
    return json.loads((shared / "oracles/eval_random" / name).read_text())


def oracle_numbers(shared: pathlib.Path, number: int, evaluator: str) -> dict[str, float]:
    """What an evaluator of the API says of a case of eval_random, with a stable sort; NaN is null in the files."""
    sensitivity = json.loads((shared / "oracles/eval_random/sensitivity.json").read_text())
    changed = sensitivity.get(f"case_{number:02d}", {}).get("a stable sort gives other values", {}).get(evaluator, {})
    numbers = read_case(shared, number, "metrics")[evaluator]
    return {
        name: np.nan if x is None else x
        for name, x in (numbers | {name: stable for name, (_, stable) in changed.items()}).items()
    }


def random_problem(seed: int, *, frames: int = 8, classes: int = 3, crowded: bool = False) -> Problem:
    """A made problem: ties, crowds, groups, difficult objects, given and missing areas, empty frames, unlisted classes.

    Boxes are multiples of 8 pixels, so that sides of 32 and 96, and overlaps at the thresholds, are common. `crowded`
    puts more than 100 detections of one class into a frame.
    """
    rng = np.random.default_rng(seed)
    made = []
    for number in rng.permutation(frames):
        truth_count = int(rng.choice([0, 1, 3, 8]))
        truth_boxes = _grid_boxes(rng, truth_count)
        truth_classes = rng.integers(1, classes + 2, truth_count)  # classes + 1 is not in the list
        found_count = int(rng.choice([0, 2, 6, 20])) + (150 if crowded else 0)
        found_boxes, found_classes = _grid_boxes(rng, found_count), rng.integers(1, classes + 2, found_count)
        if truth_count and found_count:
            near = rng.integers(0, truth_count, found_count)
            close = rng.random(found_count) < 0.8
            shift = rng.choice([0, 0, 4, 8], (found_count, 4)) * rng.choice([-1, 1], (found_count, 4))
            moved = truth_boxes[near] + shift
            moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 4)
            found_boxes[close], found_classes[close] = moved[close], truth_classes[near[close]]
        if crowded:
            found_classes[rng.random(found_count) < 0.9] = 1
        made.append(
            EvaluatedFrame(
                f"frame_{number:03d}",
                1,
                1,
                GroundTruth.of(
                    truth_boxes,
                    truth_classes,
                    is_crowd=rng.random(truth_count) < 0.15,
                    difficult=rng.random(truth_count) < 0.2,
                    group_of=rng.random(truth_count) < 0.15,
                    area=rng.choice([np.nan, 0.0, 32.0**2, 96.0**2, 500.0], truth_count),
                ),
                Detections.best_first(found_boxes, np.round(rng.random(found_count), 1), found_classes),
                rng.integers(1, classes + 1, 2).astype(np.int32),
            )
        )
    return Problem({class_id: f"class {class_id}" for class_id in range(1, classes + 1)}, made)


MASK_SIDE = 64


def mask_problem(seed: int, *, frames: int = 8, classes: int = 3) -> Problem:
    """A made problem with masks: boxes with pieces missing, in frames of 64 by 64 pixels; ties, crowds, empty ones."""
    rng = np.random.default_rng(seed)
    made = []
    for number in rng.permutation(frames):
        counts = int(rng.choice([0, 1, 4])), int(rng.choice([0, 3, 9]))
        boxes, masks = zip(*(_masks(rng, count) for count in counts), strict=True)
        if counts[0]:
            for index in range(0, counts[1], 2):  # every other detection is nearly an object
                object = int(rng.integers(counts[0]))
                boxes[1][index] = boxes[0][object]
                masks[1][index] = masks[0][object] & (rng.random((MASK_SIDE, MASK_SIDE)) < rng.choice([0.6, 0.8, 1]))
        truth_runs, found_runs = ([encode_runs(one) for one in each] for each in masks)
        classes_of = [rng.integers(1, classes + 2, count) for count in counts]  # classes + 1 is not in the list
        order = np.argsort(-(scores := np.round(rng.random(counts[1]), 1).astype(np.float32)), kind="stable")
        found = Detections.best_first(boxes[1][order], scores[order], classes_of[1][order])
        made.append(
            EvaluatedFrame(
                f"frame_{number:03d}",
                MASK_SIDE,
                MASK_SIDE,
                GroundTruth.of(
                    boxes[0],
                    classes_of[0],
                    is_crowd=rng.random(counts[0]) < 0.2,
                    area=[one.sum() for one in masks[0]],
                    masks=truth_runs,
                ),
                dataclasses.replace(found, masks=tuple(found_runs[index] for index in order)),
            )
        )
    return Problem({class_id: f"class {class_id}" for class_id in range(1, classes + 1)}, made)


def _masks(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalised boxes (N, 4), and masks (N, 64, 64) within them."""
    corners = rng.integers(0, MASK_SIDE // 2, (count, 2))
    sides = rng.integers(6, MASK_SIDE // 2, (count, 2))
    masks = np.zeros((count, MASK_SIDE, MASK_SIDE), np.bool_)
    for mask, (y, x), (height, width) in zip(masks, corners, sides, strict=True):
        mask[y : y + height, x : x + width] = rng.random((height, width)) < 0.9
    return np.concatenate([corners, corners + sides], axis=1) / MASK_SIDE, masks


def _grid_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.integers(0, 40, (count, 2)) * 8
    size = rng.choice([8, 32, 40, 96, 104], (count, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float64)


def pycocotools_numbers(problem: Problem) -> dict[str, float]:
    """What pycocotools says of a problem with pixels as units: the twelve numbers, and the AP of every class.

    It gets plain dicts made here, not by the code under test. A problem without detections has no answer from it.
    """
    evaluation = pycocotools_evaluation(problem)
    numbers = {f"DetectionBoxes_{name}": float(x) for name, x in zip(COCO_NAMES, evaluation.stats, strict=True)}
    for index, class_id in enumerate(sorted(problem.categories)):
        precision = evaluation.eval["precision"][:, :, index, 0, 2]
        defined = precision[precision > -1]
        numbers[f"DetectionBoxes_PerformanceByCategory/mAP/{problem.categories[class_id]}"] = (
            float(defined.mean()) if defined.size else -1.0
        )
    return numbers


def pycocotools_evaluation(problem: Problem) -> Any:
    """A COCOeval that has run."""
    truth, found = pycocotools_data(problem)
    with silence():
        evaluation = pycocotools.cocoeval.COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def pycocotools_data(problem: Problem) -> tuple[Any, Any]:
    """A problem with pixels as units as pycocotools takes it: ground truth and detections."""
    truths, finds = coco_dicts(problem)
    truth = pycocotools.coco.COCO()
    truth.dataset = _coco_dataset(problem, truths)
    with silence():
        truth.createIndex()
        return truth, truth.loadRes(finds)


def hotcoco_data(problem: Problem) -> tuple[Any, Any]:
    """The same for hotcoco."""
    truths, finds = coco_dicts(problem)
    truth = hotcoco.COCO(_coco_dataset(problem, truths))
    return truth, truth.load_res(finds)


def silence() -> contextlib.AbstractContextManager[Any]:
    """pycocotools prints."""
    return contextlib.redirect_stdout(io.StringIO())


def coco_dicts(problem: Problem) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Annotations and detections of a problem as COCO writes them; images are numbered from 1 by name."""
    truths: list[dict[str, Any]] = []
    finds: list[dict[str, Any]] = []
    for image_id, frame in enumerate(sorted(problem.frames, key=lambda frame: frame.name), 1):
        truth, found = frame.truth, frame.found
        for index, class_id in enumerate(truth.classes.tolist()):
            box = _coco_box(truth.boxes[index])
            given = float(truth.area[index]) if truth.area is not None else 0.0
            area = given if given > 0 else box[2] * box[3]
            if class_id in problem.categories:
                truths.append(
                    {"id": len(truths) + 1, "image_id": image_id, "category_id": class_id, "bbox": box, "area": area}
                    | {"iscrowd": int(truth.is_crowd[index])}
                )
        for index, class_id in enumerate(found.classes.tolist()):
            if class_id in problem.categories:
                finds.append(
                    {"image_id": image_id, "category_id": class_id, "bbox": _coco_box(found.boxes[index])}
                    | {"score": float(found.scores[index])}
                )
    return truths, finds


def _coco_dataset(problem: Problem, truths: Sequence[Any]) -> dict[str, Any]:
    return {
        "images": [{"id": image_id, "width": 1, "height": 1} for image_id in range(1, len(problem.frames) + 1)],
        "categories": [{"id": class_id, "name": name} for class_id, name in problem.categories.items()],
        "annotations": list(truths),
    }


def _coco_box(box: np.ndarray) -> list[float]:
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return [xmin, ymin, xmax - xmin, ymax - ymin]
