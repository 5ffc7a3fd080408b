"""Objects of images as columns: where there are many, most are never needed one by one."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from od_core.annotations.annotated import AnnotatedObject, Excerpt


class ObjectColumns(NamedTuple):
    """The fields of several objects, see `AnnotatedObject`: of each field one value for every object.

    box_px: rows (ymin, xmin, ymax, xmax), as tuples or as one float64 (N, 4).
    """

    label: Sequence[str] = ()
    box_px: Sequence[tuple[float, float, float, float]] | npt.NDArray[np.float64] = ()
    place: Sequence[str] = ()
    class_id: Sequence[int | None] = ()
    is_crowd: Sequence[bool] = ()
    difficult: Sequence[bool] = ()
    group_of: Sequence[bool] = ()
    truncated: Sequence[bool] = ()
    view: Sequence[str | None] = ()
    area: Sequence[float | None] = ()
    excerpt: Sequence[Excerpt | None] = ()
    features: Sequence[tuple[tuple[str, int | float | str], ...]] = ()

    @classmethod
    def of(cls, objects: Iterable[AnnotatedObject]) -> "ObjectColumns":
        """Those of these objects; quicker than to ask them one by one."""
        return objects.columns if isinstance(objects, ObjectRows) else cls(*zip(*objects, strict=True))


class ObjectRows(Sequence[AnnotatedObject]):
    """The objects of one image, out of the columns of many images; each object is made when it is asked for."""

    def __init__(self, of_all: ObjectColumns, part: slice, furthest: tuple[float, float]):
        """See `rows_of`, which makes them.

        Args:
            of_all: columns of many images.
            part: which of their values are this image's.
            furthest: the largest ymax and xmax of its boxes; infinite if one begins before 0, or ends where it begins
                or before.
        """
        self._of_all = of_all
        self._part = part
        self._furthest = furthest
        self._columns: ObjectColumns | None = None

    @property
    def columns(self) -> ObjectColumns:
        """Those of this image's objects."""
        if self._columns is None:
            part = self._part
            self._columns = ObjectColumns._make([column[part] for column in self._of_all])
        return self._columns

    def all_lie_in(self, width: float, height: float) -> bool:
        """Whether every box is wider and higher than nothing, and lies in an image of this size."""
        ymax, xmax = self._furthest
        return ymax <= height and xmax <= width

    def __len__(self) -> int:
        return self._part.stop - self._part.start  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[AnnotatedObject]:
        columns = self.columns
        boxes = map(tuple, np.asarray(columns.box_px).tolist())
        return map(AnnotatedObject._make, zip(*columns._replace(box_px=boxes), strict=True))  # type: ignore[arg-type]

    @overload
    def __getitem__(self, index: int) -> AnnotatedObject: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedObject]: ...
    def __getitem__(self, index: int | slice) -> AnnotatedObject | Sequence[AnnotatedObject]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, tuple | ObjectRows) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def rows_of(columns: ObjectColumns, counts: Sequence[int]) -> list[ObjectRows]:
    """Objects of many images, end to end in columns, as the objects of each: how many it has, `counts` says."""
    boxes = np.asarray(columns.box_px, np.float64).reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, 2:]
    is_sound = ((low >= 0) & (low < high)).all(axis=1, keepdims=True)
    far = np.where(is_sound, high, math.inf)
    furthest = np.zeros((len(counts), 2))
    ends = list(itertools.accumulate(counts, initial=0))
    has_any = np.asarray(counts, np.int64) > 0
    if len(far):
        furthest[has_any] = np.maximum.reduceat(far, np.asarray(ends[:-1])[has_any])
    return [
        ObjectRows(columns, slice(start, stop), (ymax, xmax))
        for (start, stop), (ymax, xmax) in zip(itertools.pairwise(ends), furthest.tolist(), strict=True)
    ]
