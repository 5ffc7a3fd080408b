"""Files on any file system: stat, walk, glob, read, and commit whole files atomically.

Plain paths and `file://` are the local disk. Other schemes (`s3://`, `gs://`, `hdfs://`) are served by whatever was
registered for them with `register_remote`; od_core itself knows none, the engine registers those of `pipelines.remote`.

A file is always written to a local temporary file first and then published in one step: renamed on the local disk,
uploaded to the final name elsewhere (object stores show an object only when it is complete).
"""

import contextlib
import errno
import fnmatch
import functools
import os
import pathlib
import posixpath
import re
import shutil
import stat as statfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

from od_core.errors import StorageError

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+)://")
_TEMPORARY = re.compile(r"^\.boxbeam-[0-9a-f]{32}\.tmp$")

_CHUNK_BYTES = 16 << 20


class FileInfo(NamedTuple):
    """One file: its full path, size in bytes and modification time in milliseconds since 1970 (UTC).

    `through_link`: `walk` came to it through a symbolic link, its own or that of a folder.
    """

    path: str
    size: int
    mtime_ms: int
    through_link: bool = False


@runtime_checkable  # Beam asks, where a graph's functions take one
class RemoteFiles(Protocol):
    """What storage asks of a file system that is not the local disk. Paths are full, with their scheme."""

    def stat(self, path: str) -> FileInfo | None:
        """The file, or None if there is none of that name."""

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """Every file below a folder, in any order."""

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, seekable."""

    def upload(self, local: pathlib.Path, path: str) -> None:
        """Make the local file visible under `path`, whole or not at all."""

    def move(self, source: str, target: str) -> None:
        """Give a file another path, replacing a file of that name."""

    def remove(self, paths: list[str]) -> None:
        """Delete files."""

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """A small file and a word for its present version, or None if there is none of that name."""

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """Write a small file if it still has that version (None: if there is none), in one step where a store can.

        Returns:
            The new version; None where it was another one, and nothing was written.
        """

    def remove_leftovers(self, folder: str) -> None:
        """Give up what killed processes began to upload to a folder, or below it, and did not finish."""


# What the kernel answers for a path at which there is no file: also a link that leads to itself, a name too long.
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)

join = posixpath.join  # right for local paths and for URIs

_remote: RemoteFiles | None = None


def register_remote(files: RemoteFiles | None) -> None:
    """Serve every path with a scheme through `files`, in this process; None, where a run has none, changes nothing."""
    global _remote
    if files is not None:
        _remote = files


def is_remote(path: str) -> bool:
    """Whether a path names a file system other than the local disk."""
    scheme = _SCHEME.match(path)
    return scheme is not None and scheme.group(1).lower() != "file"


def local_path(path: str) -> str:
    """A local path without its `file://`."""
    return path[len("file://") :] if path.lower().startswith("file://") else path


def real_path(path: str) -> str:
    """A path with all links on the way followed; a remote one as it is, where nothing is a link."""
    return path.rstrip("/") if is_remote(path) else os.path.realpath(local_path(path))


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies somewhere in it; both as `real_path` gives them."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _remote_files(path: str) -> RemoteFiles:
    if _remote is None:
        raise StorageError(f"{path}: only local files can be opened here; run through a boxbeam job for other ones")
    return _remote


def stat(path: str) -> FileInfo | None:
    """The file's size and time, or None when no such file exists (a folder is not a file)."""
    if is_remote(path):
        return _remote_files(path).stat(path)
    try:
        status = os.stat(local_path(path))
    except ValueError:  # a NUL character: no file can have it in its name
        return None
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return None
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from error
    if statfile.S_ISDIR(status.st_mode):
        return None
    return FileInfo(path, status.st_size, status.st_mtime_ns // 1_000_000)


def is_folder(path: str) -> bool:
    """Whether there is a folder of this name; on object stores: whether anything lies below it."""
    if is_remote(path):
        return next(iter(_remote_files(path).walk(path)), None) is not None
    return os.path.isdir(local_path(path))


def walk(folder: str, *, depth: int | None = None) -> Iterator[FileInfo]:
    """Every visible file below a folder (names that begin with a dot are left out), in no promised order.

    `depth` is how many folders deep to look: 1 is the folder alone; None all. Object stores list everything anyway.
    Every folder is walked once, so a loop of links ends where it closes. Links to folders come last, in order of their
    names: under which path the files of a folder are found does not depend on the order of a directory on disk.
    """
    if is_remote(folder):
        prefix = folder.rstrip("/") + "/"
        for info in _remote_files(folder).walk(folder):
            if not any(part.startswith(".") for part in info.path[len(prefix) :].split("/")):
                yield info
        return
    seen: set[tuple[int, int]] = set()
    pending: list[tuple[str, int, bool]] = [(local_path(folder), 1, False)]
    links: list[tuple[str, int, bool]] = []
    while pending or links:
        if not pending:
            links.sort(reverse=True)
            pending.append(links.pop())
        here, level, through_link = pending.pop()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    is_link = entry.is_symlink()
                    if os.path.isdir(entry.path) if is_link else entry.is_dir():
                        if level != depth:
                            (links if is_link else pending).append((entry.path, level + 1, is_link or through_link))
                    else:
                        yield _listed(entry.path, is_link or through_link)
        except OSError as error:
            raise StorageError(f"{here}: this folder cannot be read ({error.strerror})") from error


def _listed(path: str, through_link: bool) -> FileInfo:
    """What a folder says it holds, even where it is a link to nothing: as an input it will fail, but by its name."""
    try:
        status = os.stat(path)
    except OSError:
        return FileInfo(path, 0, 0, through_link)
    return FileInfo(path, status.st_size, status.st_mtime_ns // 1_000_000, through_link)


def names_in(folder: str) -> list[str]:
    """The names of the files directly in a folder, sorted."""
    if not is_remote(folder):
        with os.scandir(local_path(folder)) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())
    prefix = folder.rstrip("/") + "/"
    names = (info.path[len(prefix) :] for info in _remote_files(folder).walk(folder))
    return sorted(name for name in names if "/" not in name)


def glob(pattern: str) -> tuple[str, Iterator[FileInfo]]:
    """The files a pattern matches, and the folder it starts from.

    `*` and `?` stay within a folder name, `**` crosses folders, `[ab]` is one of a set.
    """
    if not is_remote(pattern):
        pattern = local_path(pattern)
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if has_wildcard(part))
    folder = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else ".")
    if not is_folder(folder):
        return folder, iter(())
    below = re.compile(_glob_regex("/".join(parts[fixed:])), re.DOTALL)
    prefix = folder.rstrip("/") + "/"
    depth = None if "**" in pattern else len(parts) - fixed
    return folder, (info for info in walk(folder, depth=depth) if below.fullmatch(info.path[len(prefix) :]))


