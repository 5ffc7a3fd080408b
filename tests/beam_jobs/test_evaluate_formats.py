"""The command `boxbeam evaluate` with ground truth in each annotation format: the numbers are those of one truth."""

import json
import pathlib
from collections.abc import Callable

import pytest

from beam_jobs import evaluate
from tests.pipelines.evaluation_files import Box, found_row, read_metrics, write_detections, write_truth
from tests.pipelines.evaluation_files import truth_row as row
from tests.pipelines.made_annotations import picture, write_files

WIDTH, HEIGHT = 200, 100  # as evaluation_files has it
TRUTH: dict[str, list[tuple[int, Box]]] = {
    "a.png": [(1, (0.0, 0.0, 0.5, 0.5)), (2, (0.25, 0.5, 1.0, 1.0))],
    "b.png": [(1, (0.5, 0.25, 0.75, 0.5))],
    "c.png": [],
}
NAMES = {1: "cat", 2: "dog"}


def csv_table(normalised: bool) -> str:
    lines = ["filename,width,height,class,ymin,xmin,ymax,xmax"]
    scale = (1, 1, 1, 1) if normalised else (HEIGHT, WIDTH, HEIGHT, WIDTH)
    size = "," if normalised else f"{WIDTH},{HEIGHT}"
    for name, boxes in TRUTH.items():
        for class_id, box in boxes:
            lines.append(
                f"{name},{size},{NAMES[class_id]},{','.join(str(e * s) for e, s in zip(box, scale, strict=True))}"
            )
        if not boxes:
            lines.append(f"{name},{size},,,,,")
    return "\n".join(lines)


def yolo_line(class_id: int, box: Box) -> str:
    ymin, xmin, ymax, xmax = box
    return f"{class_id - 1} {(xmin + xmax) / 2} {(ymin + ymax) / 2} {xmax - xmin} {ymax - ymin}\n"


def kitti_line(class_id: int, box: Box) -> str:
    ymin, xmin, ymax, xmax = box
    edges = f"{xmin * WIDTH} {ymin * HEIGHT} {xmax * WIDTH} {ymax * HEIGHT}"
    return f"{NAMES[class_id].title()} 0 0 0 {edges} 1 1 1 1 1 1 1\n"


def open_images() -> dict[str, str]:
    boxes = ["ImageID,LabelName,XMin,XMax,YMin,YMax"]
    for name, objects in TRUTH.items():
        boxes += [f"{name[0]},/m/{number},{x0},{x1},{y0},{y1}" for number, (y0, x0, y1, x1) in objects]
    labels = ["ImageID,LabelName,Confidence", "c,/m/1,0"]
    return {
        "annotations/v-annotations-bbox.csv": "\n".join(boxes),
        "annotations/v-annotations-human-imagelabels.csv": "\n".join(labels),
        "annotations/class-descriptions.csv": "\n".join(f"/m/{number},{name}" for number, name in NAMES.items()),
    }


def labels_of(line: Callable[[int, Box], str]) -> dict[str, str]:
    return {f"{name[0]}.txt": "".join(line(*item) for item in boxes) for name, boxes in TRUTH.items()}


IMAGES = {name: picture(1, width=WIDTH, height=HEIGHT, format="PNG") for name in TRUTH}
FILES: dict[str, dict[str, bytes | str]] = {
    "csv": {"truth.csv": csv_table(normalised=False)},
    "csv, normalised": {"truth.csv": csv_table(normalised=True)},
    "yolo": {
        "data.yaml": "names: [cat, dog]",
        **{f"images/{name}": "" for name in TRUTH},
        **{f"labels/{name}": text for name, text in labels_of(yolo_line).items()},
    },
    "kitti": {
        **{f"label_2/{name}": text for name, text in labels_of(kitti_line).items()},
        **{f"image_2/{name}": content for name, content in IMAGES.items()},
    },
    "open_images": {**open_images(), **{f"images/{name}": content for name, content in IMAGES.items()}},
}
FOUND = [
    found_row("in/a.png", (1, (0.0, 0.0, 0.5, 0.45), 0.9), (2, (0.0, 0.5, 1.0, 1.0), 0.8)),
    found_row("in/b.png", (2, (0.5, 0.25, 0.75, 0.5), 0.7)),
    found_row("in/c.png", (1, (0.0, 0.0, 0.5, 0.5), 0.6)),
]


def evaluated(folder: pathlib.Path, truth: pathlib.Path, name: str) -> dict[str, float | None]:
    output = folder / name
    status = evaluate.main([f"--detections={folder}/found", f"--ground_truth={truth}", f"--output={output}"])
    assert status == 0
    metrics: dict[str, float | None] = read_metrics(output)["metrics"]
    return metrics


@pytest.mark.parametrize("format", FILES)
def test_the_numbers_are_the_same_for_every_format(format: str, tmp_path: pathlib.Path) -> None:
    write_detections(tmp_path / "found", FOUND)
    truth = write_truth(tmp_path / "truth.parquet", [row(name, *boxes) for name, boxes in TRUTH.items()])
    write_files(tmp_path / "set", FILES[format])
    path = tmp_path / "set" / ("truth.csv" if format.startswith("csv") else "")
    right = evaluated(tmp_path, truth, "right")
    assert right["DetectionBoxes_Precision/mAP"] not in (None, 0, 1)
    assert evaluated(tmp_path, path, "scores") == right
    report = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert report["ground_truth"]["form"] == format.partition(",")[0]
    assert report["frames"]["evaluated"] == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [("photos", "images without annotations, expected a record dataset"), ("found", "detections, where ground truth")],
)
def test_what_is_no_ground_truth(
    path: str, message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_detections(tmp_path / "found", FOUND)
    write_files(tmp_path / "photos", IMAGES)
    arguments = [f"--detections={tmp_path}/found", f"--ground_truth={tmp_path / path}", f"--output={tmp_path}/scores"]
    assert evaluate.main(arguments) == 2
    assert message in capsys.readouterr().err
