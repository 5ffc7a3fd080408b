import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault
from od_core.annotations.yolo import open_yolo
from od_core.annotations.yolo_label import parse_yolo
from od_core.annotations.yolo_names import read_yolo_data
from od_core.errors import UsageError

NAMES = {0: "cat", 1: "dog"}
YAML = "names: [cat, dog]\n"


@pytest.fixture
def write(tmp_path):
    def written(files: dict[str, str | bytes], root: str = "set") -> str:
        for name, content in files.items():
            path = tmp_path / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path / root)

    return written


def images_of(annotations):
    return {found.name: found for found in annotations.images() if isinstance(found, AnnotatedImage)}


def faults_of(annotations):
    return [found for found in annotations.images() if isinstance(found, AnnotationFault)]


def boxes_of(objects):
    return [(item.label, tuple(round(edge, 9) for edge in item.box_px)) for item in objects]


# Where things lie

CAT = "0 0.5 0.5 0.5 0.25\n"
CAT_BOX = ("cat", (0.375, 0.25, 0.625, 0.75))


@pytest.mark.parametrize(
    ("files", "given", "folder", "names"),
    [
        (
            {"data.yaml": YAML, "images/a.jpg": "", "images/b.jpg": "", "labels/a.txt": CAT},
            "",
            "images",
            {"a.jpg": 1, "b.jpg": 0},
        ),
        (
            {"classes.txt": "cat\ndog\n\n", "images/v/a.png": "", "labels/v/a.txt": CAT, "README.txt": "hello"},
            "",
            "images",
            {"v/a.png": 1},
        ),
        ({"data.yaml": YAML, "images/a.JPG": "", "labels/a.TXT": CAT}, "", "images", {"a.JPG": 1}),
        ({"labels/classes.txt": "cat\ndog", "images/a.jpg": "", "labels/a.txt": CAT}, "", "images", {"a.jpg": 1}),
        (
            {"data.yaml": YAML, "train/images/a.jpg": "", "train/labels/a.txt": CAT, "valid/images/b.jpg": ""},
            "data.yaml",
            "",
            {"train/images/a.jpg": 1, "valid/images/b.jpg": 0},
        ),
        ({"obj.names": "cat\ndog", "obj/a.jpg": "", "obj/a.txt": CAT}, "", "", {"obj/a.jpg": 1}),
        (
            {
                "data.yaml": f"{YAML}train: images/t\nval: ['images/v']\ntest:",
                **{f"images/{s}/a.jpg": "" for s in ("t", "v", "other")},
                **{f"labels/{s}/a.txt": CAT for s in ("t", "v", "other")},
            },
            "",
            "images",
            {"t/a.jpg": 1, "v/a.jpg": 1},
        ),
        (
            {
                "data.yaml": f"{YAML}train: ../train/images\ntest: ../test/images",
                "train/images/a.jpg": "",
                "train/labels/a.txt": CAT,
            },
            "",
            "",
            {"train/images/a.jpg": 1},
        ),
        (
            {
                "data.yaml": f"{YAML}path: sub\ntrain: train.txt",
                "sub/train.txt": "./images/a.jpg\n\nsub/images/b.jpg\n",
                **{f"sub/images/{n}.jpg": "" for n in "abc"},
                "sub/labels/a.txt": CAT,
            },
            "",
            "",
            {"sub/images/a.jpg": 1, "sub/images/b.jpg": 0},
        ),
    ],
    ids=[
        "plain",
        "classes.txt",
        "capitals",
        "inner classes.txt",
        "roboflow",
        "darknet",
        "splits",
        "roboflow places",
        "lists",
    ],
)
def test_layouts(write, files, given, folder, names):
    root = write(files)
    found = open_yolo(f"{root}/{given}".rstrip("/"))
    assert found.format == "yolo"
    assert found.images_folder == f"{root}/{folder}".rstrip("/")
    images = images_of(found)
    assert {name: len(image.objects) for name, image in images.items()} == names
    assert all(boxes_of(image.objects) in ([CAT_BOX], []) for image in images.values())
    assert all(image.normalised and (image.width, image.height) == (None, None) for image in images.values())
    assert [(item.id, item.name) for item in found.label_map.items] == [(1, "cat"), (2, "dog")]


