import os
import pathlib

import numpy as np
import pytest

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault
from od_core.annotations.voc import open_voc
from od_core.annotations.voc_xml import MAX_BYTES
from od_core.errors import UsageError
from od_core.label_map import read_label_map
from od_core.records import examples, tfrecord

SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"
BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
CAT = f"<object><name>cat</name>{BOX}</object>"


def xml(body: str, filename: str = "a.jpg") -> str:
    return f"<annotation><filename>{filename}</filename>{SIZE}{body}</annotation>"


@pytest.fixture
def write(tmp_path):
    """Write files by their paths below a folder; text as UTF-8."""

    def written(files: dict[str, str | bytes]) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path)

    return written


@pytest.fixture
def parse(write):
    """What one annotation, Annotations/a.xml, gives."""

    def parsed(content: str | bytes) -> list[AnnotatedImage | AnnotationFault]:
        return list(open_voc(write({"Annotations/a.xml": content})).images())

    return parsed


def only_fault(found) -> str:
    (fault,) = found
    assert isinstance(fault, AnnotationFault)
    assert fault.place == "Annotations/a.xml"
    assert (fault.name, fault.of_object) == (None, False)
    return fault.message


def test_everything_an_annotation_says_is_read_as_it_stands(parse, tmp_path):
    found = parse(
        xml(
            "<object><name> bus </name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>"
            "<bndbox><xmin>1.5</xmin><ymin>-2</ymin><xmax>61</xmax><ymax> 40.25 </ymax></bndbox>"
            f"<part><name>wheel</name>{BOX}</part></object>"
            f"<object><part><name>head</name>{BOX}</part><name>dog</name><difficult>1</difficult>"
            "<bndbox><xmin>30</xmin><ymin>4</ymin><xmax>20</xmax><ymax>4</ymax></bndbox></object>"
        )
    )
    assert found == [
        AnnotatedImage(
            name="a.jpg",
            source=str(tmp_path / "Annotations" / "a.xml"),
            place="Annotations/a.xml",
            source_id="",
            width=60,
            height=40,
            objects=(
                AnnotatedObject("bus", (-2.0, 1.5, 40.25, 61.0), "object 1", truncated=True, view="Left"),
                AnnotatedObject("dog", (4.0, 30.0, 4.0, 20.0), "object 2", difficult=True),
            ),
        )
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("0", False), ("", False), ("-1", False), ("true", True), ("False", False), ("Unspecified", False)],
)
def test_flags_are_read_however_they_are_written(parse, text, expected):
    (image,) = parse(xml(CAT.replace("</object>", f"<difficult>{text}</difficult></object>")))
    assert image.objects[0].difficult is expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("", (None, None)),
        ("<size><width>0</width><height>0</height></size>", (None, None)),
        ("<size><width>60.0</width><height>-4</height></size>", (60, None)),
        ("<size><width>wide</width><height>99999999999</height></size>", (None, None)),
    ],
)
def test_a_size_that_is_none_is_not_known(parse, size, expected):
    (image,) = parse(xml(CAT).replace(SIZE, size))
    assert (image.width, image.height) == expected
    assert len(image.objects) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (f"<object>{BOX}</object>", "no name"),
        ("<object><name>ox</name><polygon/></object>", "'ox' has no <bndbox>, only <name>, <polygon>"),
        (f"<object><name>ox</name><part><name>head</name>{BOX}</part></object>", "'ox' has no <bndbox>"),
        (f"<object><name>ox</name>{BOX.replace('ymax', 'y')}</object>", "no <ymax>"),
        *(
            (f"<object><name>ox</name>{BOX.replace('30', number)}</object>", f"<xmax> of the object 'ox' is '{number}'")
            for number in ("nan", "inf", "1e99", "12,5", "1_0", "", "-2147483649")
        ),
    ],
)
def test_an_object_that_cannot_be_used_costs_only_itself(parse, body, what):
    image, fault = parse(xml(CAT + body + CAT))
    assert [item.place for item in image.objects] == ["object 1", "object 3"]
    assert fault.place == "Annotations/a.xml: object 2"
    assert what in fault.message
    assert (fault.name, fault.of_object) == ("a.jpg", True)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty file"),
        (b" \n", "empty file"),
        (xml(CAT)[:-5], "not well-formed XML"),
        (b"\x00\x01\x02", "not well-formed XML"),
        (xml(CAT).encode("latin-1").replace(b"cat", b"caf\xe9"), "not well-formed XML"),
        ("<annotations><image/></annotations>", "<annotations> (an annotation of CVAT)"),
        ("<cameras/>", "<cameras>, where a Pascal VOC annotation has <annotation>"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "cannot be decoded"),
        (b'<?xml version="1.0" encoding="gbk"?><annotation>\xff\xff</annotation>', "cannot be decoded"),
    ],
)
def test_a_file_that_is_no_annotation_is_a_fault(parse, content, what):
    assert what in only_fault(parse(content))


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY c SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a [<!ENTITY % c SYSTEM "http://localhost:9/x.dtd"> %c;]>',
    ],
)
def test_entities_are_never_expanded(parse, doctype):
    content = f'<?xml version="1.0"?>{doctype}' + xml("<object><name>&c;</name></object>")
    assert "declares entities" in only_fault(parse(content))


