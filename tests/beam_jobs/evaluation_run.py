"""The command `boxbeam evaluate`, for tests."""

import pathlib
import shutil

import pytest

from beam_jobs import evaluate
from od_core.label_map import LabelMap
from tests.pipelines import evaluation_files as files

MAP, PASCAL = "DetectionBoxes_Precision/mAP", "PascalBoxes_Precision/mAP@0.5IOU"
ONE = pytest.approx(1.0)


class Run:
    """One command: its paths, what it said and what it wrote."""

    def __init__(self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]):
        self.folder, self.output, self._capsys = folder, folder / "scores", capsys

    def __call__(self, detections, truth, *options, labels=files.LABELS, truth_labels=files.LABELS) -> int:
        """Evaluate rows, or paths of files that are there; returns the exit status."""
        if not isinstance(detections, pathlib.Path):
            shutil.rmtree(self.folder / "found", ignore_errors=True)
            detections = files.write_detections(self.folder / "found", detections, labels)
        if not isinstance(truth, pathlib.Path):
            truth = files.write_truth(self.folder / "truth.parquet", truth, truth_labels)
        paths = ["--detections", detections, "--ground_truth", truth, "--output", self.output]
        try:
            status = evaluate.main([str(argument) for argument in (*paths, *options)])
        except SystemExit as ended:
            status = ended.code
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return status

    @property
    def report(self):
        return files.read_metrics(self.output)

    @property
    def metrics(self):
        return self.report["metrics"]


def write_label_map(folder: pathlib.Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "label_map.pbtxt").write_text(LabelMap.of_names(names or ("cat", "dog")).to_text())
