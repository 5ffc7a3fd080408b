"""Least values that numbers of an evaluation must reach, by the whole or the shortened names of the numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from od_core.closest_name import did_you_mean
from od_core.errors import UsageError

_SHOWN = 8


class Gate(NamedTuple):
    """A number, by its whole name, and the least that it must be."""

    name: str
    least: float

    def fault(self, values: Mapping[str, float]) -> str | None:
        """Half a sentence about a number that is too small or undefined (NaN, or COCO's -1); None if it is enough."""
        x = values[self.name]
        if math.isnan(x) or x == -1:
            return f"{self.name} is undefined, wanted at least {self.least:g}"
        return f"{self.name} is {x:.6g}, wanted at least {self.least:g}" if x < self.least else None


def full_name(word: str, names: Sequence[str]) -> str:
    """The name of the number that a word means.

    A name can be shortened from the left, at any "_" or "/": "mAP" means "DetectionBoxes_Precision/mAP", "mAP/cat"
    means "DetectionBoxes_PerformanceByCategory/mAP/cat".

    Args:
        word: the whole name, or its end.
        names: of all numbers that there are.

    Raises:
        UsageError: no number of this name, or several; says which there are.
    """
    if word in names:
        return word
    ending = re.compile(f"[_/]{re.escape(word)}$")
    meant = [name for name in names if ending.search(name)] if word else []
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UsageError(f"{word!r} could be each of {_listed(meant)}: say more of the name")
    ends = [end for name in names for end in _ends(name)]
    advice = did_you_mean(word, ends, otherwise=f"there are {_listed(names)}", cutoff=0.7)
    raise UsageError(f"no number called {word!r}{advice}")


def _ends(name: str) -> list[str]:
    return [name, *(name[place.end() :] for place in re.finditer("[_/]", name))]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
