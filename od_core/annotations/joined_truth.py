"""Several sets of ground truth as one: pictures annotated in one place, a video in another."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from od_core.annotations.annotated import AnnotationFault
from od_core.annotations.ground_truth_set import GroundTruthSet, open_ground_truth
from od_core.errors import UsageError
from od_core.label_map import LabelMap


class JoinedTruth:
    """A `GroundTruthSet` of others, one after another.

    Raises:
        UsageError: their label maps give one class different ids.
    """

    def __init__(self, sets: Sequence[GroundTruthSet], paths: Sequence[str]):
        self._sets = sets
        maps = [(one.label_map, path) for one, path in zip(sets, paths, strict=True) if one.label_map is not None]
        for label_map, path in maps[1:]:
            first, first_path = maps[0]
            if first is not None and label_map is not None and label_map.names != first.names:
                raise UsageError(
                    f"{first_path} and {path} number their classes differently ({_told(first)}; {_told(label_map)});"
                    " convert them with one --label_map, or evaluate them one after the other"
                )
        self.label_map = maps[0][0] if maps else None

    @property
    def form(self) -> str:
        """See GroundTruthSet: the forms of all, joined by "+"."""
        return "+".join(dict.fromkeys(one.form for one in self._sets))

    @property
    def own_names(self) -> Mapping[int, str] | None:
        """See GroundTruthSet.

        Raises:
            UsageError: their own ids differ, though their label maps do not.
        """
        names = [one.own_names or one.label_map.names for one in self._sets if one.label_map is not None]
        if any(one != names[0] for one in names[1:]):
            raise UsageError(
                "one ground truth counts its classes from 0, another one from 1: what the ids of results mean is not to"
                " be guessed, say it with --label_map"
            )
        return next((one.own_names for one in self._sets if one.own_names is not None), None)

    @property
    def object_faults(self) -> int:
        """See GroundTruthSet."""
        return sum(one.object_faults for one in self._sets)

    @property
    def first_object_faults(self) -> Sequence[AnnotationFault]:
        """See GroundTruthSet."""
        return [fault for one in self._sets for fault in one.first_object_faults]

    @property
    def columns(self) -> Sequence[str]:
        """See GroundTruthSet: those of any; tables of the others lack them."""
        return list(dict.fromkeys(name for one in self._sets for name in one.columns))

    def left_out(self) -> Mapping[str, str | None]:
        """See GroundTruthSet."""
        return dict(item for one in self._sets for item in one.left_out().items())

    def tables(self) -> Iterator[pa.Table]:
        """See GroundTruthSet."""
        return itertools.chain.from_iterable(one.tables() for one in self._sets)


def open_all_ground_truth(
    paths: Sequence[str],
    *,
    images: str | None = None,
    splits: Sequence[str] = (),
    columns: Sequence[str] = (),
    masks: bool = False,
) -> GroundTruthSet:
    """Ground truth at one path or several; arguments as for `open_ground_truth`.

    Raises:
        UsageError: as `open_ground_truth`, and where sets number their classes differently.
    """
    sets = [open_ground_truth(path, images=images, splits=splits, columns=columns, masks=masks) for path in paths]
    return sets[0] if len(sets) == 1 else JoinedTruth(sets, paths)


def _told(label_map: LabelMap) -> str:
    return ", ".join(f"{name} = {class_id}" for class_id, name in itertools.islice(label_map.names.items(), 5))
