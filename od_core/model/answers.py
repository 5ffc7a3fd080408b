"""What a detector answered for a batch of images, as one `Detections` per image."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.errors import DetectError
from od_core.image_masks import encode_box_mask
from od_core.model.tensors import API_TENSORS, ModelTensors

Array = npt.NDArray[Any]

_FINITE = ("detection_boxes", "detection_scores", "detection_classes", "detection_masks")


def read_answers(
    answers: Mapping[str, Array],
    count: int,
    height: int,
    width: int,
    tensors: ModelTensors = API_TENSORS,
    *,
    min_score: float = -math.inf,
    limit: int | None = None,
) -> list[Detections]:
    """The detections in the outputs of one run.

    Args:
        answers: by the API's names: detection_boxes (B, N, 4), detection_scores (B, N), detection_classes (B, N), and
            num_detections (B,); without that, rows with a score above 0 count. If they are to be kept also
            detection_masks (B, N, h, w), probabilities over the boxes, and detection_keypoints (B, N, K, 2), perhaps
            with detection_keypoint_scores (B, N, K).
        count, height, width: of the images that were fed: how many, and their size in pixels.
        tensors: what the numbers mean.
        min_score, limit: see `Detector.detect`.

    Raises:
        DetectError: not one row for each image, or numbers that are no detections.
    """
    scores = answers["detection_scores"]
    rows = scores.shape[-1] if scores.ndim else 0
    points = answers.get("detection_keypoints", scores).shape[2:3] or (None,)
    if not all(_fits(name, array, (count, rows), points) for name, array in answers.items()):
        got = ", ".join(f"{name} {array.shape}" for name, array in answers.items())
        raise _unusable(count, height, width, f"with {got}: expected one row for each image")
    numbers = answers.get("num_detections")
    if numbers is not None and not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise _unusable(count, height, width, f"with num_detections {numbers.tolist()}")
    are_finite = all(np.isfinite(answers[name]).all() for name in _FINITE if name in answers)
    found = []
    for image in range(count):
        answer = {name: array[image] for name, array in answers.items()}
        scores = answer["detection_scores"]
        real = np.flatnonzero(scores > 0) if numbers is None else np.arange(int(min(numbers[image], rows)))
        if not are_finite and not all(np.isfinite(answer[name][real]).all() for name in _FINITE if name in answer):
            what = "boxes, scores or classes" if "detection_masks" not in answers else "boxes, scores, classes or masks"
            raise _unusable(count, height, width, f"with {what} that are not finite (image {image})")
        kept = _best_first(scores, real, min_score)[:limit]
        boxes = tensors.normalised_boxes(answer["detection_boxes"][kept], height, width).astype(np.float32)
        if (boxes[:, :2] > boxes[:, 2:]).any():
            what = f"with boxes whose minimum is above their maximum (image {image}): they are not {tensors.box_format}"
            raise _unusable(count, height, width, f"{what}; --box_format says what the four numbers of a box are")
        found.append(_detections(answer, kept, boxes, height, width, tensors))
    return found


def _best_first(scores: Array, real: Array, min_score: float) -> Array:
    """Those of the rows `real`, which rise, that have at least `min_score`; equal scores as they are."""
    values = scores[real]
    if (values[1:] > values[:-1]).any():  # hardly ever: non-maximum suppression gives the best ones first
        order = np.argsort(-values, kind="stable")
        real, values = real[order], values[order]
    return real[values >= np.float32(min_score)]


def _fits(name: str, array: Array, rows: tuple[int, int], points: tuple[int | None]) -> bool:
    """Whether an output has the shape of its kind; `rows`: images and detections, `points`: keypoints of one."""
    ends: Mapping[str, tuple[int | None, ...]] = {
        "detection_boxes": (4,),
        "detection_masks": (None, None),
        "detection_keypoints": (*points, 2),
        "detection_keypoint_scores": points,
    }
    expected = rows[:1] if name == "num_detections" else (*rows, *ends.get(name, ()))
    return len(array.shape) == len(expected) and all(
        wanted in (None, size) for wanted, size in zip(expected, array.shape, strict=True)
    )


def _detections(
    answer: Mapping[str, Array],
    kept: Array,
    boxes: npt.NDArray[np.float32],
    height: int,
    width: int,
    tensors: ModelTensors,
) -> Detections:
    """These rows of one image's answer, best first, with their boxes."""
    class_ids = answer["detection_classes"][kept] + (1 - tensors.first_class_id)
    masks = keypoints = None
    if "detection_masks" in answer:
        pairs = zip(answer["detection_masks"][kept], boxes, strict=True)
        masks = tuple(encode_box_mask(mask, box, height, width) for mask, box in pairs)
    if "detection_keypoints" in answer:
        points = tensors.normalised_points(answer["detection_keypoints"][kept], height, width)
        scores = answer.get("detection_keypoint_scores")
        certain = np.full(points.shape[:2], np.nan) if scores is None else scores[kept]
        keypoints = np.concatenate([points, certain[..., None]], axis=2).astype(np.float32)
    return Detections(
        boxes, answer["detection_scores"][kept].astype(np.float32), class_ids.astype(np.int32), masks, keypoints
    )


def _unusable(count: int, height: int, width: int, what: str) -> DetectError:
    return DetectError(f"the model answered {images_text(count, height, width)} {what}")


def images_text(count: int, height: int, width: int) -> str:
    """ "2 images of 640 x 480 px"."""
    return f"{count} image{'s' * (count != 1)} of {width} x {height} px"