def has_wildcard(path: str) -> bool:
    """Whether a path is a pattern for `glob`."""
    return any(mark in path for mark in "*?[")


def _glob_regex(pattern: str) -> str:
    translations = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]/]*\]|.", pattern, re.DOTALL)
    return "".join(translations.get(token) or _one_of(token) for token in tokens)


def _one_of(token: str) -> str:
    """A set in brackets, or a character that stands for itself, as a regular expression; neither crosses folders."""
    if len(token) == 1:
        return re.escape(token)
    return "(?!/)" + fnmatch.translate(token).removeprefix("(?s:")[:-3]  # less the `)\Z` at its end


def open_input(path: str) -> BinaryIO:
    """Open a file for reading bytes; seekable.

    Raises:
        OSError: missing, not permitted, or not a regular file (opening a pipe would wait for ever).
    """
    if is_remote(path):
        return _remote_files(path).open(path)
    return os.fdopen(_descriptor(path), "rb")


def _descriptor(path: str) -> int:
    """A local file opened for reading; see `open_input`."""
    try:
        descriptor = os.open(local_path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL character, which no name can hold
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    if not statfile.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def read_bytes(path: str) -> bytes:
    """The whole file."""
    with open_input(path) as file:
        return file.read()


def read_up_to(path: str, most: int, expected: int) -> bytes:
    """The whole file, or its first `most` bytes; of a small local one in half the time of `open_input`.

    Args:
        path: of the file.
        most: how many bytes to read at most.
        expected: how many it probably has; not more room is made at once, whatever `most` is.

    Raises:
        OSError: as `open_input`.
    """
    if is_remote(path):
        with _remote_files(path).open(path) as file:
            return _read_on(file.read, most, expected)
    descriptor = _descriptor(path)
    try:
        return _read_on(functools.partial(os.read, descriptor), most, expected)
    finally:
        os.close(descriptor)


def _read_on(read: Callable[[int], bytes], most: int, expected: int) -> bytes:
    content = read(min(most, expected + 1))
    if len(content) == expected:  # a byte more was asked for: this is its end
        return content
    while len(content) < most and (more := read(min(most - len(content), _CHUNK_BYTES))):
        content += more
    return content


@contextlib.contextmanager
def commit(path: str) -> Iterator[pathlib.Path]:
    """Write a file so that it exists whole or not at all.

    Yields a local temporary path to write to. Leaving the block publishes it under `path`, replacing a file of that
    name; leaving by an exception throws it away.

    Raises:
        StorageError: the disk is full or cannot be written to; names the path and what to do.
    """
    folder, name = posixpath.split(path)
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="boxbeam-") as scratch:
            temporary = pathlib.Path(scratch) / name
            with _full_disk_named(path):
                yield temporary
            _remote_files(path).upload(temporary, path)
        return
    folder = local_path(folder) or "."
    temporary = pathlib.Path(folder) / f".boxbeam-{uuid.uuid4().hex}.tmp"
    with _writing(path):
        os.makedirs(folder, exist_ok=True)
        temporary.touch(exist_ok=False)  # in the block, what is not permitted could be about another file
    try:
        with _full_disk_named(path):
            yield temporary
        with _writing(path):
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, local_path(path))
            _sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise
    finally:
        os.close(descriptor)


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def _full_disk_named(path: str) -> Iterator[None]:
    """In a block that writes `path` but also does other work: only a full disk is surely about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise _cannot_write(path, error) from error


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """In a block that does nothing but write `path`: every system error is about it."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: str, error: OSError) -> StorageError:
    if error.errno in _NO_SPACE:
        advice = "free some space and repeat the command: finished work is kept"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "choose an --output you may write to"
    else:
        advice = "repeat the command when this is mended: finished work is kept"
    return StorageError(f"{path}: cannot be written ({os.strerror(error.errno) if error.errno else error}); {advice}")


