"""Programs that a test starts beside itself: each in a process group of its own, gone when its block is left."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence


class ProcessError(Exception):
    """A program that did not start, ended too early, or failed; the message ends with the tail of its log."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    log: pathlib.Path,
    folder: pathlib.Path,
    env: Mapping[str, str] | None = None,
    grace: float = 10,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in `folder` for as long as the block lasts; then it and all it started are gone.

    The program leads a process group of its own, so Ctrl-C in the terminal reaches the test and not the program, and
    the whole group can be ended without touching anything else. Should the test itself be killed, the program gets
    SIGKILL from the kernel (where util-linux's setpriv exists).

    Args:
        command: the program and its arguments.
        log: where its stdout and stderr go, together.
        folder: its current directory.
        env: variables set on top of the test's own.
        grace: seconds it has to end by itself before its group is killed.
    """
    leash = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*leash, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end_group(process, grace)


def _end_group(process: subprocess.Popen[bytes], grace: float) -> None:
    try:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    finally:
        # The leader may be gone while something it started is not.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def run_to_end(
    command: Sequence[str],
    *,
    log: pathlib.Path,
    folder: pathlib.Path,
    env: Mapping[str, str] | None = None,
    timeout: float,
    every_15_s: Callable[[float], None] | None = None,
) -> None:
    """Run `command` as `running` does and wait for it.

    Args:
        timeout: seconds it may take.
        every_15_s: called with the seconds passed so far, to show that something is going on.

    Raises:
        ProcessError: it failed, or took longer than `timeout`.
    """
    start = time.monotonic()
    with running(command, log=log, folder=folder, env=env) as process:
        while process.poll() is None:
            passed = time.monotonic() - start
            if passed >= timeout:
                raise ProcessError(f"{command[0]} was not done after {timeout:g} s\n{tail(log)}")
            if every_15_s and passed >= 15:
                every_15_s(passed)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(15, timeout - passed))
    if process.returncode:
        raise ProcessError(f"exit status {process.returncode} from: {' '.join(command)}\n{tail(log)}")


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, what: str, log: pathlib.Path, timeout: float = 200
) -> None:
    """Wait until `ready()` says so.

    Args:
        process: the program waited for; when it ends there is nothing to wait for any more.
        what: its name and the state waited for, for the error message.
        timeout: seconds.

    Raises:
        ProcessError: the program ended, or was not ready in time.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if process.poll() is not None:
            raise ProcessError(f"{what}: it ended with exit status {process.returncode} instead\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ProcessError(f"{what}: not within {timeout:.0f} s\n{tail(log)}")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(log: pathlib.Path, lines: int = 40) -> str:
    """The last lines of a log, under its path; what is not UTF-8 in it is replaced, and long lines are cut."""
    text = log.read_text("utf-8", "replace") if log.exists() else "(nothing was written)"
    return f"--- the end of {log}\n" + "\n".join(line[:400] for line in text.splitlines()[-lines:])
