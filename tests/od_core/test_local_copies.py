"""Copies of remote files: made once, kept within bounds, gone with the process."""

import contextlib
import errno
import io
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

import pytest

from od_core import local_copies, storage
from od_core.local_copies import LocalCopies, local_copy
from tests.od_core.shelf import Shelf

PATHS = [f"mem://b/{name}" for name in "abcd"]


@pytest.fixture
def shelf(monkeypatch) -> Shelf:
    made = Shelf(*PATHS)
    made.files = {path: path.encode() * 10 for path in PATHS}  # 90 bytes each
    monkeypatch.setattr(storage, "_remote", made)
    return made


@pytest.fixture
def make_copies() -> Iterator[Callable[..., LocalCopies]]:
    """Makes them; closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **limits: stack.enter_context(contextlib.closing(LocalCopies(**limits)))


def content(copies: LocalCopies, path: str) -> bytes:
    with copies.open(path) as copy:
        return pathlib.Path(copy).read_bytes()


def test_a_local_file_is_used_where_it_lies(tmp_path):
    for path in (f"{tmp_path}/a", f"file://{tmp_path}/a"):
        with local_copy(path) as copy:
            assert copy == f"{tmp_path}/a"


def test_a_remote_file_is_copied_once(shelf, make_copies):
    copies = make_copies()
    for _ in range(3):
        for path in PATHS:
            assert content(copies, path) == shelf.files[path]
    assert shelf.opened == PATHS
    copies.close()
    assert content(copies, PATHS[0]) == shelf.files[PATHS[0]]
    assert shelf.opened == [*PATHS, PATHS[0]]


def test_a_changed_file_is_copied_anew(shelf, make_copies):
    copies = make_copies()
    assert content(copies, PATHS[0]) == shelf.files[PATHS[0]]
    shelf.files[PATHS[0]] = b"something else"
    assert content(copies, PATHS[0]) == b"something else"


def test_copies_used_least_recently_go_first_when_there_are_too_many(shelf, make_copies):
    before = len(os.listdir("/proc/self/fd"))
    copies = make_copies(kept_bytes=200)  # room for two
    for path in (PATHS[0], PATHS[1], PATHS[0], PATHS[2], PATHS[0]):
        assert content(copies, path) == shelf.files[path]
    assert shelf.opened == PATHS[:3]
    assert len(os.listdir("/proc/self/fd")) == before + 2
    assert content(copies, PATHS[1]) == shelf.files[PATHS[1]]
    assert shelf.opened == [*PATHS[:3], PATHS[1]]


def test_what_is_in_use_stays_and_what_is_larger_than_the_limit_is_not_kept(shelf, make_copies):
    before = len(os.listdir("/proc/self/fd"))
    copies = make_copies(kept_bytes=0)
    with copies.open(PATHS[0]) as first, copies.open(PATHS[1]) as second, copies.open(PATHS[0]) as again:
        assert first == again
        assert pathlib.Path(first).read_bytes() + pathlib.Path(second).read_bytes() == b"".join(
            shelf.files[path] for path in PATHS[:2]
        )
    assert shelf.opened == PATHS[:2]
    assert len(os.listdir("/proc/self/fd")) == before


def test_threads_share_one_copy(shelf, make_copies):
    copies, barrier, read = make_copies(), threading.Barrier(8), []

    def use() -> None:
        barrier.wait(30)
        read.append(content(copies, PATHS[0]))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (read, shelf.opened) == ([shelf.files[PATHS[0]]] * 8, PATHS[:1])


def test_a_copy_has_no_name_that_a_killed_process_could_leave(shelf, make_copies, tmp_path, monkeypatch):
    monkeypatch.setattr(local_copies.tempfile, "tempdir", str(tmp_path))
    with make_copies().open(PATHS[0]) as copy:
        assert pathlib.Path(copy).read_bytes() == shelf.files[PATHS[0]]
        assert os.listdir(tmp_path) == []


def test_what_is_not_there_or_has_no_room_is_an_error_of_the_system(shelf, make_copies, monkeypatch):
    with pytest.raises(FileNotFoundError), make_copies().open("mem://b/gone"):
        pass
    monkeypatch.setattr(local_copies.shutil, "disk_usage", lambda folder: _Usage(50))
    with pytest.raises(OSError, match=r"needs 90 bytes, and .* has 50; set TMPDIR to a larger disk") as raised:
        content(make_copies(), PATHS[0])
    assert raised.value.errno == errno.ENOSPC


def test_no_more_is_kept_than_is_left_free_for_other_processes(shelf, make_copies, monkeypatch):
    usage = _Usage(180)
    monkeypatch.setattr(local_copies.shutil, "disk_usage", lambda folder: usage)
    copies = make_copies()
    for path in (PATHS[0], PATHS[1], PATHS[0]):
        content(copies, path)
    assert shelf.opened == PATHS[:2]
    usage.free = 100  # another process has copies too: the one used last stays
    content(copies, PATHS[1])
    content(copies, PATHS[1])
    assert shelf.opened == PATHS[:2]
    content(copies, PATHS[0])
    assert shelf.opened == [*PATHS[:2], PATHS[0]]


def test_a_copy_that_was_cut_short_is_an_error(shelf, make_copies, monkeypatch):
    monkeypatch.setattr(shelf, "open", lambda path: io.BytesIO(shelf.files[path][:50]))
    copies = make_copies()
    for _ in range(2):
        with pytest.raises(OSError, match="of its 90 bytes 50 came"):
            content(copies, PATHS[0])


class _Usage:
    def __init__(self, free: int):
        self.free = free
