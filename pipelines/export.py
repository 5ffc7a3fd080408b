"""The export job: a detections dataset in the format of another tool.

It is one pass over the rows in one process, not items of work: what it does with a row is far less than starting a
worker for it, all formats but two are one file, and a million images take a minute or two (docs/exports.md).
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import pyarrow.compute as pc

from od_core import storage
from od_core.annotations.annotated import AnnotatedImage
from od_core.annotations.coco import read_coco
from od_core.closest_name import did_you_mean
from od_core.detected_frames import DetectedFrame, ShapesThere, frame_name, only, shapes_in
from od_core.errors import OutputError, UsageError
from od_core.exports.coco import CocoDatasetExporter, CocoIds, CocoResultsExporter
from od_core.exports.csv import CsvExporter
from od_core.exports.exporter import Classes, Exporter
from od_core.exports.megadetector import MegaDetectorExporter
from od_core.exports.tf_example import TfExampleExporter
from od_core.exports.voc import VocExporter
from od_core.exports.yolo import YoloExporter
from od_core.folder_commit import check_folder, commit_folder
from od_core.joining import match_keys
from pipelines.detections_pass import (
    ROWS_AT_ONCE,
    Watch,
    classes_of,
    frames_in,
    is_within,
    joined_truth,
    row_count,
    truth_of,
)
from pipelines.evaluate.detections import DetectionsSet, find_detections, opened
from pipelines.render.truth import TruthRows

FORMATS = ("coco", "voc", "yolo", "csv", "megadetector", "tf_example")
FOLDERS = frozenset({"voc", "yolo"})
WITH_SHAPES = frozenset({"coco"})
"""Formats that have a place for masks and keypoints."""
MADE_BY = "export/1"


@dataclasses.dataclass(frozen=True)
class ExportAsk:
    """What to export, and how.

    Attributes:
        detections: a detections dataset, or one file of it.
        output: a file, or a folder for formats in `FOLDERS`.
        format: one of `FORMATS`.
        min_score: detections below are left out.
        classes: names of the classes to export; empty: all.
        ground_truth: for coco: a COCO file whose ids the results are to have; for tf_example: what
            `open_all_ground_truth` takes, which goes beside the detections; None: none.
        with_scores: for yolo: a sixth number in every line.
    """

    detections: str
    output: str
    format: str
    min_score: float = 0.0
    classes: tuple[str, ...] = ()
    ground_truth: str | None = None
    with_scores: bool = False


class Exported(NamedTuple):
    """What an export came to: frames looked at, failed rows, detections written, and what else is to be said."""

    frames: int
    failed: int
    detections: int
    notes: tuple[str, ...]


def export(ask: ExportAsk, watch: Watch = lambda frames, total: frames) -> Exported:
    """Write the output, whole or not at all; one that was made before is replaced.

    Raises:
        UsageError: no detections dataset, an output that cannot be, unknown classes, ground truth of other images.
        StorageError: the disk is full or cannot be written to.
    """
    detections = find_detections(ask.detections)
    _check_output(ask, detections)
    classes = classes_of(detections)
    _check_classes(ask.classes, classes)
    ids = _coco_ids(ask.ground_truth, detections) if ask.ground_truth and ask.format == "coco" else None
    wanted = {class_id: name for class_id, name in classes.items() if not ask.classes or name in ask.classes}
    truth_paths = (ask.ground_truth,) if ask.ground_truth and ask.format == "tf_example" else ()
    with joined_truth(truth_paths, detections, classes) as truth, _committed(ask) as path:
        exporter = _exporter(ask, path, wanted, ids, detections, truth)
        with contextlib.closing(exporter):
            shapes = shapes_in(detections.files)
            frames = frames_in(detections, truth, with_shapes=ask.format in WITH_SHAPES and any(shapes))
            chosen = only(
                watch(frames, row_count(detections)),
                min_score=ask.min_score,
                labels=frozenset(ask.classes) if ask.classes else None,
            )
            done = _write_all(exporter, chosen)
            return done._replace(notes=(*done.notes, *_left_out(ask, shapes)))


def _write_all(exporter: Exporter, frames: Iterable[DetectedFrame]) -> Exported:
    looked_at = failed = boxes = 0
    for frame in frames:
        if frame.detections is None:
            failed += 1
            exporter.failed(frame)
        else:
            looked_at += 1
            boxes += len(frame.detections)
            exporter.write(frame, frame.detections)
    return Exported(looked_at, failed, boxes, tuple(exporter.finish()))


def _left_out(ask: ExportAsk, shapes: ShapesThere) -> list[str]:
    """What the dataset has and the format has no place for."""
    if ask.format in WITH_SHAPES or not any(shapes):
        return []
    names = [f"{shapes.masks:,} masks"] if shapes.masks else []
    names += ["keypoints"] if shapes.keypoints else []
    return [f"the dataset's {' and '.join(names)} left out, {ask.format} has no place for them"]


def _exporter(
    ask: ExportAsk,
    path: pathlib.Path,
    classes: Classes,
    ids: CocoIds | None,
    detections: DetectionsSet,
    truth: TruthRows | None,
) -> Exporter:
    model = f"model of SHA-256 {detections.provenance.get('model_sha256', 'not known')}"
    makers: Mapping[str, Callable[[], Exporter]] = {
        "coco": lambda: CocoResultsExporter(path, ids) if ids else CocoDatasetExporter(path, classes),
        "voc": lambda: VocExporter(path),
        "yolo": lambda: YoloExporter(path, classes, with_scores=ask.with_scores),
        "csv": lambda: CsvExporter(path),
        "megadetector": lambda: MegaDetectorExporter(path, classes, model),
        "tf_example": lambda: TfExampleExporter(path, lambda frame: truth_of(frame, truth)),
    }
    return makers[ask.format]()


@contextlib.contextmanager
def _committed(ask: ExportAsk) -> Iterator[pathlib.Path]:
    if ask.format in FOLDERS:
        told = {"format": ask.format, "min_score": ask.min_score, "classes": list(ask.classes)}
        with commit_folder(ask.output, MADE_BY, told) as folder:
            yield folder
    else:
        with storage.commit(ask.output) as file:
            yield file


def _check_output(ask: ExportAsk, detections: DetectionsSet) -> None:
    inputs = [detections.path, *([ask.ground_truth] if ask.ground_truth else [])]
    if any(is_within(ask.output, path) for path in inputs):
        raise OutputError(
            f"{ask.output}: is or lies in what is read, which is not to be changed; choose another --output"
        )
    if ask.format in FOLDERS:
        check_folder(ask.output, MADE_BY)
    elif storage.is_folder(ask.output):
        example = storage.join(ask.output, f"detections.{'tfrecord' if ask.format == 'tf_example' else 'json'}")
        raise OutputError(f"{ask.output}: is a folder, and {ask.format} is one file: name it, such as {example}")


def _check_classes(wanted: Collection[str], classes: Classes) -> None:
    for name in wanted:
        if name not in classes.values():
            there = f"there are {', '.join(list(classes.values())[:20])}"
            guess = did_you_mean(name, classes.values(), otherwise=there, quoted=True)
            raise UsageError(f"the detections know no class {name!r}{guess}")


def _coco_ids(path: str, detections: DetectionsSet) -> CocoIds:
    """The ids of a COCO file, by the names of frames."""
    annotations = read_coco(path)
    ids = {image.name: image.source_id for image in annotations.images() if isinstance(image, AnnotatedImage)}
    names = _names(detections)
    matches = match_keys(names, ids)
    if not matches.truth_of:
        raise UsageError(
            f"{path}: no image of the detections is in it: they speak of '{min(names, default='')}', it of"
            f" '{min(ids, default='')}'; names must be equal, or end alike by whole folders"
        )
    images = {name: annotations.image_id(ids[truth_name]) for name, truth_name in matches.truth_of.items()}
    return CocoIds(images, annotations.category_ids)


def _names(detections: DetectionsSet) -> set[str]:
    """The name of every frame that was looked at."""
    found: set[str] = set()
    for path in detections.files:
        with opened(path) as file:
            columns = ["key", "kind", "frame_index", "status"]
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
                done = batch.filter(pc.equal(batch.column("status"), "done"))
                rows = zip(*(done.column(name).to_pylist() for name in columns[:3]), strict=True)
                found.update(frame_name(*row) for row in rows)
    return found
