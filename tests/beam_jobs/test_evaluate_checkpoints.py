"""`boxbeam evaluate --watch --export_command`: every training checkpoint, exported by a command and evaluated."""

import json
import pathlib
import sys

import pytest

from beam_jobs import evaluate
from tests.annotated_blocks import write_record_files
from tests.beam_jobs.test_evaluate_watch import pretend
from tests.blocks_model import BLOCKS_LABEL_MAP
from tests.tensorboard_runs import accumulated

MAP = "PascalBoxes_Precision/mAP@0.5IOU"

EXPORTER = """
import pathlib, sys
folder, prefix, output = map(pathlib.Path, sys.argv[1:])
latest = (folder / "checkpoint").read_text().split('"')[1]
assert folder / latest == prefix
weights = pathlib.Path(f"{prefix}.data-00000-of-00001").read_text()
print("a warning")
print(f"weights of {latest}: {weights}")
if weights == "nan":
    sys.exit(3)
if weights != "nothing":
    output.mkdir()
    (output / "frozen_inference_graph.pb").write_text(weights)
"""


class Watch:
    """A folder of checkpoints, and the command that watches it; a "model" is its own mAP, see `pretend`."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.training, self.output, self._capsys = folder, folder / "training", folder / "out", capsys
        self.training.mkdir()
        write_record_files(folder / "records", 8)
        (folder / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
        (folder / "exporter.py").write_text(EXPORTER)

    def checkpoint(self, number: int, weights: object) -> None:
        (self.training / f"ckpt-{number}.data-00000-of-00001").write_text(str(weights))
        (self.training / f"ckpt-{number}.index").write_text("")

    def delete(self, number: int) -> None:
        for path in self.training.glob(f"ckpt-{number}.*"):
            path.unlink()

    def __call__(self, *options: object, command: str | None = None) -> int:
        exporter = command or f"{sys.executable} {self.folder}/exporter.py {{checkpoint_dir}} {{checkpoint}} {{export}}"
        what = ["--watch", self.training, "--label_map", self.folder / "labels.pbtxt", "--output", self.output]
        truth = ["--ground_truth", self.folder / "records", "--split", "val", "--metrics", "voc"]
        how = ["--poll_seconds", 0.01, "--settle_seconds", 0.01, "--num_visualizations", 1]
        status = evaluate.main([str(word) for word in (*what, *truth, *how, "--export_command", exporter, *options)])
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return status

    def steps(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.startswith("step ")]


@pytest.fixture
def watch(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "_run", pretend)
    return Watch(tmp_path, capsys)


def test_every_checkpoint_in_order_although_the_trainer_deletes_them(watch):
    for number, weights in ((10, 0.75), (2, 0.25), (3, 0.5)):
        watch.checkpoint(number, weights)
    (watch.training / "ckpt-11.index").write_text("")  # its data is still being written
    assert watch("--max_evals", 1) == 0
    assert watch.out.startswith(f"watch: every checkpoint in {watch.training}, into {watch.output}")
    assert watch.steps() == [f"step 2 (ckpt-2): val {0.25:.4f}; the best so far"]
    for number in (2, 3, 10):
        watch.delete(number)  # all but the last few, and after all had been seen
    watch.checkpoint(11, 0.625)
    assert watch("--until_step", 11) == 0
    assert watch.steps() == [
        f"step 3 (ckpt-3): val {0.5:.4f}; the best so far",
        f"step 10 (ckpt-10): val {0.75:.4f}; the best so far",
        f"step 11 (ckpt-11): val {0.625:.4f}",
    ]
    best = json.loads((watch.output / "best.json").read_text())
    assert (best["step"], best["export"]) == (10, "ckpt-10")
    assert (pathlib.Path(best["model"]) / "frozen_inference_graph.pb").read_text() == "0.75"
    points = accumulated(watch.output / "tensorboard/eval_val").Tensors(MAP)
    assert [point.step for point in points] == [2, 3, 10, 11]
    assert list((watch.output / "_kept").iterdir()) == []
    left = {path.name for path in (watch.output / "exports/ckpt-10").iterdir()}
    assert left == {"metrics.json", "report.txt"}


def test_a_command_that_fails_costs_one_checkpoint(watch):
    for number, weights in ((1, "nan"), (2, "nothing"), (3, 0.5)):
        watch.checkpoint(number, weights)
    assert watch("--max_evals", 3) == 3
    failed, empty, fine = watch.steps()
    assert failed == "step 1 (ckpt-1): failed: --export_command ended with status 3: weights of ckpt-1: nan"
    assert empty.startswith("step 2 (ckpt-2): failed: --export_command made no folder ")
    assert empty.endswith(": weights of ckpt-2: nothing")
    assert fine.startswith("step 3 (ckpt-3): val 0.5000")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python export.py {checkpoint}", "must contain {export}, the folder to export to"),
        ("python export.py {export}", "and {checkpoint} or {checkpoint_dir}, what to export"),
        ("pythn export.py {checkpoint} {export}", "there is no program 'pythn'"),
        ("python 'export.py {checkpoint} {export}", "No closing quotation"),
    ],
)
def test_commands_that_cannot_work(watch, command, message):
    assert watch(command=command) == 2
    assert message in watch.err
    assert not watch.output.exists()
