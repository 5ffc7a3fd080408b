import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault
from od_core.annotations.coco import read_coco
from od_core.errors import UsageError
from od_core.label_map import LabelMap, LabelMapItem
from od_core.records import examples, tfrecord

IMAGE = {"id": 7, "file_name": "a.jpg", "width": 60, "height": 40}
BOX = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3.5, 4]}
CATEGORIES = [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}]
CAT = AnnotatedObject("cat", (2.0, 1.0, 6.0, 4.5), "annotation 1", 3)


@pytest.fixture
def read(tmp_path):
    """Write instances.json and read it; members are those given, or one image with one box."""

    def written(**members):
        document = {"images": [IMAGE], "annotations": [BOX], "categories": CATEGORIES} | members
        path = tmp_path / "instances.json"
        path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
        return read_coco(str(path))

    return written


def test_everything_a_file_says_about_boxes_is_read_as_it_stands(read, tmp_path):
    coco = read(
        info={"year": 2017},
        images=[IMAGE, {"id": 5, "file_name": "sub/b.png", "coco_url": "http://x/b.png"}],
        annotations=[
            {**BOX, "id": 82, "area": 12.5, "iscrowd": 1, "segmentation": {"counts": [1], "size": [1, 1]}},
            {**BOX, "id": 81, "image_id": 5, "category_id": 90, "bbox": [10, 20, -3, 0], "iscrowd": 0, "area": 0},
            {**BOX, "id": 80, "bbox": [-1.25, -2, 100, 100], "keypoints": [1, 2, 2]},
        ],
    )
    source = str(tmp_path / "instances.json")
    assert list(coco.images()) == [
        AnnotatedImage(
            "a.jpg",
            source,
            "instances.json: image 7",
            "7",
            60,
            40,
            (
                AnnotatedObject("cat", (2.0, 1.0, 6.0, 4.5), "annotation 82", 3, is_crowd=True, area=12.5),
                AnnotatedObject("cat", (-2.0, -1.25, 98.0, 98.75), "annotation 80", 3),
            ),
        ),
        AnnotatedImage(
            "sub/b.png",
            source,
            "instances.json: image 5",
            "5",
            None,
            None,
            (AnnotatedObject("dog", (20.0, 10.0, 20.0, 7.0), "annotation 81", 90, area=0.0),),
        ),
    ]
    assert coco.format == "coco"
    assert list(coco.images()) == list(coco.images())


def test_members_come_in_any_order(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"categories": CATEGORIES, "annotations": [BOX], "images": [IMAGE]}))
    (image,) = read_coco(str(path)).images()
    assert image.objects == (CAT,)


@given(st.data())
def test_annotations_find_their_images_whatever_the_order(tmp_path_factory, data):
    ids = data.draw(st.lists(st.integers(0, 50) | st.text("abc", min_size=1, max_size=2), unique_by=str, max_size=6))
    owners = data.draw(st.lists(st.sampled_from([*ids, 99]), max_size=30))
    images = [{"id": id, "file_name": f"{id}.jpg"} for id in ids]
    boxes = [{**BOX, "id": n, "image_id": id, "bbox": [n, 0, 1, 1]} for n, id in enumerate(owners)]
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({"annotations": boxes, "images": images, "categories": CATEGORIES}))
    found = list(read_coco(str(path)).images())
    images_found = [item for item in found if isinstance(item, AnnotatedImage)]
    assert [image.source_id for image in images_found] == [str(id) for id in ids]
    for id, image in zip(ids, images_found, strict=True):
        expected = [n for n, owner in enumerate(owners) if owner == id]
        assert [item.box_px[1] for item in image.objects] == expected
        assert [item.place for item in image.objects] == [f"annotation {n}" for n in expected]
    orphans = [n for n, owner in enumerate(owners) if owner == 99]
    assert [fault.place for fault in found[len(ids) :]] == [f"any.json: annotation {n}" for n in orphans]


@pytest.mark.parametrize(
    ("image_id", "box_id", "matches"),
    [(7, "7", True), ("7", 7, True), (7, 7.0, True), ("a b", "a b", True), ("07", 7, False), (2**62, 2**62, True)],
)
def test_ids_are_compared_as_text(read, image_id, box_id, matches):
    found = list(read(images=[{**IMAGE, "id": image_id}], annotations=[{**BOX, "image_id": box_id}]).images())
    assert found[0].source_id == str(image_id)
    assert found[0].objects == ((CAT,) if matches else ())
    assert len(found) == (1 if matches else 2)


