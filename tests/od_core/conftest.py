"""A record dataset as convert makes it, for the tests of all that reads one."""

import gzip
import pathlib
import shutil

import pytest

from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.observer import Silent
from pipelines.work import Engine, run
from tests.pipelines.made_annotations import write_voc
from tests.pipelines.toy_job import toy_work


@pytest.fixture(scope="session")
def record_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Twelve images img00.jpg ... of `write_voc` in two splits; img04.jpg is no image and has no record. Not to be
    changed: make a copy.
    """
    root = tmp_path_factory.mktemp("records")
    write_voc(root / "in")
    (root / "in" / "JPEGImages" / "img04.jpg").write_bytes(b"hello")
    job = ConvertJob(Layout({"train": 0.7, "val": 0.3}, images_per_shard=3))
    work = toy_work([str(root / "in")], root / "out", job, isolation="none")  # type: ignore[arg-type]
    run(work, Engine(), Silent(), max_failed_ratio=1.0)
    return root / "out"


@pytest.fixture
def packed_record_folder(record_folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The same with GZIP shards; the offsets in the index are those of the uncompressed streams."""
    copy = shutil.copytree(record_folder, tmp_path / "packed")
    for shard in copy.glob("*.tfrecord"):
        shard.write_bytes(gzip.compress(shard.read_bytes()))
    return copy
