import json
import pathlib

import pytest

from od_core.class_hierarchy import ClassHierarchy, descendant_ids, read_class_hierarchy
from od_core.errors import UsageError
from od_core.label_map import LabelMap, LabelMapItem


def read(folder: pathlib.Path, tree: object) -> ClassHierarchy:
    (folder / "tree.json").write_text(json.dumps(tree))
    return read_class_hierarchy(str(folder / "tree.json"))


def test_a_class_is_below_all_that_it_is_in_but_not_below_the_root_nor_a_part(tmp_path: pathlib.Path) -> None:
    cat = {"LabelName": "cat", "Part": [{"LabelName": "tail"}]}
    tree = {
        "LabelName": "everything",
        "Subcategory": [
            {"LabelName": "animal", "Subcategory": [{"LabelName": "pet", "Subcategory": [cat]}]},
            {"LabelName": "friend", "Subcategory": [cat]},
        ],
    }
    assert read(tmp_path, tree).ancestors == {
        "animal": (),
        "cat": ("animal", "friend", "pet"),
        "friend": (),
        "pet": ("animal",),
    }


def test_ids_are_those_of_the_label_map_and_classes_it_lacks_are_left_out() -> None:
    label_map = LabelMap((LabelMapItem(7, "cat"), LabelMapItem(2, "/m/pet", "pet"), LabelMapItem(5, "animal")))
    hierarchy = ClassHierarchy({"cat": ("animal", "being", "pet"), "/m/pet": ("animal",), "dog": ("animal",)})
    above = hierarchy.ancestor_ids(label_map)
    assert above == {2: (5,), 7: (2, 5)}
    assert descendant_ids(above) == {2: (7,), 5: (2, 7)}


def test_a_class_below_itself_does_not_count_twice(tmp_path: pathlib.Path) -> None:
    tree = {"LabelName": "x", "Subcategory": [{"LabelName": "cat", "Subcategory": [{"LabelName": "cat"}]}]}
    assert read(tmp_path, tree).ancestor_ids(LabelMap.of_names(["cat"])) == {}


@pytest.mark.parametrize(
    "tree", [[], 3, {"Subcategory": []}, {"LabelName": "x", "Subcategory": {"a": 1}}, {"LabelName": 1}]
)
def test_something_else_is_refused(tmp_path: pathlib.Path, tree: object) -> None:
    with pytest.raises(UsageError, match=r"tree\.json: no hierarchy of classes: found .*expected Open Images' form"):
        read(tmp_path, tree)


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="cannot read the hierarchy"):
        read_class_hierarchy(str(tmp_path / "x.json"))
