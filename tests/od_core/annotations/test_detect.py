import io
import json

import pytest

from od_core import storage
from od_core.annotations.detect import open_annotations
from od_core.annotations.reading import ReadingOptions
from od_core.errors import UsageError

VOC = "<annotation><filename>a.jpg</filename></annotation>"
COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []})
TABLE = "filename,class,xmin,ymin,xmax,ymax\na.jpg,,,,,\n"
OPEN_IMAGES = "ImageID,LabelName,XMin,XMax,YMin,YMax\n"
NAMES = "names: [a]"
LABELME = (
    "<annotation><filename>a.jpg</filename><object><name>cat</name><polygon><pt><x>1</x><y>2</y></pt></polygon></object>"
    "<imagesize><nrows>7</nrows><ncols>10</ncols></imagesize></annotation>"
)
CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<!-- <annotation> -->\n<annotations/>'


@pytest.fixture
def write(tmp_path):
    def written(files: dict[str, str]) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return str(tmp_path)

    return written


@pytest.mark.parametrize(
    ("files", "given", "format"),
    [
        ({"V/Annotations/a.xml": VOC}, "V", "voc"),
        ({"V/Annotations/a.xml": VOC}, "V/Annotations", "voc"),
        ({"V/Annotations/a.xml": VOC}, "V/Annotations/a.xml", "voc"),
        ({"V/Annotations/a.xml": VOC, "V/ImageSets/Main/val.txt": "a"}, "V/ImageSets/Main/val.txt", "voc"),
        ({"deep/er/a.xml": VOC, "notes.json": "{}"}, "deep", "voc"),
        ({"a.xml": CVAT, "b.xml": VOC}, ".", "voc"),
        ({"a.xml": "not XML at all", "b.jpg": ""}, ".", "voc"),
        ({"a.XML": VOC}, "a.XML", "voc"),
        ({"a.xml": "<annotation"}, "a.xml", "voc"),
        ({"a.annotation": f"\ufeff\n{VOC}"}, "a.annotation", "voc"),
        ({"x.json": COCO}, "x.json", "coco"),
        ({"x.coco": f"\n{COCO}"}, "x.coco", "coco"),
        ({"x.csv": TABLE}, "x.csv", "csv"),
        ({"x.tsv": TABLE.replace(",", "\t")}, "x.tsv", "csv"),
        ({"x.CSV": OPEN_IMAGES}, "x.CSV", "open_images"),
        ({"annotations/x.csv": OPEN_IMAGES, "annotations/y.csv": TABLE}, ".", "open_images"),
        ({"x.csv": OPEN_IMAGES, "a.jpg": ""}, ".", "open_images"),
        ({"data.yaml": NAMES, "images/a.jpg": "", "labels/a.txt": ""}, ".", "yolo"),
        ({"data.yml": NAMES, "images/a.jpg": "", "labels/a.txt": ""}, "data.yml", "yolo"),
        ({"classes.txt": "a", "a.jpg": "", "a.txt": "", "notes.json": "{}"}, ".", "yolo"),
        ({"obj.names": "a", "Images/a.jpg": "", "Annotations/a.txt": ""}, ".", "yolo"),
        ({"data.yaml": NAMES, "train/images/a.jpg": "", "train/labels/a.txt": ""}, ".", "yolo"),
        ({"training/label_2/0.txt": "", "training/image_2/0.png": ""}, ".", "kitti"),
        ({"label_2/0.txt": "", "x.csv": TABLE}, "label_2", "kitti"),
        ({"a.jpg": "", "sub/b.PNG": ""}, ".", "images"),
    ],
)
def test_the_format_is_found_by_looking(write, files, given, format):
    assert open_annotations(f"{write(files)}/{given}").format == format


def test_a_format_that_is_given_is_taken(write):
    root = write({"x.json": COCO, "V/Annotations/a.xml": VOC})
    assert open_annotations(f"{root}/x.json", "coco").format == "coco"
    assert open_annotations(f"{root}/V", "voc").format == "voc"
    with pytest.raises(UsageError, match=r"no \.xml files|a list of annotations|a folder of Pascal VOC"):
        open_annotations(root, "voc")
    with pytest.raises(UsageError, match="one JSON file"):
        open_annotations(root, "coco")
    with pytest.raises(UsageError, match="one CSV file"):
        open_annotations(root, "csv")


