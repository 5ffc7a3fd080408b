"""What items, users and machines do to a run, done to it for real: signals, crashes, hangs, full disks."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from od_core.errors import ItemError, UsageError
from tests.pipelines.conftest import dataset_rows, entries
from tests.pipelines.test_work import Listener, do
from tests.pipelines.toy_job import Spread, ToyJob

Texts = Callable[..., pathlib.Path]
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the toy job as a process of its own, in a session of its own; nothing of it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run_it(folder: pathlib.Path, output: pathlib.Path, cwd: pathlib.Path = ROOT, **fields: object) -> object:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.toy_main", str(folder), str(output), json.dumps(fields)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run_it
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def outcome(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=seconds)
    return process.returncode, printed.replace("finished\n", "")


def group_members(group: int) -> list[int]:
    """Processes of a group that still run (zombies do not)."""
    members = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, pgrp = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            except (OSError, ValueError):
                continue
            if int(pgrp) == group and state != "Z":
                members.append(int(entry.name))
    return members


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("crash", "exit -11 (SIGSEGV)"),
        ("hang", "no progress for"),
        ("eat", "needed more memory than the 2.0 GiB an item process may have"),
        ("raise", "RuntimeError: as told"),
    ],
)
def test_a_poisonous_input_is_named_retried_alone_and_failed_and_the_rest_is_done(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, order: str, reason: str
) -> None:
    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(12)}, poison=f"{order}\n")
    listener = Listener()
    result = do(
        folder,
        tmp_path / "out",
        ToyJob(diary=str(diary), files_per_item=13),
        listener,
        isolation="process",
        spread=Spread(1, 1),
        stall_seconds=1.5 if order == "hang" else 60.0,
        memory_bytes=2 << 30,
    )
    assert result.finished.manifest.counts == {"inputs": 13, "done": 12, "empty": 0, "failed": 1, "lines": 12}
    (failed,) = result.finished.failed
    assert failed.piece.source.key == "poison.t"
    assert reason in (failed.error or "")
    assert len(listener.incidents) == 2
    assert all(reason in incident for incident in listener.incidents)
    assert listener.incidents[1].startswith("poison.t: ")
    assert entries(diary).count("item poison.t") == 2  # with the others, then alone


def test_progress_of_a_failed_attempt_is_taken_back(texts: Texts, tmp_path: pathlib.Path) -> None:
    class Sum(Listener):
        lines = weight = 0

        def advanced(self, counts: Mapping[str, int], weight: int) -> None:
            self.lines += counts.get("lines", 0)
            self.weight += weight

    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(8)}, g="raise\n")
    seen = Sum()
    result = do(folder, tmp_path / "out", ToyJob(files_per_item=9), seen, isolation="process", spread=Spread(1, 1))
    assert result.finished.manifest.counts["lines"] == seen.lines == 8
    assert seen.weight == sum(path.stat().st_size for path in folder.glob("f*.t"))


def test_two_culprits_in_one_item_are_both_found(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(8)}, f03x="crash\n", f05x="crash\n")
    result = do(folder, tmp_path / "out", ToyJob(files_per_item=10), isolation="process")
    assert sorted(o.piece.source.key for o in result.finished.failed) == ["f03x.t", "f05x.t"]
    assert result.finished.manifest.counts["done"] == 8


def test_sigkill_of_the_launcher_at_random_moments_loses_nothing_and_repeats_no_finished_item(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = texts(**{f"f{n:03}": "".join(f"{n} {line}\n" for line in range(n % 5)) for n in range(60)})
    job = {"diary": str(diary), "files_per_item": 2, "seconds_per_file": 0.05}
    rng = random.Random(20261121)
    kills, done_before = 0, 0
    while True:
        process = start(folder, tmp_path / "out", job=job)
        moment = rng.uniform(0.2, 2.2) * 1.2**kills  # on a slow machine the first moments may all be in its start
        try:
            process.wait(moment)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        wait_for(lambda group=process.pid: not group_members(group), 10)  # the item processes die with it
        # Once the manifest is there the parts may be gone: killed while it tidied up, the run was over.
        finished = (tmp_path / "out/manifest.json").exists()
        done_now = 30 if finished else len(list((tmp_path / "out/_work/parts").glob("[0-9a-f]*.parquet")))
        assert done_now >= done_before
        done_before = done_now
    assert process.returncode == 0
    assert kills >= 2, "the run was over before it was killed: not a test"
    do(folder, tmp_path / "fresh", ToyJob(files_per_item=2))
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")
    # Each kill may cost the items that were in flight: two processes with two files each.
    repeated = sum(line.startswith("item") for line in entries(diary)) - 60
    assert 0 <= repeated <= kills * 2 * 2


def test_killed_while_an_item_hangs_in_c_the_item_process_dies_too(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = texts(a="hang in c\n")
    process = start(folder, tmp_path / "out", job={"diary": str(diary)})
    wait_for(lambda: any("item" in line for line in entries(diary)))
    assert len(group_members(process.pid)) >= 2
    process.kill()
    process.wait()
    wait_for(lambda: not group_members(process.pid), 5)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_within_seconds_without_a_traceback_and_the_repeat_continues(
    texts: Texts,
    tmp_path: pathlib.Path,
    diary: pathlib.Path,
    start: Callable[..., subprocess.Popen[str]],
    signal_number: int,
) -> None:
    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(30)})
    job = {"diary": str(diary), "files_per_item": 1, "seconds_per_file": 0.3}
    process = start(folder, tmp_path / "out", job=job)
    wait_for(lambda: len(list((tmp_path / "out").glob("_work/parts/[0-9a-f]*.parquet"))) >= 3)
    os.killpg(process.pid, signal_number)  # a terminal sends Ctrl-C to the whole group
    status, printed = outcome(process, 5)
    assert (status, printed) == (130, f"stopped by {signal.Signals(signal_number).name}\n")
    assert not group_members(process.pid)
    done = len(list((tmp_path / "out/_work/parts").glob("[0-9a-f]*.parquet")))
    assert 3 <= done < 30
    again = do(folder, tmp_path / "out", ToyJob(files_per_item=1))
    assert again.planned_inputs == 30 - done
    assert len(dataset_rows(tmp_path / "out")) == 30


def test_two_runs_in_one_output_the_second_is_refused_and_the_first_goes_on(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(10)})
    first = start(folder, tmp_path / "out", job={"diary": str(diary), "seconds_per_file": 0.3})
    wait_for(lambda: any(line.startswith("item") for line in entries(diary)))
    status, printed = outcome(start(folder, tmp_path / "out"))
    assert status == 1
    assert "another boxbeam run is writing there" in printed
    assert str(first.pid) in printed
    assert outcome(first)[0] == 0
    assert len(dataset_rows(tmp_path / "out")) == 10


def test_a_killed_run_leaves_no_lock(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = texts(a="x\n")
    process = start(folder, tmp_path / "out", job={"diary": str(diary), "seconds_per_file": 5})
    wait_for(lambda: any(line.startswith("item") for line in entries(diary)))
    process.kill()
    process.wait()
    assert do(folder, tmp_path / "out").finished.manifest.counts["done"] == 1


def test_a_full_disk_stops_the_run_in_words_and_it_continues_when_there_is_space(
    texts: Texts, tmp_path: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """A real file system of 1 MiB, where the system lets the test mount one; else the kernel's limit on file size."""
    folder = texts(**{f"f{n:02}": os.urandom(60_000).hex() + "\n" for n in range(40)})
    output = tmp_path / "out"
    output.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", output], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a small file system")
    try:
        status, printed = outcome(start(folder, output, job={"files_per_item": 1}))
        assert status == 1
        assert "StorageError" in printed
        assert "No space left on device" in printed
        assert "free some space and repeat the command" in printed
        assert "Traceback" not in printed
        done = len(list((output / "_work/parts").glob("[0-9a-f]*.parquet")))
        assert 0 < done < 40
        subprocess.run(["mount", "-o", "remount,size=64m", output], check=True)
        status, printed = outcome(start(folder, output, job={"files_per_item": 1}))
        assert (status, json.loads(printed)["planned"]) == (0, 40 - done)
        assert len(dataset_rows(output)) == 40
    finally:
        subprocess.run(["umount", output], check=True)