@pytest.mark.parametrize(
    ("own_id", "place"),
    [
        ({"id": 0}, "annotation 0"),
        ({"id": "x-1"}, "annotation x-1"),
        ({"id": "007"}, "annotation 007"),
        ({"id": -4}, "annotation -4"),
        ({"id": 10**30}, "annotations[1]"),
        ({"id": None}, "annotations[1]"),
        ({}, "annotations[1]"),
    ],
)
def test_an_annotation_is_named_by_its_id_or_its_place_in_the_list(read, own_id, place):
    bare = {name: value for name, value in BOX.items() if name != "id"}
    (image,) = read(annotations=[BOX, {**bare, **own_id}]).images()
    assert [item.place for item in image.objects] == ["annotation 1", place]


BROKEN_BOXES = [
    ({"bbox": None}, "found bbox: null"),
    ({"bbox": []}, "found bbox: []"),
    ({"bbox": [1, 2, 3]}, "expected a bbox of four numbers"),
    ({"bbox": ["1", 2, 3, 4]}, "expected a bbox of four numbers"),
    ({"bbox": [True, 2, 3, 4]}, "expected a bbox of four numbers"),
    ({"bbox": [1, 2, float("nan"), 4]}, "not a place in an image"),
    ({"bbox": [1, 2, float("inf"), 4]}, "not a place in an image"),
    ({"bbox": [1e300, 2, 3, 4]}, "not a place in an image"),
    ({"bbox": [10**400, 2, 3, 4]}, "not a place in an image"),
    ({"category_id": None}, "of which category"),
    ({"category_id": "cat"}, "of which category"),
    ({"category_id": True}, "of which category"),
    ({"category_id": 2**31}, "of which category"),
    ({"category_id": -1}, "of which category"),
    ({"category_id": 4}, "category_id is 4, which is not among the file's categories"),
]


@pytest.mark.parametrize(("change", "what"), BROKEN_BOXES)
def test_an_annotation_that_cannot_be_used_costs_only_itself(read, change, what):
    image, fault = read(annotations=[BOX, {**BOX, "id": 2, **change}]).images()
    assert image.objects == (CAT,)
    assert fault.place == "instances.json: annotation 2"
    assert what in fault.message
    assert (fault.name, fault.of_object) == ("a.jpg", True)


@pytest.mark.parametrize(
    ("entry", "place", "what"),
    [
        (17, "annotations[1]", "expected an object in {}, found 17"),
        ({"id": 2, "bbox": [1, 2, 3, 4]}, "annotation 2", "which image it is about (no image_id)"),
        ({**BOX, "id": 2, "image_id": [7]}, "annotation 2", "image_id: [7]"),
        ({**BOX, "id": 2, "image_id": 8}, "annotation 2", "an image with the id 8, which the file does not have"),
        ({**BOX, "id": 2, "image_id": 8, "bbox": 1}, "annotation 2", "found bbox: 1"),
        ({**BOX, "id": 2, "image_id": "\ud800"}, "annotation 2", r"image_id: \"\\ud800\""),
    ],
)
def test_an_annotation_of_no_image_is_told(read, entry, place, what):
    found = list(read(annotations=[BOX, entry]).images())
    (image,) = (item for item in found if isinstance(item, AnnotatedImage))
    (fault,) = (item for item in found if isinstance(item, AnnotationFault))
    assert image.objects == (CAT,)
    assert fault.place == f"instances.json: {place}"
    assert what.replace('\\"', '"').replace("\\\\", "\\") in fault.message
    assert (fault.name, fault.of_object) == (None, True)


@pytest.mark.parametrize("area", [None, "12", -60, float("nan"), float("inf"), 1e300, 10**400, [1], True])
def test_an_area_that_is_none_is_not_known(read, area):
    (image,) = read(annotations=[{**BOX, "area": area}]).images()
    assert image.objects == (CAT,)


@pytest.mark.parametrize(("flag", "expected"), [(1, True), (True, True), (0, False), (None, False), ("1", False)])
def test_is_crowd_is_one_or_not(read, flag, expected):
    (image,) = read(annotations=[{**BOX, "iscrowd": flag}]).images()
    assert image.objects[0].is_crowd is expected


