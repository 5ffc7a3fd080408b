import json
import pathlib
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.errors import LabelMapError
from od_core.label_map import FREQUENCIES, Keypoint, LabelMap, LabelMapItem, parse_label_map, read_label_map

EXAMPLE = 'item { id: 1 name: "cat" }'

# The API's own answers were given by an older protobuf, which left \u escapes in strings as they are written.
UNICODE_ESCAPED = {"cafe\\u0301": "cafe\u0301"}


@pytest.mark.shared
@pytest.mark.parametrize(
    "case", ["plain", "display_name", "keypoints", "out_of_order", "comments_whitespace", "unicode", "background"]
)
def test_a_good_label_map_is_read_as_the_api_reads_it(shared, case):
    answers = json.loads((shared / "oracles" / "label_map" / f"{case}.json").read_text(encoding="utf-8"))
    label_map = read_label_map(shared / "oracles" / "label_map" / f"{case}.pbtxt")

    ids_by_name = {UNICODE_ESCAPED.get(name, name): id for name, id in answers["get_label_map_dict()"].items()}
    assert {name: id for id, name in label_map.names.items()} == ids_by_name
    assert list(label_map.names) == list(ids_by_name.values())  # in the order of the file

    categories = answers["create_categories_from_labelmap()"]
    # `display_name: ""` is shown by the API as an empty name; here it counts as absent.
    labels = {category["id"]: category["name"] or label_map.names[category["id"]] for category in categories}
    assert label_map.labels == {id: UNICODE_ESCAPED.get(label, label) for id, label in labels.items()}
    assert list(label_map.labels) == [category["id"] for category in categories]

    items = {item.id: item for item in label_map.items}
    for category in categories:
        item = items[category["id"]]
        assert {label: id for id, label in item.keypoints} == category.get("keypoints", {})
        assert item.instance_count == category.get("instance_count")
        assert (item.frequency or " ")[0].lower().strip() == category.get("frequency", "")


@pytest.mark.shared
def test_the_label_map_of_the_coco_models_has_80_classes_up_to_90(shared):
    label_map = read_label_map(shared / "models" / "ssd_mobilenet_v1_coco_random" / "mscoco_label_map.pbtxt")
    assert (len(label_map.labels), max(label_map.labels)) == (80, 90)
    assert label_map.labels[1] == "person"
    assert label_map.names[1] == "/m/01g317"
    assert label_map.id_of("person") == label_map.id_of("/m/01g317") == 1
    assert parse_label_map(label_map.to_text(), "again") == label_map


