"""Exports load in the tools they are for, which see the same boxes: each in an environment of its own."""

import pathlib

import cv2
import numpy as np
import pytest

from pipelines.export import ExportAsk, export
from tests.pipelines.evaluation_files import failed_row, found_row, truth_row, write_detections, write_truth
from tests.readers.environment import Readers

pytestmark = pytest.mark.readers

SIZE = (200, 100)
BOX, WIDE, TINY = (0.1, 0.2, 0.3, 0.7), (0.0, 0.0, 0.5, 1.0), (0.5, 0.5, 0.50005, 0.50005)
ROWS = [
    found_row("a.jpg", (1, BOX, 0.9), (2, WIDE, 0.5), (2, TINY, 0.25), size=SIZE),
    found_row("b.jpg", size=SIZE),
    found_row("d.jpg", (2, TINY, 0.75), size=SIZE),
    failed_row("c.jpg"),
]
PIXELS = {BOX: (40, 10, 140, 30), WIDE: (0, 0, 200, 50), TINY: (100, 50, 100.01, 50.005)}
SEEN = {
    "a.jpg": [("cat", BOX, 0.9), ("dog", WIDE, 0.5), ("dog", TINY, 0.25)],
    "b.jpg": [],
    "d.jpg": [("dog", TINY, 0.75)],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_detections(tmp_path_factory.mktemp("readers") / "found", ROWS)


def write_images(folder: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in SEEN:
        cv2.imwrite(str(folder / name), np.zeros((*SIZE[::-1], 3), np.uint8))
    return folder


@pytest.mark.parametrize(
    ("format", "off"),
    # supervision takes COCO's boxes in whole pixels, VOC's as counted from 1, and YOLO's as they are.
    [("coco", 1), ("voc", 1), ("yolo", 1e-4)],
)
def test_supervision_loads_coco_voc_and_yolo(
    readers: Readers, found: pathlib.Path, tmp_path: pathlib.Path, format: str, off: float
) -> None:
    export(ExportAsk(str(found), str(tmp_path / "exported"), format))
    seen = readers.run("load_with_supervision.py", format, write_images(tmp_path / "images"), tmp_path / "exported")
    assert [name for name, _ in seen] == list(SEEN)
    for (_, boxes), expected in zip(seen, SEEN.values(), strict=True):
        assert [box[0] for box in boxes] == [label for label, _, _ in expected]
        np.testing.assert_allclose(
            np.array([box[1:] for box in boxes]).reshape(-1, 4),
            np.array([PIXELS[edges] for _, edges, _ in expected]).reshape(-1, 4),
            atol=off + 0.01,
        )


@pytest.mark.parametrize(
    ("format", "importer", "output", "images"),
    [
        ("coco", "coco_instances", "annotations/instances_default.json", "images/default"),
        ("voc", "voc_detection", "", "JPEGImages"),
        ("yolo", "yolo", "", "images"),
    ],
)
def test_datumaro_imports_coco_voc_and_yolo(
    readers: Readers, found: pathlib.Path, tmp_path: pathlib.Path, format: str, importer: str, output: str, images: str
) -> None:
    folder = tmp_path / "data"
    (folder / output).parent.mkdir(parents=True, exist_ok=True)
    export(ExportAsk(str(found), str(folder / output), format))
    write_images(folder / images)
    if format == "voc":  # datumaro looks for its list of images, as VOC's own folders have them
        (folder / "ImageSets/Main").mkdir(parents=True)
        (folder / "ImageSets/Main/all.txt").write_text("".join(f"{name[0]}\n" for name in SEEN))
    seen = readers.run("load_with_datumaro.py", importer, folder)
    assert [name for name, _ in seen] == [name[0] for name in SEEN]
    for (_, boxes), expected in zip(seen, SEEN.values(), strict=True):
        told = sorted((label, PIXELS[edges], score) for label, edges, score in expected)
        assert [box[0] for box in boxes] == [label for label, _, _ in told]
        wanted = [(xmin, ymin, xmax - xmin, ymax - ymin) for _, (xmin, ymin, xmax, ymax), _ in told]
        np.testing.assert_allclose([box[1:5] for box in boxes], wanted or np.empty((0,)), atol=0.011)
        if format == "coco":
            assert [box[5] for box in boxes] == pytest.approx([score for _, _, score in told])


def test_megadetectors_own_validator_has_nothing_to_say(readers: Readers, tmp_path: pathlib.Path) -> None:
    frames = [
        found_row("clip.mp4", *boxes, frame=number, kind="video")._replace(timestamp_us=number * 40_000)
        for number, boxes in enumerate([[(1, BOX, 0.5)], [], [(2, WIDE, 0.25)]])
    ]
    stretch = failed_row("clip.mp4", frame=None, kind="video")
    found = write_detections(
        tmp_path / "found", [*ROWS, *frames, stretch, failed_row("lost.mp4", frame=None, kind="video")]
    )
    export(ExportAsk(str(found), str(tmp_path / "results.json"), "megadetector"))
    told = readers.run("validate_with_megadetector.py", tmp_path / "results.json")
    assert told == {"errors": [], "warnings": [], "detection_category_id_to_count": {"1": 2, "2": 4}}
    (tmp_path / "broken.json").write_text((tmp_path / "results.json").read_text().replace('"conf": 0.5', '"conf": "x"'))
    assert readers.run("validate_with_megadetector.py", tmp_path / "broken.json")["errors"] != []


def test_the_parser_of_the_object_detection_api_sees_detections_and_ground_truth(
    readers: Readers, found: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Its offline evaluation passes over records that it cannot parse whole, so those without ground truth."""
    truth = write_truth(tmp_path / "truth.parquet", [truth_row("a.jpg", (2, WIDE), (1, BOX)), truth_row("b.jpg")])
    output = tmp_path / "detections.tfrecord"
    done = export(ExportAsk(str(found), str(output), "tf_example", ground_truth=str(truth)))
    assert done.notes == ("1 images without ground truth, which have detections alone",)
    seen = readers.run_with_tensorflow("parse_with_detection_api.py", output)
    assert [(one["key"], one["is_whole"]) for one in seen] == [("a.jpg", True), ("b.jpg", True), ("d.jpg", False)]
    for one, row in zip(seen, ROWS, strict=False):
        boxes = np.array(one["detection_boxes"]).reshape(-1, 4)
        np.testing.assert_array_equal(boxes.astype(np.float32), row.detections.boxes)
        np.testing.assert_array_equal(np.float32(one["detection_scores"]), row.detections.scores)
        assert one["detection_classes"] == row.detections.classes.tolist()
    assert seen[0]["groundtruth_classes"] == [2, 1]
    np.testing.assert_allclose(np.array(seen[0]["groundtruth_boxes"]), [WIDE, BOX], rtol=1e-6)
    assert seen[1]["groundtruth_boxes"] == []
    assert seen[2]["groundtruth_boxes"] is None


def test_frames_become_detections_of_supervision(readers: Readers, found: pathlib.Path) -> None:
    first, empty, failed, last = readers.run("use_as_supervision.py", found)
    np.testing.assert_allclose(first["xyxy"], [PIXELS[edges] for _, edges, _ in SEEN["a.jpg"]], rtol=1e-6)
    assert first["confidence"] == [np.float32(0.9), 0.5, 0.25]
    assert (first["class_id"], first["class_name"]) == ([1, 2, 2], ["cat", "dog", "dog"])
    assert (first["sure"], first["is_drawn"], first["in_zone"]) == (1, True, 3)
    for nothing in (empty, failed):
        assert (nothing["xyxy"], nothing["class_id"], nothing["is_drawn"], nothing["in_zone"]) == ([], [], False, 0)
    assert last["class_name"] == ["dog"]