def test_the_splits_of_a_description(write):
    files = {
        "data.yaml": f"{YAML}train: images/t\nval: [images/v, images/t]\ntest: l.txt",
        "l.txt": "images/a.jpg\nimages/gone.jpg",
        **{f"images/{name}.jpg": "" for name in ("t/a", "v/a", "a")},
        "labels/t/a.txt": CAT,
        "labels/v/a.txt": b"\xff",
    }
    found = list(open_yolo(write(files)).images())
    assert [(one.name, one.split) for one in found] == [
        ("a.jpg", "test"),
        ("t/a.jpg", "train"),
        ("v/a.jpg", "val"),
        (None, "test"),
    ]


def test_images_elsewhere(write):
    labels = write({"data.yaml": f"{YAML}train: images/t", "labels/t/a.txt": CAT, "labels/t/z.txt": CAT}, "labels")
    images = write({"t/a.jpg": "", "t/b.jpg": "", "v/c.jpg": ""}, "photos")
    with pytest.raises(UsageError, match="no images in there; say with --images DIR"):
        open_yolo(labels)
    found = open_yolo(labels, images)
    assert found.images_folder == images
    assert {name: len(image.objects) for name, image in images_of(found).items()} == {"t/a.jpg": 1, "t/b.jpg": 0}


def test_what_an_image_is_about_and_that_an_empty_file_means_nothing_is_there(write):
    root = write({"data.yaml": YAML, "images/a.jpg": "", "images/b.jpg": "", "labels/a.txt": CAT, "labels/b.txt": " "})
    cat = AnnotatedObject("cat", (0.375, 0.25, 0.625, 0.75), "line 1")
    found = list(open_yolo(root).images())
    assert found == [
        AnnotatedImage("a.jpg", f"{root}/labels/a.txt", "labels/a.txt", "", None, None, (cat,), normalised=True),
        AnnotatedImage("b.jpg", f"{root}/labels/b.txt", "labels/b.txt", "", None, None, (), normalised=True),
    ]
    assert list(open_yolo(root).images()) == found


def test_label_files_without_an_image_are_told(write):
    root = write({"data.yaml": YAML, "images/v/a.jpg": "", "labels/v/a.txt": CAT, "labels/v/lost.txt": CAT})
    (fault,) = faults_of(open_yolo(root))
    assert (fault.place, fault.message, fault.of_object) == ("v/lost.txt", "there is no image of this name", False)
    root = write({"data.yaml": f"{YAML}val: images/w", "images/w/b.jpg": "", "labels/w/b.txt": CAT})
    assert faults_of(open_yolo(root)) == []  # what is in another split is nobody's business here


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"images/a.jpg": "", "labels/a.txt": CAT}, "no data.yaml and no classes.txt"),
        ({"data.yaml": YAML, "labels/a.txt": CAT}, "no images in there"),
        ({"data.yaml": YAML, "images/a.jpg": "", "labels/b.txt": CAT}, "none of 1 images has a label file"),
        ({"data.yaml": f"{YAML}train: /etc", "images/a.jpg": "", "labels/a.txt": CAT}, "none of the places it names"),
        (
            {"data.yaml": f"{YAML}path: ../..\ntrain: etc", "images/a.jpg": "", "labels/a.txt": CAT},
            "say with --images DIR where the images lie",
        ),
        (
            {"data.yaml": f"{YAML}train: empty", "empty/x.md": "", "images/a.jpg": "", "labels/a.txt": CAT},
            "there are no images in the places it names, empty first",
        ),
    ],
)
def test_data_sets_that_are_none(write, files, message):
    root = write(files)
    with pytest.raises(UsageError) as error:
        open_yolo(root)
    assert message in str(error.value)


def test_paths_that_are_none(write, tmp_path):
    root = write({"data.yaml": YAML, "labels/a.txt": CAT})
    with pytest.raises(UsageError, match=r"did you mean .*/data\.yaml"):
        open_yolo(f"{root}/dat.yaml")
    with pytest.raises(UsageError, match=r"is given as its data\.yaml or as its folder"):
        open_yolo(f"{root}/labels/a.txt")


