import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core import label_map
from od_core.errors import RecordError
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap, LabelMapItem
from od_core.records import examples
from od_core.records.examples import (
    SHA256,
    ImageExample,
    encode_example,
    list_features,
    parse_ground_truth,
    parse_image_example,
    parse_sha256,
)
from od_core.records.tfrecord import read_records

ANIMALS = LabelMap((LabelMapItem(1, "n01", "cat"), LabelMapItem(2, "dog")))


def _annotated(**changes):
    """A serialized record of two boxes; `changes` replace features by the last part of their key, None drops one."""
    features = {
        "image/object/bbox/ymin": [0.0, 0.5],
        "image/object/bbox/xmin": [0.25, 0.5],
        "image/object/bbox/ymax": [0.5, 1.0],
        "image/object/bbox/xmax": [0.75, 1.25],
        "image/object/class/text": ["n01", "dog"],
        "image/object/class/label": [7, 8],
        "image/object/difficult": [1, 0],
    }
    for key in [*features, "image/object/area", "image/object/group_of", "image/object/is_crowd"]:
        features[key] = changes.get(key.rsplit("/", 1)[1], features.get(key))
    return encode_example({key: value for key, value in features.items() if value is not None})


def test_a_made_record_is_read_back():
    serialized = encode_example(
        {
            "image/encoded": b"\xff\xd8 jpeg",
            "image/source_id": "Straße 7",
            "image/filename": b"a.jpg",
            "image/format": "png",
            "image/height": 3,
            "image/width": np.int64(4),
        }
    )
    assert parse_image_example(serialized) == ImageExample(b"\xff\xd8 jpeg", "Straße 7", "a.jpg", "png", 3, 4)


def test_a_record_needs_no_more_than_an_image():
    assert parse_image_example(encode_example({"image/encoded": b"x"})) == ImageExample(
        b"x", "", "", "jpeg", None, None
    )


def test_names_that_are_not_utf8_stay_apart():
    names = [
        parse_image_example(encode_example({"image/encoded": b"x", "image/source_id": n})) for n in (b"\xe9", b"\xe8")
    ]
    assert [name.source_id for name in names] == ["\\xe9", "\\xe8"]


@pytest.mark.parametrize(
    ("serialized", "says"),
    [
        (b"\xff\xd8\xff\xe0 a photo", r"the record \(12 bytes\) is not a tf.train.Example"),
        (b"", "no image: image/encoded is missing; it has no features"),
        (encode_example({"image/filename": "a"}), "image/encoded is missing; its features: image/filename$"),
        (encode_example({"image/encoded": b""}), "image/encoded is empty"),
        (encode_example({"image/encoded": []}), "image/encoded is empty"),
        (encode_example({f"f{n}": n for n in range(10)}), r"its features: f0, f1, .*, f7, \.\.\.$"),
        (encode_example({"image/encoded": 5}), "image/encoded is a int64_list, expected a bytes_list"),
        (encode_example({"image/encoded": [b"a", b"b"]}), "image/encoded has 2 values, expected one"),
        (encode_example({"image/encoded": b"x", "image/source_id": 5}), "image/source_id is a int64_list"),
        (encode_example({"image/encoded": b"x", "image/height": 5.0}), "image/height is a float_list"),
    ],
)
def test_a_record_without_a_usable_image_is_refused(serialized, says):
    with pytest.raises(RecordError, match=says):
        parse_image_example(serialized)


def test_ground_truth_with_a_label_map_text_wins_over_id():
    expected = GroundTruth.of(
        [[0, 0.25, 0.5, 0.75], [0.5, 0.5, 1, 1.25]], [1, 2], difficult=[True, False], labels=["cat", "dog"]
    )
    assert parse_ground_truth(_annotated(), ANIMALS) == expected


@pytest.mark.parametrize(
    ("changes", "label_map", "classes", "labels"),
    [
        ({}, None, [7, 8], ("n01", "dog")),
        ({"text": None}, None, [7, 8], None),
        ({"label": None}, None, [-1, -1], ("n01", "dog")),
        ({"text": None, "label": [2, 9]}, ANIMALS, [2, 9], ("dog", None)),
        ({"text": ["cat", "bird"]}, ANIMALS, [1, -1], ("cat", "bird")),  # display_name; unknown
        ({"text": ["", "dog"], "label": [1, 1]}, ANIMALS, [1, 2], ("cat", "dog")),
        ({"text": None, "label": None}, ANIMALS, [-1, -1], None),
    ],
)
def test_classes_come_from_text_id_and_label_map(changes, label_map, classes, labels):
    truth = parse_ground_truth(_annotated(**changes), label_map)
    assert truth.classes.tolist() == classes
    assert truth.labels == labels


