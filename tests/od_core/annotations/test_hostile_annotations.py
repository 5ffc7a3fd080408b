"""Whatever is in a file: what comes out are images, faults, or a refusal; names stay below the image folder."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from od_core.annotations.annotated import AnnotatedImage, AnnotationFault, image_name
from od_core.annotations.detect import open_annotations
from od_core.errors import UsageError

KITTI = b"Car 0 0 1.85 387.6 181.5 423.8 203.1 1.6 1.8 3.6 -16.5 2.3 58.4 1.5"
WORDS = [
    b"0",
    b"1",
    b"-1",
    b"0.5",
    b"nan",
    b"-inf",
    b"1e308",
    b"1e-320",
    b"9" * 400,
    b"../a",
    b"/etc/a.jpg",
    b"a.jpg",
    b"C:\\x",
]
WORDS += [
    b",",
    b";",
    b"\t",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b'"',
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "é\u2028".encode(),
    b"_",
]
WORDS += [b"cat", b"/m/1", b"{", b"[", b"&a", b"*a", b": ", b"- ", b"!!python/x", b"names: ", b"\x85", b"\xed\xa0\x80"]
contents = st.lists(st.sampled_from(WORDS), max_size=40).map(b"".join)

HEADER = b"filename,width,height,class,xmin,ymin,xmax,ymax,difficult,area,confidence,view,source_id\n"
OPEN_IMAGES = b"ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"
# Format -> the file that is hostile, what stands at its beginning, and the files around it.
PLACES = {
    "csv": ("t.csv", HEADER, {}),
    "csv, header": ("t.csv", b"", {}),
    "open_images": ("t.csv", OPEN_IMAGES, {}),
    "open_images, labels": (
        "annotations-labels.csv",
        b"ImageID,LabelName,Confidence\n",
        {"annotations-bbox.csv": OPEN_IMAGES + b"a,/m/1,1,0,1,0,1,0\n"},
    ),
    "open_images, classes": ("class-descriptions.csv", b"", {"b.csv": OPEN_IMAGES + b"a,/m/1,1,0,1,0,1,0\n"}),
    "yolo": ("labels/a.txt", b"", {"images/a.jpg": b"", "data.yaml": b"names: [cat, dog]"}),
    "yolo, data": ("data.yaml", b"", {"images/a.jpg": b"", "labels/a.txt": b"0 .5 .5 .5 .5"}),
    "yolo, list": ("l.txt", b"", {"data.yaml": b"names: [x]\ntrain: l.txt", "images/a.jpg": b"", "labels/a.txt": b""}),
    "kitti": ("label_2/a.txt", b"", {"image_2/a.png": b""}),
}


@pytest.mark.parametrize("case", PLACES)
@given(content=contents)
@example(content=b"\n" * 100)
@example(content=KITTI + b"\n" + KITTI.replace(b"Car", b"DontCare"))
def test_nothing_but_images_faults_and_refusals(tmp_path_factory, case, content):
    name, start, around = PLACES[case]
    root = tmp_path_factory.mktemp("set")
    for file, inside in {**around, name: start + content}.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(inside)
    format = case.partition(",")[0]
    path = root / name if format == "csv" else root
    try:
        annotations = open_annotations(str(path), format)
        found = list(annotations.images())
        names = {item.name for item in annotations.label_map.items} if annotations.label_map else None
    except UsageError as error:
        refusal, found, names = str(error), [], None
    else:
        refusal = "none"
    assert refusal
    assert "\n" not in refusal
    seen = set()
    for one in found:
        if isinstance(one, AnnotationFault):
            assert one.message
            continue
        assert isinstance(one, AnnotatedImage)
        assert image_name(one.name) == one.name
        assert one.name not in seen
        seen.add(one.name)
        for item in one.objects:
            assert all(math.isfinite(edge) for edge in item.box_px)
            assert item.label.encode()
            assert names is None or item.label in names
            assert all(value == value for _, value in item.features)
