"""The promise as a law: whatever came and went, and wherever runs were stopped, the dataset is that of a fresh run."""

import itertools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import data_files, spool
from pipelines.dataset import Dataset, Manifest
from pipelines.finalize import Finished, finalize
from pipelines.plan import make_plan, prepare_work
from pipelines.run_item import run_item
from tests.pipelines.conftest import dataset_rows
from tests.pipelines.render_files import Silent
from tests.pipelines.toy_job import ToyJob, toy_work

JOB = ToyJob(lines_per_piece=3, files_per_item=2)
WHOLE_JOB = ToyJob(files_per_item=2, whole_items=True)

contents = st.sampled_from(["", "a", "abc", "abcdefgh", "bad\n", "z" * 20])
folders = st.dictionaries(st.sampled_from([f"{name}.t" for name in "abcdefgh"]), contents, min_size=1)
# What the inputs are at a run, and after how many items it is killed; None: it ends.
histories = st.lists(st.tuples(folders, st.one_of(st.none(), st.integers(0, 3))), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little fits into memory or into a data file, so that everything is split and merged."""
    monkeypatch.setattr(spool, "_RUN_SIZE", 3)
    monkeypatch.setattr(spool, "_CHUNK_SIZE", 2)
    monkeypatch.setattr(data_files, "TARGET_FILE_BYTES", 400)
    monkeypatch.setattr(data_files, "MAX_FILE_PIECES", 4)


def lay(folder: pathlib.Path, inputs: Mapping[str, str]) -> None:
    """Make the folder hold these files; equal content has an equal time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in inputs.items():
        (folder / name).write_text(content)
        os.utime(folder / name, (len(content), len(content)))


def work_on(job: ToyJob, folder: pathlib.Path, output: pathlib.Path, items: int | None = None) -> None:
    """A run without Beam up to its end, or its first so many items."""
    work = toy_work([str(folder)], output, job)
    dataset = Dataset(str(output))
    plan = make_plan(job, work.ask)
    prepare_work(dataset, plan)
    worker = job.open_worker(str(output), 1)
    for item in itertools.islice(plan.items, items):
        run_item(job, dataset, worker, item, Silent())


def run(job: ToyJob, folder: pathlib.Path, output: pathlib.Path) -> Finished:
    work_on(job, folder, output)
    finished = finalize(job, toy_work([str(folder)], output, job).ask)
    assert isinstance(finished, Finished)
    return finished


@pytest.mark.parametrize("job", [JOB, WHOLE_JOB], ids=["pieces", "whole items"])
@settings(max_examples=25, deadline=None)
@given(history=histories)
def test_a_dataset_is_a_function_of_its_inputs_whatever_happened_before(
    job: ToyJob, history: list[tuple[dict[str, str], int | None]]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch)
        for inputs, killed_after in history:
            lay(place / "in", inputs)
            if killed_after is None:
                run(job, place / "in", place / "out")
            else:
                work_on(job, place / "in", place / "out", killed_after)
        finished = run(job, place / "in", place / "out")
        fresh = run(job, place / "in", place / "fresh")
        assert dataset_rows(place / "out") == dataset_rows(place / "fresh")
        assert finished.manifest.counts == fresh.manifest.counts
        assert [one.piece for one in finished.failed] == [one.piece for one in fresh.failed]
        assert sum(file.inputs for file in finished.manifest.files) == sum(file.inputs for file in fresh.manifest.files)
        text = (place / "out/manifest.json").read_text()
        assert Manifest.from_text(text) == finished.manifest
        again = run(job, place / "in", place / "out")
        assert not again.changed
        assert (place / "out/manifest.json").read_text() == text