def test_started_from_a_folder_that_holds_its_own_pipelines_and_tests(
    texts: Texts, tmp_path: pathlib.Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = texts(a="x\n")
    for name in ("pipelines", "tests", "od_core"):
        (tmp_path / "trap" / name).mkdir(parents=True)
        (tmp_path / "trap" / name / "__init__.py").write_text("raise ImportError('the folder of the user')")
    code = (
        f"import sys; sys.path[0] = {str(ROOT)!r};"
        "from tests.pipelines.toy_main import main; sys.exit(main(*sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path / "out")],
        cwd=tmp_path / "trap",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("isolation", "order", "error", "reason"),
    [
        ("process", "crash", ItemError, r"item processes do not start: exit -11 \(SIGSEGV\)"),
        ("process", "raise", ItemError, "RuntimeError: as told"),
        ("process", "refuse", UsageError, "^the worker refuses to open$"),
        ("none", "raise", ItemError, "RuntimeError: as told"),
        ("none", "refuse", UsageError, "^the worker refuses to open$"),
    ],
)
def test_a_worker_that_cannot_open_ends_the_run_and_says_why(
    texts: Texts, tmp_path: pathlib.Path, isolation: str, order: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        do(texts(a="x\n"), tmp_path / "out", ToyJob(on_open=order), isolation=isolation)
    assert not (tmp_path / "out/manifest.json").exists()
    assert do(texts(), tmp_path / "out").finished.manifest.counts["done"] == 1


def test_a_worker_is_opened_once_per_process_and_closed_at_the_end(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    folder = texts(**{f"f{n:02}": f"{n}\n" for n in range(20)})
    job = ToyJob(diary=str(diary), files_per_item=1, seconds_per_file=0.05)
    do(folder, tmp_path / "out", job, isolation="process", spread=Spread(2, 1))
    pages = [page.read_text().splitlines() for page in diary.iterdir()]
    assert len(pages) == 2
    for page in pages:
        assert (page[0], page[-1]) == ("open", "close")
        assert page.count("open") == page.count("close") == 1
        assert len(page) > 2, "one process did everything"


def test_without_isolation_it_is_opened_once_in_this_process(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    do(texts(a="x\n", b="y\n"), tmp_path / "out", ToyJob(diary=str(diary)))
    assert entries(diary) == ["open", "item a.t", "item b.t", "close"]
    assert [page.name for page in diary.iterdir()] == [str(os.getpid())]


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_whole_item_is_done_without_the_piece_that_kills_it(
    texts: Texts, tmp_path: pathlib.Path, isolation: str
) -> None:
    """It is never taken apart: its heap holds what all the other pieces have."""
    deadly = "crash" if isolation == "process" else "raise"
    folder = texts(a="1\n", b=f"{deadly}\n", c="3\n", d="4\n", e="5\n")
    result = do(folder, tmp_path / "out", ToyJob(whole_items=True), isolation=isolation)
    assert dict(result.finished.manifest.counts) == {"inputs": 5, "done": 4, "empty": 0, "failed": 1, "lines": 4}
    assert result.finished.manifest.details == {"heaps": ["heap-a.txt", "heap-e.txt"]}
    assert (tmp_path / "out/heap-a.txt").read_text() == "1\n3\n4"
    assert (tmp_path / "out/heap-e.txt").read_text() == "5"
