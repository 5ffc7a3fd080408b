import io
import json

import pytest

from od_core import storage
from od_core.annotations.detect import open_annotations
from od_core.errors import UsageError

VOC = "<annotation><filename>a.jpg</filename></annotation>"
COCO = json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []})
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


@pytest.mark.parametrize(
    ("files", "given", "what"),
    [
        (
            {"labels.doc": "a,b\n"},
            "labels.doc",
            "labels.doc: not an annotation format boxbeam reads: expected Pascal",
        ),
        ({"V/a.csv": "", "V/b.csv": "", "V/README": ""}, "V", "(found: 2 .csv, 1 without extension); expected Pascal"),
        ({"V/.hidden": ""}, "V", "(it is empty)"),
        ({"V/b.json": COCO, "V/a.json": COCO}, "V", "give that, if it is one of {root}/V/a.json, {root}/V/b.json"),
        ({"V/a.xml": CVAT}, "V", "<annotations> (an annotation of CVAT), where a Pascal VOC annotation has"),
        ({"a.xml": CVAT}, "a.xml", "<annotations> (an annotation of CVAT)"),
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
        open_annotations(write({"x.json": COCO}), "kitti")


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
