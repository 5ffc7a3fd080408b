"""What befalls a cluster in the middle of a job: a lost machine, a killed worker, a cancelled job. Nothing befalls the
output, and only work in flight is done again.

Which work is done again the toy of the engine's own tests tells, one file an item: some items are done at once, the
others wait for a gate, so that the job is in its middle for as long as a test wants. convert and render, which have
more to clean up than parts, are held by their workers' witness when each has done an item.
"""

import collections
import contextlib
import functools
import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set

import pytest

from tests.pipelines.conftest import Rows, dataset_rows

from .chain import OUTPUTS, LongVideo, Scene, contents, job_arguments
from .commands import command, commits, environment
from .flink import TASK_MANAGERS, FlinkCluster
from .places import REPOSITORY
from .processes import run_to_end, running, wait_until

pytestmark = pytest.mark.cluster

# Items are dealt to the two workers by a hash: with so many, each has more than those that need not wait.
FILES, FREE = 40, 6


class Toy:
    """The toy job on a cluster, and its files below a folder of the test's."""

    def __init__(self, flink: FlinkCluster, folder: pathlib.Path):
        self._options = [option for option in flink.options if not option.startswith("--runner=")]
        self._folder = folder
        self.output, self.gate, self.log = folder / "out", folder / "gate", folder / "toy.log"
        for name in ("in", "diary"):
            (folder / name).mkdir()
        order = f"turnstile\n{FREE}\n{folder / 'diary'}\n{self.gate}\n"
        contents = {f"f{number:02}": f"{order}{number}\n" for number in range(FILES)}
        for name, content in contents.items():
            (folder / "in" / f"{name}.t").write_text(content)
        self.rows: Rows = sorted(
            (
                (f"{name}.t", number, line, None)
                for name, content in contents.items()
                for number, line in enumerate(content.splitlines())
            ),
            key=repr,
        )

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """The command that runs it, for as long as the block lasts."""
        settings = {
            "job": {"diary": str(self._folder / "diary"), "files_per_item": 1},
            "isolation": "none",
            "runner": "FlinkRunner",
            "beam_options": self._options,
        }
        inputs = str(self._folder / "in")
        command = [sys.executable, "-m", "tests.pipelines.toy_main", inputs, str(self.output), json.dumps(settings)]
        env = environment(self._folder / "witness")
        with running(command, log=self.log, folder=REPOSITORY, env=env) as process:
            yield process

    def wait_for_the_middle(self, process: subprocess.Popen[bytes]) -> set[str]:
        """Wait until every worker stands at the gate; returns the items that are done, as the diary has them."""
        at_the_gate = functools.partial(self._folder.glob, "waiting-*")
        half_done = "the job, to be half done"
        wait_until(lambda: len(list(at_the_gate())) == TASK_MANAGERS, process, what=half_done, log=self.log)
        pages = (_items(page) for page in sorted((self._folder / "diary").iterdir()))
        done = {item for page in pages for item in page[:-1]}
        assert FREE - TASK_MANAGERS < len(done) <= FREE
        return done

    def open_gate(self) -> None:
        """Let those that wait go on."""
        self.gate.touch()

    def times_begun(self) -> Mapping[str, int]:
        """How often each item was begun."""
        return collections.Counter(self._begun())

    def _begun(self) -> list[str]:
        return [item for page in sorted((self._folder / "diary").iterdir()) for item in _items(page)]


def _items(page: pathlib.Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith("item ")]


def finish(toy: Toy, process: subprocess.Popen[bytes]) -> None:
    """Wait for the end, and see that all is there and whole."""
    assert process.wait(240) == 0, toy.log.read_text()
    assert dataset_rows(toy.output) == toy.rows


def assert_not_done_again(done: Set[str], times_begun: Mapping[str, int]) -> None:
    """What was done before the fault was not done again, and all else was begun at least once."""
    assert {item: times_begun[item] for item in done} == dict.fromkeys(done, 1)
    assert len(times_begun) == FILES


