"""The numbers of `boxbeam evaluate`: those of the metrics and of the API, Open Images' extras, and the gate."""

import csv

import pytest

from beam_jobs import evaluate
from od_core.detections import Detections
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.voc import PascalBoxes
from od_core.schemas import FrameRow
from tests.beam_jobs.evaluation_run import MAP, PASCAL, write_label_map
from tests.pipelines import evaluation_files as files
from tests.pipelines.evaluation_files import CORNER, LEFT, WHOLE, found_row, truth_row


def test_numbers_are_those_of_the_metrics_whatever_the_files(run):
    """Many row groups and files give to the last digit what the metrics give for the frames themselves."""
    found, truth = files.random_rows(3, 40)
    by_key = {row.key: row for row in found}
    frames = [EvaluatedFrame(row.key, 100, 200, row.objects, by_key[row.key].detections) for row in truth]
    wanted = {}
    for metric in (CocoBoxes(files.LABELS), PascalBoxes(files.LABELS)):
        metric.update(frames)
        wanted |= metric.value()
    assert run(found, truth) == 0
    assert {name: x for name, x in run.metrics.items() if not name.startswith("Insight_")} == wanted
    assert 0.1 < wanted[MAP] < 0.9
    first = (run.output / "metrics.json").read_bytes()
    assert run(list(reversed(found)), truth) == 0
    assert (run.output / "metrics.json").read_bytes() == first


def test_a_class_without_ground_truth_is_null(run):
    assert run([found_row("a.jpg", (1, WHOLE, 0.9))], [truth_row("a.jpg", (1, WHOLE))], truth_labels=files.LABELS) == 0
    assert run.metrics[PASCAL] == 1.0
    write_label_map(run.folder / "set")
    files.write_truth(run.folder / "set/t.parquet", [truth_row("a.jpg", (1, WHOLE))])
    assert run([found_row("a.jpg", (1, WHOLE, 0.9))], run.folder / "set") == 0
    assert run.metrics["PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"] is None
    assert run.metrics["DetectionBoxes_PerformanceByCategory/mAP/dog"] == -1.0


class TestOpenImages:
    """a.jpg has a cat, b.jpg nothing; somebody has looked for dogs in a.jpg, and for pets in b.jpg."""

    NAMES = ("/m/cat", "/m/dog", "/m/pet", "/m/animal")
    TREE = (
        '{"LabelName": "/m/entity", "Subcategory": [{"LabelName": "/m/animal", "Subcategory":'
        ' [{"LabelName": "/m/pet", "Subcategory": [{"LabelName": "/m/cat"}, {"LabelName": "/m/dog"}]}],'
        ' "Part": [{"LabelName": "/m/tail"}]}]}'
    )
    LABELS = "ImageID,Source,LabelName,Confidence\na,x,/m/dog,0\nb,x,/m/pet,0\nother,x,/m/cat,1\na,x,/m/yeti,1\n"
    OPTIONS = ("--metrics", "open_images,open_images_challenge", "--hierarchy", "{}/tree.json", "--image_labels")
    PREFIX = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU//m/"

    @pytest.fixture
    def evaluate_it(self, run):
        def evaluate_it(*options, tree=self.TREE, labels=self.LABELS):
            (run.folder / "tree.json").write_text(tree)
            (run.folder / "labels.csv").write_text(labels)
            write_label_map(run.folder / "set", *self.NAMES)
            truth = [truth_row("in/a.jpg", (1, WHOLE)), truth_row("in/b.jpg")]
            files.write_truth(run.folder / "set/t.parquet", truth, dict(enumerate(self.NAMES, 1)))
            found = [
                found_row("a.jpg", (1, WHOLE, 0.9), (2, WHOLE, 0.8), (3, WHOLE, 0.7), (4, CORNER, 0.6)),
                found_row("b.jpg", (1, WHOLE, 0.95), (3, WHOLE, 0.7), (4, WHOLE, 0.9)),
            ]
            places = [option.format(run.folder) for option in options]
            return run(found, run.folder / "set", *places, labels=dict(enumerate(self.NAMES, 1)))

        return evaluate_it

    def test_an_object_counts_for_the_classes_above_and_labels_for_those_above_or_below(self, run, evaluate_it):
        """That no pet is in b.jpg says that no cat is, but nothing of animals: there one is not looked at."""
        assert evaluate_it(*self.OPTIONS, "{}/labels.csv") == 0
        assert run.metrics[self.PREFIX + "cat"] == pytest.approx(1 / 2)
        assert run.metrics[self.PREFIX + "dog"] is None
        assert run.metrics[self.PREFIX + "pet"] == pytest.approx(1 / 2)  # equal scores: that of b.jpg comes first
        assert run.metrics[self.PREFIX + "animal"] == 0.0
        v2 = "OpenImagesV2_PerformanceByCategory/AP@0.5IOU//m/animal"
        assert run.metrics[v2] == 0.0
        assert "as the hierarchy has them" in run.report["definitions"]["open_images"]

    def test_without_labels_only_what_is_annotated_counts(self, run, evaluate_it):
        assert evaluate_it(*self.OPTIONS[:4]) == 0
        assert [run.metrics[self.PREFIX + name] for name in ("cat", "pet")] == [1.0, 1.0]

    def test_without_a_hierarchy_every_class_is_by_itself(self, run, evaluate_it):
        assert evaluate_it(*self.OPTIONS[:2], "--image_labels", "{}/labels.csv") == 0
        assert [run.metrics[self.PREFIX + name] for name in ("cat", "pet")] == [1.0, None]

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"tree": "{"}, "tree.json: not JSON"),
            ({"tree": "[1]"}, "tree.json: no hierarchy of classes: found [1]; expected Open Images' form"),
            ({"tree": '{"LabelName": "x", "Subcategory": [3]}'}, "found 3"),
            ({"tree": '{"LabelName": "x", "Subcategory": [{"LabelName": "y"}]}'}, "it speaks of 'y'"),
            ({"labels": "ImageID,LabelName\na,/m/cat\n"}, "no CSV file with the columns ImageID, LabelName, Conf"),
            ({"labels": "ImageID,LabelName,Confidence\na,/m/cat,maybe\n"}, "labels.csv: no CSV file"),
            ({"labels": "ImageID,LabelName,Confidence\nz,/m/cat,1\n"}, "speaks of image 'z', the ground truth"),
            ({"labels": ""}, "labels.csv: no CSV file"),
        ],
    )
    def test_files_that_are_something_else(self, run, evaluate_it, files, message):
        assert evaluate_it(*self.OPTIONS, "{}/labels.csv", **files) == 2
        assert message in run.err
        assert not run.output.exists()

    @pytest.mark.parametrize("option", ["--hierarchy", "--image_labels"])
    def test_files_that_are_not_there_or_not_asked_for(self, run, evaluate_it, option):
        assert evaluate_it(*self.OPTIONS[:2], option, "{}/nowhere") == 2
        assert "nowhere: cannot read the" in run.err
        assert evaluate_it(option, "{}/tree.json") == 2
        assert f"{option} is for Open Images' numbers: add --metrics open_images" in run.err


