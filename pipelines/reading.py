"""Errors about one input, told apart from those that stop a run, and as rows tell them."""

import contextlib
from collections.abc import Iterator

from od_core import storage
from od_core.errors import InputError
from od_core.schemas import FrameError


@contextlib.contextmanager
def reading(uri: str) -> Iterator[None]:
    """In a block that reads one input: the system's errors are that input's failure."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError("no such file; it was listed, or was there when the run was planned") from error
    except OSError as error:
        raise InputError(f"{storage.printable(uri)} cannot be read: {error.strerror or error}") from error


def frame_error(error: InputError) -> FrameError:
    """An error about an input, as a row tells it."""
    return FrameError(error.stage, type(error).__name__, str(error))
