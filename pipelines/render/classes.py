"""The classes of detections, as people name them on the command line."""

from collections.abc import Mapping

from od_core.closest_name import did_you_mean
from od_core.errors import UsageError

_NAMES_SHOWN = 10


def ids_of(name: str, labels: Mapping[int, str]) -> list[int]:
    """The ids of the classes of this name, or the one whose id it is; none if there is no such class."""
    found = sorted(class_id for class_id, label in labels.items() if label == name)
    return found or [class_id for class_id in labels if str(class_id) == name]


def refuse_unknown(option: str, name: str, labels: Mapping[int, str]) -> None:
    """Refuse the name of a class that the detections do not have.

    Raises:
        UsageError: names the nearest class, or the first few.
    """
    if ids_of(name, labels):
        return
    known = sorted(set(labels.values()))
    guess = did_you_mean(name, known, otherwise=f"they have {_listed(known)}", quoted=True)
    raise UsageError(f"{option}: the detections have no class called {name!r}{guess}")


def _listed(names: list[str]) -> str:
    if not names:
        return "no names at all: give the numbers of classes"
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:_NAMES_SHOWN])) + more
