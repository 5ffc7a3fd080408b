"""Detections: the scored boxes that a model found in one image or video frame."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Scored boxes found in one frame, best first.

    Attributes:
        boxes: float32 (N, 4), rows [ymin, xmin, ymax, xmax], 0..1 of the upright image's height and width.
        scores: float32 (N,), finite, non-increasing.
        classes: int32 (N,), label-map ids (1-based; 0 is background).
        masks: None, or N masks in COCO's compressed run-length code, as bytes.
        keypoints: None, or float32 (N, K, 3), rows [y, x, score] in the same units as boxes; NaN for what is not known.

    Raises:
        ValueError: a shape, dtype or order other than the above, or a number that is not finite.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: IntArray
    masks: tuple[bytes, ...] | None = None
    keypoints: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        for name, shape, dtype in (
            ("boxes", (count, 4), np.float32),
            ("scores", (count,), np.float32),
            ("classes", (count,), np.int32),
        ):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype).name} of shape {shape}, got {array.dtype} of shape {array.shape}"
                )
        for name in ("boxes", "scores"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite, got NaN or infinity")
        if (np.diff(self.scores) > 0).any():
            raise ValueError("scores must not increase: detections are kept best first")
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"masks must have one entry per score ({count}), got {len(self.masks)}")
        if self.keypoints is not None and (
            self.keypoints.ndim != 3 or self.keypoints.shape[0] != count or self.keypoints.shape[2] != 3
        ):
            raise ValueError(f"keypoints must have shape ({count}, K, 3), got {self.keypoints.shape}")

    @classmethod
    def best_first(cls, boxes: npt.ArrayLike, scores: npt.ArrayLike, classes: npt.ArrayLike) -> "Detections":
        """Detections from arrays in any order: sorted by falling score, equal scores in the order given.

        Args:
            boxes: (N, 4) rows [ymin, xmin, ymax, xmax], normalised.
            scores: (N,).
            classes: (N,), whole numbers (TensorFlow models give them as float32).
        """
        scores = np.asarray(scores, np.float32).reshape(-1)
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        classes = np.asarray(classes).reshape(-1).astype(np.int32)
        if (np.diff(scores) > 0).any():
            order = np.argsort(-scores, kind="stable")
            boxes, scores, classes = boxes[order], scores[order], classes[order]
        return cls(boxes, scores, classes)

    @classmethod
    def empty(cls) -> "Detections":
        """Nothing found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))

    def best(self, *, min_score: float = 0.0, limit: int | None = None) -> "Detections":
        """The detections with a score of at least `min_score`, at most `limit` of them."""
        keep = int(np.searchsorted(-self.scores, -np.float32(min_score), side="right"))
        if limit is not None:
            keep = min(keep, limit)
        if keep == len(self):
            return self
        return Detections(
            self.boxes[:keep],
            self.scores[:keep],
            self.classes[:keep],
            None if self.masks is None else self.masks[:keep],
            None if self.keypoints is None else self.keypoints[:keep],
        )

    def where(self, keep: npt.NDArray[np.bool_]) -> "Detections":
        """The detections for which `keep`, bool (N,), is true."""
        if keep.all():
            return self
        return Detections(
            self.boxes[keep],
            self.scores[keep],
            self.classes[keep],
            None if self.masks is None else tuple(itertools.compress(self.masks, keep.tolist())),
            None if self.keypoints is None else self.keypoints[keep],
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        return all(_equal(getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self))

    __hash__ = None  # type: ignore[assignment]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and np.array_equal(a, b)
    return bool(a == b)
