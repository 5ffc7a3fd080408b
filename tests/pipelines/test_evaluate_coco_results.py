"""COCO results files as detections."""

import json

import numpy as np
import pyarrow.parquet as pq
import pycocotools.coco
import pycocotools.cocoeval
import pytest

from beam_jobs import evaluate
from od_core.annotations.ground_truth_set import open_ground_truth
from od_core.errors import UsageError
from od_core.schemas import DETECTIONS
from pipelines.evaluate.detection_forms import open_detections
from tests.od_core.metrics import evaluation_problems as problems
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import LEFT, WHOLE, truth_row


def result(image_id, category_id, bbox, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}


RESULTS = [
    result(7, 2, [0, 0, 100, 100], 0.5),
    result("other", 1, [1, 2, 3, 4], 0.9),
    result(7, 1, [0, 0, 200, 100], 0.9),
    result("b.jpg", 2, [0, 0, 50.5, 10], 0.25),
]
TRUTH = [
    truth_row("in/a.jpg", (1, WHOLE), (2, LEFT), source_id="7"),
    truth_row("in/b.jpg", (2, LEFT), size=(101, 100)),
    truth_row("in/c.jpg"),
    truth_row("v.mp4", (1, WHOLE), frame=3, kind="video"),
]


@pytest.fixture
def opened(tmp_path):
    def opened(results, truth=TRUTH):
        text = results if isinstance(results, str) else json.dumps(results)
        (tmp_path / "results.json").write_text(text)
        ground_truth = open_ground_truth(str(files.write_truth(tmp_path / "truth.parquet", truth)))
        return open_detections(str(tmp_path / "results.json"), ground_truth, str(tmp_path / "work"))

    return opened


def test_every_image_of_the_ground_truth_has_a_row_with_its_boxes_best_first(opened, tmp_path):
    detections = opened(RESULTS)
    assert detections.path == str(tmp_path / "results.json")
    (path,) = detections.files
    table = pq.read_table(path)
    assert table.schema.equals(DETECTIONS)
    rows = {row["key"]: row for row in table.to_pylist()}
    assert list(rows) == ["in/a.jpg", "in/b.jpg", "in/c.jpg", "other"]
    first, second = rows["in/a.jpg"]["detections"]
    assert (first["class_id"], first["score"], first["label"]) == (1, pytest.approx(0.9), None)
    assert [second[edge] for edge in ("ymin", "xmin", "ymax", "xmax")] == [0, 0, 1, 0.5]
    (third,) = rows["in/b.jpg"]["detections"]
    assert (third["xmax"], third["ymax"]) == (0.5, pytest.approx(0.1))
    assert (rows["in/c.jpg"]["detections"], rows["in/c.jpg"]["status"]) == ([], "done")
    assert (rows["other"]["detections"], rows["other"]["width"]) == ([], None)


def test_no_results_at_all_are_images_without_detections(opened):
    assert pq.read_table(opened([]).files[0]).num_rows == 3


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"annotations": [1]}, "not COCO results: an object with 'annotations'"),
        ([3], "entry 0 is 3; expected a list"),
        ([RESULTS[0], {"image_id": 1}], "entry 1 is"),
        ([result(1, 1, [1, 2, 3], 0.5)], "entry 0 is"),
        ([result(1, 1, [1, 2, 3, "x"], 0.5)], "entry 0 is"),
        ([result(1, 1.5, [1, 2, 3, 4], 0.5)], "entry 0 is"),
        ([result(1, 1, [1, 2, 3, float("nan")], 0.5)], "entry 0 is"),
        ([result(1, 1, [1, 2, 3, 1e300], 0.5)], "entry 0 is"),
        ([result(1, 1, [1, 2, 3, 4], float("nan"))], "entry 0 is"),
        ([result(None, 1, [1, 2, 3, 4], 0.5)], "entry 0 is"),
        ('[{"image_id": 1', "results.json"),
    ],
)
def test_what_is_no_results_file(opened, results, message):
    with pytest.raises(UsageError, match=message):
        opened(results)


