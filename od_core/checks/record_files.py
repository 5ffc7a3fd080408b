"""What TFRecord files hold that anybody may have written, and what is wrong with them as training records."""

import array
import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Sequence

import numpy as np

from od_core import storage
from od_core.checks.example import CheckedExample, check_example
from od_core.checks.problems import Fault, Problems
from od_core.checks.record_statistics import RecordStatistics
from od_core.errors import RecordError
from od_core.label_map import LabelMap
from od_core.records.examples import DETECTION_BOX, ENCODED, IMAGE_CLASS_LABEL, IMAGE_CLASS_TEXT
from od_core.records.file import RecordFile

DAMAGED = Fault("a damaged record", "copy the file anew from where it is whole, or make it again")
CUT_OFF = Fault("a file in which no more records can be found", "copy it anew from where it is whole, or make it again")
UNREADABLE = Fault("a file that cannot be read", "see that it is there and may be read")
_REPEATED = Fault(
    "records that share their image/source_id",
    "the API's evaluation takes only the first of them: give every image an id of its own",
    is_note=True,
)
_MISSING = Fault(
    "shards that are not here", "fetch them, or know that this is a part (some writers leave out empty shards)", True
)
_EMPTY = Fault("a file without records", "nothing is to be done if that is meant", is_note=True)

_SHARD = re.compile(r"(.*?)(?:\.tf_?records?|\.records?)?-(\d{5,})-of-(\d{5,})", re.IGNORECASE)


@dataclasses.dataclass
class RecordFilesReport:
    """What TFRecord files hold.

    Attributes:
        files: how many.
        compressed: how many of them are GZIP.
        bytes: of all files together, as they lie there.
        read: records found, those that are damaged included.
        statistics: of the records that are tf.train.Examples.
        problems: faults and notes.
    """

    files: int
    compressed: int
    bytes: int
    read: int
    statistics: RecordStatistics
    problems: Problems

    @property
    def contents(self) -> str:
        """What the records are for, in words."""
        features = self.statistics.features
        if not self.statistics.records:
            return "no tf.train.Example"
        if ENCODED not in features:
            return "tf.train.Examples without images"
        if self.statistics.annotated:
            return "tf.train.Examples of object detection"
        if DETECTION_BOX[0] in features:
            return "tf.train.Examples with detections"
        if IMAGE_CLASS_LABEL in features or IMAGE_CLASS_TEXT in features:
            return "tf.train.Examples of image classification, without boxes"
        return "tf.train.Examples of images without boxes"


def check_record_files(
    paths: Sequence[str],
    *,
    label_map: LabelMap | None = None,
    decode: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> RecordFilesReport:
    """Read TFRecord files, one record at a time, and check every one. Files named like `NAME-00000-of-00010` are of
    the split NAME, all others of the split "".

    Args:
        label_map: the classes; without it class ids are only held against one another.
        decode: decode all pixels.
        advance: hears of bytes as they are read.
    """
    report = RecordFilesReport(len(paths), 0, 0, 0, RecordStatistics(label_map), Problems())
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]) if paths else ""
    ids = array.array("Q")
    for path in paths:
        name = storage.printable(os.path.relpath(path, root))
        try:
            file = RecordFile(path, advance)
        except OSError as error:
            report.problems.add(UNREADABLE, f"{name}: {error.strerror or error}")
            continue
        before = report.read
        for ordinal, _, payload in file.records():
            report.read += 1
            if isinstance(payload, RecordError):
                report.problems.add(DAMAGED, f"{name}: record {ordinal}: {payload}")
                continue
            example = check_example(payload, label_map, decode=decode)
            add_faults(report.problems, name, ordinal, example)
            report.statistics.add(split_of_name(path), example)
            if example.image is not None and example.image.source_id:
                ids.append(short_hash(example.image.source_id))
        if file.damage is not None:
            report.problems.add(CUT_OFF, f"{name}: after {report.read - before:,} records: {file.damage}")
        elif report.read == before:
            report.problems.add(_EMPTY, name)
        report.compressed += file.is_gzip
        report.bytes += file.size
    report.statistics.name_problems(report.problems)
    _add_missing([os.path.relpath(path, root) for path in paths], report.problems)
    if repeated := len(ids) - len(np.unique(np.frombuffer(ids, np.uint64))):
        report.problems.add(_REPEATED, f"{repeated:,} of {len(ids):,} records have an id that another one has")
    return report


def add_faults(problems: Problems, file: str, ordinal: int, example: CheckedExample) -> None:
    """Add the faults of a record, each with its place."""
    filename = f" ({example.image.filename})" if example.image is not None and example.image.filename else ""
    for fault, text in example.faults:
        problems.add(fault, f"{file}: record {ordinal}{filename}: {text}")


def short_hash(text: str) -> int:
    """64 bits that tell texts apart."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def split_of_name(path: str) -> str:
    """The NAME of `NAME-00000-of-00010`, with or without an extension; "" of other names."""
    shard = _SHARD.match(storage.printable(os.path.basename(path)))
    return shard[1] if shard else ""


def _add_missing(names: Sequence[str], problems: Problems) -> None:
    there: dict[tuple[str, int], set[int]] = collections.defaultdict(set)
    for name in names:
        if shard := _SHARD.match(os.path.basename(name)):
            there[os.path.join(os.path.dirname(name), shard[1]), int(shard[3])].add(int(shard[2]))
    for (name, count), numbers in sorted(there.items()):
        if len(numbers) < count:
            first = next(number for number in range(count) if number not in numbers)
            place = f"{storage.printable(name)}: {len(numbers)} of {count} are here, number {first} for one is not"
            problems.add(_MISSING, place)
