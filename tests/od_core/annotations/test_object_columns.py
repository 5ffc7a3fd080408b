import hypothesis.strategies as st
import pytest
from hypothesis import given

from od_core.annotations.annotated import AnnotatedObject
from od_core.annotations.object_columns import ObjectColumns, ObjectRows, rows_of
from od_core.box_policy import POLICIES, KeptObjects, apply_policy
from od_core.errors import AnnotationError

DOG = AnnotatedObject("dog", (1.0, 2.0, 3.0, 4.0), "object 1", area=2.5, is_crowd=True)
CAT = AnnotatedObject("cat", (5.0, 6.0, 7.0, 8.0), "object 2", 3, view="Left", features=(("occluded", 1),))

edges = st.sampled_from([-1.0, 0.0, 0.5, 10.0, 20.0, 21.0])
images_of_boxes = st.lists(st.lists(st.tuples(edges, edges, edges, edges), max_size=3), max_size=5)


def rows(images: list[list[AnnotatedObject]]) -> list[ObjectRows]:
    return rows_of(ObjectColumns.of([item for objects in images for item in objects]), list(map(len, images)))


def test_columns_have_the_fields_of_objects_one_value_for_each():
    assert ObjectColumns._fields == AnnotatedObject._fields
    columns = ObjectColumns.of([DOG, CAT])
    for name in AnnotatedObject._fields:
        assert list(getattr(columns, name)) == [getattr(DOG, name), getattr(CAT, name)]


def test_columns_of_no_objects_are_empty():
    assert set(map(len, ObjectColumns.of([]))) == {0}


def test_rows_are_the_objects_of_each_image():
    images = [[DOG, CAT], [], [CAT], []]
    assert [list(one) for one in rows(images)] == images
    assert list(map(len, rows(images))) == [2, 0, 1, 0]
    both = rows(images)[0]
    assert (both[0], both[-1], both[:1]) == (DOG, CAT, (DOG,))
    assert both == (DOG, CAT)
    assert both == rows([[DOG, CAT]])[0]
    assert both != (DOG,)
    assert both != [DOG, CAT], "as of tuples"
    with pytest.raises(IndexError):
        both[2]
    assert rows([]) == []


def test_columns_of_rows_are_those_of_their_image():
    columns = ObjectColumns.of(rows([[DOG], [CAT]])[1])
    assert [list(values) for values in columns[2:]] == [[value] for value in CAT[2:]]
    assert [tuple(box) for box in columns.box_px] == [CAT.box_px]
    assert columns.label == ("cat",)


@given(images_of_boxes, st.sampled_from(POLICIES))
def test_rows_meet_the_same_policy_as_their_objects(images, policy):
    def outcome(objects) -> KeptObjects | str:
        try:
            kept = apply_policy(objects, 20, 10, policy)
        except AnnotationError as error:
            return str(error)
        return kept._replace(objects=tuple(kept.objects))

    objects = [[AnnotatedObject("cat", box, f"object {n}") for n, box in enumerate(boxes)] for boxes in images]
    for one, of_image in zip(rows(objects), objects, strict=True):
        assert outcome(one) == outcome(tuple(of_image))
        is_kept = one.all_lie_in(20, 10)
        assert is_kept == (outcome(of_image) == (tuple(of_image), ()))
