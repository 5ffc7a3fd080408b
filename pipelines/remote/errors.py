"""What goes wrong on other file systems, in boxbeam's words."""

import contextlib
from collections.abc import Iterator

from od_core.errors import BoxbeamError, StorageError


@contextlib.contextmanager
def writing(path: str, what: str = "written") -> Iterator[None]:
    """In a block that changes a path: errors of a server, a connection or the local disk are about that.

    Raises:
        StorageError: says what happened, and what to do.
    """
    try:
        yield
    except BoxbeamError:
        raise
    except Exception as error:  # whatever the client libraries raise
        raise StorageError(
            f"{path}: cannot be {what} ({error}); repeat the command when this is mended: finished work is kept"
        ) from error