@pytest.mark.shared
@pytest.mark.parametrize(
    ("case", "line", "says"),
    [
        ("broken_no_id", 1, '"cat" has no id'),
        ("broken_id0", 1, '"cat" has the id 0, which means background'),
        ("broken_negative_id", 1, '"cat" has the id -1'),
        ("broken_duplicate_id", 2, '"Dog" has the id 1, which "Cat" has already'),
        ("broken_duplicate_name", 2, 'the name "cat" stands for both id 1 and id 2'),
        ("broken_duplicate_keypoint_id", 1, '"cat" has two keypoints with the id 1'),
        ("broken_missing_name", 1, "the item with id 1 has no name"),
        ("broken_empty", 1, "the label map is empty"),
        ("broken_plain_list", 1, 'write it as item { id: 1 name: "cat" } item { id: 2 name: "dog" }'),
        ("broken_syntax", 4, "the } of the item before is missing"),
        ("broken_unknown_field", 4, 'there is no field "colour" (known here: name, id, display_name'),
    ],
)
def test_what_the_api_takes_or_explains_badly_is_refused_with_line_and_fix(shared, case, line, says):
    path = shared / "oracles" / "label_map" / f"{case}.pbtxt"
    with pytest.raises(LabelMapError) as caught:
        read_label_map(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert says in message
    assert EXAMPLE in message


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ('item { name: "cat" }', "f:1", '"cat" has no id: give it one of its own, counted from 1'),
        ('item { id: 0 name: "cat" }', "f:1", '"cat" has the id 0, which means background'),
        ('item { id: -7 name: "cat" }', "f:1", '"cat" has the id -7: ids are counted from 1'),
        ('item { id: 1 name: "a" }\nitem { id: 1 name: "b" }', "f:2", '"b" has the id 1, which "a" has already'),
        ('item { id: 1 name: "a" }\n\nitem { id: 2 name: "a" }', "f:3", 'the name "a" stands for both id 1 and id 2'),
        ("item { id: 5 }", "f:1", "the item with id 5 has no name"),
        ('item { id: 1 name: "a" keypoints { id: 3 } keypoints { id: 3 } }', "f:1", "two keypoints with the id 3"),
        ('item {\n id: 1\n name: "a"\nitem {\n id: 2 name: "b" }', "f:4", "the } of the item before is missing"),
        ('item { id: 1 name: "a" colour: "red" }', "f:1", "(known here: name, id, display_name, keypoints"),
        ("", "f:1", "the label map is empty"),
        ('item { id: 1 name: "a" display_nam: "b" }', "f:1", "did you mean display_name?"),
        ('item { id: 1 name: "a" }\nItem { id: 2 name: "b" }', "f:2", "did you mean item?"),
        ('name: "cat"\nid: 1', "f:1", "name stands outside an item"),
        ('[{"id": 1, "name": "cat"}]', "f:1", "this is JSON"),
        ('{"1": "cat"}', "f:1", "this is JSON"),
        ("names:\n  0: person\n  1: bicycle\nnc: 2\n", "f:1", "looks like YAML"),
        ("0: person\n1: bicycle\n", "f:1", "looks like YAML"),
        ("- person\n- bicycle\n", "f:1", "looks like YAML"),
        ("# COCO\nperson\ntraffic light\n", "f:2", 'item { id: 2 name: "traffic light" }'),
        ('say "cheese"\n', "f:1", r'item { id: 1 name: "say \"cheese\"" }'),
        ('item { id: 1 name: "a"', "f:1", 'Expected "}"'),
        ('item {\n id: "one"\n name: "a" }', "f:2", "Couldn't parse integer"),
        ("item {\n id: 1\n name: cat }", "f:3", "Expected string"),
        ('item { id: 1 name: "a" frequency: OFTEN }', "f:1", "no value named OFTEN"),
        ("# only a comment", "f:1", "empty"),
        ('item { id: 1 name: "a" }\x00', "f", "a binary file"),
        (b"\x08\x96\x01\x12\xff\x00\x00", "f", "a binary file"),
        ('item { id: 1 name: "a" }'.encode("utf-16"), "f", "saved as UTF-16; save it as UTF-8"),
        ('item { id: 1\n name: "café" }'.encode("latin-1"), "f:2", "byte 0xe9 is not UTF-8"),
        ('item { id: 2 display_name: "dog" }', "f:1", 'write it as name: "dog"'),
        # Braces in strings, comments, angle brackets and lists do not mislead the line number.
        (
            "# {\nitem: [{ id: 1 name: '}{' },\n < id: 2 name: \"\\\"{\" >]\nitem { id: 2 name: 'c' }",
            "f:4",
            "has the id 2",
        ),
        ("item { id: 1 name: 'a' }\n" * 9, "f:2", "Problems also in line 3, 4, 5, 6, 7, ..."),
    ],
)
def test_messages_say_where_and_what_to_write_instead(text, place, says):
    with pytest.raises(LabelMapError) as caught:
        parse_label_map(text, "f")
    assert str(caught.value).startswith(f"{place}: ")
    assert says in str(caught.value)


