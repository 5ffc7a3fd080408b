"""Exports, read back by the tools they are for and by boxbeam's own readers."""

import contextlib
import csv
import io
import json
import pathlib
from xml.etree import ElementTree

import pytest
import yaml
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from od_core.annotations.annotated import AnnotatedImage
from od_core.annotations.voc import open_voc
from od_core.detections import Detections
from od_core.errors import OutputError, UsageError
from od_core.records.tfrecord import read_records
from od_core.schemas import FrameError, FrameRow
from pipelines.export import ExportAsk, Exported, export
from tests.pipelines.evaluation_files import failed_row, found_row, write_detections

SLIVER = (0.1, 0.2, 0.3, 0.7)
INNER = (0.333333, 0.0123456, 0.99, 0.5)

ROWS = [
    found_row("a/one.jpg", (1, SLIVER, 0.9), (2, INNER, 0.4)),
    found_row("a/one.png", (2, INNER, 0.6)),
    found_row("b/empty.jpg"),
    failed_row("b/gone.jpg"),
    FrameRow("clip.mp4", "/in/clip.mp4", "video", 3, None, 1_120_000, 64, 48, Detections.empty()),
    FrameRow(
        "clip.mp4", "/in/clip.mp4", "video", 8, None, 1_320_000, 64, 48, Detections.best_first([SLIVER], [0.5], [1])
    ),
    FrameRow("clip.mp4", "/in/clip.mp4", "video", error=FrameError("decode", "VideoError", "cut off", 8)),
    failed_row("lost.mp4", frame=None, kind="video"),
]


