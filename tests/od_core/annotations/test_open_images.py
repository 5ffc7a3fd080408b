import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, ImageLabel
from od_core.annotations.open_images import open_open_images
from od_core.errors import UsageError

BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
LABELS = "ImageID,Source,LabelName,Confidence"
PLAIN = "ImageID,LabelName,XMin,XMax,YMin,YMax"
CLASSES = "/m/2,Dog\n/m/1,Cat\n"


@pytest.fixture
def write(tmp_path):
    def written(files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path)

    return written


def test_everything_the_tables_say(write):
    rows = [
        "a,xclick,/m/1,1,0.25,0.5,0,1.0,1,0,-1,0,1",
        "b,x,/m/3,0.5,0,1,0,1,0,1,1,-1,0",
        "a,x,/m/2,1,0,1,0,1,0,0,0,0,0",
    ]
    boxes = "\n".join([BOXES, *rows])
    labels = f"{LABELS}\nc,verification,/m/1,0\na,verification,/m/9,1\na,machine,/m/1,0.25\n"
    files = {"v-annotations-bbox.csv": boxes, "v-annotations-human-imagelabels.csv": labels}
    root = write({**files, "class-descriptions.csv": CLASSES})
    found = open_open_images(f"{root}/v-annotations-bbox.csv")
    assert (found.format, found.images_folder) == ("open_images", None)
    assert [(item.id, item.name, item.display_name) for item in found.label_map.items] == [
        (1, "/m/2", "Dog"),
        (2, "/m/1", "Cat"),
        (3, "/m/3", ""),
    ]
    flags = ("occluded", "truncated", "group_of", "depiction")

    def features(values, confidence):
        return (*zip(flags, values, strict=True), ("class/score", confidence))

    source, place = f"{root}/v-annotations-bbox.csv", "v-annotations-bbox.csv"
    a = AnnotatedImage(
        "a.jpg",
        source,
        f"{place}: a (line 2)",
        "a",
        None,
        None,
        (
            AnnotatedObject("/m/1", (0, 0.25, 1, 0.5), "line 2", features=features((1, 0, -1, 0), 1.0)),
            AnnotatedObject("/m/2", (0, 0, 1, 1), "line 4", features=features((0, 0, 0, 0), 1.0)),
        ),
        normalised=True,
        labels=(ImageLabel("/m/9", 1.0), ImageLabel("/m/1", 0.25)),
    )
    group = AnnotatedObject("/m/3", (0, 0, 1, 1), "line 3", group_of=True, features=features((0, 1, 1, -1), 0.5))
    b = AnnotatedImage("b.jpg", source, f"{place}: b (line 3)", "b", None, None, (group,), normalised=True)
    place = "v-annotations-human-imagelabels.csv"
    c = AnnotatedImage(
        "c.jpg",
        f"{root}/{place}",
        f"{place}: c (line 2)",
        "c",
        None,
        None,
        (),
        normalised=True,
        labels=(ImageLabel("/m/1", 0.0),),
    )
    assert list(found.images()) == [a, b, c]
    assert list(found.images()) == [a, b, c]
    assert all(isinstance(value, int) for _, value in a.objects[0].features[:4])


def test_without_flags_or_descriptions_there_are_none(write):
    root = write({"boxes.csv": f"{PLAIN}\na,/m/1,0,1,0,0.5\n"})
    found = open_open_images(f"{root}/boxes.csv")
    assert found.label_map is None
    assert next(found.images()).objects == (AnnotatedObject("/m/1", (0, 0, 0.5, 1), "line 2"),)


def test_the_columns_may_stand_in_any_order(write):
    root = write({"boxes.csv": "YMax;xmin;XMAX;ymin;LabelName;ImageID\n0.4;0.1;0.3;0.2;/m/1;a\n"})
    assert next(open_open_images(f"{root}/boxes.csv").images()).objects[0].box_px == (0.2, 0.1, 0.4, 0.3)


FOLDER = {
    "annotations/oidv6-train-annotations-bbox.csv": f"{PLAIN}\na,/m/1,0,1,0,1\n",
    "annotations/test-annotations-bbox.csv": f"{PLAIN}\nb,/m/2,0,1,0,1\na,/m/2,0,1,0,1\n",
    "annotations/oidv6-train-annotations-human-imagelabels.csv": f"{LABELS}\na,x,/m/7,1\n",
    "annotations/oidv6-train-annotations-human-imagelabels-boxable.csv": f"{LABELS}\na,x,/m/1,1\n",
    "annotations/test-annotations-machine-imagelabels.csv": f"{LABELS}\nb,x,/m/8,0.5\n",
    "annotations/class-descriptions.csv": "/m/7,All\n",
    "annotations/class-descriptions-boxable.csv": "LabelName,DisplayName\n/m/1,Cat\n",
    "annotations/image_ids_and_rotation.csv": "ImageID,Subset\nz,train\n",
    "images/train/a.jpg": "",
    "images/test/b.PNG": "",
}


def test_a_folder_of_tables(write):
    root = write(FOLDER)
    for given in (root, f"{root}/annotations"):
        found = open_open_images(given)
        assert found.images_folder == f"{root}/images"
        assert [(image.name, len(image.objects)) for image in found.images()] == [("a.jpg", 2), ("b.PNG", 1)]
        a, b = found.images()
        assert [label.label for label in a.labels] == ["/m/1"]
        assert b.labels == ()
        assert [item.name for item in found.label_map.items] == ["/m/1", "/m/2"]
        assert (a.split, b.split) == ("train", "test")
        assert a.objects[1].place == "test-annotations-bbox.csv line 3"


