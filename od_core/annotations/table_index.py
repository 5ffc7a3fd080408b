"""Boxes of a table, kept small and sorted by image: a line of numbers a box instead of Python objects.

Rows about one image need not stand together, so a table has to be read to its end before the first image is complete.
A million boxes take 70 MB with five more columns.
"""

import array
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.annotations.annotated import AnnotationFault, ImageLabel

# Boxes in units of the image may reach over its border by this much, and no box in pixels lies in so small a place.
_NORMALISED = (-0.01, 1.01)


class TableBox(NamedTuple):
    """One box: its line, its class, its edges as the table has them, and its other numbers, NaN where there is none."""

    line: int
    label: str
    box: tuple[float, float, float, float]
    numbers: tuple[float, ...]


class TableImage(NamedTuple):
    """One image: its name, the line where it is first mentioned, and what was noted of it."""

    name: str
    line: int
    faults: Sequence[AnnotationFault]


class TableIndex:
    """The images and boxes of tables, filled row by row, then sealed, then read image by image."""

    def __init__(self, number_count: int):
        """`number_count`: how many numbers a box has beside its edges."""
        self._number_count = number_count
        self._codes: dict[str, int] = {}
        self._image_lines = array.array("q")
        self._faults: dict[int, list[AnnotationFault]] = {}
        self._label_codes: dict[str, int] = {}
        self._labels: list[str] = []
        self._image_codes = array.array("i")
        self._lines = array.array("q")
        self._box_labels = array.array("i")
        self._boxes = array.array("d")
        self._numbers = array.array("f")
        self._order: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._starts: npt.NDArray[np.intp] = np.zeros(1, np.intp)

    @property
    def labels(self) -> Sequence[str]:
        """The classes, by first mention."""
        return self._labels

    @property
    def box_count(self) -> int:
        return len(self._lines)

    @property
    def image_count(self) -> int:
        return len(self._codes)

    def image(self, name: str, line: int) -> int:
        """The number of an image; `line`: where this is asked, kept of a new one."""
        code = self._codes.setdefault(name, len(self._codes))
        if code == len(self._image_lines):
            self._image_lines.append(line)
        return code

    def add_box(
        self, image: int, line: int, label: str, box: tuple[float, float, float, float], numbers: Sequence[float]
    ) -> None:
        """One box of `images()[image]`."""
        code = self._label_codes.setdefault(label, len(self._labels))
        if code == len(self._labels):
            self._labels.append(label)
        self._image_codes.append(image)
        self._lines.append(line)
        self._box_labels.append(code)
        self._boxes.extend(box)
        self._numbers.extend(numbers)

    def add_fault(self, image: int, fault: AnnotationFault) -> None:
        """Something of an image that cannot be used."""
        self._faults.setdefault(image, []).append(fault)

    def seal(self) -> None:
        """Sort the boxes by image; after the last row."""
        codes = np.frombuffer(self._image_codes, np.int32)
        self._order = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes[self._order], np.arange(self.image_count + 1))

    def share_normalised(self) -> float:
        """The share of the boxes that can be in units of the image: 1 for all, 0 if there are none."""
        if not self.box_count:
            return 0.0
        edges = np.frombuffer(self._boxes, np.float64).reshape(-1, 4)
        inside = (edges >= _NORMALISED[0]).all(axis=1) & (edges <= _NORMALISED[1]).all(axis=1)
        return float(inside.mean())

    def images(self) -> Iterator[TableImage]:
        """The images, by first mention."""
        for code, name in enumerate(self._codes):
            yield TableImage(name, self._image_lines[code], self._faults.get(code, ()))

    def boxes(self, image: int) -> Iterator[TableBox]:
        """The boxes of the image of this number, in the order of their rows."""
        size = self._number_count
        for row in self._order[self._starts[image] : self._starts[image + 1]].tolist():
            ymin, xmin, ymax, xmax = self._boxes[4 * row : 4 * row + 4]
            numbers = tuple(self._numbers[size * row : size * row + size])
            yield TableBox(self._lines[row], self._labels[self._box_labels[row]], (ymin, xmin, ymax, xmax), numbers)


class ImageLabelIndex:
    """Classes of whole images, filled row by row, then sealed, then read image by image: 12 bytes each."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._images = array.array("i")
        self._labels = array.array("i")
        self._confidences = array.array("f")
        self._order: npt.NDArray[np.intp] = np.zeros(0, np.intp)
        self._starts: npt.NDArray[np.intp] = np.zeros(1, np.intp)

    def add(self, image: int, label: str, confidence: float) -> None:
        """A class of an image of this number."""
        self._images.append(image)
        self._labels.append(self._codes.setdefault(label, len(self._codes)))
        self._confidences.append(confidence)

    def seal(self, image_count: int) -> None:
        """Sort the classes by image; after the last row."""
        images = np.frombuffer(self._images, np.int32)
        self._order = np.argsort(images, kind="stable")
        self._starts = np.searchsorted(images[self._order], np.arange(image_count + 1))

    def labels(self, image: int) -> Iterator[ImageLabel]:
        """The classes of an image, in the order of their rows."""
        for row in self._order[self._starts[image] : self._starts[image + 1]].tolist():
            yield ImageLabel(self._names[self._labels[row]], self._confidences[row])

    @functools.cached_property
    def _names(self) -> Sequence[str]:
        return list(self._codes)
