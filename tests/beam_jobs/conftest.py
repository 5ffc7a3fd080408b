import pathlib

import pytest

from tests.beam_jobs.evaluation_run import Run


@pytest.fixture
def run(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command `boxbeam evaluate` in a folder of its own."""
    return Run(tmp_path, capsys)
