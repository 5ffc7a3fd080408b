"""COCO's numbers for masks are those of pycocotools."""

import dataclasses

import pycocotools.coco
import pycocotools.cocoeval
import pytest

from od_core.ground_truth import GroundTruth
from od_core.metrics.coco_masks import CocoMasks
from tests.od_core.metrics import evaluation_problems as problems


def pycocotools_numbers(problem: problems.Problem) -> dict[str, float]:
    """From dicts made here, not by the code under test."""
    truths, finds = [], []
    for image_id, frame in enumerate(sorted(problem.frames, key=lambda frame: frame.name), 1):
        size = [frame.height, frame.width]
        for index, class_id in enumerate(frame.truth.classes.tolist()):
            if class_id in problem.categories:
                one = {"id": len(truths) + 1, "image_id": image_id, "category_id": class_id}
                one["segmentation"] = {"size": size, "counts": frame.truth.masks[index]}
                truths.append(
                    one | {"area": float(frame.truth.area[index]), "iscrowd": int(frame.truth.is_crowd[index])}
                )
        for index, class_id in enumerate(frame.found.classes.tolist()):
            if class_id in problem.categories:
                one = {"image_id": image_id, "category_id": class_id, "score": float(frame.found.scores[index])}
                finds.append(one | {"segmentation": {"size": size, "counts": frame.found.masks[index]}})
    truth = pycocotools.coco.COCO()
    truth.dataset = {
        "images": [{"id": n, "width": 64, "height": 64} for n in range(1, len(problem.frames) + 1)],
        "categories": [{"id": id, "name": name} for id, name in problem.categories.items()],
        "annotations": truths,
    }
    with problems.silence():
        truth.createIndex()
        evaluation = pycocotools.cocoeval.COCOeval(truth, truth.loadRes(finds), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    numbers = {
        f"DetectionMasks_{name}": float(x) for name, x in zip(problems.COCO_NAMES, evaluation.stats, strict=True)
    }
    for index, class_id in enumerate(sorted(problem.categories)):
        precision = evaluation.eval["precision"][:, :, index, 0, 2]
        defined = precision[precision > -1]
        name = f"DetectionMasks_PerformanceByCategory/mAP/{problem.categories[class_id]}"
        numbers[name] = float(defined.mean()) if defined.size else -1.0
    return numbers


def test_made_problems_get_the_numbers_of_pycocotools() -> None:
    seen = set()
    for seed in range(8):
        problem = problems.mask_problem(seed)
        metric = CocoMasks(problem.categories)
        metric.update(problem.frames)
        wanted = pycocotools_numbers(problem)
        numbers = metric.value()
        assert list(numbers) == list(wanted)
        assert numbers == pytest.approx(wanted, abs=1e-12)
        seen.add(tuple(numbers.values()))
    assert len(seen) == 8  # problems that tell something


def test_objects_without_masks_are_left_out_and_detections_must_have_them() -> None:
    problem = problems.mask_problem(3)
    frame = next(frame for frame in problem.frames if len(frame.truth) and len(frame.found))
    box = [[0, 0, 1, 1]]
    more = GroundTruth.of(
        [*frame.truth.boxes, *box],
        [*frame.truth.classes, 1],
        area=[*frame.truth.area, 9],
        is_crowd=[*frame.truth.is_crowd, False],
        masks=[*frame.truth.masks, None],
    )
    first, second = CocoMasks(problem.categories), CocoMasks(problem.categories)
    first.update([frame])
    second.update([frame._replace(truth=more)])
    assert first.value() == second.value()
    with pytest.raises(ValueError, match="detections without masks"):
        CocoMasks(problem.categories).update([frame._replace(found=dataclasses.replace(frame.found, masks=None))])
