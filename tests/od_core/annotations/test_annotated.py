from od_core.annotations.annotated import AnnotatedObject, ObjectColumns

DOG = AnnotatedObject("dog", (1.0, 2.0, 3.0, 4.0), "object 1", area=2.5, is_crowd=True)
CAT = AnnotatedObject("cat", (5.0, 6.0, 7.0, 8.0), "object 2", 3, view="Left", features=(("occluded", 1),))


def test_columns_have_the_fields_of_objects_one_value_for_each():
    assert ObjectColumns._fields == AnnotatedObject._fields
    columns = ObjectColumns.of([DOG, CAT])
    for name in AnnotatedObject._fields:
        assert list(getattr(columns, name)) == [getattr(DOG, name), getattr(CAT, name)]


def test_columns_of_no_objects_are_empty():
    assert set(map(len, ObjectColumns.of([]))) == {0}
