"""TFRecord files of anybody: what they are, what is in them, what is wrong, against the API's own records too."""

import gzip
import io
import pathlib

import pytest

from od_core.checks.record_files import RecordFilesReport, check_record_files, split_of_name
from od_core.label_map import LabelMap
from od_core.records import examples
from od_core.records.tfrecord import write_record
from tests.od_core.checks.test_example_check import JPEG, record


def tfrecords(*payloads: bytes) -> bytes:
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    return file.getvalue()


def check(folder: pathlib.Path, files: dict[str, bytes], **options: object) -> RecordFilesReport:
    """The report of these files, written into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return check_record_files([str(folder / name) for name in files], **options)


def told(report: RecordFilesReport) -> list[str]:
    return [str(problem) for problem in report.problems]


def named(number: int) -> bytes:
    """A good record of one object; its image is called NUMBER.jpg."""
    fields = {examples.ENCODED: JPEG, examples.FILENAME: f"{number}.jpg", examples.SOURCE_ID: str(number)}
    fields |= dict(zip(examples.OBJECT_BOX, (0.25, 0.25, 0.5, 0.5), strict=True))
    return examples.encode_example({**fields, examples.OBJECT_CLASS_LABEL: [1]})


@pytest.mark.parametrize(
    ("features", "contents"),
    [
        ({examples.ENCODED: JPEG, examples.OBJECT_BOX[0]: [0.1]}, "tf.train.Examples of object detection"),
        ({examples.ENCODED: JPEG, examples.DETECTION_BOX[0]: [0.1]}, "tf.train.Examples with detections"),
        (
            {examples.ENCODED: JPEG, examples.IMAGE_CLASS_LABEL: 3},
            "tf.train.Examples of image classification, without boxes",
        ),
        ({examples.ENCODED: JPEG}, "tf.train.Examples of images without boxes"),
        ({"price": 3.0}, "tf.train.Examples without images"),
    ],
)
def test_what_the_records_are_for(tmp_path, features, contents):
    report = check(tmp_path, {"a.tfrecord": tfrecords(examples.encode_example(features))})
    assert report.contents == contents


def test_other_messages_are_no_examples(tmp_path):
    report = check(tmp_path, {"a.tfrecord": tfrecords(b"no example", b"neither")})
    assert report.contents == "no tf.train.Example"
    (said,) = told(report)
    assert said.startswith("a record that is not a tf.train.Example (2): a.tfrecord: record 0: ")


def test_a_sequence_example_is_named_as_one(tmp_path):
    report = check(tmp_path, {"a.tfrecord": tfrecords(b"\x0a\x00\x12\x00")})  # field 1 and field 2, both empty
    (said,) = told(report)
    assert "a tf.train.SequenceExample (features of the frames of a sequence)" in said


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_counted_by_split(tmp_path, packed):
    files = {
        "train-00000-of-00002.tfrecord": tfrecords(named(0), named(1)),
        "train-00001-of-00002.tfrecord": tfrecords(named(2)),
        "val.record-00000-of-00001": tfrecords(named(3)),
    }
    files = {name: gzip.compress(content) if packed else content for name, content in files.items()}
    seen: list[int] = []
    report = check(tmp_path, files, advance=seen.append)
    assert told(report) == []
    assert (report.files, report.compressed, report.read) == (3, 3 * packed, 4)
    assert report.bytes == sum(seen) == sum(map(len, files.values()))
    assert dict(report.statistics.records) == {"train": 3, "val": 1}
    assert {label: dict(by) for label, by in report.statistics.objects.items()} == {"class 1": {"train": 3, "val": 1}}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00012.tfrecord", "train"),
        ("a/coco_val.record-00003-of-00050", "coco_val"),
        ("oid-00000-of-00003", "oid"),
        ("x-y-00000-of-00003.tfrecord.gz", "x-y"),
        ("train.tfrecord", ""),
        ("train-1-of-2.tfrecord", ""),
    ],
)
def test_the_split_of_a_name(name, split):
    assert split_of_name(name) == split


def test_damage_costs_one_record_and_is_named(tmp_path):
    whole = tfrecords(named(0))
    damaged = whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]
    report = check(tmp_path, {"a.tfrecord": whole + damaged + whole[:-1], "b.tfrecord": whole})
    first, second, third = told(report)
    assert first.startswith(f"a damaged record (1): a.tfrecord: record 1: the record at byte {len(whole)} is damaged")
    assert second.startswith("a file in which no more records can be found (1): a.tfrecord: after 2 records: the file")
    assert third.startswith("records that share their image/source_id (1): 1 of 2 records")
    assert (report.read, report.statistics.records.total()) == (3, 2)
    assert not report.problems.is_valid


def test_a_broken_gzip_stream_is_damage(tmp_path):
    packed = gzip.compress(tfrecords(*map(named, range(50))))
    report = check(tmp_path, {"a.gz": packed[: len(packed) // 2]})
    (said,) = told(report)
    assert "the GZIP stream breaks off within the record" in said
    assert report.bytes == len(packed) // 2


def test_a_file_that_is_not_there_does_not_stop_the_others(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(tfrecords(named(0)))
    report = check_record_files([str(tmp_path / "gone.tfrecord"), str(tmp_path / "a.tfrecord")])
    (said,) = told(report)
    assert said.startswith("a file that cannot be read (1): gone.tfrecord: No such file or directory")
    assert report.read == 1


def test_faults_of_a_record_name_file_record_and_image(tmp_path):
    report = check(tmp_path, {"x/a.tfrecord": tfrecords(named(0)), "y/a.tfrecord": tfrecords(named(1), record())})
    assert told(report) == []
    labels = LabelMap.of_names(["cow"])
    report = check(
        tmp_path, {"x/a.tfrecord": tfrecords(named(0)), "y/a.tfrecord": tfrecords(record())}, label_map=labels
    )
    (said,) = told(report)
    assert said.startswith("a class that the label map lacks (1): y/a.tfrecord: record 0: object 0: called 'cat'")


def test_notes_on_what_may_be_meant(tmp_path):
    files = {
        "train-00000-of-00003": tfrecords(named(0)),
        "train-00002-of-00003": b"",
        "b.tfrecord": tfrecords(named(0)),
    }
    report = check(tmp_path, files)
    empty, missing, repeated = told(report)
    assert empty.startswith("a file without records (1): train-00002-of-00003.")
    assert missing.startswith("shards that are not here (1): train: 2 of 3 are here, number 1 for one is not.")
    assert repeated.startswith("records that share their image/source_id (1): 1 of 2 records have an id")
    assert report.problems.is_valid


@pytest.mark.shared
@pytest.mark.parametrize(
    ("pattern", "records", "objects", "problems"),
    [
        ("bccd_val.record", 73, 975, []),
        ("coco/masks/*", 38, 424, []),
        ("coco/keypoints/*", 6, 136, []),
        ("oid/with_image_labels/*-of-*", 5, 8, []),
        (
            "coco_made/boxes/*",
            4,
            8,
            ["a box that reaches out of its image", "image/height and image/width are not those of the image"],
        ),
        ("voc_flags/voc_flags.record", 4, 9, ["a box that reaches out of its image"]),
    ],
)
def test_the_records_of_the_api(shared, pattern, records, objects, problems):
    """What README.md beside them says is wrong with them is found; nothing else is."""
    paths = sorted(str(path) for path in (shared / "oracles" / "records").glob(pattern) if path.is_file())
    report = check_record_files(paths, decode=True)
    assert report.contents == "tf.train.Examples of object detection"
    assert (report.read, report.statistics.boxes) == (records, objects)
    assert [problem.fault.what for problem in report.problems if not problem.fault.is_note] == problems
