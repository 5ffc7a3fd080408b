"""Detections for supervision: without it (tests/readers has the tests with it)."""

import pathlib
import sys

import pytest

from od_core.detected_frames import read_frames
from od_core.errors import UsageError
from od_core.supervision_detections import as_supervision
from tests.pipelines.evaluation_files import found_row, write_detections


def test_what_is_missing_is_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (frame,) = read_frames(str(write_detections(tmp_path / "found", [found_row("a.jpg")])))
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        as_supervision(frame)