@pytest.fixture
def found(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_detections(tmp_path / "found", ROWS)


def exported(found: pathlib.Path, format: str, **options: object) -> tuple[pathlib.Path, Exported]:
    output = found.parent / f"exported_{format}"
    return output, export(ExportAsk(str(found), str(output), format, **options))


def coco_of(path: pathlib.Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_coco_is_a_data_set_that_pycocotools_reads(found: pathlib.Path) -> None:
    path, done = exported(found, "coco")
    assert done == Exported(5, 3, 4, ())
    coco = coco_of(path)
    assert coco.cats == {1: {"id": 1, "name": "cat"}, 2: {"id": 2, "name": "dog"}}
    names = ["a/one.jpg", "a/one.png", "b/empty.jpg", "clip.mp4/000000003.jpg", "clip.mp4/000000008.jpg"]
    assert [image["file_name"] for image in coco.loadImgs(sorted(coco.imgs))] == names
    assert coco.imgs[5] == {
        **{"id": 5, "file_name": names[4], "width": 64, "height": 48},
        **{"video": "clip.mp4", "frame_index": 8, "timestamp_us": 1_320_000},
    }
    (first, second) = coco.loadAnns(coco.getAnnIds(imgIds=1))
    assert first["bbox"] == pytest.approx([40, 10, 100, 20])
    assert (first["category_id"], first["score"], first["iscrowd"]) == (1, 0.899999976, 0)
    assert first["area"] == pytest.approx(2000)
    assert second["score"] == 0.400000006


def test_coco_results_have_the_ids_of_a_ground_truth(found: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """In another numbering of classes, from 0, and of images; evaluated against themselves they are perfect."""
    truth = {
        "images": [{"id": 77, "file_name": "one.png", "width": 200, "height": 100}],
        "annotations": [
            {
                **{"id": 5, "image_id": 77, "category_id": 0, "iscrowd": 0, "area": 1.0},
                "bbox": [2.46912, 33.3333, 97.53088, 65.6667],
            }
        ],
        "categories": [{"id": 0, "name": "dog"}, {"id": 4, "name": "bird"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    path, done = exported(found, "coco", ground_truth=str(tmp_path / "truth.json"))
    (result,) = json.loads(path.read_text())
    assert (result["image_id"], result["category_id"]) == (77, 0)
    assert done.notes == ("4 images left out, the ground truth lacks them",)
    coco = coco_of(tmp_path / "truth.json")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(str(path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_coco_results_have_ids_of_images_as_the_ground_truth_writes_them(
    found: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    ids = {"a/one.jpg": "007", "a/one.png": "12"}
    truth = {
        "images": [{"id": id, "file_name": name} for name, id in ids.items()],
        "annotations": [],
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    path, _ = exported(found, "coco", ground_truth=str(tmp_path / "truth.json"))
    assert {result["image_id"] for result in json.loads(path.read_text())} == {"007", "12"}


def test_coco_results_leave_out_classes_that_the_ground_truth_lacks(
    found: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    truth = {"images": [{"id": "x9", "file_name": "a/one.jpg"}], "annotations": [], "categories": []}
    truth["categories"] = [{"id": 3, "name": "cat"}]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    path, done = exported(found, "coco", ground_truth=str(tmp_path / "truth.json"))
    assert [result["image_id"] for result in json.loads(path.read_text())] == ["x9"]
    assert "1 detections of the class 'dog' left out, the ground truth lacks it" in done.notes


def test_names_in_yolos_data_yaml_are_read_back(tmp_path: pathlib.Path) -> None:
    names = {1: "c,at: 'x' # \"\\", 2: "na\u00efve \u732b", 3: "\U0001f431 \u2028\x7f\n\x01"}
    rows = [found_row("a.jpg", *[(class_id, (0.0, 0.0, 1.0, 1.0), 0.5) for class_id in names])]
    folder, _ = exported(write_detections(tmp_path / "found", rows, names), "yolo")
    fields = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert list(fields["names"].values()) == list(names.values())


def test_ground_truth_of_other_images_is_refused(found: pathlib.Path, tmp_path: pathlib.Path) -> None:
    truth = {"images": [{"id": 1, "file_name": "z.jpg"}], "annotations": [], "categories": []}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with pytest.raises(UsageError, match=r"'a/one.jpg', it of 'z.jpg'"):
        exported(found, "coco", ground_truth=str(tmp_path / "truth.json"))


def test_voc_files_lie_like_the_images(found: pathlib.Path) -> None:
    """Also where images differ in their ending only; what failed has no file, what is empty has one."""
    folder, done = exported(found, "voc")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("Annotations/a/one.xml", "Annotations/a/one.png.xml", "Annotations/b/empty.xml", "manifest.json"),
        *(f"Annotations/clip.mp4/{number:09d}.xml" for number in (3, 8)),
    }
    assert done.notes == ("1 images differ from another one in their ending only: their files have the whole name",)
    root = ElementTree.parse(folder / "Annotations/a/one.png.xml").getroot()
    assert [root.findtext(path) for path in ("folder", "filename", "size/width", "size/height", "size/depth")] == [
        *("a", "one.png", "200", "100", "3"),
    ]
    assert [child.tag for child in root.find("object/bndbox")] == ["xmin", "ymin", "xmax", "ymax"]
    assert root.findtext("object/score") == "0.600000024"


def test_voc_escapes_whatever_a_label_or_key_holds(tmp_path: pathlib.Path) -> None:
    labels = {1: "<script>&amp;\x01", 2: "日本 'x\""}
    rows = [found_row("../<b>&.jpg", (1, SLIVER, 0.9), (2, INNER, 0.5))]
    folder, _ = exported(write_detections(tmp_path / "found", rows, labels), "voc")
    (image,) = open_voc(str(folder)).images()
    assert isinstance(image, AnnotatedImage)
    assert [item.label for item in image.objects] == ["<script>&amp;\ufffd", "日本 'x\""]
    assert image.name == "_/<b>&.jpg"
    assert not (tmp_path / "<b>&.xml").exists()


def test_yolo_is_lines_of_centres(found: pathlib.Path) -> None:
    folder, _ = exported(found, "yolo")
    lines = [line.split() for line in (folder / "labels/a/one.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == ["0", "1"]
    assert [float(x) for x in lines[0][1:]] == pytest.approx([0.45, 0.2, 0.5, 0.2])
    assert (folder / "labels/b/empty.txt").read_text() == ""
    assert not (folder / "labels/b/gone.txt").exists()
    assert (folder / "data.yaml").read_text() == (
        'path: .\ntrain: images\nval: images\nnames:\n  0: "cat"\n  1: "dog"\n'
    )


def test_yolo_boxes_end_at_the_border_and_scores_are_for_those_who_ask(tmp_path: pathlib.Path) -> None:
    rows = [found_row("x.jpg", (2, (-0.5, 0.5, 0.5, 1.5), 0.75))]
    folder, _ = exported(write_detections(tmp_path / "found", rows), "yolo", with_scores=True)
    assert (folder / "labels/x.txt").read_text() == "0 0.75 0.25 0.5 0.5 0.75\n"


def test_csv_has_a_line_for_every_box_and_for_images_without(found: pathlib.Path) -> None:
    path, _ = exported(found, "csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    frames = [f"clip.mp4/{number:09d}.jpg" for number in (3, 8)]
    assert [row["filename"] for row in rows] == [*["a/one.jpg"] * 2, "a/one.png", "b/empty.jpg", *frames]
    assert {name: text for name, text in rows[3].items() if text} == {
        **{"filename": "b/empty.jpg", "width": "200", "height": "100", "key": "b/empty.jpg", "frame_index": "0"},
    }
    assert {**rows[5]} == {
        **{"filename": "clip.mp4/000000008.jpg", "width": "64", "height": "48", "class": "cat"},
        **{"xmin": "12.8000002", "ymin": "4.80000007", "xmax": "44.7999992", "ymax": "14.4000006"},
        **{"score": "0.5", "class_id": "1", "key": "clip.mp4", "frame_index": "8", "timestamp_us": "1320000"},
    }


def test_megadetector_says_what_failed_and_puts_a_video_together(found: pathlib.Path) -> None:
    path, done = exported(found, "megadetector")
    results = json.loads(path.read_text())
    assert results["info"] == {"format_version": "1.6", "detector": "model of SHA-256 abc"}
    assert results["detection_categories"] == {"1": "cat", "2": "dog"}
    by_file = {entry.pop("file"): entry for entry in results["images"]}
    assert list(by_file) == ["a/one.jpg", "a/one.png", "b/empty.jpg", "b/gone.jpg", "clip.mp4", "lost.mp4"]
    assert by_file["b/empty.jpg"] == {"detections": []}
    assert by_file["b/gone.jpg"] == {"failure": "it is a text file", "detections": None}
    failed = {"failure": "it is a text file", "detections": None}
    assert by_file["lost.mp4"] == {**failed, "frames_processed": [], "frame_rate": 1}
    box = {"category": "1", "conf": 0.5, "frame_number": 8}
    clip = by_file["clip.mp4"]
    assert clip["detections"][0].pop("bbox") == pytest.approx([0.2, 0.1, 0.5, 0.2])
    assert clip == {"detections": [box], "frames_processed": [3, 8], "frame_rate": 25}
    assert done.notes == ("1 frames or stretches of videos failed, which the format cannot say",)


def test_megadetector_says_that_it_does_not_know_a_frame_rate(tmp_path: pathlib.Path) -> None:
    rows = [found_row("clip.mp4", frame=0, kind="video"), found_row("clip.mp4", frame=9, kind="video")]
    path, done = exported(write_detections(tmp_path / "found", rows), "megadetector")
    assert json.loads(path.read_text())["images"][0]["frame_rate"] == 1
    assert done.notes == ("1 videos do not tell their frame rate: 1 is written",)


def test_tf_examples_are_those_of_the_api(found: pathlib.Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    path, _ = exported(found, "tf_example")
    with open(path, "rb") as file:
        parsed = [tensorflow.train.Example.FromString(record).features.feature for _, record in read_records(file)]
    assert [one["image/source_id"].bytes_list.value[0].decode() for one in parsed] == [
        *("a/one.jpg", "a/one.png", "b/empty.jpg", "clip.mp4/000000003.jpg", "clip.mp4/000000008.jpg"),
    ]
    first = parsed[0]
    assert list(first["image/detection/label"].int64_list.value) == [1, 2]
    assert list(first["image/detection/score"].float_list.value) == ROWS[0].detections.scores.tolist()
    for column, edge in enumerate(("ymin", "xmin", "ymax", "xmax")):
        values = list(first[f"image/detection/bbox/{edge}"].float_list.value)
        assert values == ROWS[0].detections.boxes[:, column].tolist()
    assert (first["image/width"].int64_list.value[0], first["image/height"].int64_list.value[0]) == (200, 100)


@pytest.mark.shared
def test_tf_examples_have_the_keys_of_infer_detections(found: pathlib.Path, shared: pathlib.Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")

    def detection_keys(path: pathlib.Path) -> dict[str, str]:
        with open(path, "rb") as file:
            _, record = next(read_records(file))
        features = tensorflow.train.Example.FromString(record).features.feature
        return {key: features[key].WhichOneof("kind") for key in features if key.startswith("image/detection/")}

    path, _ = exported(found, "tf_example")
    assert detection_keys(path) == detection_keys(shared / "oracles/infer_detections/bccd_val_detections.record")


def test_scores_and_classes_can_be_chosen(found: pathlib.Path) -> None:
    _, done = exported(found, "csv", min_score=0.5)
    assert done.detections == 3
    path, done = exported(found, "coco", classes=("dog",))
    assert (done.frames, done.detections) == (5, 2)
    assert coco_of(path).cats == {2: {"id": 2, "name": "dog"}}
    with pytest.raises(UsageError, match="no class 'dgo'; did you mean 'dog'"):
        exported(found, "csv", classes=("dgo",))


def test_a_class_that_the_label_map_lacks_has_its_number_for_a_name(tmp_path: pathlib.Path) -> None:
    folder, _ = exported(write_detections(tmp_path / "found", [found_row("x.jpg", (7, SLIVER, 0.9))]), "yolo")
    assert '  0: "class 7"\n' in (folder / "data.yaml").read_text()


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "csv", "megadetector", "tf_example"])
def test_the_order_of_rows_in_files_does_not_matter(tmp_path: pathlib.Path, format: str) -> None:
    """A dataset that grew run by run gives the bytes of one that was made at once."""
    images = [found_row(f"{name}.jpg", (1, SLIVER, 0.5)) for name in "aébc"]
    frames = [found_row("a.mp4", (2, INNER, 0.1 * n), frame=n, kind="video") for n in range(5)]
    grown = write_detections(tmp_path / "grown/found", [*frames[3:], *images[::-1], *frames[:3]], row_group=1)
    whole = write_detections(tmp_path / "whole/found", [*frames, *images], per_file=100, row_group=100)
    outputs = [exported(folder, format)[0] for folder in (grown, whole)]
    assert content_of(outputs[0]) == content_of(outputs[1])


def content_of(path: pathlib.Path) -> object:
    if path.is_file():
        return path.read_bytes()
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("format", ["csv", "voc"])
def test_a_second_export_replaces_the_first_and_a_failing_one_leaves_it(found: pathlib.Path, format: str) -> None:
    output, _ = exported(found, format)
    before = content_of(output)
    export(ExportAsk(str(found), str(output), format, min_score=0.5))
    after = content_of(output)
    assert after != before

    def broken(frames: object, total: int) -> object:
        yield from list(frames)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(ExportAsk(str(found), str(output), format), broken)
    assert content_of(output) == after
    assert {path.name for path in found.parent.iterdir()} == {"found", f"exported_{format}"}


def test_outputs_that_would_destroy_something_are_refused(found: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").touch()
    for output, format in (("mine", "voc"), ("mine", "csv"), ("found", "yolo"), ("found/x.csv", "csv")):
        with pytest.raises(OutputError):
            export(ExportAsk(str(found), str(tmp_path / output), format))
    truth = str(tmp_path / "truth.json")
    with pytest.raises(OutputError, match="lies in what is read"):
        export(ExportAsk(str(found), truth, "coco", ground_truth=truth))


def test_an_empty_dataset_gives_empty_outputs(tmp_path: pathlib.Path) -> None:
    found = write_detections(tmp_path / "found", [])
    path, done = exported(found, "coco")
    assert done == Exported(0, 0, 0, ())
    assert coco_of(path).imgs == {}
    path, _ = exported(found, "megadetector")
    assert json.loads(path.read_text())["images"] == []
