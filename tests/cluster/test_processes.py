"""Programs started by a test end with it, whatever they started themselves."""

import pathlib
import time

import pytest

from .processes import ProcessError, free_ports, listens, run_to_end, running, wait_until


def test_leaving_the_block_ends_the_program_and_what_it_started(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "shell.log"
    # Both shells ignore the polite signal; the inner one outlives the outer one's attention.
    script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & echo $$; wait"
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what the block does before it fails is the point
        with running(["sh", "-c", script], log=log, folder=tmp_path, grace=0.5) as process:
            wait_until(lambda: len(log.read_text().split()) == 2, process, what="two shells", log=log)
            pids = [int(line) for line in log.read_text().split()]
            assert all(map(_is_alive, pids))
            raise ZeroDivisionError
    assert process.pid in pids
    deadline = time.monotonic() + 30
    while any(map(_is_alive, pids)):
        assert time.monotonic() < deadline, f"still there of {pids}: {[pid for pid in pids if _is_alive(pid)]}"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A dead process keeps its number until its new parent looks.
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_fails_is_reported_with_the_end_of_its_log(tmp_path: pathlib.Path) -> None:
    command = ["sh", "-c", "echo it was the cat >&2; exit 3"]
    with pytest.raises(ProcessError, match=r"exit status 3(.|\n)*it was the cat"):
        run_to_end(command, log=tmp_path / "log", folder=tmp_path, timeout=60)


def test_a_program_that_takes_too_long_is_ended(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ProcessError, match="not done after"):
        run_to_end(["sleep", "600"], log=tmp_path / "log", folder=tmp_path, timeout=0.2)


def test_waiting_for_a_program_that_has_ended_fails_at_once(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    with running(["sh", "-c", "echo no such port; exit 4"], log=log, folder=tmp_path) as process:
        with pytest.raises(ProcessError, match=r"to listen: it ended with exit status 4 instead(.|\n)*no such port"):
            wait_until(lambda: False, process, what="the server, to listen", log=log, timeout=600)


def test_free_ports_are_different_and_silent() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not any(map(listens, ports))
