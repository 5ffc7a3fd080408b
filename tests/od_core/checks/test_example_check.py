"""Every fault that a training record can have, made once: it is named, and nothing else is."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from od_core.checks import example as example_check
from od_core.checks.example import check_example
from od_core.label_map import LabelMap, LabelMapItem, parse_label_map
from od_core.records import examples

LABELS = LabelMap.of_names(["cat", "dog"])


def image_file(format: str = "JPEG", *, width: int = 40, height: int = 30, orientation: int = 1) -> bytes:
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **({"exif": exif} if orientation != 1 else {}))
    return file.getvalue()


JPEG = image_file()


def record(boxes=((0.1, 0.2, 0.5, 0.6), (0.0, 0.0, 1.0, 1.0)), **changes: object) -> bytes:
    """A good record of a cat and a dog; `changes` by the last words of keys, None leaves a key out."""
    features: dict[str, object] = {
        examples.ENCODED: JPEG,
        examples.FORMAT: "jpeg",
        examples.SHA256: hashlib.sha256(JPEG).hexdigest(),
        examples.HEIGHT: 30,
        examples.WIDTH: 40,
        **dict(zip(examples.OBJECT_BOX, np.array(boxes, float).reshape(-1, 4).T, strict=True)),
        examples.OBJECT_CLASS_LABEL: [1, 2],
        examples.OBJECT_CLASS_TEXT: ["cat", "dog"],
    }
    for name, value in changes.items():
        key = next(key for key in features if key.endswith("/" + name.replace("__", "/")))
        features[key] = value
    return examples.encode_example({key: value for key, value in features.items() if value is not None})


def faults_of(serialized: bytes, label_map: LabelMap | None = LABELS, **options: bool) -> list[str]:
    return [f"{fault.what}: {text}" for fault, text in check_example(serialized, label_map, **options).faults]


@pytest.mark.parametrize("label_map", [LABELS, None])
def test_a_good_record_has_no_faults_and_everything_in_it(label_map):
    found = check_example(record(), label_map, decode=True)
    assert found.faults == ()
    assert found.features[examples.OBJECT_CLASS_TEXT] == ("bytes", 2)
    assert (found.image.encoded, found.header.format, found.header.width) == (JPEG, "jpeg", 40)
    assert (found.truth.classes.tolist(), found.truth.labels) == ([1, 2], ("cat", "dog"))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "JPG"},
        {"format": None, "sha256": None, "height": None, "width": None},
        {"class__text": None},
        {"class__label": None},
        {"boxes": (), "class__label": [], "class__text": []},
        {"encoded": image_file("PNG"), "format": "png", "sha256": None},
    ],
)
def test_what_the_api_reads_as_well_is_no_fault(changes):
    assert faults_of(record(**changes), decode=True) == []


@pytest.mark.parametrize(
    ("changes", "fault", "text"),
    [
        ({"encoded": None}, example_check.NO_IMAGE, "the record has no image: image/encoded is missing; its features"),
        ({"encoded": b"hello"}, example_check.BAD_IMAGE, "not a supported image but plain text"),
        ({"height": [1, 2]}, example_check.NO_IMAGE, "image/height has 2 values, expected one"),
        ({"sha256": 3}, example_check.NO_IMAGE, "image/key/sha256 is a int64_list, expected a bytes_list"),
        ({"format": "png"}, example_check.OTHER_FORMAT, "it says png, the image is jpeg"),
        ({"height": 31}, example_check.OTHER_SIZE, "it says 40 x 31, the image is 40 x 30"),
        ({"sha256": "0" * 64}, example_check.OTHER_SHA256, "it says 0000000000000000..."),
        ({"class__label": [1]}, example_check.BAD_ANNOTATION, "2 boxes by image/object/bbox/ymin, but 1 values of"),
        ({"ymin": [np.nan, 0.0]}, example_check.BAD_ANNOTATION, "boxes must be finite"),
        ({"ymax": [0.5, 1.01]}, example_check.OUTSIDE, "object 1 is [0, 0, 1.01, 1] (ymin, xmin, ymax, xmax)"),
        ({"xmin": [-0.1, -0.1]}, example_check.OUTSIDE, "object 0 is [0.1, -0.1, 0.5, 0.6] (ymin, xmin, ymax, xmax) "),
        ({"ymin": [0.6, 0.0]}, example_check.SWAPPED, "object 0 is [0.6, 0.2, 0.5, 0.6]"),
        ({"xmax": [0.2, 1.0]}, example_check.EMPTY, "object 0 is [0.1, 0.2, 0.5, 0.2]"),
        ({"class__label": [1, 0]}, example_check.BAD_ID, "object 1: id 0, called 'dog'"),
        ({"class__text": ["cat", "cow"]}, example_check.UNKNOWN_CLASS, "object 1: called 'cow'"),
        ({"class__label": [3, 2], "class__text": None}, example_check.UNKNOWN_CLASS, "object 0: id 3"),
        (
            {"class__label": [2, 2]},
            example_check.OTHER_CLASS,
            "object 0: id 2 is called 'cat', which is id 1 in the label map",
        ),
        ({"class__label": None, "class__text": None}, example_check.NO_CLASS, "object 0: neither image/object/class/"),
    ],
)
def test_a_fault_is_named(changes, fault, text):
    faults = [(found, said) for found, said in check_example(record(**changes), LABELS).faults]
    kinds = [found for found, _ in faults if found is not example_check.OTHER_CLASS or fault is found]
    assert kinds == [fault]
    assert text in faults[0][1]
    assert not fault.is_note


def test_a_fault_of_many_boxes_is_told_once():
    (said,) = faults_of(record([(0, 0, 2, 1), (0, 0, 3, 1)]))
    assert said.endswith("object 0 is [0, 0, 2, 1] (ymin, xmin, ymax, xmax) and 1 more")


def test_classes_may_go_by_their_display_name():
    labels = parse_label_map('item { id: 1 name: "/m/1" display_name: "cat" } item { id: 2 name: "dog" }', "l.pbtxt")
    assert faults_of(record(), labels) == []


def test_without_a_label_map_any_id_from_1_will_do():
    assert faults_of(record(class__label=[7, 9]), None) == []


def test_the_background_is_no_class_of_an_object():
    labels = LabelMap((LabelMapItem(0, "background"), LabelMapItem(1, "cat"), LabelMapItem(2, "dog")))
    (said,) = faults_of(record(class__label=[0, 2], class__text=["background", "dog"]), labels)
    assert said == "a class id below 1: object 0: id 0, called 'background'"


@pytest.mark.parametrize("size", [(40, 30), (None, None)])
def test_tensorflow_sees_a_turned_image_as_it_is_stored(size):
    turned = image_file(orientation=6)
    (said,) = faults_of(record(encoded=turned, sha256=None, width=size[0], height=size[1]))
    assert said == f"{example_check.TURNED.what}: orientation 6"
    assert example_check.TURNED.is_note


def test_a_tiff_is_nothing_for_tensorflow():
    (said,) = faults_of(record(encoded=image_file("TIFF"), format="tiff", sha256=None))
    assert said.startswith(example_check.NOT_DECODABLE.what)


def test_only_decoding_finds_what_is_behind_the_header():
    cut = JPEG[:-200]
    serialized = record(encoded=cut, sha256=hashlib.sha256(cut).hexdigest())
    assert faults_of(serialized) == []
    (said,) = faults_of(serialized, decode=True)
    assert said.startswith(f"{example_check.BAD_IMAGE.what}: a damaged or cut-off JPEG")


def test_what_is_no_example_has_nothing_in_it():
    found = check_example(b"no example")
    assert (found.features, found.image, found.truth) == ({}, None, None)
    assert [fault for fault, _ in found.faults] == [example_check.NOT_AN_EXAMPLE]
