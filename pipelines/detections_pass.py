"""One pass over a detections dataset, in one process: what export and review share."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from od_core import storage
from od_core.annotations.joined_truth import open_all_ground_truth
from od_core.detected_frames import DetectedFrame, frames_of, read_tables
from od_core.errors import StorageError
from od_core.ground_truth import GroundTruth
from pipelines.evaluate.detections import DetectionsSet, leaves, opened
from pipelines.render.truth import TruthOfDetections, TruthRows

ROWS_AT_ONCE = 1 << 16

Watch = Callable[[Iterable[DetectedFrame], int], Iterable[DetectedFrame]]
"""Looks on as frames pass by, of which there are so many."""


def frames_in(
    detections: DetectionsSet, truth: TruthRows | None = None, *, with_shapes: bool = False
) -> Iterator[DetectedFrame]:
    """Every row of the dataset, ordered by where it was found (see `od_core.detected_frames`).

    While a frame is at hand, `truth_of` knows what is annotated in it.

    Raises:
        StorageError: a row that is not what docs/detections-format.md promises.
    """
    for table in read_tables(detections.files, with_shapes=with_shapes):
        if truth is not None:
            truth.load(sorted(set(table.column("key").to_pylist())))
        try:
            yield from frames_of(table)
        except ValueError as error:
            keys = table.column("key")
            raise StorageError(
                f"{detections.path}: rows from '{keys[0]}' to '{keys[-1]}': {error}; boxbeam inspect says more"
            ) from error


def truth_of(frame: DetectedFrame, truth: TruthRows | None) -> GroundTruth | None:
    """What is annotated in a frame, with the class ids of the detections; None where nobody has annotated."""
    return None if truth is None else truth.at(frame.key, frame.frame_index or 0)


@contextlib.contextmanager
def joined_truth(
    paths: Sequence[str], detections: DetectionsSet, classes: Mapping[int, str]
) -> Iterator[TruthRows | None]:
    """Ground truth ready to be looked up by the rows of the dataset; None where no path is given.

    Args:
        paths: what `open_all_ground_truth` takes.
        classes: as of `classes_of`.

    Raises:
        UsageError: no ground truth there, or that of other images.
    """
    if not paths:
        yield None
        return
    keys: set[str] = set()
    for path in detections.files:
        with opened(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=["key"]):
                keys.update(batch.column(0).unique().to_pylist())
    with tempfile.TemporaryDirectory(prefix="boxbeam-") as scratch:
        TruthOfDetections(open_all_ground_truth(paths), classes, keys).write(scratch)
        with contextlib.closing(TruthRows(scratch)) as rows:
            yield rows


def is_within(output: str, path: str) -> bool:
    """Whether an output is or lies in what is at another path, links followed."""
    return storage.lies_in(storage.real_path(output), storage.real_path(path))


def row_count(detections: DetectionsSet) -> int:
    """How many rows the dataset has."""
    total = 0
    for path in detections.files:
        with opened(path) as file:
            total += file.metadata.num_rows
    return total


def classes_of(detections: DetectionsSet) -> dict[int, str]:
    """The classes of the label map, and those that only occur, as `DetectedFrame.labels` names them; by id."""
    labels = {int(class_id): str(name) for class_id, name in detections.provenance.get("labels", {}).items()}
    for path in detections.files:
        with opened(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=leaves(file, ("class_id", "label"))):
                structs = batch.column(0).flatten()
                for row in (
                    pa.Table.from_struct_array(structs).group_by(["class_id", "label"]).aggregate([]).to_pylist()
                ):
                    labels.setdefault(row["class_id"], row["label"] or f"class {row['class_id']}")
    return dict(sorted(labels.items()))
