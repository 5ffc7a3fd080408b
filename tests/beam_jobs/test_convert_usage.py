"""convert through its command line: what is refused and how, what is planned, what a person reads at the end."""

import pathlib
import re
from collections.abc import Callable

import pytest

from beam_jobs import cli, convert
from tests.pipelines.made_annotations import (
    index_of,
    manifest_of,
    picture,
    voc_object,
    voc_xml,
    write_coco,
    write_files,
    write_voc,
)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with a VOC data set in voc/ and a label map for it."""
    write_voc(tmp_path / "voc", 10)
    (tmp_path / "labels.pbtxt").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dog' }")
    return tmp_path


@pytest.fixture
def command(place: pathlib.Path) -> Callable[..., list[str]]:
    """The arguments of a proper command line, with some replaced; True is a flag without a value."""

    def made(**changes: object) -> list[str]:
        arguments = {"input": place / "voc", "output": place / "out", "isolation": "none", "progress": "off", **changes}
        argv = []
        for name, value in arguments.items():
            values = value if isinstance(value, list) else [] if value is True else [value]
            argv += [f"--{name}", *map(str, values)]
        return argv

    return made


@pytest.fixture
def refusal(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a command line is refused with; nothing was written."""

    def refused(**changes: object) -> str:
        before = files(place)
        status: object
        try:
            status = convert.main(command(**changes))
        except SystemExit as stopped:  # argparse's way, for a missing or malformed value
            status = stopped.code
        printed = capsys.readouterr()
        assert (status, printed.out) == (2, ""), printed.err
        assert printed.err.startswith("boxbeam convert: error: ")
        assert printed.err.count("\n") == 1, "more than one line"
        assert files(place) == before
        return printed.err.removeprefix("boxbeam convert: error: ").removesuffix("\n")

    return refused


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# What is refused


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ("train=0.8,val=0.1", "--splits: the shares must sum to 1, they sum to 0.9; write train=0.8,val=0.2"),
        ("train=1,val=0", "--splits: every share must be above 0 and at most 1, as in train=0.8,val=0.2"),
        ("train=0.8,train=0.2", "argument --splits: names train twice: 'train=0.8,train=0.2'"),
        ("train,val", "argument --splits: must be like train=0.8,val=0.2, got 'train,val'"),
        ("", "argument --splits: must be like train=0.8,val=0.2, got ''"),
        ("train=0.8,", "argument --splits: must be like train=0.8,val=0.2, got 'train=0.8,'"),
        ("train=80,val=20", "argument --splits: must be from 0 to 1, got '80'"),
        ("train=x", "argument --splits: must be a number, got 'x'"),
        ("train=nan,val=1", "argument --splits: must be a number, got 'nan'"),
        ("my-train=1", "--splits: 'my-train' cannot be the name of a split: letters, digits and _ only"),
        ("../up=1", "--splits: '../up' cannot be the name of a split: letters, digits and _ only"),
    ],
)
def test_splits_that_make_no_sense(refusal: Callable[..., str], splits: str, message: str) -> None:
    assert refusal(splits=splits).removesuffix(" (see boxbeam convert --help)") == message


def test_a_wrong_expression(refusal: Callable[..., str]) -> None:
    said = refusal(split_by="img(\\d+")
    assert said.startswith("--split_by: expected image, folder or a regular expression, got 'img(\\\\d+' (missing )")


