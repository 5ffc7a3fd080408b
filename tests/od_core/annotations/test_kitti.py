import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, AnnotationNote
from od_core.annotations.kitti import open_kitti
from od_core.errors import UsageError

REST = "1.67 1.87 3.69 -16.53 2.39 58.49 1.57"
CAR = f"Car 0.25 2 1.85 10 20 50.5 60 {REST}"
BOX_3D = (1.67, 1.87, 3.69, -16.53, 2.39, 58.49, 1.57)
DONT_CARE = "DontCare -1 -1 -10 {} -1 -1 -1 -1000 -1000 -1000 -10"


@pytest.fixture
def write(tmp_path):
    def written(files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path)

    return written


def only(annotations):
    return list(annotations.images())


def test_everything_a_line_says(write):
    root = write({"training/label_2/000007.txt": f"{CAR}\n\nVan 0 0 0 1 2 3 4 {REST} 0.5\n"})
    found = open_kitti(root)
    assert (found.format, found.label_map, found.images_folder) == ("kitti", None, None)
    names = ("height", "width", "length", "x", "y", "z", "rot_y")
    box_3d = tuple((f"3d_bbox/{name}", value) for name, value in zip(names, BOX_3D, strict=True))
    car = AnnotatedObject(
        "car",
        (20, 10, 60, 50.5),
        "line 1",
        features=(("truncated", 0.25), ("occluded", 2), ("alpha", 1.85), *box_3d),
    )
    van_features = (("truncated", 0.0), ("occluded", 0), ("alpha", 0.0), *box_3d, ("class/score", 0.5))
    van = AnnotatedObject("van", (2, 1, 4, 3), "line 3", features=van_features)
    path = f"{root}/training/label_2/000007.txt"
    expected = [AnnotatedImage("000007.png", path, "label_2/000007.txt", "", None, None, (car, van))]
    assert only(found) == only(found) == expected
    assert isinstance(only(found)[0].objects[0].features[1][1], int)


@pytest.mark.parametrize(
    ("labels", "images", "given"),
    [
        ("training/label_2", "training/image_2", ""),
        ("training/label_2", "training/image_2", "training"),
        ("training/label_2", "training/image_2", "training/label_2/"),
        ("label_2", "image_2", ""),
        ("training/label_2", "data_object_image_2/training/image_2", ""),
        ("data_object_label_2/training/label_2", "data_object_image_2/training/image_2", "data_object_label_2"),
    ],
)
def test_layouts(write, labels, images, given):
    root = write({f"{labels}/0.txt": "", f"{labels}/1.txt": CAR, f"{images}/0.jpg": "", f"{images}/1.png": ""})
    found = open_kitti(f"{root}/{given}")
    assert found.images_folder == f"{root}/{images}"
    assert [(image.name, len(image.objects)) for image in only(found)] == [("0.jpg", 0), ("1.png", 1)]


def test_images_elsewhere(write):
    root = write({"label_2/0.txt": CAR, "image_2/0.png": "", "photos/0.webp": ""})
    found = open_kitti(root, f"{root}/photos")
    assert found.images_folder == f"{root}/photos"
    assert only(found)[0].name == "0.webp"


LABELS = "\n".join(
    [
        f"Car 0 0 0 10 10 30 30 {REST}",
        DONT_CARE.format("25 25 40 40"),
        f"Car 0 0 0 40 30 60 50 {REST}",  # touches a corner
        f"Van 0 0 0 39.5 20 60 26 {REST}",
        DONT_CARE.format("100 100 120 120"),
    ]
)


def test_dont_care_regions_are_no_objects(write):
    root = write({"label_2/0.txt": LABELS})
    (image,) = only(open_kitti(root))
    assert [item.place for item in image.objects] == ["line 1", "line 3", "line 4"]
    texts = [f"line {number}: a DontCare region, which is no object" for number in (2, 5)]
    assert image.notes == tuple(AnnotationNote("dontcare_regions", text) for text in texts)


def test_objects_that_overlap_a_dont_care_region_can_be_left_out(write):
    root = write({"label_2/0.txt": LABELS})
    (image,) = only(open_kitti(root, dont_care="exclude"))
    assert [item.place for item in image.objects] == ["line 3"]
    assert [note.kind for note in image.notes] == ["dontcare_regions"] * 2 + ["objects_in_dontcare_dropped"] * 2
    assert [note.text for note in image.notes[2:]] == [
        "line 1: the car overlaps a DontCare region",
        "line 4: the van overlaps a DontCare region",
    ]
    root = write({"label_2/0.txt": CAR})
    (image,) = only(open_kitti(root, dont_care="exclude"))
    assert (len(image.objects), image.notes) == (1, ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Car 0 0 0 1 2 3 4", "the line has 8 fields"),
        (f"{CAR} 0.5 0.5", "the line has 17 fields"),
        (CAR.replace("50.5", "nan"), "'nan' is not a number"),
        (CAR.replace("50.5", "-inf"), "'-inf' is not a number"),
        (CAR.replace("50.5", "1_0"), "'1_0' is not a number"),
        (CAR.replace("50.5", "1e30"), "'1e30' is not a number"),
        (CAR.replace(" 2 ", " 2.5 "), "occluded is '2.5'"),
    ],
)
def test_lines_that_cannot_be_used(write, line, message):
    image, fault = only(open_kitti(write({"label_2/0.txt": f"{CAR}\n{line}\n{CAR}"})))
    assert len(image.objects) == 2
    assert (fault.place, fault.name, fault.of_object) == ("label_2/0.txt: line 2", "0.png", True)
    assert message in fault.message


def test_a_file_that_is_no_text(write):
    fault, image = only(open_kitti(write({"label_2/0.txt": b"\xff\xfe", "label_2/1.txt": "\ufeff" + CAR})))
    assert isinstance(fault, AnnotationFault)
    assert (fault.name, fault.of_object) == ("0.png", False)
    assert [item.label for item in image.objects] == ["car"]


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ({"label_2/a.md": ""}, "", "no .txt files in there"),
        ({"label_2/0.txt": ""}, "label_2/0.txt", "KITTI's labels are a folder, label_2"),
        ({"label_2/0.txt": ""}, "label_3", "did you mean"),
    ],
)
def test_data_sets_that_are_none(write, files, given, message):
    root = write(files)
    with pytest.raises(UsageError) as error:
        open_kitti(f"{root}/{given}")
    assert message in str(error.value)


def test_a_rule_that_is_none(write):
    with pytest.raises(UsageError, match="--dont_care: 'keep' is not one of drop, exclude"):
        open_kitti(write({"label_2/0.txt": ""}), dont_care="keep")
