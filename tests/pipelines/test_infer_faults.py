"""infer as a user runs it, the installed command in a process of its own, killed and started in the wrong place."""

import os
import pathlib
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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """600 small images, three items; and `fresh`, what an undisturbed run makes of them."""
    place = tmp_path_factory.mktemp("place")
    write_frozen_graph(place / "model.pb")
    (place / "labels.pbtxt").write_text(BLOCKS_LABEL_MAP)
    (place / "in").mkdir()
    images = [jpeg(draw_scene(number, width=96, height=64).image) for number in range(12)]
    for number in range(600):
        (place / f"in/{number:03}.jpg").write_bytes(images[number % len(images)])
    fresh = [*infer_in(place), f"--input={place / 'in'}", f"--output={place / 'fresh'}"]
    subprocess.run(fresh, check=True, capture_output=True, timeout=120)
    return place


def infer_in(place: pathlib.Path) -> list[str]:
    return [str(BOXBEAM), "infer", f"--model={place / 'model.pb'}", f"--label_map={place / 'labels.pbtxt'}"]


@pytest.fixture
def command(place: pathlib.Path) -> list[str]:
    """boxbeam infer on those images."""
    return [*infer_in(place), f"--input={place / 'in'}"]


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
    place: pathlib.Path, command: list[str], tmp_path: pathlib.Path, signal_number: int
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
    assert rows_of(output) == rows_of(place / "fresh")
    assert len(rows_of(output)) == 600


def test_a_disk_that_is_full_in_the_middle_and_again_at_the_end_loses_nothing(
    place: pathlib.Path, command: list[str], tmp_path: pathlib.Path
) -> None:
    """A real file system of some KiB, which grows; where the system lets the test mount one."""
    output = tmp_path / "out"
    output.mkdir()
    data_bytes = sum(path.stat().st_size for path in (place / "fresh").glob("*.parquet"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", output], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small file system")
    try:
        # Room for one or two of the three parts; for all, but not for the dataset beside them; for everything.
        for room, status, parts in ((0.9, 1, {1, 2}), (2.4, 1, {3}), (9, 0, {0})):
            size = int(room * data_bytes) + 24_000
            subprocess.run(["mount", "-o", f"remount,size={size}", output], check=True)
            done = subprocess.run(
                [*command, f"--output={output}", "--workers=1"], capture_output=True, text=True, timeout=120
            )
            assert done.returncode == status, done.stderr
            assert parts_in(output) in parts
            if status:
                assert "No space left on device); free some space and repeat the command" in done.stderr
                assert "Traceback" not in done.stderr
                assert not (output / "manifest.json").exists()
        assert rows_of(output) == rows_of(place / "fresh")
    finally:
        subprocess.run(["umount", output], check=True)


def test_started_from_a_folder_that_holds_its_own_packages(place: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("pipelines", "tests", "od_core", "beam_jobs", "tensorflow"):
        (tmp_path / "trap" / name).mkdir(parents=True)
        (tmp_path / "trap" / name / "__init__.py").write_text("raise ImportError('the folder of the user')")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one.jpg").write_bytes(jpeg(draw_scene(0).image))
    done = subprocess.run(
        [*infer_in(place), f"--input={tmp_path / 'in'}", "--output", "found"],
        cwd=tmp_path / "trap",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(tmp_path / "trap/found")) == 1