def test_every_format_can_be_named(write):
    root = write({"x.csv": OPEN_IMAGES.lower(), "V/images/a.jpg": "", "V/labels/a.txt": "", "V/data.yaml": NAMES})
    assert open_annotations(f"{root}/V/images", "images").format == "images"
    assert open_annotations(f"{root}/V/labels", "kitti").format == "kitti"
    assert open_annotations(f"{root}/V", "yolo").format == "yolo"
    assert open_annotations(f"{root}/x.csv", "open_images").format == "open_images"
    with pytest.raises(UsageError, match="no columns filename, class, expected a table of boxes"):
        open_annotations(f"{root}/x.csv", "csv")
    with pytest.raises(UsageError, match="no Parquet files in there"):
        open_annotations(root, "detections")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReadingOptions(csv_boxes="pixels"), "--csv_boxes is for annotations of the format csv, and"),
        (ReadingOptions(csv_columns={"class": "x"}), "--csv_columns is for annotations of the format csv"),
        (ReadingOptions(min_score=0.0), "--min_score is for annotations of the format detections"),
        (ReadingOptions(dont_care="drop"), "--dont_care is for annotations of the format kitti"),
        (ReadingOptions(class_descriptions="x"), "--class_descriptions is for annotations of the format open_images"),
        (ReadingOptions(image_labels="x"), "--image_labels is for annotations of the format open_images"),
    ],
)
def test_options_of_other_formats_are_refused(write, options, message):
    root = write({"a.xml": VOC})
    with pytest.raises(UsageError) as error:
        open_annotations(root, options=options)
    assert message in str(error.value)
    assert str(error.value).count("is voc; leave it out") == 1


@pytest.mark.parametrize(
    ("files", "given", "what"),
    [
        (
            {"labels.doc": "a,b\n"},
            "labels.doc",
            "labels.doc: not an annotation format boxbeam reads: expected Pascal",
        ),
        ({"V/a.txt": "", "V/b.txt": "", "V/README": ""}, "V", "(found: 2 .txt, 1 without extension); expected Pascal"),
        (
            {"V/a.csv": TABLE, "V/b.csv": "", "V/a.jpg": ""},
            "V",
            "give that, if it is one of {root}/V/a.csv, {root}/V/b",
        ),
        ({"labels/a.txt": "", "a.jpg": ""}, ".", "no data.yaml and no classes.txt in there"),
        (
            {"V/Annotations/a.xml": VOC, "V/x/a.jpg": ""},
            "V/x",
            "give {root}/V or {root}/V/Annotations, or say --format",
        ),
        ({"labels/a.txt": "", "images/a.jpg": ""}, "images", "say --format images for images without annotations"),
        ({"x.parquet": "no"}, "x.parquet", "x.parquet: cannot be read as Parquet"),
        ({"V/.hidden": ""}, "V", "(it is empty)"),
        ({"V/b.json": COCO, "V/a.json": COCO}, "V", "give that, if it is one of {root}/V/a.json, {root}/V/b.json"),
        ({"V/a.xml": CVAT}, "V", "<annotations> (an annotation of CVAT), where a Pascal VOC annotation has"),
        ({"a.xml": CVAT}, "a.xml", "<annotations> (an annotation of CVAT)"),
        (
            {"V/a.xml": LABELME},
            "V",
            "annotations of LabelMe (V/a.xml has polygons or masks, and no <bndbox>)",
        ),
        ({"Annotations/s/a.xml": LABELME}, ".", "convert them to Pascal VOC or COCO first"),
        ({"a.xml": LABELME}, "a.xml", "{root}/a.xml: annotations of LabelMe"),
        ({"a.xml": VOC}, "b.xml", "{root}/b.xml: no such file or folder; did you mean {root}/a.xml?"),
        ({"a.xml": VOC}, "completely/else", "{root}/completely/else: no such file or folder"),
    ],
)
def test_what_is_no_annotation_is_refused(write, files, given, what):
    root = write(files)
    with pytest.raises(UsageError) as error:
        open_annotations(f"{root}/{given}")
    assert what.format(root=root) in str(error.value)


def test_a_misspelt_format_is_refused(write):
    with pytest.raises(UsageError, match=r"'cocoo' is not an annotation format \(did you mean coco\?\)"):
        open_annotations(write({"x.json": COCO}), "cocoo")
    with pytest.raises(UsageError, match=r"known: auto, voc, coco"):
        open_annotations(write({"x.json": COCO}), "labelme")


class Bucket:
    """An object store, as much of it as reading needs."""

    def __init__(self, files: dict[str, str]):
        self.files = files

    def stat(self, path):
        return storage.FileInfo(path, len(self.files[path]), 0) if path in self.files else None

    def walk(self, folder):
        return (self.stat(path) for path in self.files if path.startswith(folder.rstrip("/") + "/"))

    def open(self, path):
        return io.BytesIO(self.files[path].encode())


@pytest.mark.parametrize(
    ("given", "images_folder"),
    [
        ("V", "V/JPEGImages"),
        ("V/Annotations", "V/JPEGImages"),
        ("V/ImageSets/Main/all.txt", "V/JPEGImages"),
        ("C/annotations/instances_val.json", "C/val"),
    ],
)
def test_annotations_on_an_object_store_are_read_too(monkeypatch, given, images_folder):
    files = {
        "V/Annotations/a.xml": VOC,
        "V/JPEGImages/a.jpg": "",
        "V/ImageSets/Main/all.txt": "a",
        "C/annotations/instances_val.json": COCO,
        "C/val/a.jpg": "",
    }
    monkeypatch.setattr(storage, "_remote", None)
    storage.register_remote(Bucket({f"mem://b/{name}": content for name, content in files.items()}))
    annotations = open_annotations(f"mem://b/{given}")
    assert [image.name for image in annotations.images()] == ["a.jpg"]
    assert annotations.images_folder == f"mem://b/{images_folder}"