@pytest.mark.parametrize(
    ("change", "place", "what"),
    [
        ({"id": None}, "images[1]", "no id, or one that is no id (id: null)"),
        ({"id": True}, "images[1]", "no id"),
        ({"file_name": None}, "image 8", "no file_name"),
        ({"file_name": 8}, "image 8", "no file_name"),
        ({"file_name": ""}, "image 8", "the image's name is empty"),
        ({"file_name": "../b.jpg"}, "image 8", "leads out of the image folder"),
        ({"file_name": "x/../../b.jpg"}, "image 8", "leads out of the image folder"),
        ({"file_name": "..\\b.jpg"}, "image 8", "leads out of the image folder"),
        ({"file_name": "/etc/passwd"}, "image 8", "absolute path"),
        ({"file_name": "C:\\b.jpg"}, "image 8", "absolute path"),
        ({"file_name": "s3://bucket/b.jpg"}, "image 8", "absolute path"),
        ({"file_name": "b/"}, "image 8", "that of a folder"),
        ({"file_name": "b\0.jpg"}, "image 8", "characters that no file name can have"),
        ({"file_name": "b\ud800.jpg"}, "image 8", "characters that no file name can have"),
        ({"id": 7}, "image 7", "a second image has the id 7"),
        (
            {"file_name": "./a.jpg"},
            "image 8",
            "its file_name is a.jpg, which is that of instances.json: image 7 as well",
        ),
    ],
)
def test_an_image_that_cannot_be_used_costs_only_itself(read, change, place, what):
    boxes = [BOX, {**BOX, "id": 2, "image_id": 8, "category_id": 90}] if place != "image 7" else [BOX]
    found = list(read(images=[IMAGE, {**IMAGE, "id": 8, "file_name": "b.jpg", **change}], annotations=boxes).images())
    fault, image = found[:2]
    assert fault.place == f"instances.json: {place}"
    assert what in fault.message
    assert (fault.name, fault.of_object) == (None, False)
    assert (image.name, image.objects) == ("a.jpg", (CAT,))
    assert len(found) == (3 if place == "images[1]" else 2)  # then the box is about an image that is not there


def test_an_entry_that_is_no_object_is_a_fault(read):
    fault, image = read(images=["a.jpg", IMAGE]).images()
    assert fault.place == "instances.json: images[0]"
    assert image.objects == (CAT,)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("train2017/a.jpg", "train2017/a.jpg"),
        ("train\\a.jpg", "train/a.jpg"),
        ("odd\\name/a.jpg", "odd\\name/a.jpg"),
        ("./x//./a.jpg", "x/a.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("sub dir é.jpg", "sub dir é.jpg"),
        ("a..b.jpg", "a..b.jpg"),
    ],
)
def test_names_are_paths_below_the_image_folder(read, given, name):
    (image,) = read(images=[{**IMAGE, "file_name": given}]).images()
    assert image.name == name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 0}, (None, 40)),
        ({"width": "60", "height": 40.0}, (60, 40)),
        ({"width": float("nan"), "height": True}, (None, None)),
        ({"width": 10**400, "height": [40]}, (None, None)),
    ],
)
def test_a_size_that_is_none_is_not_known(read, change, expected):
    (image,) = read(images=[{**IMAGE, **change}]).images()
    assert (image.width, image.height) == expected


def _map(*items):
    return LabelMap(tuple(LabelMapItem(*item) for item in items))


@pytest.mark.parametrize(
    ("categories", "label_map"),
    [
        (CATEGORIES, _map((3, "cat"), (90, "dog"))),
        ([{"id": "3", "name": "cat"}, {"id": 3.0, "name": "cat"}], _map((3, "cat"))),
        # Counted from 0: everything moves up by one, whichever of the classes the file has objects of.
        ([{"id": 0, "name": "ox"}, {"id": 3, "name": "cat"}], _map((1, "ox"), (4, "cat"))),
        # Roboflow's parent of all classes, which may be called like one of them.
        ([{"id": 0, "name": "cat"}, {"id": 3, "name": "cat", "supercategory": "cat"}], _map((3, "cat"))),
        ([{"id": 0, "name": "background"}, {"id": 3, "name": "cat"}], _map((0, "background"), (3, "cat"))),
        ([{"id": 2**31 - 2, "name": "z"}, {"id": 0, "name": "a"}, {"id": 3, "name": "cat"}],
         _map((1, "a"), (4, "cat"), (2**31 - 1, "z"))),  # in the order of their ids
    ],
)  # fmt: skip
def test_categories_become_a_label_map(read, categories, label_map):
    coco = read(categories=categories)
    assert coco.label_map == label_map
    (image,) = coco.images()
    assert image.objects == (CAT,)  # with the data set's own id