def write_text(path: str, text: str) -> None:
    """Commit a small text file."""
    with commit(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_versioned(path: str) -> tuple[bytes, str] | None:
    """See RemoteFiles.read_versioned."""
    return _remote_files(path).read_versioned(path)


def replace(path: str, content: bytes, version: str | None) -> str | None:
    """See RemoteFiles.replace."""
    return _remote_files(path).replace(path, content, version)


def move(source: str, target: str) -> None:
    """Give a file another path on the same file system, replacing a file of that name.

    Raises:
        StorageError: it cannot be written there.
    """
    if is_remote(target):
        _remote_files(target).move(source, target)
        return
    with _writing(target):
        os.replace(local_path(source), local_path(target))
        _sync_folder(os.path.dirname(local_path(target)) or ".")


def remove(paths: list[str]) -> None:
    """Delete files; those already gone are fine."""
    remote = [path for path in paths if is_remote(path)]
    if remote:
        _remote_files(remote[0]).remove(remote)
    for path in paths:
        if not is_remote(path):
            pathlib.Path(local_path(path)).unlink(missing_ok=True)


def remove_leftovers(folder: str) -> None:
    """Delete the temporary files that a killed `commit` left in a folder (not below it, on a local disk)."""
    if is_remote(folder):
        _remote_files(folder).remove_leftovers(folder)
        return
    if not is_folder(folder):
        return
    for name in os.listdir(local_path(folder)):
        if _TEMPORARY.match(name):
            pathlib.Path(local_path(folder), name).unlink(missing_ok=True)


def remove_folder(folder: str) -> None:
    """Delete a folder with all that is in it."""
    if is_remote(folder):
        remove([info.path for info in walk(folder)])
    else:
        shutil.rmtree(local_path(folder), ignore_errors=True)


def printable(path: str) -> str:
    """A path as valid Unicode: bytes of a file name that are not UTF-8 become `\\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
