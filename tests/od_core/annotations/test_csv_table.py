import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.annotations.annotated import AnnotatedImage, AnnotatedObject, AnnotationFault, AnnotationNote
from od_core.annotations.csv_table import read_csv
from od_core.errors import UsageError

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax"


@pytest.fixture
def table(tmp_path):
    def written(*lines: str | bytes, **options):
        path = tmp_path / "boxes.csv"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines))
        return read_csv(str(path), **options)

    return written


def faults_of(annotations):
    return [(fault.place, fault.message, fault.name) for fault in annotations.images() if is_fault(fault)]


def is_fault(found):
    return isinstance(found, AnnotationFault)


def images_of(annotations):
    return [found for found in annotations.images() if not is_fault(found)]


def test_the_common_header(table, tmp_path):
    found = table(
        HEADER, "a.jpg,640,480,cat,10,20,110,220", "sub/b.png,64,48,,,,,", "a.jpg,640,480,dog,300,40.5,420,180"
    )
    assert (found.format, found.label_map, found.images_folder) == ("csv", None, None)
    source = str(tmp_path / "boxes.csv")
    cat = AnnotatedObject("cat", (20, 10, 220, 110), "line 2")
    dog = AnnotatedObject("dog", (40.5, 300, 180, 420), "line 4")
    expected = [
        AnnotatedImage("a.jpg", source, "boxes.csv: a.jpg (line 2)", "", 640, 480, (cat, dog)),
        AnnotatedImage("sub/b.png", source, "boxes.csv: sub/b.png (line 3)", "", 64, 48, ()),
    ]
    assert list(found.images()) == expected
    assert list(found.images()) == expected  # anew


@pytest.mark.parametrize(
    "lines",
    [
        ["\ufeff\n  \nXMin;YMAX;Class;filename;ymin;xmax", "1;4;cat;a.jpg;2;3"],
        ["ymax\tymin\txmax\txmin\tclass\tfilename", "4\t2\t3\t1\tcat\ta.jpg"],
        ['"filename","class","xmin","ymin","xmax","ymax","note"', '"a.jpg","cat", 1 ,2,3,4,"semi;colons;;;;;;;"'],
        ["", "filename,class,xmin,ymin,box_width,box_height,", "", "./a.jpg,cat,1,2,2,2,", ""],
        ["filename,class,xmin,ymin,xmax,ymax\r", "a.jpg,cat,1,2,3,4\r", "\r"],
        ["filename,class,xmin,ymin,xmax,ymax", "a.jpg,cat,1,2,3,4"],
    ],
    ids=[
        "semicolons, bom, any case",
        "tabs",
        "quotes",
        "width and height, trailing comma, blank lines",
        "crlf",
        "plain",
    ],
)
def test_delimiters_and_layouts(table, lines):
    (image,) = images_of(table(*lines))
    assert image.name == "a.jpg"
    assert [(item.label, item.box_px) for item in image.objects] == [("cat", (2, 1, 4, 3))]
    assert (image.width, image.height) == (None, None)


def test_columns_that_are_told(table):
    lines = ["path,tag,x1,y1,x2,y2", "a.jpg,cat,1,2,3,4"]
    given = {"filename": "Path", "class": "tag", "xmin": "x1", "ymin": "y1", "xmax": "x2", "ymax": "y2"}
    (image,) = images_of(table(*lines, columns=given))
    assert image.objects[0].box_px == (2, 1, 4, 3)
    places = {name: str(place) for place, name in enumerate(["filename", "class", "xmin", "ymin", "xmax", "ymax"], 1)}
    (image,) = images_of(table("a.jpg,cat,1,2,3,4,whatever", columns=places))
    assert (image.place, image.objects[0].box_px) == ("boxes.csv: a.jpg (line 1)", (2, 1, 4, 3))


