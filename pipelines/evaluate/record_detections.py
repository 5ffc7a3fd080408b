"""Detections in TFRecords, as the TensorFlow Object Detection API's infer_detections.py writes them, made rows.

A record holds `image/detection/bbox/{ymin,xmin,ymax,xmax}`, `score` and `label` (a class id), beside what it had
before: names, ground truth, perhaps the image itself, of which only the names are looked at.
"""

from collections.abc import Iterator, Sequence

from od_core import storage
from od_core.errors import RecordError, UsageError
from od_core.records.examples import parse_detections, parse_names
from od_core.records.file import FileRecord, RecordFile
from od_core.schemas import FrameError, FrameRow

_NOT_PROCESSED = "the record has no detections, not even an empty list of image/detection/score"


def record_rows(paths: Sequence[str]) -> Iterator[FrameRow]:
    """A row for every record, called by its image/source_id, else by its image/filename.

    One without detections is a failed row: nobody has looked at its image.

    Raises:
        UsageError: damage, a record that is none of detections or has no name, or not one with detections.
    """
    processed = 0
    for path in paths:
        try:
            file = RecordFile(path)
            for record in file.records():
                row = _row(path, record)
                processed += row.error is None
                yield row
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
        if file.damage is not None:
            raise UsageError(f"{path}: {file.damage}")
    if not processed:
        raise UsageError(
            f"{paths[0]}: TFRecords without detections (image/detection/*): give these to boxbeam infer, or to"
            " --ground_truth, and its detections here"
        )


def _row(path: str, record: FileRecord) -> FrameRow:
    place = f"{path}: record {record.ordinal} at byte {record.offset}"
    try:
        if isinstance(record.payload, RecordError):
            raise record.payload
        names, found = parse_names(record.payload), parse_detections(record.payload)
    except RecordError as error:
        raise UsageError(f"{place}: {error}") from error
    key = names.source_id or names.filename
    if not key:
        raise UsageError(f"{place}: neither image/source_id nor image/filename says which image it is about")
    row = FrameRow(key, storage.printable(path), "record", 0, record.ordinal)
    if found is None:
        return row._replace(error=FrameError("read", RecordError.__name__, _NOT_PROCESSED))
    return row._replace(width=names.width, height=names.height, detections=found)
