import io
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations import json_stream
from od_core.annotations.json_stream import JsonStream
from od_core.errors import UsageError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """So small that nearly every value crosses from one chunk into another."""
    monkeypatch.setattr(json_stream, "_CHUNK_CHARS", 16)


def read(content: str | bytes) -> tuple[list, dict[str, bool]]:
    stream = JsonStream(io.BytesIO(content if isinstance(content, bytes) else content.encode()), "big.json")
    return list(stream.elements()), stream.members


@given(st.dictionaries(text, values, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_that_the_whole_file_has(document, indent, ascii):
    found, members = read(json.dumps(document, indent=indent, ensure_ascii=ascii))
    expected = [
        (name, element)
        for name, value in document.items()
        for element in (value if isinstance(value, list) else [value])
    ]
    assert found == expected
    assert members == {name: isinstance(value, list) for name, value in document.items()}


@given(st.lists(values, max_size=6))
def test_an_array_that_is_not_in_an_object_has_no_name(document):
    found, members = read(json.dumps(document))
    assert found == [("", element) for element in document]
    assert members == {"": True}


def test_elements_come_before_the_file_has_been_read_to_its_end():
    class Counted(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(min(size, 64))

    file = Counted(json.dumps({"a": list(range(100_000))}).encode())
    stream = JsonStream(file, "x")
    assert next(stream.elements()) == ("a", 0)
    assert file.tell() < 100_000


DOCUMENT = '{\n "images": [{"id": 1, "name": "aé\\n"}, true, -1],\n "info": null\n}\n'


@pytest.mark.parametrize("length", range(len(DOCUMENT) - 2))
def test_a_file_that_is_cut_short_is_told_wherever_it_was_cut(length):
    with pytest.raises(UsageError) as error:
        read(DOCUMENT[:length])
    line = DOCUMENT[:length].count("\n") + 1
    assert str(error.value) == (
        f"big.json: the JSON breaks off at its end (line {line}, character {length}): it was cut short, or is still "
        "being written"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"a": [1, 2,, 3]}', "not JSON at line 1, character 12: Expecting value"),
        ('{"a":\n [1 2]}', "not JSON at line 2, character 10: expected a comma or ]"),
        ('{"a": 1 "b": 2}', "expected a comma or }"),
        ("{'a': 1}", 'expected the name of a member, in "'),
        ('{"a" 1}', "expected :"),
        ('{"a": tru}', "not JSON at line 1, character 6: Expecting value"),
        ('{"a": "b\nc"}', "Invalid control character"),
        ('{"a": [1]} {}', "there is more text behind the end"),
        ("a,b,c\n1,2,3\n", "it begins neither with { nor with ["),
        ('{"a": ' + "[" * 200_000, "nested too deeply"),
        ('{"a": ' + "9" * 10_000 + "}", "Exceeds the limit"),
        (b'{"a": "\xff"}', "not UTF-8 text"),
        ('{"a": []}'.encode("utf-16"), "not UTF-8 text"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(content, what):
    with pytest.raises(UsageError) as error:
        read(content)
    assert str(error.value).startswith("big.json: ")
    assert what in str(error.value)


def test_a_value_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(json_stream, "MAX_ELEMENT_CHARS", 1000)
    assert read(json.dumps({"a": ["x" * 500] * 10})) == ([("a", "x" * 500)] * 10, {"a": True})
    with pytest.raises(UsageError, match="one value is longer than"):
        read(json.dumps({"a": ["x" * 100_000]}))


def test_a_byte_order_mark_is_passed_over():
    assert read(b'\xef\xbb\xbf{"a": [1]}') == ([("a", 1)], {"a": True})


def test_elements_may_be_asked_for_one_at_a_time():
    stream = JsonStream(io.BytesIO(b'{"a": [1, 2, 3], "b": [4]}'), "x")
    assert list(itertools.islice(stream.elements(), 2)) == [("a", 1), ("a", 2)]
    assert stream.members == {"a": True}