def test_a_division_that_divides_nothing(refusal: Callable[..., str]) -> None:
    assert refusal(split_by="folder") == (
        "--split_by folder: all 10 images are in one folder, so they cannot be divided among train, val; choose another"
        " --split_by, or one split such as --splits train=1"
    )
    assert refusal(split_by="clip\\d").startswith("--split_by: 'clip\\d' is found in none of the 10 image names")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"shard_bytes": "1MiB"}, {"num_shards": 2}),
        ({"images_per_shard": 5}, {"num_shards": 2}),
        ({"shard_bytes": "1MiB"}, {"images_per_shard": 2}),
    ],
)
def test_shard_options_exclude_each_other(
    refusal: Callable[..., str], one: dict[str, object], other: dict[str, object]
) -> None:
    assert "not allowed with argument --" in refusal(**one, **other)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shard_bytes", "none", "must be a size such as 128MiB, got 'none'"),
        ("shard_bytes", "auto", "must be a size such as 128MiB, got 'auto'"),
        ("shard_bytes", "100", "must be at least 1MiB, got '100'"),
        ("num_shards", "0", "--num_shards"),
        ("images_per_shard", "-1", "--images_per_shard"),
        ("seed", "-1", "must be a whole number, got '-1'"),
        ("seed", "1.5", "must be a whole number, got '1.5'"),
        ("boxes", "squeeze", "invalid choice: 'squeeze'"),
        ("unknown_label", "ask", "invalid choice: 'ask'"),
        ("format", "yolo9", "invalid choice: 'yolo9'"),
        ("imges", "x", "unknown option --imges; did you mean --images?"),
        ("split_bye", "x", "unknown option --split_bye; did you mean --split_by?"),
    ],
)
def test_values_that_make_no_sense(refusal: Callable[..., str], name: str, value: str, message: str) -> None:
    assert message in refusal(**{name: value})


def test_paths_at_which_there_is_nothing(refusal: Callable[..., str], place: pathlib.Path) -> None:
    assert refusal(input=place / "vok") == f"{place}/vok: no such file or folder; did you mean {place}/voc?"
    assert refusal(images=place / "gone") == f"{place}/gone: no such image folder (--images)"
    file = place / "labels.pbtxt"
    assert refusal(images=file) == f"{file}: no such image folder (--images)"
    assert refusal(label_map=place / "gone.pbtxt").startswith(f"{place}/gone.pbtxt: cannot read the label map")


def test_the_wrong_image_folder(refusal: Callable[..., str], place: pathlib.Path) -> None:
    write_files(place / "photos", {"x.jpg": picture()})
    assert refusal(images=place / "photos") == (
        "none of 10 annotated images is there. Annotations/img00.xml: there is no image img00.jpg in"
        f" {place}/photos. Say with --images DIR where they lie"
    )


def test_a_folder_without_annotations(refusal: Callable[..., str], place: pathlib.Path) -> None:
    assert refusal(input=place / "voc/JPEGImages") == (
        f"{place}/voc/JPEGImages: nothing but images, and annotations seem to lie beside them; give {place}/voc or"
        f" {place}/voc/Annotations, or say --format images for images without annotations"
    )


def test_classes_the_label_map_lacks(refusal: Callable[..., str], place: pathlib.Path) -> None:
    (place / "labels.pbtxt").write_text("item { id: 1 name: 'cat' } item { id: 2 name: 'dogs' }")
    said = refusal(label_map=place / "labels.pbtxt", dry_run=True)
    assert said.startswith(
        "the label map has no class called 'dog' (4 objects, first in Annotations/img00.xml: object 2, did you mean"
        " 'dogs'?). It has: cat, dogs."
    )