def test_lists_that_lead_elsewhere(write):
    lines = "images/a.jpg\n../../etc/passwd.jpg\n/etc/b.jpg\nimages/missing.jpg\n"
    files = {"data.yaml": f"{YAML}train: l.txt", "l.txt": lines, "images/a.jpg": "", "labels/a.txt": CAT}
    found = open_yolo(write(files))
    assert list(images_of(found)) == ["a.jpg"]
    assert [fault.place for fault in faults_of(found)] == [f"set/l.txt: line {number}" for number in (2, 3, 4)]
    assert "leads out of the image folder" in faults_of(found)[0].message


def test_a_place_that_is_missing_is_told_and_the_others_read(write):
    files = {"data.yaml": f"{YAML}train: images\ntest: ../test/images", "images/a.jpg": "", "labels/a.txt": CAT}
    found = open_yolo(write(files))
    assert list(images_of(found)) == ["a.jpg"]
    (fault,) = faults_of(found)
    assert fault.place == "data.yaml: test"
    assert "../test/images" in fault.message
    assert (fault.of_object, fault.lost_objects) == (True, 0)


def test_a_label_file_that_is_no_text(write):
    files = {
        "data.yaml": YAML,
        "images/a.jpg": "",
        "images/b.jpg": "",
        "labels/b.txt": CAT,
        "labels/a.txt": b"\xff\xfe0",
    }
    found = list(open_yolo(write(files)).images())
    assert isinstance(found[0], AnnotationFault)
    assert (found[0].name, found[0].of_object, found[0].place) == ("a.jpg", False, "labels/a.txt")
    assert "not text" in found[0].message
    assert isinstance(found[1], AnnotatedImage)


# Lines


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("1 0.5 0.5 1 1", (0, 0, 1, 1)),
        ("1.0\t0.25  0.5 0.5 0.25\r", (0.375, 0, 0.625, 0.5)),
        ("1 0.5 0.5 0.2 0.2 0.75", (0.4, 0.4, 0.6, 0.6)),
        ("1 0.1 0.2 0.5 0.3 0.3 0.6", (0.2, 0.1, 0.6, 0.5)),
        ("1 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4", (0.1, 0.1, 0.4, 0.3)),
        ("1 0.983334 0.5 0.033334 1", (0, 0.966667, 1, 1)),  # rounded over the border
        ("1 0.5 0.000004 1 0.00001", (0, 0, 0.000009, 1)),
        ("1 0.5 0.9 1 0.4", (0.7, 0, 1.1, 1)),  # not rounded: clipped later, and told
    ],
)
def test_lines(line, box):
    found = parse_yolo(line.encode(), NAMES)
    assert found.faults == ()
    assert boxes_of(found.objects) == [("dog", box)]


def test_edges_within_rounding_of_the_border_are_on_it():
    (item,) = parse_yolo(b"0 0.983334 0.5 0.033334 1", NAMES).objects
    assert item.box_px[3] == 1.0


def test_confidences_polygons_and_keypoints():
    found = parse_yolo(b"0 .5 .5 .5 .5 0.25\n0 .1 .1 .2 .1 .2 .2\n0 0 0 1 0 1 1 0 1\n", NAMES)
    assert [item.features for item in found.objects] == [(("class/score", 0.25),), (), ()]
    assert [note.kind for note in found.notes] == ["polygons_boxed"] * 2
    assert found.notes[0].text == "line 2: a polygon, of which the bounding box is taken"
    found = parse_yolo(b"0 .5 .5 .5 .5 .1 .2 2 .3 .4 1\n0 .5 .5 .5 .5", NAMES, keypoint_numbers=6)
    assert boxes_of(found.objects) == [("cat", (0.25, 0.25, 0.75, 0.75))] * 2
    assert [tuple(note) for note in found.notes] == [("keypoints_left_out", "line 1: its keypoints are left out")]
    found = parse_yolo(b"0 .5 .5 .5 .5 .1 .2", NAMES, keypoint_numbers=6)
    assert "7 fields" in found.faults[0][1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .5 .5", "the class is 2, but names has only 0 to 1"),
        ("-1 .5 .5 .5 .5", "the class is -1"),
        ("cat .5 .5 .5 .5", "the class is 'cat', expected its number"),
        ("nan .5 .5 .5 .5", "the class is 'nan'"),
        ("1e400 .5 .5 .5 .5", "the class is '1e400'"),
        ("0 .5 .5 .5", "the line has 4 fields"),
        ("0 .5 .5 .5 .5 .5 .5 .5", "the line has 8 fields"),
        ("0 .5 .5 .5 nan", "'nan' is not a number"),
        ("0 .5 .5 .5 inf", "'inf' is not a number"),
        ("0 .5 .5 .5 0,5", "'0,5' is not a number"),
        ("0 320 240 50 60", "not in units of the image"),
        ("0 .5 .5 .5 .5 87", "the confidence, is 87"),
    ],
)
def test_lines_that_cannot_be_used(line, message):
    found = parse_yolo(f"{CAT}\n{line}\n{CAT}".encode(), NAMES)
    assert len(found.objects) == 2
    ((number, text),) = found.faults
    assert number == 3
    assert message in text


