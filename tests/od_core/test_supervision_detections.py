"""Detections for supervision; where it is installed, what is exported for it loads in it."""

import pathlib
import sys
from typing import Any

import numpy as np
import pytest

from od_core.detected_frames import DetectedFrame, read_frames
from od_core.errors import UsageError
from od_core.supervision_detections import as_supervision
from pipelines.export import ExportAsk, export
from tests.pipelines.evaluation_files import failed_row, found_row, write_detections

BOX, OTHER = (0.1, 0.2, 0.3, 0.7), (0.0, 0.0, 0.5, 1.0)


@pytest.fixture
def found(tmp_path: pathlib.Path) -> pathlib.Path:
    rows = [found_row("a.jpg", (1, BOX, 0.9), (2, OTHER, 0.5)), found_row("b.jpg"), failed_row("c.jpg")]
    return write_detections(tmp_path / "found", rows)


@pytest.fixture
def frames(found: pathlib.Path) -> list[DetectedFrame]:
    return list(read_frames(str(found)))


@pytest.fixture
def supervision() -> Any:
    return pytest.importorskip("supervision")


def test_what_is_missing_is_said(frames: list[DetectedFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        as_supervision(frames[0])


def test_detections_become_supervisions(supervision: Any, frames: list[DetectedFrame]) -> None:
    first, empty, failed = map(as_supervision, frames)
    np.testing.assert_allclose(first.xyxy, [[40, 10, 140, 30], [0, 0, 200, 50]], rtol=1e-6)
    assert first.confidence.tolist() == [np.float32(0.9), 0.5]
    assert first.class_id.tolist() == [1, 2]
    assert first["class_name"].tolist() == ["cat", "dog"]
    assert first.area.tolist() == pytest.approx([2000, 10000])
    assert len(first[first.confidence > 0.6]) == 1
    assert (len(empty), len(failed)) == (0, 0)


@pytest.mark.parametrize("format", ["coco", "voc", "yolo"])
def test_exports_load_in_supervision(
    supervision: Any, found: pathlib.Path, tmp_path: pathlib.Path, format: str
) -> None:
    cv2 = pytest.importorskip("cv2")
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((100, 200, 3), np.uint8))
    output = tmp_path / "exported"
    export(ExportAsk(str(found), str(output), format))
    images = str(tmp_path / "images")
    dataset = {
        "coco": lambda: supervision.DetectionDataset.from_coco(images, str(output)),
        "voc": lambda: supervision.DetectionDataset.from_pascal_voc(images, str(output / "Annotations")),
        "yolo": lambda: supervision.DetectionDataset.from_yolo(
            images, str(output / "labels"), str(output / "data.yaml")
        ),
    }[format]()
    by_name = {pathlib.Path(path).name: annotation for path, _, annotation in dataset}
    assert sorted(by_name) == ["a.jpg", "b.jpg"]
    assert len(by_name["b.jpg"]) == 0
    # supervision takes VOC's pixels as counted from 1, and COCO's boxes in whole numbers.
    np.testing.assert_allclose(by_name["a.jpg"].xyxy, [[40, 10, 140, 30], [0, 0, 200, 50]], atol=1.01)
    assert [dataset.classes[n] for n in by_name["a.jpg"].class_id] == ["cat", "dog"]