def test_flags_and_area():
    truth = parse_ground_truth(_annotated(group_of=[-1, 1], is_crowd=np.zeros(0, np.int64), area=[2.5, 0.0]))
    assert truth.group_of.tolist() == [False, True]  # Open Images' -1 is "not known"
    assert truth.is_crowd.tolist() == [False, False]
    assert truth.area.tolist() == [2.5, 0.0]


def test_a_record_without_objects_is_empty():
    assert parse_ground_truth(b"") == GroundTruth.empty()
    empty = dict.fromkeys(("ymin", "xmin", "ymax", "xmax"), np.zeros(0))
    assert parse_ground_truth(_annotated(**empty, text=[], label=[], difficult=[]), ANIMALS) == GroundTruth.empty()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"xmax": [0.5]}, "2 boxes by image/object/bbox/ymin, but 1 values of image/object/bbox/xmax"),
        ({"xmin": None}, "2 boxes by image/object/bbox/ymin, but 0 values of image/object/bbox/xmin"),
        ({"ymin": None}, "0 boxes by image/object/bbox/ymin, but 2 values of image/object/bbox/xmin"),
        ({"text": ["a"]}, "2 boxes .* but 1 values of image/object/class/text"),
        ({"difficult": [0, 0, 0]}, "but 3 values of image/object/difficult"),
        ({"difficult": [0.0, 0.0]}, "image/object/difficult is a float_list, expected a int64_list"),
        ({"ymin": [0.0, np.nan]}, "makes no sense: boxes must be finite"),
        ({"area": [1.0, np.inf]}, "makes no sense: area must be finite"),
        ({"label": [1, 2**40], "text": None}, "makes no sense"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(changes, says):
    with pytest.raises(RecordError, match=says):
        parse_ground_truth(_annotated(**changes))


def test_encoding_does_not_depend_on_the_order_of_features():
    features = {f"key{n}": [n, n + 1] for n in range(40)}
    backwards = dict(reversed(features.items()))
    assert list(backwards) != list(features)
    assert encode_example(features) == encode_example(backwards)


@pytest.mark.parametrize("value", [None, {"a": 1}, [b"a", 1], [None], object(), np.zeros((2, 2)), np.array(["a"])])
def test_values_that_no_feature_can_hold_are_refused(value):
    with pytest.raises(TypeError, match="some/key: a feature holds bytes, text, whole numbers or floats"):
        encode_example({"some/key": value})


def test_whole_numbers_beyond_64_bits_are_refused():
    for number in (2**63, -(2**63) - 1, np.uint64(2**63)):
        with pytest.raises(ValueError, match="must fit 64 bits"):
            encode_example({"key": number})


values = st.one_of(
    st.lists(st.binary(max_size=5), min_size=1, max_size=3),
    st.lists(st.text(max_size=5), min_size=1, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3),
    st.lists(st.floats(width=32, allow_nan=False), max_size=3).map(lambda row: np.array(row, np.float32)),
    st.lists(st.integers(-9, 9), max_size=3).map(lambda row: np.array(row, np.int16)),
    st.binary(max_size=5).map(bytearray),
    st.booleans(),
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_tensorflow_reads_what_is_encoded(features):
    tf = pytest.importorskip("tensorflow")
    serialized = encode_example(features)
    example = tf.train.Example.FromString(serialized)
    assert len(serialized) == example.ByteSize()  # nothing in it that TensorFlow does not know
    assert set(example.features.feature) == set(features)
    for key, value in features.items():
        feature = example.features.feature[key]
        found = list(getattr(feature, feature.WhichOneof("kind")).value)
        if isinstance(value, bytearray | bool):
            value = [value]
        assert found == [item.encode() if isinstance(item, str) else item for item in value]
        if isinstance(value, np.ndarray):
            assert feature.WhichOneof("kind") == ("float_list" if value.dtype.kind == "f" else "int64_list")


def test_long_values_and_floats_beyond_float32():
    tf = pytest.importorskip("tensorflow")
    features = {
        "long": b"x" * 70_000,
        "many": list(range(-300, 300)),
        "huge": [1e300, -1e300],
        "none": [],
        "nan": np.nan,
    }
    serialized = encode_example(features)
    example = tf.train.Example.FromString(serialized)
    assert serialized == example.SerializeToString(deterministic=True)
    feature = example.features.feature
    assert (feature["long"].bytes_list.value[0], list(feature["many"].int64_list.value)) == (
        features["long"],
        features["many"],
    )
    assert list(feature["huge"].float_list.value) == [np.inf, -np.inf]
    assert feature["none"].WhichOneof("kind") is None
    assert np.isnan(feature["nan"].float_list.value[0])


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_values_or_a_record_error(serialized):
    for parse in (parse_image_example, parse_ground_truth):
        try:
            parse(serialized)
        except RecordError as error:
            assert "the record" in str(error)  # noqa: PT017 -- no error at all is right, too


RECORDS = ["bccd_val.record", "coco/masks", "kitti", "oid", "pet", "voc_flags"]


@pytest.mark.shared
@pytest.mark.parametrize("folder", RECORDS)
def test_the_records_of_the_api_are_read_as_tensorflow_reads_them(shared, folder):
    tf = pytest.importorskip("tensorflow")
    path = shared / "oracles" / "records" / folder
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*record*") if file.is_file())
    assert files
    strings = {examples.ENCODED: "", examples.SOURCE_ID: "", examples.FILENAME: "", examples.FORMAT: "jpeg"}
    spec = {key: tf.io.FixedLenFeature((), tf.string, default) for key, default in strings.items()}
    for key in (*examples.OBJECT_BOX, examples.OBJECT_AREA):
        spec[key] = tf.io.RaggedFeature(tf.float32)
    for key in (examples.OBJECT_CLASS_LABEL, examples.OBJECT_IS_CROWD, examples.OBJECT_DIFFICULT):
        spec[key] = tf.io.RaggedFeature(tf.int64)
    spec[examples.OBJECT_CLASS_TEXT] = tf.io.RaggedFeature(tf.string)

    for file in files:
        with file.open("rb") as stream:
            serialized = [payload for _, payload in read_records(stream)]
        for record in serialized:
            right = {key: value.numpy() for key, value in tf.io.parse_single_example(record, spec).items()}
            image = parse_image_example(record)
            assert image[:4] == (right[examples.ENCODED], *(right[key].decode() for key in list(strings)[1:]))
            truth = parse_ground_truth(record)
            np.testing.assert_array_equal(truth.boxes.T, [right[key] for key in examples.OBJECT_BOX])
            texts = right[examples.OBJECT_CLASS_TEXT]
            assert (truth.labels or ()) == tuple(text.decode() for text in texts)
            for key, found in (
                (examples.OBJECT_CLASS_LABEL, truth.classes),
                (examples.OBJECT_IS_CROWD, truth.is_crowd),
                (examples.OBJECT_DIFFICULT, truth.difficult),
                (examples.OBJECT_AREA, truth.area),
            ):
                if len(right[key]):
                    np.testing.assert_array_equal(found, right[key])


def test_a_loaded_tensorflow_does_not_clash_with_our_own_descriptors():
    tf = pytest.importorskip("tensorflow")
    for module in (examples, label_map):
        runpy.run_path(module.__file__)
    assert tf.train.Example.FromString(encode_example({"a": 1})).features.feature["a"].int64_list.value == [1]


def test_tensorflow_is_not_needed():
    probe = (
        "import sys, od_core.records.examples, od_core.records.tfrecord, od_core.schemas;"
        "sys.exit(bool({'apache_beam', 'tensorflow'} & set(sys.modules)))"
    )
    repository = pathlib.Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", probe], cwd=repository, check=False).returncode == 0


def test_features_are_listed_as_they_are():
    serialized = encode_example({"b": [b"x", b"y"], "a": 3, "c": np.zeros(0, np.float32)})
    assert list_features(serialized) == {"a": ("int64", 1), "b": ("bytes", 2), "c": ("float", 0)}


def test_a_feature_without_a_list_has_no_kind():
    assert list_features(b"\x0a\x07\x0a\x05\x0a\x01a\x12\x00") == {"a": ("", 0)}


def test_a_sequence_example_is_refused():
    with pytest.raises(RecordError, match="SequenceExample"):
        list_features(b"\x0a\x00\x12\x00")


def test_the_noted_checksum():
    assert parse_sha256(encode_example({SHA256: "0a"})) == "0a"
    assert parse_sha256(encode_example({"a": 1})) == ""