def test_a_plain_doctype_does_no_harm(parse):
    (image,) = parse(f'<!DOCTYPE annotation SYSTEM "voc.dtd">{xml(CAT)}')
    assert len(image.objects) == 1


def test_a_file_that_is_far_too_large_is_not_parsed(parse):
    assert "larger than 16 MiB" in only_fault(parse(b"<annotation>" + b" " * MAX_BYTES))


def test_deep_nesting_does_no_harm(parse):
    (image,) = parse(xml("<x>" * 50_000 + "</x>" * 50_000 + CAT))
    assert len(image.objects) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "windows-1252", "gbk", "shift_jis"])
def test_encodings_are_understood(parse, encoding):
    label = "猫" if encoding in ("gbk", "shift_jis") else "chaté"
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n{xml(CAT.replace("cat", label))}'
    (image,) = parse(text.encode(encoding))
    assert [item.label for item in image.objects] == [label]


def test_namespaces_and_space_before_the_xml_say_nothing(parse):
    declared = '<?xml version="1.0"?>' + xml(CAT).replace(
        "<annotation>", '<annotation xmlns="urn:voc" xmlns:b="urn:b">'
    )
    (image,) = parse("\r\n" + declared.replace("<name>", "<b:name>").replace("</name>", "</b:name>"))
    assert (image.name, image.objects[0].label) == ("a.jpg", "cat")


@pytest.mark.parametrize(
    "name", ["/etc/passwd.jpg", "../../a.jpg", "..\\a.jpg", "C:\\data\\a.jpg", "file:///a.jpg", "x/"]
)
def test_names_that_lead_elsewhere_are_faults(parse, name):
    assert "the image's name" in only_fault(parse(xml(CAT, name)))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("a.JPG", "a.JPG"),
        ("JPEGImages/a.png", "a.png"),
        ("JPEGImages\\a.png", "a.png"),
        ("./a.jpg", "a.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("a b &amp; c.jpg", "a b & c.jpg"),
        ("a.heic", "a.heic"),
        ("", "a.jpg"),
        ("b", "b.jpg"),
        ("frame.17", "frame.17.jpg"),
    ],
)
def test_the_image_is_named_by_its_file_name_alone(parse, given, name):
    (image,) = parse(xml("<path>/home/pi/x.jpg</path><folder>elsewhere</folder>", given))
    assert image.name == name


def test_an_image_without_a_name_is_looked_for(write):
    names = {"": "a.PNG", "1": "1.webp", "b": "b.jpeg", "c": "c.jpg"}
    files = {f"Annotations/cam/{n}.xml": xml(CAT, given) for n, given in zip("a2bc", names, strict=True)}
    images = {f"JPEGImages/cam/{name}": b"" for name in [*names.values(), "b.txt", "b.webp"] if name != "c.jpg"}
    voc = open_voc(write(files | images))
    assert {image.place: image.name for image in voc.images()} == {
        "Annotations/cam/2.xml": "cam/1.webp",
        "Annotations/cam/a.xml": "cam/a.PNG",
        "Annotations/cam/b.xml": "cam/b.jpeg",
        "Annotations/cam/c.xml": "cam/c.jpg",
    }


def test_a_folder_within_the_annotations_is_one_within_the_images(write):
    root = write({"Annotations/cam1/7.xml": xml(CAT, "7.jpg"), "Annotations/cam2/7.xml": xml("", "7.jpg")})
    found = list(open_voc(root).images())
    assert [(image.name, image.place) for image in found] == [
        ("cam1/7.jpg", "Annotations/cam1/7.xml"),
        ("cam2/7.jpg", "Annotations/cam2/7.xml"),
    ]


def test_annotations_come_sorted_and_as_often_as_wanted(write):
    voc = open_voc(write({f"Annotations/{name}.xml": xml(CAT, f"{name}.jpg") for name in ("b", "a", "10", "9", "Z")}))
    assert [image.name for image in voc.images()] == ["10.jpg", "9.jpg", "Z.jpg", "a.jpg", "b.jpg"]
    assert list(voc.images()) == list(voc.images())
    assert (voc.format, voc.label_map) == ("voc", None)


