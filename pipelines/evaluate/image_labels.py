"""What Open Images knows beside boxes: a hierarchy of classes, and labels of images: what somebody has looked for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from od_core import storage
from od_core.class_hierarchy import ClassHierarchy, descendant_ids
from od_core.errors import UsageError
from pipelines.evaluate.classes import NO_CLASS, Classes
from pipelines.evaluate.truth import TruthFrames

_COLUMNS = ("ImageID", "LabelName", "Confidence")

Ancestors = Mapping[int, tuple[int, ...]]


class OpenImages(NamedTuple):
    """What an evaluation by Open Images' rules can take beside boxes; both may be missing.

    Attributes:
        hierarchy: which classes are kinds of which others.
        image_labels: a CSV file with the columns ImageID, LabelName, Confidence (0: not there).
    """

    hierarchy: ClassHierarchy | None = None
    image_labels: str | None = None

    def ancestors(self, classes: Classes) -> dict[int, tuple[int, ...]]:
        """Class id -> ids of the classes above it.

        Raises:
            UsageError: the hierarchy knows no class of the evaluation below another.
        """
        if self.hierarchy is None:
            return {}
        ids = self.hierarchy.ancestor_ids(classes.label_map)
        if not ids:
            known = next(iter(self.hierarchy.ancestors), "nothing")
            raise UsageError(
                f"--hierarchy has no class of the ground truth below another one: it speaks of '{known}', the ground"
                f" truth of '{next(iter(classes.label_map.names.values()))}'; names must be those of the label map"
            )
        return ids

    def verified(self, frames: TruthFrames, classes: Classes) -> pa.ListArray | None:
        """Of each frame the classes that were looked for, list of int32; None where nothing says so.

        With a hierarchy, a class that is there is there for all classes above it, and one that is not there is not
        there for all below.

        Raises:
            UsageError: the file cannot be read, or speaks of no image of the ground truth.
        """
        if self.image_labels is None:
            return None
        places, class_ids, is_there = _read(self.image_labels, _places_by_name(frames), classes)
        above = self.ancestors(classes)
        pairs = np.concatenate(
            [
                np.stack([places, class_ids], axis=1),
                _expanded(places[is_there], class_ids[is_there], above),
                _expanded(places[~is_there], class_ids[~is_there], descendant_ids(above)),
            ]
        )
        pairs = np.unique(pairs, axis=0)
        offsets = np.searchsorted(pairs[:, 0], np.arange(frames.table.num_rows + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(pairs[:, 1].astype(np.int32)))


def _expanded(
    places: npt.NDArray[np.int64], class_ids: npt.NDArray[np.int64], others: Mapping[int, Sequence[int]]
) -> npt.NDArray[np.int64]:
    """Pairs of place and class for the classes that stand for others too, (N, 2)."""
    more = [
        (place, id) for place, c in zip(places.tolist(), class_ids.tolist(), strict=True) for id in others.get(c, ())
    ]
    return np.array(more, np.int64).reshape(-1, 2)


def _places_by_name(frames: TruthFrames) -> dict[str, int]:
    """Where an image is, by its key, its source id, or its file name without extension where only one has it."""
    keys, ids = (frames.table.column(name).to_pylist() for name in ("key", "source_id"))
    by_stem: dict[str, int] = {}
    for place, key in enumerate(keys):
        stem = key.rpartition("/")[2].rpartition(".")[0]
        by_stem[stem] = -1 if stem in by_stem else place
    by_id = {id: place for place, id in enumerate(ids) if id is not None}
    return (
        {stem: place for stem, place in by_stem.items() if place >= 0}
        | by_id
        | dict(zip(keys, range(len(keys)), strict=True))
    )


def _read(
    path: str, places: Mapping[str, int], classes: Classes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Place, class and whether it is there, of every label of an image and a class that are known."""
    names = pa.array(list(places), pa.string())
    place_of = np.array([*places.values(), -1], np.int64)
    kept: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]] = []
    example = None
    types = {"ImageID": pa.string(), "LabelName": pa.string(), "Confidence": pa.float64()}
    try:
        with storage.open_input(path) as file:
            options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(_COLUMNS))
            for batch in pyarrow.csv.open_csv(file, convert_options=options):
                images, labels, confidences = (batch.column(name) for name in _COLUMNS)
                example = example or (images[0].as_py() if len(images) else None)
                found = pc.index_in(images, names).fill_null(len(names)).to_numpy(zero_copy_only=False)
                encoded = labels.dictionary_encode()
                ids = [
                    classes.id_of((NO_CLASS, label)) if label else NO_CLASS for label in encoded.dictionary.to_pylist()
                ]
                codes = encoded.indices.fill_null(len(ids)).to_numpy(zero_copy_only=False)
                columns = place_of[found], np.array([*ids, NO_CLASS], np.int64)[codes]
                use = (columns[0] >= 0) & (columns[1] != NO_CLASS)
                there = confidences.fill_null(0).to_numpy(zero_copy_only=False) > 0
                kept.append((columns[0][use], columns[1][use], there[use]))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the image-level labels: {error.strerror or error}") from error
    except (pa.ArrowException, KeyError) as error:
        message = " ".join(str(error).split())
        raise UsageError(f"{path}: no CSV file with the columns {', '.join(_COLUMNS)} ({message})") from error
    if not sum(len(one[0]) for one in kept):
        raise UsageError(
            f"{path}: no label of an image and a class of the ground truth: it speaks of image '{example}', the ground"
            f" truth of '{next(iter(places))}'"
        )
    first, second, third = (np.concatenate(column) for column in zip(*kept, strict=True))
    return first, second, third
