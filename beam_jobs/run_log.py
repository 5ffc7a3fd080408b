"""The log file of runs: what happened when, for the morning after a night's run."""

import contextlib
import datetime
import os
import threading
import time

from od_core.errors import OutputError


class RunLog:
    """Lines with their time, added to the end of a file; may be used from many threads.

    A disk that is full costs lines, and not the run.
    """

    def __init__(self, path: str):
        """Raises OutputError when the file cannot be written."""
        try:
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"--log_file {path}: cannot be written ({os.strerror(error.errno or 0)})") from error
        self._lock = threading.RLock()  # a signal handler may write while this thread does
        self._written = time.monotonic()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._file.close()

    @property
    def seconds_silent(self) -> float:
        """Seconds since the last line."""
        return time.monotonic() - self._written

    def write(self, message: str) -> None:
        """Add a message; its further lines are set in."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self._written = time.monotonic()
        with self._lock:
            with contextlib.suppress(OSError, ValueError):  # ValueError: closed, a late word of another thread
                self._file.write(f"{now} " + message.replace("\n", "\n    ") + "\n")
