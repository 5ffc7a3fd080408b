"""What is wrong with a large file or folder, said once for each kind of fault, with how often and where first."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

_PLACES_TOLD = 3


class Fault(NamedTuple):
    """A kind of fault.

    Attributes:
        what: what is wrong, such as "a box outside its image".
        advice: the way out, a clause without a full stop.
        is_note: worth knowing, but what has it is still valid.
    """

    what: str
    advice: str
    is_note: bool = False


@dataclasses.dataclass
class Problem:
    """All faults of one kind: how many there are, and the first few, each with its place."""

    fault: Fault
    count: int = 0
    places: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        more = f"; and {self.count - len(self.places):,} more" if self.count > len(self.places) else ""
        return f"{self.fault.what} ({self.count:,}): {'; '.join(self.places)}{more}. Way out: {self.fault.advice}"


class Problems:
    """Counts faults by kind; memory grows with the kinds only. Iterates in the order in which kinds first came up."""

    def __init__(self) -> None:
        self._found: dict[str, Problem] = {}

    def add(self, fault: Fault, place: str) -> None:
        """Note a fault; `place` says where it is and what is found there."""
        problem = self._found.setdefault(fault.what, Problem(fault))
        problem.count += 1
        if len(problem.places) < _PLACES_TOLD:
            problem.places.append(place)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found.values())

    @property
    def is_valid(self) -> bool:
        """Whether there are notes at most."""
        return all(problem.fault.is_note for problem in self)
