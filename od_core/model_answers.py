"""What a detector answered for a batch of images, as one `Detections` per image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.errors import DetectError
from od_core.model_tensors import API_TENSORS, ModelTensors

Array = npt.NDArray[Any]


def read_answers(
    answers: Mapping[str, Array], count: int, height: int, width: int, tensors: ModelTensors = API_TENSORS
) -> list[Detections]:
    """The detections in the outputs of one run.

    Args:
        answers: by the API's names: detection_boxes (B, N, 4), detection_scores (B, N), detection_classes (B, N), and
            num_detections (B,); without that, rows with a score above 0 count.
        count, height, width: of the images that were fed: how many, and their size in pixels.
        tensors: what the numbers mean.

    Raises:
        DetectError: not one row for each image, or numbers that are no detections.
    """
    boxes, scores, classes = (answers[f"detection_{name}"] for name in ("boxes", "scores", "classes"))
    limit = scores.shape[-1] if scores.ndim else 0
    shapes = [(count, limit, 4), (count, limit), (count, limit), (count,)][: len(answers)]
    if [array.shape for array in answers.values()] != shapes:
        got = ", ".join(f"{name} {array.shape}" for name, array in answers.items())
        raise _unusable(count, height, width, f"with {got}: expected one row for each image")
    numbers = answers.get("num_detections")
    if numbers is not None and not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise _unusable(count, height, width, f"with num_detections {numbers.tolist()}")
    found = []
    for image in range(count):
        rows = scores[image] > 0 if numbers is None else slice(int(min(numbers[image], limit)))
        kept = boxes[image, rows], scores[image, rows], classes[image, rows]
        if not all(np.isfinite(array).all() for array in kept):
            what = f"with boxes, scores or classes that are not finite (image {image})"
            raise _unusable(count, height, width, what)
        class_ids = kept[2] if tensors.first_class_id == 1 else kept[2] + (1 - tensors.first_class_id)
        found.append(Detections.best_first(tensors.normalised_boxes(kept[0], height, width), kept[1], class_ids))
    return found


def _unusable(count: int, height: int, width: int, what: str) -> DetectError:
    return DetectError(f"the model answered {images_text(count, height, width)} {what}")


def images_text(count: int, height: int, width: int) -> str:
    """ "2 images of 640 x 480 px"."""
    return f"{count} image{'s' * (count != 1)} of {width} x {height} px"
