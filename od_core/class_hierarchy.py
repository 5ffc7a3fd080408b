"""Which classes are kinds of which others, as Open Images writes it down."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from od_core import storage
from od_core.errors import UsageError
from od_core.label_map import LabelMap

_FORM = 'expected Open Images\' form: {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/0cat"}, ...]}'


@dataclasses.dataclass(frozen=True)
class ClassHierarchy:
    """Classes above classes, by name.

    Attributes:
        ancestors: name -> names of all classes above it, sorted; the root, which everything is, is no class.
    """

    ancestors: Mapping[str, tuple[str, ...]]

    def ancestor_ids(self, label_map: LabelMap) -> dict[int, tuple[int, ...]]:
        """Class id -> ids of the classes above it, as far as a label map has them; classes with none are left out."""
        by_id: dict[int, set[int]] = {}
        for name, above in self.ancestors.items():
            class_id = label_map.id_of(name)
            ids = {label_map.id_of(other) for other in above} - {None, class_id}
            if class_id is not None and ids:
                by_id.setdefault(class_id, set()).update(id for id in ids if id is not None)
        return {class_id: tuple(sorted(ids)) for class_id, ids in sorted(by_id.items())}


def descendant_ids(ancestors: Mapping[int, Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """Class id -> ids of the classes below it, from those above each class."""
    below: dict[int, set[int]] = {}
    for class_id, above in ancestors.items():
        for other in above:
            below.setdefault(other, set()).add(class_id)
    return {class_id: tuple(sorted(ids)) for class_id, ids in sorted(below.items())}


def read_class_hierarchy(path: str) -> ClassHierarchy:
    """The hierarchy in a JSON file, such as Open Images' bbox_labels_600_hierarchy.json.

    Subcategories count, parts do not (a wheel is no kind of car), as in the API's own expansion. A class that is in
    several places is below all of them.

    Raises:
        UsageError: no such file, or no hierarchy.
    """
    try:
        tree = json.loads(storage.read_bytes(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the hierarchy: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error}); {_FORM}") from error
    ancestors: dict[str, set[str]] = {}
    _walk(path, tree, ancestors)
    return ClassHierarchy({name: tuple(sorted(above)) for name, above in sorted(ancestors.items())})


def _walk(path: str, tree: Any, ancestors: dict[str, set[str]]) -> None:
    pending: list[tuple[Any, tuple[str, ...]]] = [(tree, ())]
    is_root = True
    while pending:
        node, above = pending.pop()
        name = node.get("LabelName") if isinstance(node, dict) else None
        below = node.get("Subcategory", []) if isinstance(node, dict) else None
        if not isinstance(name, str) or not isinstance(below, list):
            raise UsageError(f"{path}: no hierarchy of classes: found {json.dumps(node)[:80]}; {_FORM}")
        if not is_root:
            ancestors.setdefault(name, set()).update(above)
            above = (*above, name)
        is_root = False
        pending += [(child, above) for child in below]
