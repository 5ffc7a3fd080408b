"""One run at a time in an output folder: a kernel file lock, so that a killed run leaves none behind."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator

from od_core import storage
from od_core.errors import OutputError, StorageError

LOCK_FILE = ".boxbeam-lock"


@contextlib.contextmanager
def locked(output: str) -> Iterator[None]:
    """Hold the output folder for this process.

    On object stores there is no such lock, and none is taken: start one run at a time there.

    Raises:
        OutputError: another run holds it; names the process.
    """
    if storage.is_remote(output):
        yield
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
        yield
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