@pytest.mark.parametrize("lost", ["task manager", "python worker"])
def test_a_loss_in_the_middle_of_a_job_changes_no_row(flink: FlinkCluster, tmp_path: pathlib.Path, lost: str) -> None:
    toy = Toy(flink, tmp_path)
    with toy.started() as process:
        done = toy.wait_for_the_middle(process)
        if lost == "task manager":
            flink.kill_task_manager()
            flink.start_task_manager()
        else:
            flink.kill_python_worker(toy.output)
        toy.open_gate()
        finish(toy, process)
    assert_not_done_again(done, toy.times_begun())


def test_a_cancelled_job_that_is_submitted_again_continues(flink: FlinkCluster, tmp_path: pathlib.Path) -> None:
    toy = Toy(flink, tmp_path)
    with toy.started() as process:
        done = toy.wait_for_the_middle(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (130, -signal.SIGINT), toy.log.read_text()
    toy.open_gate()
    with toy.started() as process:
        finish(toy, process)
    assert_not_done_again(done, toy.times_begun())


@pytest.mark.parametrize(("job", "lost"), [("convert", "python worker"), ("render", "task manager")])
def test_a_loss_changes_no_file(
    flink: FlinkCluster, scene: Scene, here: pathlib.Path, tmp_path: pathlib.Path, job: str, lost: str
) -> None:
    output, log = tmp_path / "out", tmp_path / f"{job}.log"
    arguments = (*job_arguments(scene, str(here), job), "--output", output, *flink.options)
    parts = output / "_work" / "parts"
    gate = flink.hold(parts)
    with running(command(job, *arguments), log=log, folder=tmp_path, env=environment(tmp_path / "witness")) as process:
        wait_until(lambda: any(parts.glob("*.parquet")), process, what=f"{job}, to have done an item", log=log)
        if lost == "task manager":
            flink.kill_task_manager()
            flink.start_task_manager()
        else:
            flink.kill_python_worker(output)
        gate.unlink()
        assert process.wait(240) == 0, log.read_text()
    assert contents(output) == contents(here / OUTPUTS[job])
    assert not [path for path in output.rglob("*") if path.name.startswith((".", "_"))]


def test_a_long_video_survives_everything(flink: FlinkCluster, long_video: LongVideo, tmp_path: pathlib.Path) -> None:
    """infer itself, held in its middle: a Python worker is killed, then a TaskManager, then the job is cancelled."""
    output, log = tmp_path / "out", tmp_path / "infer.log"
    parts = output / "_work" / "parts"
    infer = command("infer", *long_video.model, "--input", long_video.input, "--output", output, *flink.options)
    env = environment(tmp_path / "witness")
    gate = flink.hold(parts)
    lost: set[int] = set()

    def stands() -> bool:
        return len(flink.waiting() - lost) == TASK_MANAGERS

    with running(infer, log=log, folder=tmp_path, env=env) as process:
        wait_until(stands, process, what="infer, to be half done", log=log)
        done = {part: part.stat().st_mtime_ns for part in parts.glob("*.parquet")}
        assert len(done) == TASK_MANAGERS
        flink.hold(parts, free=0)
        for kill in (lambda: flink.kill_python_worker(output), flink.kill_task_manager):
            lost |= flink.waiting()
            kill()
            while len(flink.task_managers) < TASK_MANAGERS:
                flink.start_task_manager()
            wait_until(stands, process, what="infer, to stand at the gate again", log=log)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (130, -signal.SIGINT), log.read_text()
    gate.unlink()
    run_to_end(infer, log=log, folder=tmp_path, env=env, timeout=150)
    assert contents(output)["rows"] == contents(long_video.here)["rows"]  # one machine's are in more files
    assert not [path for path in output.rglob("*") if path.name.startswith((".", "_"))]
    again = [path for made in commits(flink.witness).values() for path in made if path in set(map(str, done))]
    assert sorted(again) == sorted(map(str, done))  # each once