def test_everything_a_table_can_say(table):
    header = (
        "filename,class,xmin,ymin,xmax,ymax,difficult,is_crowd,group_of,truncated,occluded,depiction,area,confidence,"
        "view,source_id,split"
    )
    found = table(
        header,
        "a.jpg,cat,1,2,3,4,1,true,0,1,-1,0,3.5,0.25,Left,id7,val",
        "a.jpg,dog,1,2,3,4,,no,YES,,,,,,,,",
    )
    (image,) = images_of(found)
    assert (image.source_id, image.split) == ("id7", "val")
    assert image.objects == (
        AnnotatedObject(
            "cat",
            (2, 1, 4, 3),
            "line 2",
            is_crowd=True,
            difficult=True,
            area=3.5,
            features=(("truncated", 1), ("occluded", -1), ("depiction", 0), ("class/score", 0.25), ("view", "Left")),
        ),
        AnnotatedObject(
            "dog",
            (2, 1, 4, 3),
            "line 3",
            group_of=True,
            features=(("truncated", 0), ("occluded", 0), ("depiction", 0), ("view", "Unspecified")),
        ),
    )
    assert all(isinstance(value, int) for _, value in image.objects[0].features[:3])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg,9,9,cat,1,2,3", "the line has 7 columns, expected 8"),
        ("a, b.jpg,9,9,cat,1,2,3,4", "the line has 9 columns, expected 8; is there a comma in a name"),
        ("a.jpg,9,9,cat,1,2,3,nan", "ymax is 'nan', expected a number"),
        ("a.jpg,9,9,cat,1,2,-inf,4", "xmax is '-inf', expected a number"),
        ("a.jpg,9,9,cat,1,2,1_0,4", "xmax is '1_0', expected a number"),
        ("a.jpg,9,9,cat,1,2,9999999999,4", "xmax is '9999999999', expected a number"),
        ("a.jpg,9,9,cat,1,,3,4", "ymin is '', expected a number"),
        ("a.jpg,9,9,,1,2,3,4", "a box without a class"),
        ("a.jpg,9,9,cat,,,,", "the class is 'cat', but there is no box"),
        ("good.jpg,10,9,cat,1,2,3,4", "it says that the image is 10 x 9, where a line before says 9 x 9"),
    ],
)
def test_lines_that_cannot_be_used(table, line, message):
    found = table(HEADER, "good.jpg,9,9,cat,1,2,3,4", line, "good.jpg,,,dog,1,2,3,4")
    ((place, text, _),) = faults_of(found)
    assert place == "boxes.csv: line 3"
    assert message in text
    assert [item.label for item in images_of(found)[0].objects] == ["cat", "dog"]


def test_the_split_of_an_image_can_be_told_in_any_of_its_lines(table):
    header = "filename,class,xmin,ymin,xmax,ymax,split,source_id"
    found = table(header, "a.jpg,cat,1,2,3,4,,", "a.jpg,cat,1,2,3,4,val,7", "a.jpg,cat,1,2,3,4,,")
    (image,) = images_of(found)
    assert (image.split, image.source_id, len(image.objects)) == ("val", "7", 3)


def test_the_size_of_an_image_can_be_told_in_any_of_its_lines(table):
    found = table(
        HEADER, "a.jpg,,,cat,1,2,3,4", "a.jpg,9,,cat,1,2,3,4", "a.jpg,,8,cat,1,2,3,4", "a.jpg,9,7,cat,1,2,3,4"
    )
    (image,) = images_of(found)
    assert (image.width, image.height, len(image.objects)) == (9, 8, 3)
    ((place, text, _),) = faults_of(found)
    assert (place, text[:52]) == ("boxes.csv: line 5", "it says that the image is 9 x 7, where a line before")


@pytest.mark.parametrize("name", ["a.jpg", "good.jpg"])
def test_a_fault_follows_its_image(table, name):
    found = list(table(HEADER, "good.jpg,9,9,cat,1,2,3,4", f"{name},9,9,cat,x,2,3,4").images())
    fault = next(one for one in found if is_fault(one))
    assert (fault.name, fault.of_object) == (name, True)
    assert found[found.index(fault) - 1].name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd.jpg", "leads out of the image folder"),
        ("/etc/a.jpg", "an absolute path"),
        ("C:\\a.jpg", "an absolute path"),
        ("s3://bucket/a.jpg", "an absolute path"),
        ("", "the image's name is empty"),
        ("photos/", "that of a folder"),
        (b"caf\xe9.jpg", "not UTF-8"),
        ("a\0.jpg", "NUL"),
        ('"a\nb.jpg"', "characters that no file name can have"),
    ],
)
def test_names_that_lead_elsewhere_or_nowhere(table, name, message):
    name = name if isinstance(name, bytes) else name.encode()
    found = table(HEADER, "good.jpg,9,9,cat,1,2,3,4", name + b",9,9,cat,1,2,3,4", "good.jpg,9,9,dog,1,2,3,4")
    ((place, text, image),) = faults_of(found)
    assert (place, image) == ("boxes.csv: line 3", None)
    assert message in text
    assert len(images_of(found)[0].objects) == 2


