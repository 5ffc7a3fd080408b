"""Ground truth: the objects that people annotated in one image or video frame."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

_FLOAT, _INT, _BOOL = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.bool_)


@dataclasses.dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotated boxes of one frame, in the order of the annotation.

    Attributes:
        boxes: float32 (N, 4), rows [ymin, xmin, ymax, xmax], in units of the upright image's height and width. They can
            reach over the border (below 0, above 1) where the annotation does.
        classes: int32 (N,), label-map ids; -1 where the annotation's name is not in the label map.
        is_crowd: bool (N,), the box is around many objects (COCO's iscrowd).
        difficult: bool (N,), neither right nor wrong to find (Pascal VOC).
        group_of: bool (N,), the box is around a group of objects (Open Images).
        labels: None, or N names as annotated, None for an object without a name.
        area: None, or float32 (N,), the object's own area in square pixels (that of its mask, where it has one); NaN
            for an object of which it is not known.
        masks: None, or N masks in COCO's compressed run-length code, None for an object without one.

    Raises:
        ValueError: another shape or dtype, a box that is not finite, or an infinite area.
    """

    boxes: FloatArray
    classes: IntArray
    is_crowd: BoolArray
    difficult: BoolArray
    group_of: BoolArray
    labels: tuple[str | None, ...] | None = None
    area: FloatArray | None = None
    masks: tuple[bytes | None, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.classes)
        for name, array, shape, dtype in (
            ("boxes", self.boxes, (count, 4), _FLOAT),
            ("classes", self.classes, (count,), _INT),
            ("is_crowd", self.is_crowd, (count,), _BOOL),
            ("difficult", self.difficult, (count,), _BOOL),
            ("group_of", self.group_of, (count,), _BOOL),
            ("area", self.area, (count,), _FLOAT),
        ):
            if array is not None and (array.shape != shape or array.dtype != dtype):
                raise ValueError(
                    f"{name} must be {dtype.name} of shape {shape}, got {array.dtype} of shape {array.shape}"
                )
        if not np.isfinite(self.boxes).all():
            raise ValueError("boxes must be finite, got NaN or infinity")
        if self.area is not None and np.isinf(self.area).any():
            raise ValueError("area must be finite, or NaN where it is not known, got infinity")
        if self.labels is not None and len(self.labels) != count:
            raise ValueError(f"labels must have one entry per box ({count}), got {len(self.labels)}")
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"masks must have one entry per box ({count}), got {len(self.masks)}")

    @classmethod
    def of(
        cls,
        boxes: npt.ArrayLike,
        classes: npt.ArrayLike,
        *,
        is_crowd: npt.ArrayLike | None = None,
        difficult: npt.ArrayLike | None = None,
        group_of: npt.ArrayLike | None = None,
        labels: Sequence[str | None] | None = None,
        area: npt.ArrayLike | None = None,
        masks: Sequence[bytes | None] | None = None,
    ) -> "GroundTruth":
        """Ground truth from anything array-like: converted to the dtypes above; flags that are not given are False."""
        classes = np.asarray(classes, np.int32).reshape(-1)

        def flags(given: npt.ArrayLike | None) -> BoolArray:
            return np.zeros(len(classes), np.bool_) if given is None else np.asarray(given, np.bool_).reshape(-1)

        return cls(
            np.asarray(boxes, np.float32).reshape(-1, 4),
            classes,
            flags(is_crowd),
            flags(difficult),
            flags(group_of),
            None if labels is None else tuple(labels),
            None if area is None else np.asarray(area, np.float32).reshape(-1),
            None if masks is None else tuple(masks),
        )

    @classmethod
    def empty(cls) -> "GroundTruth":
        """Looked at, and nothing there."""
        return cls.of([], [])

    @classmethod
    def joined(cls, truths: Sequence["GroundTruth"]) -> "GroundTruth":
        """The objects of several frames, end to end."""
        parts = [*truths, cls.empty()]
        boxes, classes, is_crowd, difficult, group_of = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("boxes", "classes", "is_crowd", "difficult", "group_of")
        )
        areas = [np.full(len(part), np.nan, np.float32) if part.area is None else part.area for part in parts]
        return cls(
            boxes,
            classes,
            is_crowd,
            difficult,
            group_of,
            tuple(label for part in parts for label in part.labels or [None] * len(part)),
            np.concatenate(areas),
            tuple(mask for part in parts for mask in part.masks or [None] * len(part)),
        )

    def where(self, kept: BoolArray) -> "GroundTruth":
        """Those where `kept`, bool (N,), is true."""
        return GroundTruth(
            self.boxes[kept],
            self.classes[kept],
            self.is_crowd[kept],
            self.difficult[kept],
            self.group_of[kept],
            None if self.labels is None else tuple(itertools.compress(self.labels, kept)),
            None if self.area is None else self.area[kept],
            None if self.masks is None else tuple(itertools.compress(self.masks, kept)),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GroundTruth):
            return NotImplemented
        if self.area is None or other.area is None:
            same_area = self.area is other.area
        else:
            same_area = np.array_equal(self.area, other.area, equal_nan=True)
        return (
            same_area
            and self.labels == other.labels
            and self.masks == other.masks
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("boxes", "classes", "is_crowd", "difficult", "group_of")
            )
        )

    __hash__ = None  # type: ignore[assignment]
