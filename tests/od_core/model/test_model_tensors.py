"""What a command line says of a model's tensors, and what its boxes become."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.errors import UsageError
from od_core.model.tensors import API_TENSORS, BOX_FORMATS, ModelTensors


def test_a_command_line_is_understood():
    tensors = ModelTensors.of_text("images", "boxes=nms:0, scores = nms:1,classes=c", "cx_cy_w_h,pixels", 0)
    assert tensors == ModelTensors(
        "images", (("boxes", "nms:0"), ("scores", "nms:1"), ("classes", "c")), "cx_cy_w_h", True, 0
    )
    assert tensors.output_names == {"detection_boxes": "nms:0", "detection_scores": "nms:1", "detection_classes": "c"}
    assert tensors.options == {
        "--input_tensor": "images",
        "--output_tensors": "boxes=nms:0,scores=nms:1,classes=c",
        "--box_format": "cx_cy_w_h,pixels",
        "--first_class_id": "0",
    }


@pytest.mark.parametrize("words", [(), (None, None, "ymin_xmin_ymax_xmax", 1)])
def test_without_words_everything_is_as_the_api_has_it(words):
    """And no option is named, so that outputs made before there were any are known again."""
    assert ModelTensors.of_text(*words) == API_TENSORS
    assert API_TENSORS.options == {}
    assert ModelTensors(in_pixels=True).options == {"--box_format": "ymin_xmin_ymax_xmax,pixels"}


@pytest.mark.parametrize(
    ("outputs", "format", "says"),
    [
        ("", None, "must be like boxes=NAME,scores=NAME,classes=NAME,num=NAME, got ''"),
        ("boxes", None, "must be like boxes=NAME"),
        ("boxes=,scores=b,classes=c", None, "must be like boxes=NAME"),
        ("boxes=a,scores=b", None, "say which output gives the classes: there are boxes, scores, classes and"),
        ("boxes=a,scores=b,classes=c,count=d", None, "a model has no output for 'count'"),
        ("boxes=a,boxes=b,scores=b,classes=c", None, "one is given twice"),
        (None, "xywh", "--box_format: 'xywh' is not one of ymin_xmin_ymax_xmax, xmin_ymin_xmax_ymax, cx_cy_w_h"),
        (None, "cx_cy_w_h,px", "after the comma comes pixels or nothing, got 'cx_cy_w_h,px'"),
        (None, "cx_cy_w_h,pixels,pixels", "after the comma comes pixels or nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused(outputs, format, says):
    with pytest.raises(UsageError) as refused:
        ModelTensors.of_text(None, outputs, format)
    assert says in str(refused.value)


def in_format(boxes: np.ndarray, format: str) -> np.ndarray:
    """Boxes [ymin, xmin, ymax, xmax] in another format: the reverse of what is tested."""
    ymin, xmin, ymax, xmax = boxes.T
    columns = {
        "ymin_xmin_ymax_xmax": (ymin, xmin, ymax, xmax),
        "xmin_ymin_xmax_ymax": (xmin, ymin, xmax, ymax),
        "cx_cy_w_h": ((xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin),
    }
    return np.stack(columns[format], axis=1)


edges = st.tuples(*[st.floats(0, 1, width=32)] * 4)


@given(st.lists(edges), st.sampled_from(BOX_FORMATS), st.booleans(), st.integers(1, 5000), st.integers(1, 5000))
def test_every_format_gives_the_same_boxes(rows, format, in_pixels, height, width):
    boxes = np.array(rows, float).reshape(-1, 4)
    given_boxes = in_format(boxes * (height, width, height, width) if in_pixels else boxes, format)
    found = ModelTensors(box_format=format, in_pixels=in_pixels).normalised_boxes(given_boxes, height, width)
    assert found.shape == boxes.shape
    np.testing.assert_allclose(found, boxes, atol=1e-9)