def test_two_annotations_of_one_image_are_told(write):
    root = write({"Annotations/a.xml": xml(CAT), "Annotations/copy of a.xml": xml("")})
    image, fault = open_voc(root).images()
    assert image.objects
    assert fault == AnnotationFault(
        "Annotations/copy of a.xml",
        "it is about a.jpg, which Annotations/a.xml is about as well; correct its <filename>",
        None,
        objects=0,
    )


def test_a_file_that_cannot_be_opened_is_a_fault(write):
    root = write({"Annotations/b.xml": xml(CAT)})
    os.symlink("nowhere", pathlib.Path(root) / "Annotations" / "a.xml")
    fault, image = open_voc(root).images()
    assert fault == AnnotationFault(
        "Annotations/a.xml", "the annotation cannot be read (No such file or directory)", None
    )
    assert image.name == "a.jpg"


@pytest.mark.parametrize(
    ("files", "given", "images"),
    [
        (["V/Annotations/a.xml", "V/JPEGImages/a.jpg"], "V", "V/JPEGImages"),
        (["V/Annotations/a.xml", "V/JPEGImages/a.jpg"], "V/Annotations", "V/JPEGImages"),
        (["V/Annotations/a.xml", "V/JPEGImages/a.jpg"], "V/Annotations/", "V/JPEGImages"),
        (["V/Annotations/a.xml", "V/JPEGImages/a.jpg"], "V/Annotations/a.xml", "V/JPEGImages"),
        (["V/Annotations/c/a.xml", "V/JPEGImages/c/a.jpg"], "V/Annotations/c", "V/JPEGImages/c"),
        (["V/annotations/xmls/a.xml", "V/images/a.jpg"], "V/annotations/xmls", "V/images"),
        (["V/labels/a.xml", "V/images/a.jpg"], "V/labels", "V/images"),
        (["V/a.xml", "V/a.png", "images/b.jpg"], "V", "V"),
        (["V/a.xml", "V/a.png"], "V/a.xml", "V"),
        (["V/Annotations/a.xml"], "V", None),
    ],
)
def test_where_the_images_lie_is_found_by_convention(write, files, given, images):
    root = write({name: xml(CAT) if name.endswith(".xml") else b"" for name in files})
    voc = open_voc(f"{root}/{given}")
    assert voc.images_folder == (f"{root}/{images}" if images else None)
    assert [image.name for image in voc.images()] == ["a.jpg"]


def test_a_path_relative_to_where_one_is_works_too(write, monkeypatch):
    root = write({"Annotations/a.xml": xml(CAT), "JPEGImages/a.jpg": b"", "ImageSets/Main/all.txt": "a\n"})
    for folder, path, images in [
        (root, ".", "./JPEGImages"),
        (root, "Annotations", "JPEGImages"),
        (f"{root}/Annotations", ".", "../JPEGImages"),
        (f"{root}/ImageSets/Main", "all.txt", "../../JPEGImages"),
    ]:
        monkeypatch.chdir(folder)
        voc = open_voc(path)
        assert [image.name for image in voc.images()] == ["a.jpg"]
        assert voc.images_folder == images


def listed(write, text: str | bytes, below: str = "ImageSets/Main") -> list[AnnotatedImage | AnnotationFault]:
    names = ("a", "b", "sub/c", "d 1", "e.f")
    root = write(
        {f"Annotations/{name}.xml": xml(CAT, f"{name.rpartition('/')[2]}.jpg") for name in names}
        | {f"{below}/list.txt": text}
    )
    return list(open_voc(os.path.normpath(f"{root}/{below}/list.txt")).images())


@pytest.mark.parametrize("below", ["ImageSets/Main", "ImageSets", "."])
def test_a_list_names_annotations(write, below):
    text = "\ufeffe.f\r\nb\r\n\r\n  a  \r\nsub/c\r\nb\r\n"
    assert [image.name for image in listed(write, text, below)] == ["a.jpg", "b.jpg", "e.f.jpg", "sub/c.jpg"]


def test_the_list_of_a_class_is_read_whatever_its_flags(write):
    text = "a  1\nb -1\nsub/c 0\nd 1\nd 1 -1\n"  # "d 1" is a name
    assert [image.name for image in listed(write, text)] == ["a.jpg", "b.jpg", "d 1.jpg", "sub/c.jpg"]