def test_a_fault_of_a_line_follows_its_image(write):
    found = list(open_yolo(write({"data.yaml": YAML, "images/a.jpg": "", "labels/a.txt": f"7 1\n{CAT}"})).images())
    assert [type(one) for one in found] == [AnnotatedImage, AnnotationFault]
    assert found[1][:3:2] == ("labels/a.txt: line 1", "a.jpg")
    assert found[1].of_object


def test_a_hundred_thousand_boxes_in_one_image():
    found = parse_yolo(CAT.encode() * 100_000, NAMES)
    assert len(found.objects) == 100_000
    assert found.objects[-1].place == "line 100000"


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1))
def test_boxes_are_what_the_centres_say(rows):
    text = "\n".join(f"1 {x!r} {y!r} {w!r} {h!r}" for x, y, w, h in rows)
    found = parse_yolo(text.encode(), NAMES)
    assert found.faults == ()
    for item, (x, y, width, height) in zip(found.objects, rows, strict=True):
        ymin, xmin, ymax, xmax = item.box_px
        assert (ymin + ymax, ymax - ymin) == (pytest.approx(2 * y, abs=3e-5), pytest.approx(height, abs=3e-5))
        assert (xmin + xmax, xmax - xmin) == (pytest.approx(2 * x, abs=3e-5), pytest.approx(width, abs=3e-5))


# data.yaml


@pytest.fixture
def data(tmp_path):
    def read(text, name="data.yaml"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yolo_data(str(tmp_path / name))

    return read


def test_descriptions(data):
    assert data("names: {3: no, 1: 'on', 0: 7}").names == {3: "no", 1: "on", 0: "7"}
    assert data("\ufeffnames:\n- a\n- é").names == {0: "a", 1: "é"}
    assert data("a\n b c \n\n", "classes.txt").names == {0: "a", 1: "b c"}
    full = data("path: p\ntrain: [a, b]\nval: c\nvalid:\nkpt_shape: [17, 3]\nnames: [x]\ndownload: rm -rf /")
    assert (full.path, full.places) == ("p", (("train", "a"), ("train", "b"), ("val", "c")))
    assert full.keypoint_numbers == 51


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no names in it (it has no fields)"),
        ("nc: 2\ntrain: x", "there are no names in it (it has nc, train)"),
        ("- a", "there are no names"),
        ("names: 7", "names is neither a list nor numbers with names"),
        ("names: {a: b}", "names is neither"),
        ("names: []", "there is not one name in it"),
        ("names: [a, '']", "the name of class 1 is ''"),
        ("names: [[a]]", "the name of class 0 is"),
        ("names: [a, b, a]", "the classes 0 and 2 are both called 'a'"),
        ("names: [a\n", "cannot be read as YAML"),
        ("[" * 20_000, "cannot be read as YAML"),
        (b"names: [\xff]", "not UTF-8"),
        ("names: [a]\nkpt_shape: [x, 3]", "kpt_shape is"),
        ("#" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_descriptions_that_are_none(data, text, message):
    with pytest.raises(UsageError) as error:
        data(text)
    assert message in str(error.value)


def test_nothing_in_a_description_is_executed(data, tmp_path):
    assert data(f"names: !!python/object/apply:os.mkdir [{tmp_path}/made]").names == {0: f"{tmp_path}/made"}
    assert not (tmp_path / "made").exists()


def test_aliases_do_not_multiply(data):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(UsageError, match="the name of class 0 is"):
        data("\n".join([*lines, "names: *a11"]))


def test_a_blank_line_between_names_is_refused(data):
    with pytest.raises(UsageError, match="the name of class 1 is ''"):
        data("a\n\nb", "classes.txt")