def test_an_image_of_unknown_size_is_refused_only_where_boxes_are_in_it(opened):
    unknown = [truth_row("in/b.jpg", (2, LEFT), size=(None, None))]
    with pytest.raises(UsageError, match=r"how large 'in/b.jpg' is: name its images with --images"):
        opened(RESULTS, unknown)
    assert pq.read_table(opened([], unknown).files[0]).num_rows == 1


def test_an_evaluation_of_them(tmp_path, capsys):
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    files.write_truth(tmp_path / "truth.parquet", TRUTH[:3])
    argv = ["--detections", tmp_path / "results.json", "--ground_truth", tmp_path / "truth.parquet"]
    argv += ["--output", tmp_path / "scores", "--metrics", "voc", "--numbers_only"]
    assert evaluate.main([str(argument) for argument in argv]) == 0
    report = files.read_metrics(tmp_path / "scores")
    assert report["metrics"]["PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat"] == 1.0
    assert report["metrics"]["PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"] == 0.5
    assert report["detections"]["path"] == str(tmp_path / "results.json")
    assert report["names"]["unknown"] == ["other"]
    assert "3 frames evaluated" in capsys.readouterr().out


def dataset_of(annotations, categories):
    images = [{"id": id, "file_name": f"{id:04d}.jpg", "width": 333, "height": 777} for id in range(1, 30)]
    return {"images": images, "annotations": annotations, "categories": categories}


def annotation(id, category_id, bbox):
    area = bbox[2] * bbox[3]
    return {"id": id, "image_id": id, "category_id": category_id, "bbox": bbox, "area": area, "iscrowd": 0}


def numbers_of_both(tmp_path, dataset, results):
    """The numbers that the command gives, and those of pycocotools, from the same two files."""
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text(json.dumps(results))
    argv = [f"--detections={tmp_path}/results.json", f"--ground_truth={tmp_path}/truth.json", "--numbers_only"]
    assert evaluate.main([*argv, f"--output={tmp_path}/scores", "--metrics=coco"]) == 0
    with problems.silence():
        truth = pycocotools.coco.COCO(str(tmp_path / "truth.json"))
        right = pycocotools.cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "bbox")
        right.evaluate()
        right.accumulate()
        right.summarize()
    found = files.read_metrics(tmp_path / "scores")["metrics"]
    wanted = dict(zip(problems.COCO_NAMES, right.stats, strict=True))
    return {name: found[f"DetectionBoxes_{name}"] for name in wanted}, wanted


