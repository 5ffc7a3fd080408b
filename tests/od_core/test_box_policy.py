import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations.annotated import AnnotatedObject
from od_core.box_policy import POLICIES, apply_policy
from od_core.errors import AnnotationError

WIDTH, HEIGHT = 100, 50


def one(*box_px: float) -> AnnotatedObject:
    return AnnotatedObject("cat", box_px, "object 1")  # type: ignore[arg-type]


def policy(item: AnnotatedObject, name: str = "clip"):
    """The boxes that are kept, and the kinds of the remarks."""
    kept = apply_policy([item], WIDTH, HEIGHT, name)
    return [item.box_px for item in kept.objects], [remark.kind for remark in kept.remarks]


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("box", [(0, 0, 50, 100), (1.5, 2.5, 3.5, 4.5), (0, 0, 1e-9, 1e-9), (49, 99, 50, 100)])
def test_a_box_within_the_image_stays_as_it_is_even_where_it_touches_the_border(name, box):
    assert policy(one(*box), name) == ([box], [])


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((-3, 10, 20, 30), (0, 10, 20, 30)),
        ((10, -0.5, 20, 30), (10, 0, 20, 30)),
        ((10, 10, 50.25, 30), (10, 10, 50, 30)),
        ((10, 10, 20, 101), (10, 10, 20, 100)),
        ((-9, -9, 999, 999), (0, 0, 50, 100)),
    ],
)
def test_a_box_over_the_border_is_clipped_or_dropped(box, clipped):
    assert policy(one(*box), "clip") == ([clipped], ["boxes_clipped"])
    assert policy(one(*box), "drop") == ([], ["over_border_boxes_dropped"])


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((10, 10, 10, 30), "empty_boxes_dropped"),
        ((10, 30, 20, 30), "empty_boxes_dropped"),
        ((20, 10, 10, 30), "empty_boxes_dropped"),
        ((-5, 10, -5, 10), "empty_boxes_dropped"),
        ((50, 10, 60, 30), "outside_boxes_dropped"),
        ((10, 100, 20, 130), "outside_boxes_dropped"),
        ((-5, 10, 0, 30), "outside_boxes_dropped"),
        ((10, -5, 20, 0), "outside_boxes_dropped"),
    ],
)
def test_a_box_without_area_in_the_image_is_dropped_and_refused_when_strict(box, kind):
    assert policy(one(*box), "clip") == policy(one(*box), "drop") == ([], [kind])
    with pytest.raises(AnnotationError, match=r"object 1 \(cat\): its box"):
        policy(one(*box), "strict")


def test_strict_lets_a_rounding_tool_have_its_pixel():
    assert policy(one(-1, 0, 51, 101), "strict") == ([(0, 0, 50, 100)], ["boxes_clipped"])
    with pytest.raises(AnnotationError) as caught:
        policy(one(0, 0, 51.5, 20), "strict")
    assert str(caught.value) == (
        "object 1 (cat): its box, x 0 to 20, y 0 to 51.5, reaches 1.5 px over the border of the 100 x 50 image;"
        " correct it, or choose --boxes clip or drop"
    )


def test_all_but_the_box_of_an_object_stays_and_so_does_the_order():
    items = [
        AnnotatedObject("a", (-1, 0, 9, 9), "object 1", 7, True, True, True, True, "Left", 12.5),
        one(0, 0, 0, 0),
        one(1, 1, 2, 2),
    ]
    kept = apply_policy(items, WIDTH, HEIGHT, "clip")
    assert kept.objects == (items[0]._replace(box_px=(0, 0, 9, 9)), items[2])
    assert [remark.text.split(" (")[0] for remark in kept.remarks] == ["object 1", "object 1"]


edges = st.floats(-200, 200).map(lambda value: round(value, 1))


@given(st.lists(st.tuples(edges, edges, edges, edges)), st.sampled_from(["clip", "drop"]))
def test_what_is_kept_lies_in_the_image_and_whatever_is_not_as_it_was_has_a_remark(boxes, name):
    kept = apply_policy([one(*box) for box in boxes], WIDTH, HEIGHT, name)
    for item in kept.objects:
        ymin, xmin, ymax, xmax = item.box_px
        assert 0 <= ymin < ymax <= HEIGHT
        assert 0 <= xmin < xmax <= WIDTH
    clipped = sum(remark.kind == "boxes_clipped" for remark in kept.remarks)
    assert len(kept.objects) + len(kept.remarks) - clipped == len(boxes)
    assert sum(item.box_px not in boxes for item in kept.objects) <= clipped
    assert apply_policy(kept.objects, WIDTH, HEIGHT, "strict") == (kept.objects, ())