def test_absolute_paths_into_the_image_folder_are_taken_as_below_it(table, tmp_path):
    lines = [HEADER, f"{tmp_path}/photos/x/a.jpg,9,9,cat,1,2,3,4", "/else/b.jpg,9,9,cat,1,2,3,4"]
    found = table(*lines, images=f"{tmp_path}/photos/")
    assert [image.name for image in images_of(found)] == ["x/a.jpg"]
    assert len(faults_of(found)) == 1


def test_boxes_between_0_and_1_are_taken_to_be_normalised_and_it_is_said(table):
    lines = [HEADER, "a.jpg,640,480,cat,0,0.25,0.5,1.0", "b.jpg,,,dog,-0.001,0,1,1", "c.jpg,,,,,,,"]
    cat, dog, nothing = images_of(table(*lines))
    assert (cat.normalised, cat.objects[0].box_px) == (True, (0.25, 0, 1, 0.5))
    assert cat.in_pixels(640, 480).objects[0].box_px == (120, 0, 480, 320)
    assert isinstance(cat.notes[0], AnnotationNote)
    assert cat.notes[0].kind == "images_with_recognised_units"
    assert "between 0 and 1" in cat.notes[0].text
    assert dog.notes
    assert not nothing.notes
    told = images_of(table(*lines, boxes="normalised"))
    assert told[0].normalised
    assert not told[0].notes
    pixels = images_of(table(*lines, boxes="pixels"))
    assert not pixels[0].normalised
    assert not pixels[0].notes


def test_boxes_of_which_most_lie_between_0_and_1_are_not_guessed(table):
    lines = [HEADER, *["a.jpg,,,cat,0,0,0.5,0.5"] * 9, "a.jpg,,,cat,0,0,1.5,0.5"]
    with pytest.raises(UsageError, match=r"but not all \(90.0%\); say which it is with --csv_boxes"):
        table(*lines)
    assert images_of(table(*lines, boxes="normalised"))[0].normalised
    assert not images_of(table(*lines, boxes="pixels"))[0].normalised
    assert not images_of(table(HEADER, "a.jpg,,,cat,0,0,0.5,0.5", "a.jpg,,,cat,0,0,9,9"))[0].normalised


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ([""], {}, "the file is empty"),
        ([HEADER], {}, "no line of the table is about an image"),
        ([HEADER, "/x.jpg,,,,,,,"], {}, "no line of the table is about an image; boxes.csv: line 2: the image's name"),
        (["image,xmin,ymin,xmax,ymax,label"], {}, "perhaps it is --csv_columns filename=image,class=label"),
        (
            ["path,x1,y1,w,h,class"],
            {},
            "--csv_columns filename=path,xmin=x1,ymin=y1,box_width=w,box_height=h",
        ),
        (["a,b"], {}, "say which they are with --csv_columns, such as filename=image,class=label"),
        (["filename,class,class,xmin,ymin,xmax,ymax"], {}, "two columns are called 'class'"),
        ([HEADER], {"columns": {"clas": "label"}}, "'clas' is not something that boxbeam reads from a table; did you"),
        ([HEADER], {"columns": {"class": "Clas"}}, "no column 'Clas' (--csv_columns class=Clas); did you mean 'class'"),
        (["a,b"], {"columns": {"filename": "1", "class": "3"}}, "class=3, but the first line has 2 columns"),
        (["a,b"], {"columns": {"filename": "0"}}, "filename=0"),
        ([b"\xff\xfef\0i\0l\0e\0"], {}, "UTF-16"),
        ([HEADER], {"boxes": "metres"}, "'metres' is not one of auto, pixels, normalised"),
        ([HEADER, '"a.jpg' + "x" * 200_000], {}, "line 2: cannot be read as a table (field larger than field limit"),
        ([HEADER, "x" * (1 << 20)], {}, "a line of more than a million characters"),
    ],
)
def test_tables_that_are_none(table, lines, options, message):
    with pytest.raises(UsageError) as error:
        table(*lines, **options)
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "boxes.csv").write_text("")
    with pytest.raises(UsageError, match="did you mean"):
        read_csv(str(tmp_path / "boxs.csv"))