def test_a_category_that_cannot_be_used_costs_only_itself(read):
    broken = [
        None,
        {"id": 5},
        {"name": "ox"},
        {"id": 6, "name": ""},
        {"id": -1, "name": "x"},
        {"id": 8, "name": "\ud800"},
    ]
    found = list(read(categories=[*CATEGORIES, *broken]).images())
    assert [fault.place for fault in found[:-1]] == [f"instances.json: categories[{n}]" for n in range(2, 8)]
    assert all(fault.of_object for fault in found[:-1])
    assert found[-1].objects == (CAT,)


def test_a_file_without_objects_is_one_all_the_same(read):
    coco = read(annotations=[], categories=[])
    (image,) = coco.images()
    assert (image.name, image.objects, coco.label_map) == ("a.jpg", (), None)


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"annotations": None}, "only a list of images, without annotations"),
        ({"images": None}, 'not a COCO file: it has "annotations", "categories"'),
        ({"images": {"7": IMAGE}}, '"images" is not a list'),
        ({"annotations": {"1": BOX}}, '"annotations" is not a list'),
        ({"categories": {"3": "cat"}}, '"categories" is not a list'),
        ({"categories": None}, "it lists no categories"),
        ({"categories": []}, "it lists no categories"),
        ({"annotations": [{"id": 1, "image_id": 7, "caption": "hello"}]}, "COCO captions"),
        ({"annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": []}]}, "COCO panoptic"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3}] * 2}, "none of its 2 annotations has a bbox"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "id 3 stands for both 'a' and 'b'"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 4, "name": "a"}]}, "3 and 4 are both called 'a'"),
    ],
)
def test_json_of_another_kind_is_refused_by_its_kind(read, members, what):
    with pytest.raises(UsageError) as error:
        read(**members)
    assert "instances.json: " in str(error.value)
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('[{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]', "a list of detection results"),
        ("[1]", "a JSON list"),
        ("[]", "not a COCO file"),
        ("{}", "not a COCO file: it has nothing"),
        ('{"images": [], "annot', "the JSON breaks off at its end (line 1, character 21)"),
        ("", "the JSON breaks off"),
        ("<xml/>", "not JSON at line 1"),
    ],
)
def test_files_that_as_a_whole_are_not_coco_are_refused(tmp_path, content, what):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        read_coco(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert what in str(error.value)


def test_a_file_that_is_not_there_is_refused_with_a_suggestion(tmp_path):
    (tmp_path / "instances_val.json").write_text("{}")
    with pytest.raises(UsageError, match=r"no such file or folder; did you mean .*/instances_val.json\?"):
        read_coco(str(tmp_path / "instance_val.json"))


@pytest.mark.parametrize(
    ("annotations", "image", "folder"),
    [
        ("annotations/instances_val.json", "val/a.jpg", "val"),
        ("annotations/instances_val.json", "images/val/a.jpg", "images/val"),
        ("annotations/instances_val.json", "images/a.jpg", "images"),
        ("annotations/instances_val.json", "a.jpg", "."),
        ("val.json", "val/a.jpg", "val"),
        ("instances.json", "images/a.jpg", "images"),
        ("train/_annotations.coco.json", "train/a.jpg", "train"),
        ("annotations/instances_val.json", "elsewhere/a.jpg", None),
    ],
)
def test_where_the_images_lie_is_found_by_looking(tmp_path, monkeypatch, annotations, image, folder):
    document = {"images": [{"id": 1, "file_name": "gone.jpg"}, IMAGE], "annotations": [], "categories": []}
    for name, content in ((annotations, json.dumps(document)), (image, "")):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content)
    found = read_coco(str(tmp_path / annotations)).images_folder
    assert found == (os.path.normpath(tmp_path / folder) if folder else None)
    monkeypatch.chdir(tmp_path)
    found = read_coco(annotations).images_folder
    assert found is None if folder is None else os.path.normpath(found) == folder


