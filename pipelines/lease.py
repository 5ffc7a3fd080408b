"""One run at a time in an output on an object store, which has no locks: an object that its holder keeps renewing.

    OUTPUT/.boxbeam-lock    {"run": "…", "pid": 7, "host": "…", "place": "…", "beat": 12}

It is made, renewed and taken over in steps that the store refuses to all but one (storage.replace). A run that was
killed leaves it behind: on the same machine that is seen at once, elsewhere when it was not renewed for a while.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from od_core import storage
from od_core.errors import BoxbeamError, OutputError, StorageError

BEAT_SECONDS = 15.0
STALE_SECONDS = 60.0

Say = Callable[[str], None]


class Lease:
    """An output that this process holds."""

    def __init__(self, path: str, output: str):
        self._path, self._output = path, output
        self._words = {
            "run": uuid.uuid4().hex,
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "host": socket.gethostname(),
            "place": _place(),
        }
        self._beats = 0
        self._version: str | None = None
        self._is_lost = False
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)

    def take(self, say: Say) -> None:
        """Take it, when nobody has it, or nobody has any more.

        Args:
            say: is told where that has to be waited for.

        Raises:
            OutputError: another run holds it; names the process.
        """
        while True:
            found = storage.read_versioned(self._path)
            if found is not None:
                self._refuse_alive(*found, say)
            self._version = storage.replace(self._path, self._content(), found[1] if found else None)
            if self._version is not None:
                self._renewing.start()
                return

    def check(self) -> None:
        """Make sure that nobody else has it.

        Raises:
            StorageError: it was taken over, as this process seemed dead.
        """
        if self._is_lost or not self._is_mine(storage.read_versioned(self._path)):
            raise StorageError(
                f"{self._output}: another boxbeam run took this output over, as this one had not been heard of for"
                f" {STALE_SECONDS:.0f} s; nothing is published. Repeat the command when that one has ended"
            )

    def end(self) -> None:
        """Give it back."""
        self._ended.set()
        self._renewing.join()
        with contextlib.suppress(BoxbeamError):
            self.check()
            storage.remove([self._path])

    def _is_mine(self, found: tuple[bytes, str] | None) -> bool:
        return found is not None and _read(found[0]).get("run") == self._words["run"]

    def _content(self) -> bytes:
        self._beats += 1  # so that no two versions are alike
        return json.dumps({**self._words, "beat": self._beats}).encode()

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(BoxbeamError):  # not now, perhaps in a while; meanwhile somebody may take it over
                version = storage.replace(self._path, self._content(), self._version)
                if version is None:
                    found = storage.read_versioned(self._path)
                    if found is None or not self._is_mine(found):
                        self._is_lost = True
                        return
                    version = found[1]  # it was written, and the answer was lost
                self._version = version

    def _refuse_alive(self, content: bytes, version: str, say: Say) -> None:
        """Come back when the run that wrote this is not there any more."""
        holder = _read(content)
        if holder.get("place") == _place():
            if _started(int(holder["pid"])) == holder.get("started"):
                raise self._held(holder)
            return
        say(
            f"{self._output}: run {_told(holder)} may still be writing there: waiting for a sign of life,"
            f" {STALE_SECONDS:.0f} s at most"
        )
        until = time.monotonic() + STALE_SECONDS
        while time.monotonic() < until:
            time.sleep(min(1.0, STALE_SECONDS / 20))
            found = storage.read_versioned(self._path)
            if found is None:
                return
            if found[1] != version:
                raise self._held(_read(found[0]))

    def _held(self, holder: dict[str, Any]) -> OutputError:
        return OutputError(
            f"{self._output}: another boxbeam run is writing there ({_told(holder)}). Wait for it, stop it, or choose"
            " another --output"
        )


@contextlib.contextmanager
def leased(output: str, name: str, say: Say) -> Iterator[Lease]:
    """Hold an output for this process; arguments and errors as for `Lease.take`."""
    lease = Lease(storage.join(output, name), output)
    lease.take(say)
    try:
        yield lease
    finally:
        lease.end()


def _read(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _told(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'an unknown host')}"


def _place() -> str:
    """Where process numbers mean the same processes: a running kernel, and a namespace in it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return uuid.uuid4().hex  # nowhere that is known


def _started(pid: int) -> str | None:
    """When a process of this place was started, in ticks of the kernel; None if it does not run."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
