"""infer as a user runs it, the installed command in a process of its own, killed and started in the wrong place."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.blocks_model import BLOCKS_LABEL_MAP, write_frozen_graph
from tests.blocks_scene import draw_scene, jpeg

BOXBEAM = pathlib.Path(sys.executable).with_name("boxbeam")


@pytest.fixture
def command(tmp_path: pathlib.Path) -> list[str]:
    """boxbeam infer on 600 small images, three items."""
    write_frozen_graph(tmp_path / "model.pb")
    (tmp_path / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    (tmp_path / "in").mkdir()
    images = [jpeg(draw_scene(number, width=96, height=64).image) for number in range(12)]
    for number in range(600):
        (tmp_path / f"in/{number:03}.jpg").write_bytes(images[number % len(images)])
    options = {"model": "model.pb", "label_map": "labels.pbtxt", "input": "in"}
    return [str(BOXBEAM), "infer", *(f"--{name}={tmp_path / path}" for name, path in options.items())]


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    return pq.read_table(sorted(output.glob("*.parquet"))).to_pylist()


def parts_in(output: pathlib.Path) -> int:
    return len(list((output / "_work/parts").glob("[0-9a-f]*.parquet")))


def start_and_wait_for_a_part(command: list[str], output: pathlib.Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not parts_in(output):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_repeated_the_rows_are_those_of_one_run(
    command: list[str], tmp_path: pathlib.Path, signal_number: int
) -> None:
    output = tmp_path / "out"
    process = start_and_wait_for_a_part([*command, f"--output={output}"], output)
    os.killpg(process.pid, signal_number)
    printed = process.communicate(timeout=10)[0]
    done = parts_in(output)
    assert 1 <= done <= 2, "it was over before it was killed: not a test"
    if signal_number == signal.SIGINT:
        assert process.returncode == 130
        assert "kept. Repeat the command to continue" in printed
        assert "Traceback" not in printed
    again = subprocess.run([*command, f"--output={output}"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "of them done already" in again.stderr
    subprocess.run([*command, f"--output={tmp_path / 'fresh'}"], check=True, capture_output=True, timeout=120)
    assert rows_of(output) == rows_of(tmp_path / "fresh")
    assert len(rows_of(output)) == 600


def test_started_from_a_folder_that_holds_its_own_packages(command: list[str], tmp_path: pathlib.Path) -> None:
    for name in ("pipelines", "tests", "od_core", "beam_jobs", "tensorflow"):
        (tmp_path / "trap" / name).mkdir(parents=True)
        (tmp_path / "trap" / name / "__init__.py").write_text("raise ImportError('the folder of the user')")
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one.jpg").write_bytes(jpeg(draw_scene(0).image))
    done = subprocess.run(
        [*command, "--output", "found"], cwd=tmp_path / "trap", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(tmp_path / "trap/found")) == 1