def test_tables_that_are_named(write):
    root = write(FOLDER)
    table = f"{root}/annotations/test-annotations-bbox.csv"
    found = open_open_images(
        table,
        f"{root}/images/test",
        class_descriptions=f"{root}/annotations/class-descriptions.csv",
        image_labels=f"{root}/annotations/test-annotations-machine-imagelabels.csv",
    )
    assert found.images_folder == f"{root}/images/test"
    b, _ = found.images()
    assert [label.label for label in b.labels] == ["/m/8"]
    assert found.label_map.labels == {1: "All", 2: "/m/2"}
    assert next(open_open_images(table).images()).labels == ()


def test_image_labels_alone(write):
    root = write({"x.csv": f"{LABELS}\na,x,/m/7,1\n"})
    (image,) = open_open_images(f"{root}/x.csv").images()
    assert (image.objects, image.labels) == ((), (ImageLabel("/m/7", 1.0),))


@pytest.mark.parametrize(
    ("line", "message", "is_known"),
    [
        (b"a,x,/m/1,1,0,1,0", "the line has 7 columns, expected 13", False),
        (b"a,x,/m/1,1,0,1,0,320,0,0,0,0,0", "ymax is '320', expected a number from 0 to 1", True),
        (b"a,x,/m/1,1,nan,1,0,1,0,0,0,0,0", "xmin is 'nan'", True),
        (b"a,x,/m/1,1,-0.5,1,0,1,0,0,0,0,0", "xmin is '-0.5'", True),
        (b"a,x,/m/1,2,0,1,0,1,0,0,0,0,0", "Confidence is '2'", True),
        (b"a,x,/m/1,1,0,1,0,1,0,0,yes,0,0", "isgroupof is 'yes'", True),
        (b"a,x,,1,0,1,0,1,0,0,0,0,0", "the line has no LabelName", True),
        (b",x,/m/1,1,0,1,0,1,0,0,0,0,0", "the ImageID is ''", False),
        (b"../a,x,/m/1,1,0,1,0,1,0,0,0,0,0", "leads out of the image folder", False),
        (b"/etc/a,x,/m/1,1,0,1,0,1,0,0,0,0,0", "absolute path", False),
        (b"sub/a,x,/m/1,1,0,1,0,1,0,0,0,0,0", "expected a name without folders", False),
        (b"\xe9,x,/m/1,1,0,1,0,1,0,0,0,0,0", "not UTF-8", False),
        (b"a\0,x,/m/1,1,0,1,0,1,0,0,0,0,0", "NUL", False),
    ],
)
def test_lines_that_cannot_be_used(write, line, message, is_known):
    good = b"a,x,/m/1,1,0,1,0,1,0,0,0,0,0"
    root = write({"b.csv": b"\n".join([BOXES.encode(), good, line, good])})
    found = list(open_open_images(f"{root}/b.csv").images())
    (fault,) = (one for one in found if isinstance(one, AnnotationFault))
    (image,) = (one for one in found if isinstance(one, AnnotatedImage))
    assert len(image.objects) == 2
    assert message in fault.message
    assert (fault.place, fault.name) == ("b.csv: line 3", "a.jpg" if is_known else None)
    assert fault.of_object
    assert found.index(fault) == int(is_known)


@pytest.mark.parametrize(
    ("files", "given", "options", "message"),
    [
        ({"a.csv": "x,y\n"}, "a.csv", {}, "no table of Open Images, expected a CSV file with the columns ImageID"),
        ({"a.md": ""}, "", {}, "no table of Open Images"),
        ({"a.csv": PLAIN}, "b.csv", {}, "did you mean"),
        ({"a.csv": PLAIN}, "a.csv", {"class_descriptions": "{root}/c.csv"}, "c.csv: no such file"),
        ({"a.csv": PLAIN}, "a.csv", {"image_labels": "{root}/a.csv"}, "expected a table with ImageID, LabelName"),
    ],
)
def test_what_is_no_open_images(write, files, given, options, message):
    root = write(files)
    with pytest.raises(UsageError) as error:
        open_open_images(f"{root}/{given}", **{name: value.format(root=root) for name, value in options.items()})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": PLAIN}, "no line of the table is about an image"),
        ({"a.csv": f"{PLAIN}\n../a,/m/1,0,1,0,1"}, "no line of the table is about an image; a.csv: line 2: the image"),
        (
            {"a.csv": f"{PLAIN}\na,/m/1,0,1,0,1", "class-descriptions.csv": "/m/1,Cat\n/m/1,Dog"},
            "line 2: the class /m/1 is called 'Dog' and 'Cat'",
        ),
        ({"a.csv": f"{PLAIN}\na,/m/1,0,1,0,1", "class-descriptions.csv": "/m/1"}, "line 1: expected a class and what"),
    ],
)
def test_tables_that_cannot_be_read(write, files, message):
    found = open_open_images(f"{write(files)}/a.csv")
    with pytest.raises(UsageError) as error:
        list(found.images()), found.label_map
    assert message in str(error.value)
