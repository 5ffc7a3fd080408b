"""Ground truth in TFRecords that have no index: what the TensorFlow Object Detection API's own scripts write."""

import functools
import posixpath
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from od_core import storage
from od_core.annotations.annotated import AnnotationFault
from od_core.annotations.stored_truth import LABEL_MAP, TABLE_ROWS
from od_core.errors import RecordError, UsageError
from od_core.label_map import LabelMap, read_label_map
from od_core.records.examples import has_detections_alone, parse_ground_truth, parse_names
from od_core.records.file import FileRecord, RecordFile
from od_core.schemas import GROUND_TRUTH, FrameError, FrameRow, ground_truth_table

_NOT_ANNOTATED = "the record has detections and no annotation, not even an empty list of image/object/bbox/ymin"


class RecordTruth:
    """A `GroundTruthSet` of TFRecord files, read from front to back with the images in them.

    An image is called by its `image/filename`, else by its `image/source_id`. A record that cannot be read, or that
    has detections and no annotation, is a failed row. Classes are numbered by the label map beside the files; without
    one by the numbers in the records.
    """

    form = "tfrecord"
    own_names = None
    object_faults = 0
    first_object_faults: Sequence[AnnotationFault] = ()
    columns = tuple(field.name for field in GROUND_TRUTH if not pa.types.is_nested(field.type))

    def __init__(self, paths: Sequence[str]):
        """`paths`: at least one."""
        self.paths = paths

    @functools.cached_property
    def label_map(self) -> LabelMap | None:
        """See `GroundTruthSet`."""
        path = storage.join(posixpath.dirname(self.paths[0]) or ".", LABEL_MAP)
        return read_label_map(path) if storage.stat(path) is not None else None

    def left_out(self) -> Mapping[str, str | None]:
        """See `GroundTruthSet`."""
        return {}

    def tables(self) -> Iterator[pa.Table]:
        """See `GroundTruthSet.tables`."""
        labels = self.label_map.labels if self.label_map else {}
        rows: list[FrameRow] = []
        for row, _ in self.rows():
            rows.append(row)
            if len(rows) == TABLE_ROWS:
                yield ground_truth_table(rows, labels)
                rows = []
        if rows:
            yield ground_truth_table(rows, labels)

    def rows(self) -> Iterator[tuple[FrameRow, FileRecord]]:
        """Every image, and the record that it is in."""
        for path in self.paths:
            for record in _records(path):
                yield self._row(path, record), record

    def _row(self, path: str, record: FileRecord) -> FrameRow:
        place = f"{posixpath.basename(storage.printable(path))}#{record.ordinal}"
        row = FrameRow(place, storage.printable(path), "record", 0, record.ordinal)
        try:
            if isinstance(record.payload, RecordError):
                raise record.payload
            names = parse_names(record.payload)
            row = row._replace(key=names.filename or names.source_id or place, source_id=names.source_id or None)
            if has_detections_alone(record.payload):
                raise RecordError(_NOT_ANNOTATED)
            objects = parse_ground_truth(record.payload, self.label_map)
        except RecordError as error:
            return row._replace(error=FrameError(error.stage, type(error).__name__, f"{place}: {error}"))
        return row._replace(width=names.width, height=names.height, objects=objects)


def _records(path: str) -> Iterator[FileRecord]:
    try:
        file = RecordFile(path)
        yield from file.records()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    if file.damage is not None:
        raise UsageError(f"{path}: {file.damage}")
