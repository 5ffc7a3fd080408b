"""One run at a time in an output folder: a kernel file lock, so that a killed run leaves none behind.

On object stores it is a lease (lease.py).
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator

from od_core import storage
from od_core.errors import OutputError, StorageError
from pipelines.lease import Say, leased

LOCK_FILE = ".boxbeam-lock"


Check = Callable[[], None]
"""Raises StorageError where an output is not held any more."""


def always_held() -> None:
    """A `Check` for what cannot be lost."""


@contextlib.contextmanager
def locked(output: str, say: Say = print) -> Iterator[Check]:
    """Hold the output folder for this process.

    Args:
        output: the folder.
        say: is told where it has to be waited for.

    Yields:
        To be called before anything is published.

    Raises:
        OutputError: another run holds it; names the process.
    """
    if storage.is_remote(output):
        with leased(output, LOCK_FILE, say) as lease:
            yield lease.check
        return
    folder = storage.local_path(output)
    is_new = not os.path.isdir(folder)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{output}: this output folder cannot be made ({error.strerror})") from error
    path = os.path.join(folder, LOCK_FILE)
    descriptor = _lock(path, output)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield always_held
    finally:
        # Unlinked while still held: whoever opened it meanwhile sees in _lock that its file is no longer there.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)
        if is_new:  # what was refused while planning leaves no empty folder
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _lock(path: str, output: str) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{output}: cannot be written to ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace")
            os.close(descriptor)
            raise OutputError(
                f"{output}: another boxbeam run is writing there ({holder or 'just started'}). Wait for it, stop it, or"
                " choose another --output"
            ) from None
        except OSError:
            return descriptor  # a file system without locks: better to run than to refuse
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)