def test_classes_that_the_ground_truth_counts_from_0(tmp_path):
    """Its label map counts them from 1, results do as the file does; 2 is a class of the label map alone."""
    dataset = dataset_of(
        [annotation(id, id % 2, [10, 20, 30, 40]) for id in range(1, 30)],
        [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    )
    results = [result(id, (id + (id % 5 == 0)) % 2, [10, 20, 30, 40], id / 32) for id in range(1, 30)]
    results += [result(id, 2, [10, 20, 30, 40], 1) for id in range(1, 30)]
    found, wanted = numbers_of_both(tmp_path, dataset, results)
    assert 0 < wanted["Precision/mAP"] < 1
    assert found == pytest.approx(wanted, abs=1e-12)
    assert files.read_metrics(tmp_path / "scores")["left_out"]["classes_of_detections"] == ["class 2"]


def test_ground_truths_that_count_the_same_classes_from_0_and_from_1_need_a_label_map(tmp_path, capsys):
    for first, name in enumerate(("zero", "one")):
        dataset = dataset_of([], [{"id": first, "name": "cat"}, {"id": first + 1, "name": "dog"}])
        dataset["images"] = [{**image, "file_name": f"{name}/{image['file_name']}"} for image in dataset["images"]]
        (tmp_path / f"{name}.json").write_text(json.dumps(dataset))
    (tmp_path / "results.json").write_text("[]")
    argv = [f"--detections={tmp_path}/results.json", "--ground_truth", f"{tmp_path}/zero.json", f"{tmp_path}/one.json"]
    assert evaluate.main([*argv, f"--output={tmp_path}/scores"]) == 2
    assert "not to be guessed, say it with --label_map" in capsys.readouterr().err


def test_results_that_count_from_0_are_refused_for_a_ground_truth_that_counts_from_1(tmp_path, capsys):
    dataset = dataset_of([annotation(1, 1, [10, 20, 30, 40])], [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])
    (tmp_path / "truth.json").write_text(json.dumps(dataset))
    argv = [f"--detections={tmp_path}/results.json", f"--ground_truth={tmp_path}/truth.json"]
    for first, status in ((0, 2), (1, 0)):
        found = [result(1, first + number, [10, 20, 30, 40], 0.9) for number in (0, 1)]
        (tmp_path / "results.json").write_text(json.dumps(found))
        assert evaluate.main([*argv, f"--output={tmp_path}/scores", "--numbers_only"]) == status
    assert "results.json: these results have a class 0, and the ground truth counts" in capsys.readouterr().err


def test_boxes_that_overlap_by_just_a_threshold(tmp_path):
    """Halves, and tenths less, of boxes of whole pixels."""
    dataset = dataset_of(
        [annotation(id, 1, [10 * id % 200, 7 * id, 10 + id, 20]) for id in range(1, 30)], [{"id": 1, "name": "cat"}]
    )
    boxes = [[10 * id % 200, 7 * id, 10 + id, 20 - 2 * (id % 6)] for id in range(1, 30)]
    found, wanted = numbers_of_both(tmp_path, dataset, [result(id, 1, boxes[id - 1], id / 32) for id in range(1, 30)])
    assert 0 < wanted["Precision/mAP"] < 1
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize("split", ["train", "val"])
def test_real_annotations_get_the_numbers_of_pycocotools(shared, tmp_path, split):
    """COCO's own annotations, crowds among them, with guesses around them: from the same two files, all classes."""
    path = shared / f"data/datasets/coco_tiny/annotations/instances_{split}2017.json"
    dataset = json.loads(path.read_text())
    rng = np.random.default_rng(1)
    images, classes = [one["id"] for one in dataset["images"]], [one["id"] for one in dataset["categories"]]
    results = []
    for one in dataset["annotations"]:
        for _ in range(3):
            box = np.add(one["bbox"], rng.normal(0, 0.05, 4) * np.tile(one["bbox"][2:], 2)).clip(0)
            class_id = one["category_id"] if rng.random() < 0.9 else int(rng.choice(classes))
            results.append(result(one["image_id"], class_id, box.tolist(), round(float(rng.random()), 3)))
    for _ in range(300):
        box = [*rng.uniform(0, 200, 2), *rng.uniform(2, 200, 2)]
        results.append(result(int(rng.choice(images)), int(rng.choice(classes)), box, round(float(rng.random()), 3)))
    (tmp_path / "results.json").write_text(json.dumps(results))
    argv = [f"--detections={tmp_path}/results.json", f"--ground_truth={path}", f"--output={tmp_path}/scores"]
    assert evaluate.main([*argv, "--metrics=coco", "--numbers_only"]) == 0
    with problems.silence():
        truth = pycocotools.coco.COCO(str(path))
        right = pycocotools.cocoeval.COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "bbox")
        right.evaluate()
        right.accumulate()
        right.summarize()
    wanted = {f"DetectionBoxes_{name}": x for name, x in zip(problems.COCO_NAMES, right.stats, strict=True)}
    for number, one in enumerate(sorted(dataset["categories"], key=lambda one: one["id"])):
        precision = right.eval["precision"][:, :, number, 0, 2]
        mean = precision[precision > -1].mean() if (precision > -1).any() else -1
        wanted[f"DetectionBoxes_PerformanceByCategory/mAP/{one['name']}"] = mean
    assert len(wanted) == 12 + len(classes)
    assert files.read_metrics(tmp_path / "scores")["metrics"] == pytest.approx(wanted, abs=1e-12)
