"""Inspecting what is not on this machine's disks: it is copied, looked at here, and told of under its own name."""

import argparse
import contextlib
import io
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from od_core import storage
from od_core.annotations.annotated import no_such_path
from od_core.errors import BoxbeamError, UsageError
from od_core.storage import FileInfo
from pipelines.remote.file_systems import FileSystems

_CHUNK_BYTES = 4 << 20


def on_local_disk(
    made: argparse.ArgumentParser, args: argparse.Namespace, beam_options: Sequence[str], inspect: Callable[[], int]
) -> int:
    """Inspect with copies in the place of remote paths; returns the exit status.

    Args:
        made: the parser, which says what is wrong with a path.
        args: as parsed; its paths become those of the copies.
        beam_options: Beam's, which say how to reach the file systems.
        inspect: inspects the paths of `args`, and prints what it finds.
    """
    storage.register_remote(FileSystems(beam_options))
    with tempfile.TemporaryDirectory(prefix="boxbeam-inspect-") as scratch:
        names: dict[str, str] = {}
        try:
            args.path = [path for given in args.path for path in _copies(given, scratch, names)]
            if args.label_map is not None:
                (args.label_map,) = _copies(args.label_map, scratch, names)
        except BoxbeamError as error:
            made.error(str(error))
        except OSError as error:
            made.error(f"{error.filename}: cannot be read ({error.strerror or error})")
        with _renamed(names):
            return inspect()


def _copies(given: str, scratch: str, names: dict[str, str]) -> Iterator[str]:
    """The local paths for a path: itself, or copies of what it names, whose own names are noted."""
    if not storage.is_remote(given):
        yield given
        return
    place = given.rstrip("/")
    file = storage.stat(place)
    if file is not None:
        root, files = place, [file]
    else:
        root, files = (place, list(storage.walk(place)))
        if not files and storage.has_wildcard(place):
            root, found = storage.glob(place)
            files = list(found)
    if not files:
        raise no_such_path(given)
    target = pathlib.Path(scratch, str(len(names)), root.rsplit("/", 1)[1])
    names[str(target)] = root
    _refuse_too_large(given, files, scratch)
    for info in files:
        _copy(info, target / info.path[len(root) + 1 :])
    yield from [str(target)] if root == place else [str(target / info.path[len(root) + 1 :]) for info in files]


def _refuse_too_large(given: str, files: Sequence[FileInfo], scratch: str) -> None:
    needed, free = sum(info.size for info in files), shutil.disk_usage(scratch).free
    if needed > free:
        raise UsageError(
            f"{given}: it is copied to be inspected, and needs {needed:,} bytes where {scratch} has {free:,}; set"
            " TMPDIR to a larger disk, or give some of its files"
        )


def _copy(info: FileInfo, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with storage.open_input(info.path) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK_BYTES)


@contextlib.contextmanager
def _renamed(names: dict[str, str]) -> Iterator[None]:
    """What is printed in the block, on either stream, with the copies' own names."""
    said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said[0]), contextlib.redirect_stderr(said[1]):
            yield
    finally:
        for text, stream in zip(said, (sys.stdout, sys.stderr), strict=True):
            told = text.getvalue()
            for copy, name in names.items():
                told = told.replace(copy, name)
            stream.write(told)
            stream.flush()
