"""Runners other than Flink: the start of the chain on Beam's Prism and on Spark is what one machine makes.

Prism waits for ever when its worker dies: commands run in processes of their own, under a limit, and end with all that
they started.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest

from .chain import FRAMES, IMAGES, ODD_NAMES, OUTPUTS, Scene, contents, run_chain
from .conftest import skipped_without_tools
from .fetch import prism, spark_class_path, tool
from .places import CACHE
from .spark import spark_job_server

pytestmark = pytest.mark.cluster

JOBS = ("convert", "infer")

Say = Callable[[str], None]


@contextlib.contextmanager
def _prism(folder: pathlib.Path, say: Say) -> Iterator[list[str]]:
    with skipped_without_tools():
        program = prism(CACHE, say)
    yield ["--runner=PrismRunner", f"--prism_location={program}"]


@contextlib.contextmanager
def _spark(folder: pathlib.Path, say: Say) -> Iterator[list[str]]:
    with skipped_without_tools():
        java = tool("java", package="openjdk-17-jre-headless", purpose="run Spark")
        class_path = spark_class_path(CACHE, say)
    with spark_job_server(class_path, java=java, folder=folder) as options:
        yield options


@pytest.mark.parametrize("runner", [_prism, _spark], ids=["prism", "spark"])
def test_a_runner_makes_what_one_machine_makes(
    runner: Callable[[pathlib.Path, Say], contextlib.AbstractContextManager[list[str]]],
    scene: Scene,
    here: pathlib.Path,
    tmp_path: pathlib.Path,
    say: Say,
) -> None:
    (tmp_path / "runner").mkdir()
    with runner(tmp_path / "runner", say) as options:
        run_chain(scene, str(tmp_path / "out"), options, logs=tmp_path / "logs", jobs=JOBS)
    rows = {"convert": IMAGES, "infer": IMAGES + FRAMES + len(ODD_NAMES)}
    for job in JOBS:
        found = contents(tmp_path / "out" / OUTPUTS[job])
        assert found == contents(here / OUTPUTS[job])
        assert len(found["rows"]) == rows[job]
        assert not (tmp_path / "out" / OUTPUTS[job] / "_work").exists()