def test_an_output_with_another_programs_shards(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(place / "out", {"val-00000-of-00002.tfrecord": "x", "val-00001-of-00002.tfrecord": "x"})
    assert convert.main(command()) == 2
    assert capsys.readouterr().err == (
        f"boxbeam convert: error: {place}/out: holds record shards that boxbeam convert did not write"
        " (val-00000-of-00002.tfrecord and 1 more): nobody could tell them from the new ones; choose another --output\n"
    )


def test_other_options_than_before(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert.main(command()) == 0
    assert convert.main(command(boxes="drop")) == 2
    assert "was made with other options: --boxes was clip, now drop" in capsys.readouterr().err
    assert convert.main(command(boxes="drop", overwrite=True)) == 0
    assert manifest_of(place / "out")["options"]["--boxes"] == "drop"


# What is done


def test_a_dry_run_writes_nothing(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(place)
    assert convert.main(command(dry_run=True, images_per_shard=4)) == 0
    assert files(place) == before
    assert not (place / "out").exists()
    head, inputs, to_do, _ = capsys.readouterr().out.splitlines()
    assert head == f"convert: plan for {place}/out (nothing is done)"
    assert re.fullmatch(r"  inputs: \d images in 2 shards of train, \d images? in 1 shard of val \(.* KiB\)", inputs)
    assert to_do.endswith(" in 3 items")


def test_all_done(command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", *command(splits="train = 0.5, val=0.5", seed=2, num_shards=2)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("convert: finished in ")
    assert head.endswith(f": {place}/out")
    assert lines[0] == "  10 inputs: 10 done, 0 empty, 0 failed"
    assert lines[1] == "  14 boxes, 10 images"
    train = sum(row["split"] == "train" for row in index_of(place / "out"))
    assert lines[2:4] == [f"  train: {train} records in 2 shards", f"  val: {10 - train} records in 2 shards"]
    assert convert.main(command(splits="train=0.5,val=0.5", seed=2, num_shards=2)) == 0
    assert capsys.readouterr().out.startswith(f"convert: nothing to do: {place}/out is complete\n")


def test_some_failed(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "voc/JPEGImages/img04.jpg").write_bytes(picture(4)[:100])
    (place / "voc/Annotations/img05.xml").write_text("<annotation>")
    (place / "voc/Annotations/img06.xml").write_text(voc_xml("img06.jpg", [voc_object("cat", (-9, 1, 9, 9))] * 2))
    (place / "voc/JPEGImages/img07.jpg").unlink()
    assert convert.main(command()) == 3
    printed = capsys.readouterr().out
    assert "  10 inputs: 7 done, 0 empty, 3 failed\n" in printed
    assert "2 boxes clipped" in printed
    for line in (
        "img04.jpg: ",
        "Annotations/img05.xml: Annotations/img05.xml: not well-formed XML",
        "img07.jpg: Annotations/img07.xml: there is no image img07.jpg in ",
    ):
        assert line in printed
    assert convert.main(command()) == 3, "it has failed inputs still"


def test_too_many_failed(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        write_files(place / "voc", {f"Annotations/x{number}.xml": "<annotation>"})
    assert convert.main(command()) == 1
    assert "--max_failed_ratio" in capsys.readouterr().err


def test_several_inputs_of_one_format_are_one_dataset(command: Callable[..., list[str]], place: pathlib.Path) -> None:
    paths = []
    for number, split in enumerate(("train", "val"), 1):
        write_files(place / "coco" / split, {f"{split}.jpg": picture(number)})
        box = {"image_id": number, "category_id": 1, "bbox": [1, 1, 5, 5]}
        images = [{"id": number, "file_name": f"{split}.jpg"}]
        paths.append(write_coco(place / f"coco/annotations/instances_{split}.json", images, [box], {1: "cat"}))
    assert convert.main(command(input=paths, splits="all=1")) == 0
    assert [(row["key"], row["source_id"]) for row in index_of(place / "out")] == [("train.jpg", "1"), ("val.jpg", "2")]


def test_the_manual_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        convert.main(["--help"])
    printed = capsys.readouterr().out
    options = (
        "splits split_by shard_bytes boxes unknown_label label_map seed masks keypoints exif max_side shuffle verify"
    )
    for option in [f"--{name}" for name in options.split()]:
        assert option in printed
    assert "exit status:" in printed


def test_the_table_at_the_end(
    command: Callable[..., list[str]], place: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"class {number:02}" for number in range(25)]
    objects = [voc_object(name, (1, 1, 9, 9)) for name in names]
    write_files(place / "voc", {"Annotations/x.xml": voc_xml("x.jpg", objects), "JPEGImages/x.jpg": picture(50)})
    (place / "voc/Annotations/img06.xml").write_text(voc_xml("img06.jpg", [voc_object("cat", (-9, 1, 9, 9))] * 3))
    (place / "voc/JPEGImages/img07.jpg").write_bytes(picture(7)[:300])
    (place / "voc/JPEGImages/alone.jpg").write_bytes(picture(9))
    assert convert.main(command(splits="train=0.5,val=0.5", seed=2)) == 3
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    rows = [line.split() for line in lines]
    assert ["found", "written", "dropped", "rejected"] in rows
    assert ["images", "11", "10", "0", "1"] in rows
    assert ["boxes", "40", "39", "0", "1"] in rows
    assert "0 of the images written have no boxes, 3 of the boxes are clipped" in lines
    assert "1 image rejected: damaged, too large, or no image at all" in lines
    at = lines.index("3 boxes clipped: over the border of the image")
    assert [line.split(" (cat)")[0] for line in lines[at + 1 : at + 4]] == [
        "Annotations/img06.xml: object 1",
        "Annotations/img06.xml: object 2",
        "1 box rejected: their image was rejected",
    ]
    assert "1 image not converted: in the image folder, but in no annotation: alone.jpg" in lines
    (cats,) = (row for row in rows if row[:1] == ["cat"])
    in_train = [row for row in index_of(place / "out") if row["split"] == "train" and row["objects"]]
    assert cats[1] == str(sum(any(item["label"] == "cat" for item in row["objects"]) for row in in_train))
    assert "and 7 more with 7 boxes" in lines
    assert any(line.endswith(" and 17 more") and "has no class 00, class 01" in line for line in lines)
    assert lines[-1] == f"in full: {place}/out/report.json"


def test_splits_of_inputs(command: Callable[..., list[str]], refusal: Callable[..., str], place: pathlib.Path) -> None:
    voc = place / "voc"
    assert refusal(input=[f"train={voc}", voc]) == (
        f"--input: {voc} is in no split, the others are; write SPLIT={voc} (see boxbeam convert --help)"
    )
    assert refusal(input=[f"train={voc}"], splits="train=1") == (
        "--splits divides by shares, but --input says already what is in train; leave one out"
    )
    assert refusal(input=[f"train={voc}"], split_by="folder") == (
        "--split_by folder has nothing to divide where the splits are given; leave it out"
    )
    once = f"name it once. To divide one data set among splits, write --input {voc} --splits train=0.8,val=0.2"
    assert refusal(input=[f"train={voc}", f"val={voc}"]) == (
        f"--input names {voc} more than once, as train= and val=, and its images would be in train and in val; {once}"
    )
    assert refusal(input=[voc, voc]) == f"--input names {voc} more than once; {once}"
    assert refusal(input=[f"train={place}/vok"]).startswith(f"{place}/vok: no such file or folder")
    (place / "a=b").symlink_to(voc)
    assert convert.main(command(input=[f"a={place}/a=b"], splits="given", output=place / "named")) == 0
    assert {row["split"] for row in index_of(place / "named")} == {"a"}


def test_a_path_with_an_equals_sign_is_a_path(
    command: Callable[..., list[str]], place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a=b").symlink_to(place / "voc")
    monkeypatch.chdir(place)
    assert convert.main(command(input="a=b")) == 0
    assert {row["split"] for row in index_of(place / "out")} == {"train", "val"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("exif", "turn", "invalid choice: 'turn'"),
        ("max_side", "0", "--max_side"),
        ("jpeg_quality", "96", "must be from 1 to 95, got '96'"),
        ("jpeg_quality", "x", "must be a whole number, got 'x'"),
        ("verify", "none", "invalid choice: 'none'"),
        ("compression", "zstd", "invalid choice: 'zstd'"),
        ("shuffle", "maybe", "invalid choice: 'maybe'"),
    ],
)
def test_values_of_image_options(refusal: Callable[..., str], name: str, value: str, message: str) -> None:
    assert message in refusal(**{name: value})


def test_every_option_reaches_the_records(command: Callable[..., list[str]], place: pathlib.Path) -> None:
    (place / "voc/JPEGImages/img00.jpg").write_bytes(picture(0, orientation=3))
    given = {"exif": "keep", "max_side": 16, "jpeg_quality": 50, "verify": "header", "compression": "gzip"}
    assert convert.main(command(shuffle="off", splits="train=1", num_shards=1, **given)) == 0
    rows = index_of(place / "out")
    assert {row["width"] for row in rows} == {16}
    assert [row["key"] for row in sorted(rows, key=lambda row: row["record_index"])] == [row["key"] for row in rows]
    assert {row["shard"] for row in rows} == {"train-00000-of-00001.tfrecord.gz"}
    assert {remark["kind"] for row in rows for remark in row["remarks"]} == {"images_scaled"}
    options = manifest_of(place / "out")["options"]
    assert {name: options[f"--{name}"] for name in given} == {name: str(value) for name, value in given.items()}
