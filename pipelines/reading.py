"""Errors about one input, told apart from those that stop a run, and as rows tell them."""

from od_core import storage
from od_core.errors import InputError
from od_core.images import refuse_too_large
from od_core.schemas import FrameError
from pipelines.content import content_version
from pipelines.items import Source


class Reading:
    """A block that reads one input: the system's errors are that input's failure.

    A class, as a generator would take longer than to open and read a small file.
    """

    def __init__(self, uri: str):
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise InputError("no such file; it was listed, or was there when the run was planned") from error
        if isinstance(error, OSError):
            raise InputError(f"{storage.printable(self._uri)} cannot be read: {error.strerror or error}") from error


def refuse_changed(source: Source) -> None:
    """Asked after reading an input: is it still what the run was planned for?

    A file that grew, was replaced or removed while the run went on has no row of its old content, nor of a mixture:
    it fails, and the next run, which sees another size or time, does it anew.

    Raises:
        InputError: it is another one now.
        FileNotFoundError: it is gone.
    """
    now = storage.stat(source.uri)
    if now is None:
        raise FileNotFoundError
    planned_ms = source.version if source.modified_ms is None else source.modified_ms
    if (now.size, now.mtime_ms) != (source.size, planned_ms):
        if source.modified_ms is not None and now.size == source.size and content_version(source.uri) == source.version:
            return  # another time, the same bytes
        grown = f"from {source.size:,} to {now.size:,} bytes" if now.size != source.size else "in place"
        raise InputError(
            f"it changed while the run went on ({grown}): repeat the command when it is complete, which does it anew"
        )


def read_image_file(source: Source) -> bytes:
    """The bytes of an image file, the one that the run was planned for.

    Raises:
        InputError: it cannot be read, or is another one now.
        ImageError: it is larger than any image that is decoded; then it is not read.
    """
    with Reading(source.uri):
        refuse_too_large(source.size)
        encoded = storage.read_up_to(source.uri, source.size + 1, source.size)  # and not all it may have grown to
        refuse_changed(source)
    return encoded


def frame_error(error: InputError) -> FrameError:
    """An error about an input, as a row tells it."""
    return FrameError(error.stage, type(error).__name__, str(error))