def test_whatever_protobuf_text_allows_is_read():
    text = """# top
        item{name:"a b"   id:1}# after
        item:{ id : 2 name : 'it\\'s "two"' keypoints { id: 4 label: "tip" } frequency: RARE instance_count: 9 },
        item < id: 0x3, name: "three" "-and-a-half"; ancestor_ids: [1, 2] descendant_ids: 4 >
        item: [{ id: 010 name: "\\303\\251t\\u00e9 \\t" display_name: "猫" }]
    """.replace("\n", "\r\n")
    assert parse_label_map(text, "f").items == (
        LabelMapItem(1, "a b"),
        LabelMapItem(2, 'it\'s "two"', keypoints=(Keypoint(4, "tip"),), frequency="RARE", instance_count=9),
        LabelMapItem(3, "three-and-a-half", ancestor_ids=(1, 2), descendant_ids=(4,)),
        LabelMapItem(8, "été \t", "猫"),
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(LabelMapError, match=r"missing\.pbtxt: cannot read the label map: No such file"):
        read_label_map(tmp_path / "missing.pbtxt")
    with pytest.raises(LabelMapError, match="cannot read the label map: not a regular file"):
        read_label_map(tmp_path)


def test_a_byte_order_mark_is_tolerated(tmp_path):
    (tmp_path / "bom.pbtxt").write_bytes(b"\xef\xbb\xbf" + EXAMPLE.encode())
    assert read_label_map(tmp_path / "bom.pbtxt") == LabelMap.of_names(["cat"])


def test_the_background_has_a_name_but_no_label():
    for text in ('item { id: 0 name: "background" }', 'item { name: "bg" display_name: "background" }'):
        label_map = parse_label_map(text + EXAMPLE, "f")
        assert label_map.labels == {1: "cat"}
        assert list(label_map.names) == [0, 1]


def test_names_go_before_display_names_and_ambiguous_display_names_are_not_found():
    label_map = LabelMap(
        (
            LabelMapItem(1, "jaguar", "cat"),
            LabelMapItem(2, "cat", "house cat"),
            LabelMapItem(3, "dog", "pet"),
            LabelMapItem(4, "fish", "pet"),
        )
    )
    assert label_map.id_of("cat") == 2
    assert label_map.id_of("house cat") == 2
    assert label_map.id_of("pet") is None
    assert label_map.id_of("bird") is None
    assert label_map.labels[3] == label_map.labels[4] == "pet"


def test_a_label_map_made_in_code_is_checked_too():
    with pytest.raises(LabelMapError, match=r'item 2: the name "cat" stands for both id 1 and id 2'):
        LabelMap.of_names(["cat", "cat"])
    with pytest.raises(LabelMapError, match="empty"):
        LabelMap(())


names = st.text(min_size=1, max_size=8)
label_maps = st.lists(names, min_size=1, max_size=6, unique=True).flatmap(
    lambda unique: st.lists(st.integers(1, 2**31 - 1), min_size=len(unique), max_size=len(unique), unique=True).flatmap(
        lambda ids: st.tuples(
            *(
                st.builds(
                    LabelMapItem,
                    id=st.just(id),
                    name=st.just(name),
                    display_name=st.text(max_size=4),
                    keypoints=st.lists(
                        st.builds(Keypoint, st.integers(0, 9), st.text(max_size=3)),
                        max_size=3,
                        unique_by=lambda keypoint: keypoint.id,
                    ).map(tuple),
                    ancestor_ids=st.lists(st.integers(0, 99), max_size=2).map(tuple),
                    descendant_ids=st.lists(st.integers(0, 99), max_size=2).map(tuple),
                    frequency=st.sampled_from([None, *FREQUENCIES]),
                    instance_count=st.none() | st.integers(0, 10**6),
                )
                for id, name in zip(ids, unique, strict=True)
            )
        ).map(LabelMap)
    )
)


@settings(deadline=None, max_examples=60)
@given(label_maps)
def test_every_label_map_survives_its_file_format_and_pickling(label_map):
    assert parse_label_map(label_map.to_text(), "text") == label_map
    assert parse_label_map(label_map.to_text().encode(), "bytes") == label_map
    assert pickle.loads(pickle.dumps(label_map)) == label_map


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="item{}<>:[]\"'\\#-, \n01xnamekypots\x00é", max_size=60) | st.binary(max_size=40))
def test_any_input_gives_a_label_map_or_a_label_map_error(text):
    try:
        label_map = parse_label_map(text, "fuzz")
    except LabelMapError:
        return
    assert label_map.items


def test_the_digest_is_of_the_meaning():
    plain = parse_label_map('item { id: 1 name: "a" } item { id: 2 name: "b" }', "f")
    same = 'item { name: "b" id: 2 display_name: "b" } # comment\nitem {\n id: 0x1, name: "a" }'
    assert len(plain.digest) == 64
    assert parse_label_map(same, "f").digest == plain.digest
    for other in (
        'item { id: 1 name: "a" } item { id: 3 name: "b" }',
        'item { id: 1 name: "a" } item { id: 2 name: "c" }',
        'item { id: 1 name: "a" } item { id: 2 name: "b" display_name: "B" }',
        'item { id: 1 name: "a" } item { id: 2 name: "b" keypoints { id: 1 label: "tip" } }',
    ):
        assert parse_label_map(other, "f").digest != plain.digest


def test_the_digest_does_not_depend_on_the_process():
    command = "from od_core.label_map import LabelMap; print(LabelMap.of_names(['cat', 'dog']).digest)"
    repository = pathlib.Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", command], cwd=repository, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == LabelMap.of_names(["cat", "dog"]).digest
