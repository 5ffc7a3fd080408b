"""`boxbeam evaluate --watch`, with real models: numbers, TensorBoard, the best one, restarts, refusals."""

import json
import logging
import os
import pathlib
import shutil
import threading

import pytest

from beam_jobs import evaluate
from od_core.errors import ModelError
from od_core.images import decode_image
from tests.annotated_blocks import write_record_files
from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.pipelines.evaluation_files import found_row, read_metrics, write_detections
from tests.tensorboard_runs import accumulated

MAP = "PascalBoxes_Precision/mAP@0.5IOU"
RED, BLUE = (f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}" for name in ("red", "blue"))
TAG = "Detections_Left_Groundtruth_Right"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """records/ in two splits, and the label map of the model."""
    folder = tmp_path_factory.mktemp("watch")
    write_record_files(folder / "records", 8)
    (folder / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    return folder


def pretend(args, beam_options):
    """In place of inference and evaluation: the "model" is the number that every metric has on val.

    On train it is better by 0.125; for the class red it is 1 less the number. Detections are the same in every image.
    """
    text = pathlib.Path(args.model, "frozen_inference_graph.pb").read_text()
    if text == "broken":
        raise ModelError("the graph cannot be read")
    output = pathlib.Path(args.output)
    if not (output / "detections").exists():
        value = float(text)
        found = [found_row(f"scene_{n:03d}.jpg", (1, (0, 0, value, value), 0.9), kind="record") for n in range(8)]
        write_detections(output / "detections", found, {1: "red", 2: "green", 3: "blue"})
    for split in args.split:
        folder = output / split if len(args.split) > 1 else output
        folder.mkdir(parents=True, exist_ok=True)
        number = float(text) + (0.125 if split == "train" else 0)
        metrics = {MAP: number, RED: 1 - number, BLUE: None}
        (folder / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    print(f"evaluated {text}")


class Watch:
    """A watched folder, and the command that watches it."""

    def __init__(self, place: pathlib.Path, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
        self.place, self.exports, self.output, self._capsys = place, folder / "exports", folder / "out", capsys
        self.exports.mkdir()

    def export(self, step: int, model: object) -> None:
        """What a training loop does: write, then rename. The model is a file, or what `pretend` takes for one."""
        unfinished = self.exports / f".export_{step}.tmp"
        unfinished.mkdir()
        content = model.read_bytes() if isinstance(model, pathlib.Path) else str(model).encode()
        (unfinished / "frozen_inference_graph.pb").write_bytes(content)
        os.utime(unfinished / "frozen_inference_graph.pb", (1e9 + step, 1e9 + step))
        unfinished.rename(self.exports / f"export_{step}")

    def __call__(self, *options: object, split: str = "train,val") -> int:
        what = ["--watch", self.exports, "--label_map", self.place / "labels.pbtxt", "--output", self.output]
        truth = ["--ground_truth", self.place / "records", "--split", split, "--metrics", "voc"]
        how = ["--progress", "off", "--isolation", "none", "--poll_seconds", 0.01, "--settle_seconds", 0.01]
        try:
            status = evaluate.main([str(word) for word in (*what, *truth, *how, "--num_visualizations", 2, *options)])
        except SystemExit as ended:
            status = ended.code
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return status

    def steps(self) -> list[str]:
        """What was said of each export."""
        return [line for line in self.out.splitlines() if line.startswith("step ")]

    def points(self, split: str, tag: str = MAP) -> list[tuple[int, float]]:
        accumulator = accumulated(self.output / "tensorboard" / f"eval_{split}")
        return [(one.step, round(float(one.tensor_proto.float_val[0]), 3)) for one in accumulator.Tensors(tag)]

    def images(self, split: str) -> dict[str, list[list[bytes]]]:
        """Tag -> width, height and PNG of every step."""
        accumulator = accumulated(self.output / "tensorboard" / f"eval_{split}")
        tags = [tag for tag in accumulator.Tags()["tensors"] if tag.startswith(TAG)]
        return {tag: [list(one.tensor_proto.string_val) for one in accumulator.Tensors(tag)] for tag in tags}

    def read(self, name: str) -> dict:
        return json.loads((self.output / name).read_text())


@pytest.fixture
def real_watch(place, tmp_path, capsys):
    """With a model that is run."""
    capsys.readouterr()
    return Watch(place, tmp_path, capsys)


@pytest.fixture
def watch(real_watch, monkeypatch):
    """With `pretend` in place of a model."""
    monkeypatch.setattr(evaluate, "_run", pretend)
    return real_watch


def test_a_real_model_gives_the_numbers_of_the_command_with_model(real_watch, place, tmp_path):
    write_frozen_graph(tmp_path / "model.pb")
    real_watch.export(7, tmp_path / "model.pb")
    assert real_watch("--max_evals", 1, split="val") == 0
    assert real_watch.err == ""
    assert real_watch.steps() == [f"step 7 (export_7): val {1:.4f}; the best so far"]
    words = ["--model", real_watch.exports / "export_7", "--label_map", place / "labels.pbtxt", "--metrics", "voc"]
    words += ["--ground_truth", place / "records", "--split", "val", "--output", tmp_path / "alone"]
    assert evaluate.main([*map(str, words), "--progress", "off", "--isolation", "none"]) == 0
    watched, alone = (read_metrics(folder) for folder in (real_watch.output / "exports/export_7", tmp_path / "alone"))
    assert watched["metrics"] == alone["metrics"]
    assert watched["frames"] == alone["frames"]
    assert real_watch.points("val") == [(7, 1.0)]
    assert len(real_watch.images("val")) == 2
    report = (real_watch.output / "exports/export_7/report.txt").read_text()
    assert report.startswith("infer: finished")
    assert not (real_watch.output / "exports/export_7/detections").exists()


def test_every_export_in_order_and_the_best(watch):
    for step, value in ((300, 0.5), (1000, 0.25), (200, 0.75), (20, 0.0)):
        watch.export(step, value)
    assert watch("--timeout", 1) == 0
    assert watch.err == ""
    assert watch.steps() == [
        "step 20 (export_20): train 0.1250, val 0.0000, gap +0.1250; the best so far",
        "step 200 (export_200): train 0.8750, val 0.7500, gap +0.1250; the best so far",
        "step 300 (export_300): train 0.6250, val 0.5000, gap +0.1250",
        "step 1000 (export_1000): train 0.3750, val 0.2500, gap +0.1250",
    ]
    assert "watch: ended, nothing new for 1 s: 4 evaluated" in watch.out
    assert watch.out.splitlines()[-1] == f"  best: step 200 (export_200) with 0.7500: {watch.output}/best.json"
    best = watch.read("best.json")
    assert (best["step"], best["split"], best["metric"], best["value"]) == (200, "val", MAP, 0.75)
    assert best["numbers"] == {"train": {MAP: 0.875}, "val": {MAP: 0.75}}
    model = pathlib.Path(best["model"])
    assert [path.name for path in model.parent.iterdir()] == ["export_200"]
    assert (model / "frozen_inference_graph.pb").read_text() == "0.75"
    assert watch.points("val") == [(20, 0.0), (200, 0.75), (300, 0.5), (1000, 0.25)]
    assert watch.points("train") == [(20, 0.125), (200, 0.875), (300, 0.625), (1000, 0.375)]
    assert watch.points("val", RED) == [(20, 1.0), (200, 0.25), (300, 0.5), (1000, 0.75)]
    assert (watch.output / "exports/export_300/report.txt").read_text() == "evaluated 0.5\n"
    assert sorted(path.name for path in (watch.output / "exports/export_300").iterdir()) == [
        "report.txt",
        "train",
        "val",
    ]


def test_the_images_that_tensorboard_shows(watch):
    watch.export(5, 1.0)
    watch.export(6, 0.5)
    assert watch("--max_evals", 2, split="val") == 0
    images = watch.images("val")
    assert sorted(images) == [f"{TAG}/0", f"{TAG}/1"]
    for (width, height, first), (_, _, second) in images.values():
        one, other = decode_image(first), decode_image(second)
        assert one.shape == (int(height), int(width), 3) == other.shape
        half = one.shape[1] // 2
        assert (one[:, half + 8 :] == other[:, half + 8 :]).all()  # the same image, and its ground truth
        assert (one[:, :half] != other[:, :half]).any()  # other detections


def test_restarts_while_the_folder_changes(watch):
    """What a restart finds: exports that came, went and were evaluated before."""
    for step, value in ((1, 0.0), (2, 0.25), (3, 0.75)):
        watch.export(step, value)
    assert watch("--max_evals", 2) == 0
    assert [line.split(":")[0] for line in watch.steps()] == ["step 1 (export_1)", "step 2 (export_2)"]
    assert "1 waiting for the next run" in watch.out
    for step in (1, 2, 3):
        shutil.rmtree(watch.exports / f"export_{step}")
    watch.export(4, 0.5)
    assert watch("--max_evals", 4) == 0
    assert [line.split(":")[0] for line in watch.steps()] == ["step 3 (export_3)", "step 4 (export_4)"]
    assert "2 have ended before" in watch.out
    assert watch.points("val") == [(1, 0.0), (2, 0.25), (3, 0.75), (4, 0.5)]
    assert watch.read("best.json")["step"] == 3
    assert watch("--max_evals", 4) == 0
    assert watch.steps() == []


def test_killed_before_the_end_of_an_export_is_noted(watch):
    """TensorBoard and best.json have it, watch.json has not: it is evaluated again, and nothing changes."""
    watch.export(1, 0.25)
    watch.export(2, 0.5)
    assert watch("--max_evals", 2, "--keep_detections") == 0
    files = {path: path.read_bytes() for path in watch.output.rglob("*") if path.is_file()}
    state = watch.read("watch.json")
    state["exports"].pop()
    (watch.output / "watch.json").write_text(json.dumps(state))
    assert watch("--max_evals", 2, "--keep_detections") == 0
    assert watch.steps() == ["step 2 (export_2): train 0.6250, val 0.5000, gap +0.1250; the best so far"]
    assert {path: path.read_bytes() for path in watch.output.rglob("*") if path.is_file()} == files
    assert watch.points("val") == [(1, 0.25), (2, 0.5)]


def test_a_folder_that_a_training_loop_fills_and_deletes_from(watch):
    """It keeps its two newest exports, and writes one whenever an earlier one has been evaluated or kept."""
    steps = list(range(10, 70, 10))

    def train() -> None:
        for step in steps:
            watch.export(step, 0.5)
            known = [watch.output / "_kept" / f"export_{step}", watch.output / "exports" / f"export_{step}"]
            while not any(path.exists() for path in known) and not over.wait(0.002):
                pass
            if step > 20:
                shutil.rmtree(watch.exports / f"export_{step - 20}", ignore_errors=True)

    over = threading.Event()
    loop = threading.Thread(target=train)
    loop.start()
    try:
        assert watch("--until_step", 60, split="val") == 0
    finally:
        over.set()
        loop.join()
    assert [int(line.split()[1]) for line in watch.steps()] == steps
    assert [step for step, _ in watch.points("val")] == steps
    assert sorted(path.name for path in watch.exports.iterdir()) == ["export_50", "export_60"]


def test_broken_models_cost_only_themselves(watch):
    watch.export(1, 0.25)
    watch.export(2, "broken")
    watch.export(3, 0.5)
    assert watch("--max_evals", 3) == 3
    assert [line.split(": ")[1].split(" ")[0] for line in watch.steps()] == ["train", "failed", "train"]
    assert "2 evaluated, 1 failed" in watch.out
    assert not (watch.output / "exports/export_2").exists()
    (watch.exports / "export_2/frozen_inference_graph.pb").write_text("0.75")
    assert watch("--max_evals", 3) == 3
    assert watch.steps() == []
    assert watch("--max_evals", 3, "--retry_failed") == 0
    (line,) = watch.steps()
    assert line.startswith("step 2 (export_2): train 0.8750, val 0.7500")
    assert "export_2: not shown in TensorBoard, which has step 3 already" in watch.out
    assert watch.points("val") == [(1, 0.25), (3, 0.5)]
    assert watch.read("best.json")["step"] == 2


def test_tensorboard_warns_of_nothing(watch, caplog):
    for step in (1, 2):
        watch.export(step, 0.5)
        assert watch("--max_evals", step, split="val") == 0
    with caplog.at_level(logging.WARNING, "tensorboard"):
        assert watch.points("val") == [(1, 0.5), (2, 0.5)]
    assert caplog.records == []


def test_the_best_by_another_number(watch):
    watch.export(1, 0.25)
    watch.export(2, 0.75)
    assert watch("--max_evals", 2, "--best_metric", "AP@0.5IOU/red", split="train") == 0
    best = watch.read("best.json")
    assert (best["metric"], best["step"], best["split"], best["value"]) == (RED, 1, "train", 0.625)
    assert watch("--max_evals", 2, split="train") == 2
    assert "--best_metric was" in watch.err


def test_a_number_that_is_never_defined_makes_no_best(watch):
    watch.export(1, 0.25)
    assert watch("--max_evals", 1, "--best_metric", "AP@0.5IOU/blue", split="val") == 0
    assert watch.steps() == ["step 1 (export_1): val -"]
    assert not (watch.output / "best.json").exists()


def test_a_stop_file(watch):
    watch.export(1, 0.25)
    (watch.exports / "STOP").write_text("")
    assert watch() == 0
    assert f"watch: ended, {watch.exports}/STOP is there; remove it to go on: 0 evaluated, 1 waiting" in watch.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overwrite"], "--overwrite does not go with --watch: choose another --output"),
        (["--dry_run"], "--dry_run does not go with --watch"),
        (["--fail_under", "mAP@0.5IOU=0.5"], "--fail_under does not go with --watch"),
        (["--best_metric", "mAPP@0.5IOU"], "did you mean mAP@0.5IOU?"),
        (["--split", "train,vla"], "there is no split 'vla'; did you mean val?"),
        (["--max_evals", "0"], "must be a whole number of at least 1"),
        (["--detections", "found"], "not allowed with"),
    ],
)
def test_wrong_usage(watch, options, message):
    assert watch(*options) == 2
    assert message in watch.err
    assert not watch.output.exists()


def test_options_of_a_watch_without_one(capsys):
    words = ["--detections", "d", "--ground_truth", "t", "--output", "o"]
    assert evaluate.main([*words, "--max_evals", "2"]) == 2
    assert "--max_evals is about watching a folder" in capsys.readouterr().err
    assert evaluate.main(["--watch", "w", *words[2:]]) == 2
    assert "--watch needs --label_map" in capsys.readouterr().err


class TestWhatCannotBeWatched:
    def test_checkpoints(self, watch):
        (watch.exports / "model.ckpt-1200.index").write_text("weights")
        assert watch() == 2
        assert "holds training checkpoints (such as model.ckpt-1200), which are weights without a model" in watch.err

    def test_an_export(self, watch):
        (watch.exports / "frozen_inference_graph.pb").write_text("graph")
        assert watch() == 2
        assert "is itself an export (frozen_graph), not a folder of exports: evaluate it with --model" in watch.err

    def test_nothing(self, watch):
        watch.exports.rmdir()
        assert watch() == 2
        assert "no such folder; --watch is the folder into which the training loop exports" in watch.err

    @pytest.mark.parametrize("option", ["--watch", "--output"])
    def test_an_object_store(self, watch, option):
        assert watch(option, "s3://bucket/there") == 2
        assert "--watch works on local disks: folder and output must be on one" in watch.err

    def test_the_place_of_the_output(self, watch):
        watch.output = watch.exports / "out"
        assert watch() == 2
        assert "the output must not be within the watched folder" in watch.err
