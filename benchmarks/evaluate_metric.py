"""One contestant's metric work on a generated set, in a process of its own: from boxes in memory to COCO's numbers.

    python -m benchmarks.evaluate_metric boxbeam 5000

Prints the seconds (wall, CPU of all threads), mAP, and how far the resident memory rose while it worked.
"""

import contextlib
import gc
import io
import itertools
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.child import answer
from benchmarks.coco_like import CATEGORIES, CocoLike

_FRAMES_AT_ONCE = 1000  # as evaluate reads them

Work = Callable[[], float]
"""Does the work; returns mAP."""


def boxbeam(made: CocoLike) -> Work:
    """The accumulator: update with frames, then value."""
    from od_core.metrics.coco import CocoBoxes

    frames = made.frames()
    batches = []
    while batch := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
        batches.append(batch)

    def work() -> float:
        metric = CocoBoxes(CATEGORIES)
        for batch in batches:
            metric.update(batch)
        return metric.value()["DetectionBoxes_Precision/mAP"]

    return work


def hotcoco(made: CocoLike) -> Work:
    """hotcoco's own run, from arrays."""
    from hotcoco import COCO, COCOeval

    images = [{"id": image} for image in range(made.images)]
    categories = [{"id": class_id, "name": name} for class_id, name in CATEGORIES.items()]
    bboxes, results = made.truth_bboxes(), made.results()
    areas, is_crowd = bboxes[:, 2] * bboxes[:, 3], made.is_crowd.astype(np.int64)

    def work() -> float:
        truth = COCO.from_arrays(
            images, categories, made.truth_images, made.truth_classes, bboxes, area=areas, iscrowd=is_crowd
        )
        return _evaluated(COCOeval(truth, truth.load_res(results), "bbox"))

    return work


def pycocotools(made: CocoLike) -> Work:
    """pycocotools' own run, from dicts and an array."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dataset = {
        "images": [{"id": image, "width": 640, "height": 480} for image in range(made.images)],
        "annotations": list(made.annotations()),
        "categories": [{"id": class_id, "name": name} for class_id, name in CATEGORIES.items()],
        "info": {},
    }
    results = made.results()

    def work() -> float:
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        return _evaluated(COCOeval(truth, truth.loadRes(results), "bbox"))

    return work


def _evaluated(evaluation: object) -> float:
    for step in ("evaluate", "accumulate", "summarize"):
        getattr(evaluation, step)()
    return float(evaluation.stats[0])  # type: ignore[attr-defined]


CONTESTANTS: dict[str, Callable[[CocoLike], Work]] = {
    "boxbeam": boxbeam,
    "hotcoco": hotcoco,
    "pycocotools": pycocotools,
}


def main() -> None:
    """Measure, and print one line of JSON."""
    contestant, images = sys.argv[1], int(sys.argv[2])
    work = CONTESTANTS[contestant](CocoLike.of(images))
    gc.collect()
    gc.freeze()  # the input is no garbage to look for again and again
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells what it does
        precision = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    answer({"wall": wall, "cpu": cpu, "mAP": precision, "grown_bytes": grown})


if __name__ == "__main__":
    main()