@pytest.mark.parametrize(
    ("broken", "later"),
    [
        ('"a.jpg,9,9,cat,1,2,3,4', 'b.jpg,9,9,"cat",1,2,3,4'),
        ('a.jpg,9,9,"cat,1,2,3,4', 'b.jpg,9,9,"cat",1,2,3,4'),  # together they have as many columns as a line
        ('a.jpg,9,9,cat,1,2,3,"4', "b.jpg,9,9,cat,1,2,3,4"),
        ('a.jpg,9,9,"cat,1,2,3,4', '"b.jpg","9","9","cat","1","2","3","4"'),
    ],
)
@pytest.mark.parametrize("between", [0, 20_000])  # so much is more than one field can have
def test_an_unclosed_quotation_mark_costs_its_own_line(table, broken, later, between):
    good = "good.jpg,9,9,cat,1,2,3,4"
    found = table(HEADER, good, broken, *[good] * between, later, broken, 'c.jpg,9,9,"c\nat",1,2,3,4', good)
    message = "a quotation mark opens a field, and none closes it; remove it"
    places = (f"boxes.csv: line {number}" for number in (3, between + 5))
    assert faults_of(found) == [(place, message, None) for place in places]
    images = {image.name: [item.label for item in image.objects] for image in images_of(found)}
    assert images == {"good.jpg": ["cat"] * (between + 2), "b.jpg": ["cat"], "c.jpg": ["c\nat"]}
    assert images_of(found)[-1].objects[0].place == f"line {between + 6}"


def test_an_unclosed_quotation_mark_costs_its_own_line_where_none_follows(table):
    found = table(HEADER, "a.jpg,9,9,cat,1,2,3,4", 'a.jpg,9,9,"cat,1,2,3,4', *["b.jpg,9,9,cat,1,2,3,4"] * 3)
    assert [place for place, _, _ in faults_of(found)] == ["boxes.csv: line 3"]
    assert {image.name: len(image.objects) for image in images_of(found)} == {"a.jpg": 1, "b.jpg": 3}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("difficult", "maybe", "difficult is 'maybe', expected 1 or 0"),
        ("occluded", "3", "occluded is '3', expected 1 or 0"),
        ("confidence", "87", "the confidence is '87', expected a number from 0 to 1"),
        ("confidence", "nan", "the confidence is 'nan'"),
    ],
)
def test_values_that_are_none(table, column, value, message):
    found = table(f"filename,class,xmin,ymin,xmax,ymax,{column}", f"a.jpg,cat,1,2,3,4,{value}")
    ((_, text, name),) = faults_of(found)
    assert message in text
    assert name == "a.jpg"


def test_an_area_that_is_none_is_not_known(table):
    found = table("filename,class,xmin,ymin,xmax,ymax,area", *(f"a.jpg,c,1,2,3,4,{v}" for v in ("-1", "inf", "", "2")))
    assert [item.area for item in images_of(found)[0].objects] == [None, None, None, 2.0]


def test_where_the_images_lie(tmp_path):
    for folder in ("beside", "inner/images"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jpg").touch()
    for folder in ("beside", "inner"):
        (tmp_path / folder / "boxes.csv").write_text(f"{HEADER}\nmissing.jpg,,,,,,,\na.jpg,,,,,,,\n")
    assert read_csv(str(tmp_path / "beside/boxes.csv")).images_folder == str(tmp_path / "beside")
    assert read_csv(str(tmp_path / "inner/boxes.csv")).images_folder == str(tmp_path / "inner/images")


def test_a_hundred_thousand_boxes_in_one_image(table):
    found = table(HEADER, *(f"a.jpg,9,9,cat,1,2,3,{4 + number}" for number in range(100_000)))
    (image,) = images_of(found)
    assert len(image.objects) == 100_000
    assert image.objects[-1] == AnnotatedObject("cat", (2, 1, 100_003, 3), "line 100001")


rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["cat", "dog"]), st.tuples(*[st.floats(-1e6, 1e6)] * 4)),
    min_size=1,
)


@given(rows=rows)
def test_every_box_is_there_once_and_in_order(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "boxes.csv"
    lines = [f"{name}.jpg,{label},{','.join(map(repr, box))}" for name, label, box in rows]
    path.write_text("\n".join(["filename,class,ymin,xmin,ymax,xmax", *lines]))
    found = images_of(read_csv(str(path), boxes="pixels"))
    assert [image.name for image in found] == [f"{name}.jpg" for name in dict.fromkeys(name for name, _, _ in rows)]
    for image in found:
        mine = [(label, box) for name, label, box in rows if f"{name}.jpg" == image.name]
        assert [(item.label, item.box_px) for item in image.objects] == mine
        assert not any(math.isnan(edge) for item in image.objects for edge in item.box_px)
