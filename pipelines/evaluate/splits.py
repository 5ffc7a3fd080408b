"""splits.json: the numbers of several splits side by side, and how far apart they are.

{"boxbeam": "splits/1",
 "splits": ["train", "val"]                                       as they were asked for
 "metrics": {"train": {"DetectionBoxes_Precision/mAP": 0.61, ...}, "val": {...}}    as in each split's metrics.json
 "gap": {"train - val": {"DetectionBoxes_Precision/mAP": 0.18, ...}}}    the first split less each other one;
                                                                  null where one of the two is undefined
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from od_core import storage
from pipelines.evaluate.report import METRICS_FILE

SPLITS_FILE = "splits.json"
_VERSION = "splits/1"

Numbers = Mapping[str, float | None]
"""Metrics by the API's names; None where a number is undefined, where COCO also says -1."""


def is_defined(number: float | None) -> TypeGuard[float]:
    """Whether a metric has a value: COCO says -1 where it has none, metrics.json also null."""
    return number is not None and not math.isnan(number) and number >= 0


def read_numbers(folder: str) -> dict[str, float | None]:
    """The numbers in the metrics.json of a folder."""
    document = json.loads(storage.read_bytes(storage.join(folder, METRICS_FILE)))
    numbers: dict[str, float | None] = document["metrics"]
    return numbers


def gaps(by_split: Mapping[str, Numbers]) -> dict[str, dict[str, float | None]]:
    """How much better the first split is than each other one: "train - val" -> name -> difference.

    Training data before validation data: a model that has learnt its training images by heart has a large gap.
    """
    first, *others = by_split
    return {
        f"{first} - {other}": {name: _gap(x, by_split[other].get(name)) for name, x in by_split[first].items()}
        for other in others
    }


def _gap(first: float | None, other: float | None) -> float | None:
    return first - other if is_defined(first) and is_defined(other) else None


def splits_text(splits: Sequence[str], by_split: Mapping[str, Numbers]) -> str:
    """The text of splits.json; the same evaluations give the same text."""
    document = {
        "boxbeam": _VERSION,
        "splits": list(splits),
        "metrics": {split: dict(by_split[split]) for split in splits},
        "gap": gaps(by_split),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
