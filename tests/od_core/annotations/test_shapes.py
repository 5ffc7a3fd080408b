"""Masks and keypoints: drawn as pycocotools draws them; what is none is refused."""

import io
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from od_core.annotations.annotated import Excerpt
from od_core.annotations.json_stream import JsonStream
from od_core.annotations.shapes import draw_mask, keypoints_of, read_excerpt
from od_core.errors import AnnotationError

SQUARE = [1, 1, 5, 1, 5, 4, 1, 4]

sides = st.integers(1, 40)
places = st.integers(-400, 4000).map(lambda hundredths: hundredths / 100)
polygons = st.lists(
    st.lists(st.tuples(places, places), min_size=3, max_size=8).map(lambda corners: [x for xy in corners for x in xy]),
    min_size=1,
    max_size=3,
)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
@given(polygons, sides, sides)
def test_polygons_are_drawn_as_coco_draws_them(shapes, height, width):
    mask = draw_mask(shapes, height, width)
    wanted = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(shapes, height, width)))
    np.testing.assert_array_equal(mask, wanted)
    assert (mask.dtype, mask.shape, mask.flags.c_contiguous) == (np.uint8, (height, width), True)
    assert set(np.unique(mask)) <= {0, 1}


@given(st.data(), sides, sides)
def test_run_lengths_of_both_kinds_are_drawn_as_coco_draws_them(data, height, width):
    pixels = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)), np.uint8)
    wanted = pixels.reshape(height, width)
    packed = coco_mask.encode(np.asfortranarray(wanted))
    compressed = {"size": [height, width], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(draw_mask(compressed, height, width), wanted)
    column_by_column = wanted.T.ravel().tolist()
    counts, value, run = [], 0, 0
    for pixel in column_by_column:
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    counts.append(run)
    plain = {"size": [height, width], "counts": counts}
    np.testing.assert_array_equal(draw_mask(plain, height, width), wanted)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "it has no segmentation"),
        ("x", "it has no segmentation"),
        ([], "its segmentation is empty, expected lists"),
        ([[]], "its segmentation has a polygon that is none"),
        ([[1, 1, 5, 5]], "its segmentation has a polygon that is none"),
        ([SQUARE, [1, 2, 3, 4, 5, 6, 7]], "its segmentation has a polygon that is none"),
        ([[1, 1, 5, 1, float("nan"), 4]], "its segmentation has a polygon that is none"),
        ([[1, 1, 5, 1, 1e300, 4]], "its segmentation has a polygon that is none"),
        ([[1, 1, 5, 1, "5", 4]], "its segmentation has a polygon that is none"),
        (SQUARE, "its segmentation has a polygon that is none"),
        ({"size": [6, 8], "counts": [48, 1]}, "its segmentation makes no sense"),
        ({"size": [6, 8], "counts": [-1, 49]}, "its segmentation makes no sense"),
        ({"size": [6, 8], "counts": "\0\0"}, "its segmentation makes no sense"),
        ({"size": [6, 8], "counts": 7}, "its segmentation makes no sense"),
        ({"size": [8, 6], "counts": [48]}, r"its mask is for a size of \[8, 6\], the image is \[6, 8\]"),
        ({"counts": [48]}, "its mask is for a size of None"),
    ],
)
def test_what_is_no_segmentation_is_told(segmentation, message):
    with pytest.raises(AnnotationError, match=message):
        draw_mask(segmentation, 6, 8)


def test_no_mask_is_drawn_for_an_image_that_is_said_to_be_enormous():
    with pytest.raises(AnnotationError, match="said to have 100,000 x 100,000 px"):
        draw_mask([SQUARE], 100_000, 100_000)


def test_keypoints_come_as_y_x_visibility():
    points = keypoints_of({"keypoints": [10, 20, 2, 0, 0, 0, 1.5, 3, 1]}, 3)
    np.testing.assert_array_equal(points, [[20, 10, 2], [0, 0, 0], [3, 1.5, 1]])
    np.testing.assert_array_equal(keypoints_of({}, 2), np.zeros((2, 3)))
    np.testing.assert_array_equal(keypoints_of({"keypoints": None}, 2), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2, 2], "expected 6 numbers for the 2 keypoints of its class"),
        ([1, 2, 2, 3, 4, "2"], "expected 6 numbers"),
        ([1, 2, 2, 3, 4, float("inf")], "expected 6 numbers"),
        ("abcdef", "expected 6 numbers"),
        ([1, 2, 3, 3, 4, 2], "each with 0, 1 or 2"),
        ([1, 1e12, 2, 3, 4, 2], "not places in an image"),
    ],
)
def test_what_are_no_keypoints_is_told(given, message):
    with pytest.raises(AnnotationError, match=message):
        keypoints_of({"keypoints": given}, 2)


# Where they lie in the file


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_element_is_found_again_at_its_place(indent, encoding, monkeypatch):
    monkeypatch.setattr("od_core.annotations.json_stream._CHUNK_CHARS", 50)
    elements = [{"id": number, "name": "größe 漢字 🚢" * (number % 4), "box": [number, 1e-5]} for number in range(40)]
    content = json.dumps({"info": "ä", "a": elements, "b": [1, "ö"], "c": elements}, indent=indent, ensure_ascii=False)
    file = io.BytesIO(content.encode(encoding))
    stream = JsonStream(io.BytesIO(content.encode(encoding)), "x.json")
    seen = 0
    for member, element in stream.elements():
        if member == "c" or (member == "a" and element["id"] % 3 == 0):
            assert read_excerpt(file, stream.excerpt()) == element
            seen += 1
    assert seen == 54


def test_a_file_that_was_changed_is_noticed():
    content = b'{"a": 1}'
    with pytest.raises(AnnotationError, match="the annotation file was changed while it was converted"):
        read_excerpt(io.BytesIO(b'{"a": 2}'), Excerpt(0, len(content), zlib.crc32(content)))