class TestFailUnder:
    """One image of two is right: the AP of cats is 1, that of dogs 0."""

    TRUTH = (truth_row("a.jpg", (1, WHOLE)), truth_row("b.jpg", (2, LEFT)))
    FOUND = (found_row("a.jpg", (1, WHOLE, 0.9)), found_row("b.jpg"))

    def test_enough(self, run):
        assert run(self.FOUND, self.TRUTH, "--fail_under", "mAP=0.4", "--fail_under", f"{PASCAL}=0.5") == 0
        assert run.err == ""

    def test_too_little_is_a_status_of_its_own_after_everything_is_written(self, run):
        status = run(self.FOUND, self.TRUTH, "--fail_under", "mAP/cat=1.01", "--fail_under", "AP@0.5IOU/dog=0.1")
        assert status == evaluate.EXIT_BELOW == 4
        assert run.err == (
            "boxbeam evaluate: --fail_under: DetectionBoxes_PerformanceByCategory/mAP/cat is 1, wanted at least 1.01;"
            " PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog is 0, wanted at least 0.1\n"
        )
        assert run.metrics[MAP] == pytest.approx(0.5)
        assert "evaluate: 2 frames evaluated" in run.out

    def test_an_undefined_number_is_never_enough(self, run):
        assert run(self.FOUND, self.TRUTH, "--fail_under", "mAP (small)=-1") == 4
        assert "Precision/mAP (small) is undefined" in run.err

    @pytest.mark.parametrize(
        ("gate", "message"),
        [
            ("map=0.5", "no number called 'map'; did you mean mAP?"),
            ("cat=0.5", "'cat' could be each of DetectionBoxes_PerformanceByCategory/mAP/cat, PascalBoxes_"),
            ("mAP", "must be a number's name and the least it must be, NAME=X, got 'mAP'"),
            ("=1", "NAME=X, got '=1'"),
            ("mAP=much", "must be a number, got 'much'"),
        ],
    )
    def test_a_number_that_there_is_not_is_refused_before_the_work(self, run, gate, message):
        assert run(self.FOUND, self.TRUTH, "--fail_under", gate) == 2
        assert message in run.err
        assert not run.output.exists()


@pytest.mark.shared
def test_real_detections_get_the_numbers_of_the_apis_own_evaluator(run, shared):
    """The API's TF1 model on 73 images: detections and numbers are its own. It evaluated normalised boxes offline, so
    its small, medium and large come from its other evaluation, of pixels (PROVENANCE.md), with three digits."""
    by_image: dict[str, list[dict[str, str]]] = {}
    with open(shared / "oracles/infer_detections/bccd_val_detections.csv", newline="") as file:
        for line in csv.DictReader(file):
            by_image.setdefault(line["source_id"], []).append(line)
    rows = []
    for number, (name, lines) in enumerate(by_image.items()):
        boxes = [[float(line[edge]) for edge in ("ymin", "xmin", "ymax", "xmax")] for line in lines]
        scores, classes = [float(line["score"]) for line in lines], [int(line["class"]) for line in lines]
        found = Detections.best_first(boxes, scores, classes)
        rows.append(FrameRow(name, name, "record", 0, number, None, 640, 480, found))
    found = files.write_detections(
        run.folder / "found", rows, {1: "RBC", 2: "WBC", 3: "Platelets"}, row_group=10, per_file=30
    )
    assert run(found, shared / "data/datasets/bccd/BCCD") == 2
    assert "291 of 364 images" in run.err
    assert run(found, shared / "data/datasets/bccd/BCCD", "--allow_missing") == 0
    assert run.report["frames"]["evaluated"] == 73
    sizes = {"small": 0.189, "medium": 0.311, "large": 0.539}
    for folder in ("coco", "pascal_voc"):
        with open(shared / "oracles/metrics" / folder / "metrics.csv", newline="") as file:
            wanted = {name: float(x) for name, x in csv.reader(file)}
        in_pixels = {name: x for name, x in wanted.items() if not any(size in name for size in sizes)}
        assert {name: run.metrics[name] for name in in_pixels} == pytest.approx(in_pixels, abs=1e-12)
    for size, x in sizes.items():
        assert run.metrics[f"DetectionBoxes_Precision/mAP ({size})"] == pytest.approx(x, abs=5e-4)