def test_extensions_in_a_list_are_ignored(write):
    assert [image.name for image in listed(write, "a.jpg\nb.XML\n")] == ["a.jpg", "b.jpg"]


def test_what_a_list_asks_for_and_is_not_there_is_a_fault(write):
    image, fault = listed(write, "a\nzebra -1\n")
    assert image.name == "a.jpg"
    assert fault.place == "list.txt: line 2"
    assert fault.message.startswith("it asks for zebra.xml, which is not in ")
    assert not fault.of_object


@pytest.mark.parametrize(
    ("text", "what"),
    [("x\ny\n", "none of its 2 lines"), ("\n", "the list is empty"), (b"\xff\xfe", "must be UTF-8")],
)
def test_a_list_of_nothing_is_refused(write, text, what):
    with pytest.raises(UsageError, match=what):
        listed(write, text)


@pytest.mark.parametrize(
    ("files", "given", "what"),
    [
        (["lists/val.txt"], "lists/val.txt", "two folders up"),
        (["V/Annotations/readme.md"], "V", r"no \.xml files"),
        (["devkit/VOC2007/Annotations/a.xml"], "devkit", r"give .*devkit/VOC2007$"),
        (["VOC2007/a.xml"], "VOC207", r"no such file or folder; did you mean .*/VOC2007\?"),
    ],
)
def test_what_is_no_voc_data_set_is_refused(write, files, given, what):
    root = write({name: xml(CAT) for name in files})
    with pytest.raises(UsageError, match=what):
        open_voc(f"{root}/{given}")


def _payloads(path):
    with open(path, "rb") as file:
        return [payload for _, payload in tfrecord.read_records(file)]


def _assert_same_boxes(image, truth, objects):
    assert truth.labels == (tuple(item.label for item in objects) or None)
    scale = [image.height, image.width] * 2
    expected = np.array([np.divide(item.box_px, scale) for item in objects], np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(truth.boxes, expected)
    assert truth.difficult.tolist() == [item.difficult for item in objects]


@pytest.mark.shared
@pytest.mark.parametrize("ignore_difficult", [False, True])
def test_flags_are_those_in_the_apis_records(shared, ignore_difficult):
    tf = pytest.importorskip("tensorflow")
    folder = shared / "oracles" / "records" / "voc_flags"
    label_map = read_label_map(folder / "input" / "label_map.pbtxt")
    voc = open_voc(str(folder / "input" / "VOC2007" / "ImageSets" / "Main" / "aeroplane_train.txt"))
    assert voc.images_folder == str(folder / "input" / "VOC2007" / "JPEGImages")
    images = list(voc.images())
    payloads = _payloads(folder / f"voc_flags{'_ignore_difficult' if ignore_difficult else ''}.record")
    total = 0
    for image, payload in zip(images, payloads, strict=True):
        kept = [item for item in image.objects if not (ignore_difficult and item.difficult)]
        assert examples.parse_image_example(payload).filename == image.name
        _assert_same_boxes(image, examples.parse_ground_truth(payload, label_map), kept)
        features = tf.train.Example.FromString(payload).features.feature
        assert list(features[examples.OBJECT_TRUNCATED].int64_list.value) == [item.truncated for item in kept]
        views = [item.view.encode() for item in kept]
        assert list(features[examples.OBJECT_VIEW].bytes_list.value) == views
        total += len(kept)
    assert total == (5 if ignore_difficult else 9)


@pytest.mark.shared
def test_boxes_are_those_in_the_apis_records_of_bccd(shared):
    label_map = read_label_map(shared / "oracles" / "records" / "bccd_label_map.pbtxt")
    images = {image.name: image for image in open_voc(str(shared / "data" / "datasets" / "bccd" / "BCCD")).images()}
    assert len(images) == 364
    payloads = _payloads(shared / "oracles" / "records" / "bccd_val.record")
    for payload in payloads:
        image = images[examples.parse_image_example(payload).filename]
        _assert_same_boxes(image, examples.parse_ground_truth(payload, label_map), image.objects)
    assert len(payloads) == 73


@pytest.mark.shared
def test_other_tools_voc_data_sets_are_read(shared):
    folder = shared / "data" / "datasets" / "datumaro_assets" / "voc_dataset"
    (image,) = open_voc(str(folder / "voc_dataset1")).images()
    assert (image.name, image.width, image.height) == ("2007_000001.jpg", 20, 10)
    assert [item.label for item in image.objects] == ["cat", "person"]
    unsized = list(open_voc(str(folder / "voc_dataset2")).images())
    assert [image.name for image in unsized] == ["@.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert {image.width for image in unsized} == {None}
