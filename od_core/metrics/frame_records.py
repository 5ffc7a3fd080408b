"""Records of frames by name: each frame once, read back in the order of names, whatever the order of arrival."""

from collections.abc import Iterator
from typing import Any, Generic, Self, TypeVar

import numpy as np

Record = TypeVar("Record", bound=tuple[Any, ...])


class FrameRecords(Generic[Record]):
    """What a metric keeps of every frame it has seen: NamedTuples of arrays, not to be changed once they are added.

    Pickled field by field with all frames end to end: thousands of small arrays would take a hundred times as long.

    Args:
        record: the NamedTuple.
    """

    def __init__(self, record: type[Record]) -> None:
        self._record = record
        self._by_name: dict[str, Record] = {}

    def add(self, name: str, record: Record) -> None:
        """Keep the record of one frame. Raises ValueError if there is one of that name."""
        if name in self._by_name:
            raise added_twice(name)
        self._by_name[name] = record

    def merge(self, other: Self) -> None:
        """Add the records of `other`. Raises ValueError, and adds nothing, if a frame is in both."""
        fewer, more = sorted((self._by_name, other._by_name), key=len)
        twice = [name for name in fewer if name in more]
        if twice:
            raise added_twice(min(twice))
        self._by_name.update(other._by_name)

    def in_order(self) -> Iterator[Record]:
        """The records, frames in the order of their names."""
        return (self._by_name[name] for name in sorted(self._by_name))

    def __len__(self) -> int:
        return len(self._by_name)

    def __getstate__(self) -> dict[str, Any]:
        fields = list(zip(*self._by_name.values(), strict=True))
        return {
            "record": self._record,
            "names": list(self._by_name),
            "values": [np.concatenate(arrays) for arrays in fields],
            "stops": [np.cumsum([len(array) for array in arrays]) for arrays in fields],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._record = state["record"]
        columns = [
            [values[start:stop] for start, stop in zip([0, *stops[:-1].tolist()], stops.tolist(), strict=True)]
            for values, stops in zip(state["values"], state["stops"], strict=True)
        ]
        records = (self._record(*arrays) for arrays in zip(*columns, strict=True))
        self._by_name = dict(zip(state["names"], records, strict=True))


def added_twice(name: str) -> ValueError:
    """The error for a frame that is there already."""
    return ValueError(f"frame {name!r} was added twice: every frame counts once")
