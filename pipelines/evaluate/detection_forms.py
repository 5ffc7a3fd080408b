"""Detections in any form that evaluate reads; those that are no dataset of boxbeam's are copied into one."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.errors import UsageError
from od_core.label_map import LabelMap
from od_core.records.file import record_files
from od_core.schemas import DETECTIONS, FrameRow, detections_table
from pipelines.dataset import MANIFEST
from pipelines.evaluate.coco_results import results_rows
from pipelines.evaluate.detections import DetectionsSet, find_detections, opened
from pipelines.evaluate.record_detections import record_rows

_ROWS = 1000


def open_detections(path: str, truth: GroundTruthSet, folder: str, label_map: LabelMap | None = None) -> DetectionsSet:
    """Detections in any form.

    Args:
        path: what `find_detections` takes, a COCO results file (.json), or TFRecords with `image/detection/*`: a file,
            a folder, or a pattern.
        truth: what the detections will be held against.
        folder: for a copy in another form.
        label_map: names of the classes of forms that have ids only.

    Raises:
        UsageError: nothing there, something else, or a label map for detections that have names themselves.
    """
    rows = _rows(path, truth)
    if rows is not None:
        labels = label_map.labels if label_map else _own_labels(path, truth)
        return DetectionsSet(path, (_copied(rows, folder, labels),), {})
    found = find_detections(path)
    if label_map is not None:
        raise UsageError(
            f"{path}: these detections say themselves what their classes are called: leave --label_map out (it is for"
            " a model, for COCO results and for TFRecords)"
        )
    return found


def _own_labels(path: str, truth: GroundTruthSet) -> Mapping[int, str]:
    """Names for the classes of results where their ids, which are those of the data set, are not the label map's."""
    if not _is_results_file(path) or not truth.own_names or not truth.label_map:
        return {}
    # An id that only the label map has must not be taken for that class.
    return {**{id: f"class {id}" for id in truth.label_map.names}, **truth.own_names}


def check_detections(path: str) -> None:
    """Refuse what a look at a path and at the footer of one file shows not to be detections.

    Raises:
        UsageError: see `open_detections`.
    """
    if _is_results_file(path) or _record_files(path):
        return
    found = find_detections(path)
    for file in found.files[:1]:
        with opened(file):
            pass


def _rows(path: str, truth: GroundTruthSet) -> Iterator[FrameRow] | None:
    """The rows of what is no dataset of boxbeam's."""
    if _is_results_file(path):
        return results_rows(path, truth)
    files = _record_files(path)
    return record_rows(files) if files else None


def _is_results_file(path: str) -> bool:
    return path.lower().endswith(".json") and storage.stat(path) is not None


def _record_files(path: str) -> Sequence[str]:
    """TFRecord files, but for those of a dataset of boxbeam's."""
    return [] if storage.stat(storage.join(path, MANIFEST)) is not None else record_files(path)


def _copied(rows: Iterator[FrameRow], folder: str, labels: Mapping[int, str]) -> str:
    path = storage.join(folder, "detections.parquet")
    with storage.commit(path) as temporary:
        with pq.ParquetWriter(temporary, DETECTIONS, compression="zstd") as writer:
            while some := list(itertools.islice(rows, _ROWS)):
                writer.write_table(detections_table(some, labels))
    return path