def _api_keeps(image, item):
    """create_coco_tf_record.py drops empty boxes, and those that reach over the right or lower border at all."""
    ymin, xmin, ymax, xmax = item.box_px
    return xmax > xmin and ymax > ymin and xmax <= image.width and ymax <= image.height


def _compare_with_the_api(coco, files):
    """Every record against the image of its source_id; returns how many boxes were kept and dropped."""
    images = {image.source_id: image for image in coco.images() if isinstance(image, AnnotatedImage)}
    seen, kept_boxes = [], 0
    for path in files:
        with path.open("rb") as file:
            payloads = [payload for _, payload in tfrecord.read_records(file)]
        for payload in payloads:
            example, truth = examples.parse_image_example(payload), examples.parse_ground_truth(payload)
            image = images[example.source_id]
            assert (example.filename, example.width, example.height) == (image.name, image.width, image.height)
            kept = [item for item in image.objects if _api_keeps(image, item)]
            assert truth.labels == (tuple(item.label for item in kept) or None)
            scale = [image.height, image.width] * 2
            boxes = np.array([np.divide(item.box_px, scale) for item in kept], np.float32).reshape(-1, 4)
            np.testing.assert_allclose(truth.boxes, boxes, rtol=0, atol=1e-7)
            assert truth.is_crowd.tolist() == [item.is_crowd for item in kept]
            if kept:
                np.testing.assert_array_equal(truth.area, np.array([item.area for item in kept], np.float32))
            seen.append(image.source_id)
            kept_boxes += len(kept)
    assert sorted(seen) == sorted(images)
    return kept_boxes, sum(len(image.objects) for image in images.values()) - kept_boxes


@pytest.mark.shared
def test_boxes_are_those_in_the_apis_records_of_a_made_set(shared):
    folder = shared / "oracles" / "records" / "coco_made"
    coco = read_coco(str(folder / "input" / "instances.json"))
    assert coco.label_map == _map((1, "person"), (3, "café"), (90, "toothbrush"))
    assert coco.images_folder == str(folder / "input" / "images")
    # Dropped: no width, negative height, and two that reach over the border, one of them by a ten-thousandth.
    assert _compare_with_the_api(coco, sorted((folder / "boxes").iterdir())) == (8, 4)


@pytest.mark.shared
@pytest.mark.parametrize(("split", "kept", "dropped"), [("train", 288, 0), ("val", 136, 0)])
def test_boxes_are_those_in_the_apis_records_of_coco(shared, split, kept, dropped):
    data_set = shared / "data" / "datasets" / "coco_tiny"
    coco = read_coco(str(data_set / "annotations" / f"instances_{split}2017.json"))
    assert coco.images_folder == str(data_set / "images" / f"{split}2017")
    assert len(coco.label_map.items) == 80
    files = sorted((shared / "oracles" / "records" / "coco_tiny").glob(f"coco_{split}*"))
    assert _compare_with_the_api(coco, files) == (kept, dropped)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "images_folder"),
    [
        ("coco/annotations/instances_train.json", "coco/images/train"),
        ("coco_roboflow/train/_annotations.coco.json", "coco_roboflow/train"),
        ("mmdet_coco/annotations/instances_train.json", "mmdet_coco/train"),
        ("coco/annotations/person_keypoints_train.json", "coco/images/train"),
    ],
)
def test_other_tools_coco_data_sets_are_read(shared, name, images_folder):
    folder = shared / "data" / "datasets" / "datumaro_assets" / "coco_dataset"
    coco = read_coco(str(folder / name))
    assert coco.images_folder == str(folder / images_folder)
    (image,) = coco.images()
    assert (image.name, image.source_id, image.width, image.height) == ("a.jpg", "5", 10, 5)
    assert image.objects == (AnnotatedObject("b", (2.0, 2.0, 3.0, 5.0), "annotation 1", 2, area=3.0),)


@pytest.mark.shared
@pytest.mark.parametrize(("kind", "what"), [("captions", "captions"), ("panoptic", "panoptic"), ("labels", "bbox")])
def test_files_for_other_tasks_are_refused(shared, kind, what):
    folder = shared / "data" / "datasets" / "datumaro_assets" / "coco_dataset" / "coco" / "annotations"
    with pytest.raises(UsageError, match=what):
        read_coco(str(folder / f"{kind}_val.json"))
