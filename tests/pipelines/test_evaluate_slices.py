"""Slices of an evaluation: by folder, by a column of detections or of ground truth, by an expression."""

import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs import evaluate
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import WHOLE, found_row, truth_row
from tests.pipelines.made_annotations import picture, write_files

KEYS = ("a/x_1.jpg", "a/b/x_2.jpg", "y.jpg")


@pytest.fixture
def run(tmp_path, capsys):
    """Evaluate with slices; returns them, with the number of frames of each, or what was complained of."""
    folder = files.write_detections(tmp_path / "found", [found_row(key, (1, WHOLE, 0.9)) for key in KEYS], per_file=2)
    for name, values in (("00000.parquet", ["sun", None]), ("00001.parquet", ["rain"])):
        table = pq.read_table(folder / name).append_column("weather", pa.array(values))
        table = table if name[4] == "1" else table.append_column("only_here", pa.array([1, 2]))
        pq.write_table(table, folder / name)

    def run(truth: pathlib.Path, *words: str, options=()):
        argv = [f"--detections={folder}", f"--ground_truth={truth}", f"--output={tmp_path}/scores", "--metrics=voc"]
        status = evaluate.main([*argv, *(f"--slice_by={word}" for word in words), *options])
        err = capsys.readouterr().err
        if status:
            assert status == 2
            return err
        ways = json.loads((tmp_path / "scores/metrics.json").read_text())["insight"]["slices"]["by"]
        return {way["kind"]: {one["name"]: one["frames"] for one in way["slices"]} for way in ways}

    return run


@pytest.fixture
def truth(tmp_path):
    rows = [truth_row(key, (1, WHOLE), source_id=str(number)) for number, key in enumerate(KEYS)]
    path = files.write_truth(tmp_path / "truth.parquet", rows, splits=["day", "night", "day"])
    table = pq.read_table(path)
    table = table.append_column("camera", pa.array([7, None, 9])).append_column("weather", pa.array(["fog"] * 3))
    pq.write_table(table, path)
    return path


def test_of_every_row(run, truth):
    ways = ("folder", "weather", "width", r"x_(\d)", r"^(a)?/?(b)?", "camera", "split", "source_id", "width")
    assert run(truth, *ways, options=["--verdicts"]) == {
        "folder": {"a": 1, "a/b": 1, "(top)": 1},
        "weather": {"sun": 1, "(none)": 1, "rain": 1},  # a column of both is that of the detections
        "width": {"200": 3},
        r"x_(\d)": {"1": 1, "2": 1, "(other)": 1},
        r"^(a)?/?(b)?": {"a/": 1, "a/b": 1, "/": 1},
        "camera": {"7": 1, "9": 1, "(none)": 1},
        "split": {"day": 2, "night": 1},
        "source_id": {"0": 1, "1": 1, "2": 1},
    }


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("wether", "have such a column; did you mean weather"),
        ("camra", "have such a column; did you mean camera"),
        ("only_here", "neither detections nor ground truth have such a column; "),
        ("detections", "have such a column"),
        ("objects", "have such a column"),
        ("x_.", "needs a group in round brackets"),
        ("(", "neither a column nor a regular expression"),
    ],
)
def test_what_is_neither_a_column_nor_an_expression(run, truth, word, message):
    assert message in run(truth, word)


CSV = "filename,width,height,class,ymin,xmin,ymax,xmax,camera,split\n" + "".join(
    f"{key},200,100,cat,0,0,100,200,{camera},{split}\n"
    for key, camera, split in zip(KEYS, ("7", "8", ""), ("day", "night", "day"), strict=True)
)
COCO = {
    "images": [
        {"id": n, "file_name": key, "width": 200, "height": 100, **more}
        for n, (key, more) in enumerate(zip(KEYS, ({"camera": 7}, {"camera": "8"}, {}), strict=True))
    ],
    "annotations": [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 200, 100], "area": 1, "iscrowd": 0} for n in range(3)
    ],
    "categories": [{"id": 1, "name": "cat"}],
}


@pytest.mark.parametrize(
    ("name", "content", "ways"),
    [
        ("t.csv", CSV, {"camera": {"7": 1, "8": 1, "(none)": 1}, "split": {"day": 2, "night": 1}}),
        ("t.json", json.dumps(COCO), {"camera": {"7": 1, "8": 1, "(none)": 1}, "source_id": {"0": 1, "1": 1, "2": 1}}),
    ],
)
def test_columns_of_annotation_files(run, tmp_path, name, content, ways):
    write_files(tmp_path / "set", {name: content})
    assert run(tmp_path / "set" / name, *ways) == ways
    assert "have such a column; did you mean" in run(tmp_path / "set" / name, "sourceid")


def test_columns_of_open_images(run, tmp_path):
    table = "ImageID,Source,LabelName,XMin,XMax,YMin,YMax\nx_1,xclick,/m/1,0,1,0,1\nx_2,activemil,/m/1,0,1,0,1\n"
    content = {
        "annotations/v-annotations-bbox.csv": table + "y,xclick,/m/1,0,1,0,1\n",
        "annotations/class-descriptions.csv": "/m/1,cat",
        **{f"images/{name}.jpg": picture(1) for name in ("x_1", "x_2", "y")},
    }
    write_files(tmp_path / "set", content)
    assert run(tmp_path / "set", "Source") == {"Source": {"xclick": 2, "activemil": 1}}
