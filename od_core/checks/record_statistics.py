"""What a set of training records holds, counted as they go by: memory does not grow with their number."""

import bisect
import collections
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from od_core.checks.example import CheckedExample, detection_keys
from od_core.checks.problems import Fault, Problems
from od_core.label_map import LabelMap

# COCO's classes of size: by the object's area in square pixels, that of its box where it has none of its own.
SMALL_BELOW, LARGE_FROM = 32**2, 96**2

_NAMES_PER_ID = 3
_INCONSISTENT = Fault(
    "one class id with several names", "give every class one id and one name, or give the label map that is right"
)


class Spread(NamedTuple):
    """The least, the middle and the largest of many whole numbers."""

    least: int
    median: int
    largest: int

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> "Spread | None":
        """Of numbers given as number -> how often; the lower one where two are in the middle; None of none."""
        numbers = sorted(number for number, count in counts.items() if count)
        if not numbers:
            return None
        reached = list(itertools.accumulate(counts[number] for number in numbers))
        return cls(numbers[0], numbers[bisect.bisect_left(reached, (reached[-1] + 1) // 2)], numbers[-1])


class FeatureCount:
    """One key over all records: its kinds, how many records have it, and how many values they have under it."""

    def __init__(self) -> None:
        self.kinds: collections.Counter[str] = collections.Counter()
        self.values = 0
        self.least, self.most = 2**63, 0

    @property
    def records(self) -> int:
        """How many records have the key."""
        return self.kinds.total()

    def add(self, kind: str, values: int) -> None:
        """Count one record."""
        self.kinds[kind] += 1
        self.values += values
        self.least, self.most = min(self.least, values), max(self.most, values)


class RecordStatistics:
    """Counts of records and their objects.

    Attributes:
        records: split -> records that are tf.train.Examples.
        objects: label, or "class N" where there is none -> split -> objects.
        formats: format of the image -> images.
        widths, heights: pixels, upright -> images.
        boxes_per_image: boxes -> images.
        box_sizes: small, medium or large -> boxes, by COCO's classes of size.
        features: key -> what is there under it.
        annotated: records that have the keys of boxes at all.
    """

    def __init__(self, label_map: LabelMap | None = None):
        self._label_map = label_map
        self.records: collections.Counter[str] = collections.Counter()
        self.objects: dict[str, collections.Counter[str]] = {}
        self.formats: collections.Counter[str] = collections.Counter()
        self.widths: collections.Counter[int] = collections.Counter()
        self.heights: collections.Counter[int] = collections.Counter()
        self.boxes_per_image: collections.Counter[int] = collections.Counter()
        self.box_sizes: collections.Counter[str] = collections.Counter()
        self.features: dict[str, FeatureCount] = {}
        self.annotated = 0
        self._names: dict[int, list[str]] = {}

    @property
    def boxes(self) -> int:
        """All objects."""
        return sum(count.total() for count in self.objects.values())

    def add(self, split: str, example: CheckedExample) -> None:
        """Count one record."""
        if example.features:
            self.records[split] += 1
        for key, use in example.features.items():
            self.features.setdefault(key, FeatureCount()).add(use.kind, use.values)
        self.annotated += detection_keys(example.features)
        header, truth = example.header, example.truth
        if header is not None:
            self.formats[header.format] += 1
            self.widths[header.width] += 1
            self.heights[header.height] += 1
        if truth is None:
            return
        self.boxes_per_image[len(truth)] += 1
        for class_id, label in zip(truth.classes.tolist(), truth.labels or [None] * len(truth), strict=True):
            self.objects.setdefault(self._label(class_id, label), collections.Counter())[split] += 1
            names = self._names.setdefault(class_id, [])
            if label and label not in names and class_id > 0 and len(names) <= _NAMES_PER_ID:
                names.append(label)
        if header is not None:
            sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).clip(0) * (header.height, header.width)
            areas = sides.prod(axis=1)
            if truth.area is not None:
                areas = np.where(truth.area > 0, truth.area, areas)
            large, small = int((areas >= LARGE_FROM).sum()), int((areas < SMALL_BELOW).sum())
            self.box_sizes.update(small=small, medium=len(areas) - small - large, large=large)

    def name_problems(self, problems: Problems) -> None:
        """Add the class ids that go by several names; with a label map every record is held against that instead."""
        if self._label_map is None:
            for class_id, names in sorted(self._names.items()):
                if len(names) > 1:
                    problems.add(_INCONSISTENT, f"id {class_id} is {', '.join(map(repr, names[:_NAMES_PER_ID]))}")

    def _label(self, class_id: int, label: str | None) -> str:
        if self._label_map is None:
            return label or f"class {class_id}"
        known = self._label_map.id_of(label) if label else class_id
        return self._label_map.labels.get(class_id if known is None else known) or label or f"class {class_id}"
