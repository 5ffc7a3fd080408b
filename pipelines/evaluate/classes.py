"""Which classes an evaluation is about, and which of them a detection or an annotated object is of."""

import collections
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from od_core.errors import UsageError
from od_core.label_map import LabelMap, LabelMapItem

NO_CLASS = -1

ClassPair = tuple[int, str | None]
"""A class as a file has it: its id there, and its name if it has one."""


class ClassCodes:
    """Numbers the classes that files name, from 0, as they are met; `pairs` has them by number."""

    def __init__(self, pairs: Sequence[ClassPair] = ()) -> None:
        self.pairs = list(pairs)
        self._codes = {pair: code for code, pair in enumerate(self.pairs)}

    def codes(self, structs: pa.StructArray) -> npt.NDArray[np.int64]:
        """The number of the class of every struct, by its fields `class_id` and `label`."""
        class_ids = structs.field("class_id").to_numpy(zero_copy_only=False).astype(np.int64)
        encoded = structs.field("label").cast(pa.string()).dictionary_encode()
        names = [*encoded.dictionary.to_pylist(), None]
        name_numbers = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False).astype(np.int64)
        met, inverse = np.unique(class_ids * len(names) + name_numbers, return_inverse=True)
        codes = [self._code((number // len(names), names[number % len(names)])) for number in met.tolist()]
        return np.array(codes, np.int64)[inverse]

    def _code(self, pair: ClassPair) -> int:
        if pair not in self._codes:
            self._codes[pair] = len(self.pairs)
            self.pairs.append(pair)
        return self._codes[pair]


class Classes(NamedTuple):
    """The classes of an evaluation.

    Attributes:
        label_map: the ground truth's, or made of the names in it.
        categories: id -> name, each name once, without the background.
        has_ids: whether the ids were given by the ground truth, so that an id without a name means something.
    """

    label_map: LabelMap
    categories: Mapping[int, str]
    has_ids: bool

    def id_of(self, pair: ClassPair) -> int:
        """The evaluation's id for a class of the detections or of the ground truth; `NO_CLASS` if it is none of its.

        The name decides; an id alone is believed where the ground truth gave ids.
        """
        class_id, label = pair
        if label is None:
            return class_id if self.has_ids and class_id in self.categories else NO_CLASS
        found = self.label_map.id_of(label)
        if found is None and self.label_map.labels.get(class_id) == label:
            found = class_id  # one of several classes that are shown by the same name
        return found if found is not None and found in self.categories else NO_CLASS


def classes_of(label_map: LabelMap | None, ids_are_given: bool, annotated: Sequence[ClassPair]) -> Classes:
    """The classes of a ground truth.

    Args:
        label_map: the ground truth's own, or None: then its objects name the classes, by their ids where every id has
            one name and every name one id, else by their names, numbered from 1 in alphabetical order.
        ids_are_given: whether the ids of the label map are those of the data set.
        annotated: the classes of its objects.

    Raises:
        UsageError: no class at all.
    """
    has_ids = ids_are_given
    if label_map is None:
        by_id = _named_ids(annotated)
        names = sorted({label for _, label in annotated if label})
        has_ids = by_id is not None
        items = by_id or dict(enumerate(names, 1))
        if not items:
            raise UsageError(
                "the ground truth has neither a label map nor an object with a class: there is nothing to evaluate"
            )
        label_map = LabelMap(tuple(LabelMapItem(id, name) for id, name in items.items()))
    shown = collections.Counter(label_map.labels.values())
    categories = {id: name if shown[name] == 1 else label_map.names[id] for id, name in label_map.labels.items()}
    return Classes(label_map, categories, has_ids)


def _named_ids(annotated: Sequence[ClassPair]) -> dict[int, str] | None:
    """Id -> name, if the objects' classes are numbered from 1 and no id or name is used twice; an id can be a name."""
    by_id = {id: label or str(id) for id, label in sorted(annotated, key=lambda pair: pair[0])}
    is_clean = len(by_id) == len(annotated) == len(set(by_id.values())) and min(by_id, default=0) >= 1
    return by_id if is_clean else None


def class_name(pair: ClassPair) -> str:
    """A class as people are told of it."""
    return pair[1] or f"class {pair[0]}"


def quoted(names: Sequence[str], shown: int = 10) -> str:
    """The first few names in quotes: 'a', 'b' and 7 more."""
    first = ", ".join(f"'{name}'" for name in names[:shown])
    return f"{first} and {len(names) - shown:,} more" if len(names) > shown else first


def refuse_strangers(found: Sequence[ClassPair], classes: Classes) -> None:
    """Refuse detections of which not one class is in the ground truth.

    Raises:
        UsageError: names both.
    """
    if not found or any(classes.id_of(pair) != NO_CLASS for pair in found):
        return
    names = sorted({class_name(pair) for pair in found}, key=_natural)
    if all(label is None for _, label in found):
        advice = "say with --label_map what the detections' classes are called"
    elif all(name == str(id) for id, name in classes.categories.items()):
        advice = "the ground truth has ids only, put its label map beside it, as label_map.pbtxt"
    else:
        advice = "give infer the label map that the ground truth uses"
    raise UsageError(
        f"detections and ground truth have no class in common: the detections name {quoted(names)}, the ground truth"
        f" {quoted(list(classes.categories.values()))}. Classes are compared by name: {advice}"
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts class 2 before class 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
