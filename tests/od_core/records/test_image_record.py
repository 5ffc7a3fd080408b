import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject
from od_core.annotations.object_columns import ObjectColumns
from od_core.errors import ImageError
from od_core.images import decode_image
from od_core.label_map import LabelMap
from od_core.records.examples import parse_ground_truth, parse_image_example
from od_core.records.image_record import encode_record, placed_objects
from od_core.records.stored_image import TURNED, StoredImage, stored_image
from tests.pipelines.made_annotations import features_of, picture

CAT = AnnotatedObject("cat", (3, 4, 13, 24), "object 1")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def stored(width: int, height: int, orientation: int = 1) -> StoredImage:
    """An image of this upright size."""
    return StoredImage(b"", "jpeg", width, height, orientation, "jpeg", (TURNED,) if orientation != 1 else ())


def annotated(width: int | None, height: int | None, *objects: AnnotatedObject) -> AnnotatedImage:
    return AnnotatedImage("a.jpg", "a.xml", "a.xml", "", width, height, objects)


# What an annotation speaks of


@pytest.mark.parametrize("size", [(40, 30), (None, None), (None, 30)])
def test_boxes_of_an_upright_image_stay(size):
    assert placed_objects(annotated(*size, CAT), stored(40, 30)) == ((CAT,), 40, 30, 1)


def test_an_annotation_of_the_stored_pixels_is_turned_with_them():
    # Orientation 6: stored pixel (x, y) of a 40 x 30 image is shown at (29 - y, x).
    objects, width, height, turn = placed_objects(annotated(40, 30, CAT), stored(30, 40, orientation=6))
    assert turn == 6
    assert (width, height) == (30, 40)
    assert objects[0].box_px == pytest.approx((4, 30 - 13, 24, 30 - 3), abs=1e-9)


@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_turned_box_shows_what_it_showed(orientation):
    pixels = np.full((30, 40, 3), 255, np.uint8)
    pixels[3:13, 4:24] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = stored_image(saved(Image.fromarray(pixels), "PNG", exif=exif))
    (turned,), *_ = placed_objects(annotated(40, 30, CAT), image)
    ymin, xmin, ymax, xmax = np.rint(turned.box_px).astype(int)
    seen = decode_image(image.encoded)
    assert not seen[ymin:ymax, xmin:xmax].any()
    assert (seen == 0).all(axis=2).sum() == (ymax - ymin) * (xmax - xmin) == 200


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_annotation_of_the_upright_image_stays_upright(orientation):
    assert placed_objects(annotated(40, 30, CAT), stored(40, 30, orientation)) == ((CAT,), 40, 30, 1)


def test_a_scaled_image_is_known_by_its_shape_also_turned():
    assert placed_objects(annotated(400, 300, CAT), stored(40, 30)) == ((CAT,), 400, 300, 1)
    (turned,), width, height, _ = placed_objects(annotated(400, 300, CAT), stored(30, 40, orientation=6))
    assert (width, height) == (300, 400)
    assert turned.box_px == pytest.approx((4, 300 - 13, 24, 300 - 3), abs=1e-9)
    assert placed_objects(annotated(500, 333, CAT), stored(1500, 1000))[1:3] == (500, 333), "rounded"


def test_areas_are_in_pixels_of_the_image():
    with_area = CAT._replace(area=100.0)
    (scaled, unknown), *_ = placed_objects(annotated(80, 60, with_area, CAT), stored(40, 30))
    assert (scaled.area, unknown.area) == (25.0, None)
    (turned,), *_ = placed_objects(annotated(40, 30, with_area), stored(30, 40, orientation=6))
    assert turned.area == 100.0


@pytest.mark.parametrize(("size", "orientation"), [((300, 400), 1), ((640, 640), 1), ((640, 640), 6), ((400, 200), 6)])
def test_another_shape_is_another_image(size, orientation):
    with pytest.raises(ImageError, match=f"annotation is of a {size[0]} x {size[1]} image, the file is 400 x 300"):
        placed_objects(annotated(*size, CAT), stored(400, 300, orientation))


# The record


def record(objects=(CAT,), **changes):
    encoded = picture()
    arguments = {
        "filename": "b/ä.jpg",
        "source_id": "17",
        "objects": ObjectColumns.of(objects),
        "class_ids": range(1, len(objects) + 1),
        "normalised": [(0.1, 0.2, 0.3, 0.4)] * len(objects),
        "with_pose": False,
        **changes,
    }
    return encoded, encode_record(stored_image(encoded), **arguments)


def test_every_feature_of_a_record():
    objects = (
        AnnotatedObject("cat", (0, 0, 1, 1), "object 1", difficult=True, truncated=True, area=12.5),
        AnnotatedObject("dög", (0, 0, 1, 1), "object 2", is_crowd=True, group_of=True, view="Left", area=2),
    )
    encoded, serialized = record(objects, class_ids=[3, 90], with_pose=True)
    edge = lambda value: ("float_list", [np.float32(value)] * 2)  # noqa: E731
    assert features_of(serialized) == {
        "image/encoded": ("bytes_list", [encoded]),
        "image/format": ("bytes_list", [b"jpeg"]),
        "image/filename": ("bytes_list", ["b/ä.jpg".encode()]),
        "image/source_id": ("bytes_list", [b"17"]),
        "image/key/sha256": ("bytes_list", [hashlib.sha256(encoded).hexdigest().encode()]),
        "image/height": ("int64_list", [30]),
        "image/width": ("int64_list", [40]),
        "image/object/bbox/ymin": edge(0.1),
        "image/object/bbox/xmin": edge(0.2),
        "image/object/bbox/ymax": edge(0.3),
        "image/object/bbox/xmax": edge(0.4),
        "image/object/class/text": ("bytes_list", [b"cat", "dög".encode()]),
        "image/object/class/label": ("int64_list", [3, 90]),
        "image/object/difficult": ("int64_list", [1, 0]),
        "image/object/is_crowd": ("int64_list", [0, 1]),
        "image/object/group_of": ("int64_list", [0, 1]),
        "image/object/area": ("float_list", [12.5, 2]),
        "image/object/truncated": ("int64_list", [1, 0]),
        "image/object/view": ("bytes_list", [b"Unspecified", b"Left"]),
    }


def test_features_nobody_needs_are_left_out():
    optional = {"group_of", "area", "truncated", "view"}
    written = {key.rsplit("/", 1)[1] for key in features_of(record()[1])}
    assert not written & optional
    half = (CAT._replace(area=1.0), CAT)
    assert "image/object/area" not in features_of(record(half)[1]), "an area for some objects only"


def test_an_image_without_objects_has_empty_lists():
    _, serialized = record(())
    truth = parse_ground_truth(serialized)
    assert len(truth) == 0
    assert parse_image_example(serialized).source_id == "17"
    assert features_of(serialized)["image/object/bbox/ymin"] == ("float_list", [])


def test_the_record_is_read_back_by_our_own_reader():
    encoded, serialized = record((CAT, CAT._replace(label="dog", is_crowd=True)))
    assert parse_image_example(serialized) == (encoded, "17", "b/ä.jpg", "jpeg", 30, 40)
    truth = parse_ground_truth(serialized, LabelMap.of_names(["cat", "dog"]))
    assert truth.labels == ("cat", "dog")
    assert truth.classes.tolist() == [1, 2]
    assert truth.is_crowd.tolist() == [False, True]
    np.testing.assert_array_equal(truth.boxes, np.float32([(0.1, 0.2, 0.3, 0.4)] * 2))
