"""A folder that exists whole or not at all: made beside its place, under a name of its own, then put there.

On an object store, where nothing is renamed, the manifest stands for the whole: it goes before the first file changes,
and comes back behind the last.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from od_core import storage
from od_core.errors import OutputError, StorageError

MANIFEST = "manifest.json"

_MARK = "boxbeam"
_UPLOADS_AT_ONCE = 16
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_folder(path: str, made_by: str) -> None:
    """Refuse a place at which `commit_folder` would not put its folder.

    Args:
        made_by: what such folders say of themselves: "export/1".

    Raises:
        OutputError: a file, or a folder with other people's files.
    """
    if storage.is_remote(path):
        if storage.stat(path) is not None:
            raise OutputError(f"{path}: is a file, where a folder is to be made; choose another --output")
        if storage.is_folder(path) and _maker(path) != made_by:
            raise _strangers_files(path)
        return
    place = pathlib.Path(storage.local_path(path))
    if not os.path.lexists(place):
        return
    if not place.is_dir():
        raise OutputError(f"{path}: is a file, where a folder is to be made; choose another --output")
    if any(place.iterdir()) and _maker(str(place)) != made_by:
        raise _strangers_files(path)


def _strangers_files(path: str) -> OutputError:
    return OutputError(f"{path}: holds files that are not such an output, and would be lost; choose another --output")


@contextlib.contextmanager
def commit_folder(path: str, made_by: str, manifest: Mapping[str, object]) -> Iterator[pathlib.Path]:
    """Make a folder so that it appears whole, replacing one that was made in this way before.

    Yields an empty folder to write to. Leaving the block adds manifest.json, `manifest` behind the mark of who made it,
    and puts the folder under `path`; leaving by an exception throws it away. What a killed run left is removed.

    Raises:
        OutputError: as `check_folder`, or another run is making the same folder.
        StorageError: the disk is full or cannot be written to.
    """
    check_folder(path, made_by)
    text = json.dumps({_MARK: made_by, **manifest}, indent=1, ensure_ascii=False) + "\n"
    if storage.is_remote(path):
        with tempfile.TemporaryDirectory(prefix="boxbeam-") as scratch:
            made = pathlib.Path(scratch)
            with _writing(path, only=_NO_SPACE):
                yield made
            _upload(made, path, text)
        return
    place = pathlib.Path(os.path.abspath(storage.local_path(path)))
    with _writing(path):
        place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.parent / f".{place.name}.unfinished"
    with _locked(unfinished, path):
        try:
            with _writing(path, only=_NO_SPACE):
                yield unfinished
            with _writing(path):
                (unfinished / MANIFEST).write_text(text, encoding="utf-8")
                _put(unfinished, place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _writing(path: str, only: Sequence[int] = ()) -> Iterator[None]:
    """In a block that writes `path`: every system error is about it, or `only` these where it does other work too."""
    try:
        yield
    except OSError as error:
        if only and error.errno not in only:
            raise
        reason = os.strerror(error.errno) if error.errno else error
        raise StorageError(
            f"{path}: cannot be written ({reason}); nothing is changed, repeat the command when this is mended"
        ) from error


def _upload(made: pathlib.Path, path: str, manifest: str) -> None:
    """Put files in the place of those of a folder on an object store; they are gone here afterwards."""
    before = {info.path for info in storage.walk(path)}
    storage.remove([storage.join(path, MANIFEST)])
    files = {storage.join(path, file.relative_to(made).as_posix()): file for file in made.rglob("*") if file.is_file()}

    def put(target: str) -> None:
        with storage.commit(target) as temporary:
            shutil.move(files[target], temporary)

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as threads:
        for _ in threads.map(put, sorted(files)):
            pass
    storage.remove(sorted(before - files.keys() - {storage.join(path, MANIFEST)}))
    storage.write_text(storage.join(path, MANIFEST), manifest)


def _maker(place: str) -> object:
    try:
        return json.loads(storage.read_bytes(storage.join(place, MANIFEST))).get(_MARK)
    except (OSError, ValueError, AttributeError):
        return None


@contextlib.contextmanager
def _locked(folder: pathlib.Path, path: str) -> Iterator[None]:
    """Hold an empty folder that no other run has, which the kernel lets go of with the process."""
    while True:
        with _writing(path):
            folder.mkdir(exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{path}: another run is making it; wait for it, or choose another --output"
                ) from None
            if not _is_same(folder, descriptor):  # the other run put it in its place just now
                continue
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
            yield
            return
        finally:
            os.close(descriptor)


def _is_same(folder: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _put(made: pathlib.Path, place: pathlib.Path) -> None:
    """Replace a folder; a kill between the two renames leaves none, never a mixture."""
    former = place.parent / f".{place.name}.former"
    shutil.rmtree(former, ignore_errors=True)
    if place.exists():
        place.rename(former)
    made.rename(place)
    shutil.rmtree(former, ignore_errors=True)
