"""Files are found whatever they are called, committed whole or not at all, and errors say what to do."""

import errno
import glob
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core import storage
from od_core.errors import StorageError
from od_core.storage import FileInfo
from tests.od_core.shelf import Shelf

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def make(tmp_path) -> Callable[..., pathlib.Path]:
    """Make files, given by their paths below tmp_path, each holding its own name."""

    def made(*names: str) -> pathlib.Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.fsencode(name))
        return tmp_path

    return made


def found(folder: pathlib.Path) -> list[str]:
    """What `walk` finds, relative to the folder."""
    return sorted(info.path.removeprefix(f"{folder}/") for info in storage.walk(str(folder)))


def globbed(pattern: str) -> tuple[str, list[FileInfo]]:
    folder, infos = storage.glob(pattern)
    return folder, list(infos)


def matched(folder: pathlib.Path, pattern: str) -> list[str]:
    """What `glob` finds, relative to the folder."""
    return sorted(info.path.removeprefix(f"{folder}/") for info in storage.glob(f"{folder}/{pattern}")[1])


# One file


def test_stat_tells_size_and_time(make):
    path = make("a.jpg") / "a.jpg"
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert storage.stat(str(path)) == FileInfo(str(path), 5, 1_700_000_000_123)
    info = storage.stat(f"file://{path}")
    assert info is not None
    assert (info.size, info.mtime_ms) == (5, 1_700_000_000_123)


def test_what_is_no_file_has_no_stat(make):
    folder = make("a.jpg")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("gone")
    for name in ("gone", "gone/deeper", "a.jpg/below a file", ".", "loop", "dangling", "x" * 300, "nul\0nul"):
        assert storage.stat(f"{folder}/{name}") is None


def test_a_link_to_a_file_is_that_file(make):
    folder = make("a.jpg")
    (folder / "l.jpg").symlink_to("a.jpg")
    assert storage.stat(f"{folder}/l.jpg") == storage.stat(f"{folder}/a.jpg")._replace(path=f"{folder}/l.jpg")


def test_read_bytes_reads_the_whole_file(make):
    folder = make("a.jpg")
    assert storage.read_bytes(f"{folder}/a.jpg") == b"a.jpg"
    assert storage.read_bytes(f"file://{folder}/a.jpg") == b"a.jpg"
    with storage.open_input(f"{folder}/a.jpg") as file:
        assert (file.seekable(), file.seek(2), file.read()) == (True, 2, b"jpg")


@pytest.mark.parametrize("where", ["local", "remote"])
@pytest.mark.parametrize(
    ("most", "expected", "wanted"),
    [
        (99, 5, b"a.jpg"),
        (99, 3, b"a.jpg"),  # it has grown
        (99, 9, b"a.jpg"),  # it has shrunk
        (99, 0, b"a.jpg"),
        (5, 5, b"a.jpg"),
        (3, 5, b"a.j"),
        (3, 1, b"a.j"),
        (3, 3, b"a.j"),
    ],
)
def test_read_up_to_reads_all_there_is_whatever_was_expected(make, monkeypatch, where, most, expected, wanted):
    path = f"{make('a.jpg')}/a.jpg"
    if where == "remote":
        shelf = Shelf("mem://b/a.jpg")
        shelf.files["mem://b/a.jpg"] = b"a.jpg"
        monkeypatch.setattr(storage, "_remote", shelf)
        path = "mem://b/a.jpg"
    assert storage.read_up_to(path, most, expected) == wanted


@pytest.mark.parametrize("name", ["gone", "nul\0nul", "."])
def test_read_up_to_fails_as_opening_does_and_leaves_no_descriptor_open(tmp_path, name):
    before = os.listdir("/proc/self/fd")
    for read in (storage.open_input, lambda path: storage.read_up_to(path, 9, 9)):
        with pytest.raises(OSError, match=r"No such file|not a regular file"):
            read(f"{tmp_path}/{name}")
    (tmp_path / "whole").write_bytes(b"whole")
    storage.read_up_to(f"{tmp_path}/whole", 9, 9)
    assert os.listdir("/proc/self/fd") == before


def test_a_missing_file_is_told_as_the_system_tells_it(tmp_path):
    for name in ("gone", "nul\0nul"):
        with pytest.raises(FileNotFoundError):
            storage.open_input(f"{tmp_path}/{name}")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch):
    """Opening a pipe waits for a writer: one in a folder of images would hold up a worker for ever."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "socket", "/dev/zero", "."):
            with pytest.raises(OSError) as refused:
                storage.open_input(name)
            assert refused.value.errno in (errno.EINVAL, errno.ENXIO)
            assert refused.value.filename == name


def test_refusing_a_file_leaves_no_descriptor_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        with pytest.raises(OSError, match="not a regular file"):
            storage.open_input(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before


# Folders


def test_walk_finds_every_visible_file_with_its_size(make):
    folder = make("a.jpg", "b/c/d.jpg", "b/e", ".hidden", ".git/x.jpg", "b/.thumbs/y.jpg", "b/.z.jpg", "w.d/f.jpg")
    (folder / "empty").mkdir()
    assert found(folder) == ["a.jpg", "b/c/d.jpg", "b/e", "w.d/f.jpg"]
    assert all(info == storage.stat(info.path) for info in storage.walk(f"{folder}"))
    assert found(folder / ".git") == ["x.jpg"]  # asked for by name
    assert {info.path for info in storage.walk(f"{folder}/")} == {info.path for info in storage.walk(f"{folder}")}


STRANGE = (
    "new\nline.jpg",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg",
    " .jpg",
    "*.jpg",
    "[1].jpg",
    "a\\b.jpg",
    "%20.jpg",
)
NOT_UTF8 = os.fsdecode(b"caf\xe9.jpg")


def test_walk_finds_files_whatever_they_are_called(make):
    folder = make(*STRANGE, NOT_UTF8, "sub\ndir/x.jpg")
    assert found(folder) == sorted([*STRANGE, NOT_UTF8, "sub\ndir/x.jpg"])
    for info in storage.walk(str(folder)):
        assert storage.read_bytes(info.path) == os.fsencode(info.path.removeprefix(f"{folder}/"))


def test_a_loop_of_links_ends(make):
    folder = make("a/x.jpg", "a/b/y.jpg")
    (folder / "a" / "b" / "up").symlink_to(folder / "a")
    (folder / "self").symlink_to(folder)
    assert found(folder) == ["a/b/y.jpg", "a/x.jpg"]


def test_a_linked_folder_is_walked_once_and_always_under_the_same_name(make, monkeypatch):
    """Keys come from these paths: they must not hang on the order in which a disk lists a folder."""
    folder = make("real/x.jpg", "inside.jpg")
    elsewhere = make("../elsewhere/y.jpg").parent / "elsewhere"
    for name in ("zlink", "alink", "mlink"):
        (folder / name).symlink_to(elsewhere)
    (folder / "another").symlink_to("real")
    (folder / "real" / "deep").symlink_to(elsewhere)
    expected = ["alink/y.jpg", "inside.jpg", "real/x.jpg"]
    real_scandir = os.scandir
    for key in (lambda entry: entry.name, lambda entry: entry.name[::-1]):
        for backwards in (False, True):
            monkeypatch.setattr(os, "scandir", _ordered(real_scandir, key, backwards))
            assert found(folder) == expected
    monkeypatch.undo()
    shutil.rmtree(elsewhere)


def _ordered(scandir, key, backwards):
    class Scan:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=key, reverse=backwards)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    return Scan


def test_a_link_to_nothing_is_found_and_left_for_its_reader_to_fail(make):
    """It is an input somebody meant to have: it must end as failed, not vanish from the count."""
    folder = make("a.jpg")
    (folder / "dangling.jpg").symlink_to("gone")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    assert sorted(storage.walk(str(folder))) == [
        storage.stat(f"{folder}/a.jpg"),
        FileInfo(f"{folder}/dangling.jpg", 0, 0, through_link=True),
        FileInfo(f"{folder}/loop.jpg", 0, 0, through_link=True),
    ]


def test_a_folder_that_is_not_there_is_an_error_with_its_name(tmp_path):
    with pytest.raises(StorageError, match=re.escape(f"{tmp_path}/gone: this folder cannot be read (No such file")):
        list(storage.walk(f"{tmp_path}/gone"))


def test_is_folder_and_names_in_look_at_one_level(make):
    folder = make("b.parquet", "a.parquet", ".lock", "_work/c.parquet")
    assert storage.is_folder(str(folder))
    assert storage.is_folder(f"file://{folder}")
    assert not storage.is_folder(f"{folder}/b.parquet")
    assert not storage.is_folder(f"{folder}/gone")
    assert storage.names_in(str(folder)) == [".lock", "a.parquet", "b.parquet"]


# Patterns


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b1.jpg", "b2.jpg"]),
        ("*/*.jpg", ["x/c.jpg", "y/c.jpg"]),
        ("**/*.jpg", ["a.jpg", "b1.jpg", "b2.jpg", "x/c.jpg", "x/deep/er/d.jpg", "y/c.jpg"]),
        ("**", ["a.jpg", "b1.jpg", "b2.jpg", "notes.txt", "x/c.jpg", "x/deep/er/d.jpg", "y/c.jpg"]),
        ("x/**", ["x/c.jpg", "x/deep/er/d.jpg"]),
        ("x/**/d.jpg", ["x/deep/er/d.jpg"]),
        ("**/er/*", ["x/deep/er/d.jpg"]),
        ("b?.jpg", ["b1.jpg", "b2.jpg"]),
        ("?.jpg", ["a.jpg"]),
        ("?/c.jpg", ["x/c.jpg", "y/c.jpg"]),
        ("[x]/c.jpg", ["x/c.jpg"]),
        ("[!x]/c.jpg", ["y/c.jpg"]),
        ("b[0-1].jpg", ["b1.jpg"]),
        ("b[!2].jpg", ["b1.jpg"]),
        ("[ab]*.jpg", ["a.jpg", "b1.jpg", "b2.jpg"]),
        ("x[/]c.jpg", []),  # a set does not hold the slash: that is what separates folders
        ("x[!a]c.jpg", []),
        ("x[!a]c.j**", []),
        ("b[2-1].jpg", []),  # nothing lies between
        ("[a].jp", []),
        ("[A].jpg", []),
        ("gone/*.jpg", []),
        ("a.jpg/*", []),
    ],
)
def test_patterns_match_as_in_a_shell(make, pattern, expected):
    folder = make(
        "a.jpg", "b1.jpg", "b2.jpg", "notes.txt", "x/c.jpg", "y/c.jpg", "x/deep/er/d.jpg", ".h/i.jpg", ".j.jpg"
    )
    assert matched(folder, pattern) == expected


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("[1].jpg", "[[]1].jpg"),
        ("[1].jpg", "*]*"),
        ("].jpg", "[]].jpg"),
        ("^.jpg", "[^a].jpg"),
        ("-.jpg", "[a-].jpg"),
        ("\\d.jpg", "[\\]d.jpg"),
        ("a[.jpg", "a[.*"),  # never closed: a bracket like any other character
        ("a.b+c(d).jpg", "a.b+c(d).*"),
        ("new\nline.jpg", "new?line.jpg"),
        ("new\nline.jpg", "**"),
        ("new\nline/a.jpg", "**/*.jpg"),
        (NOT_UTF8, "caf?.jpg"),
    ],
)
def test_patterns_find_what_has_their_marks_in_its_name(make, name, pattern):
    assert matched(make(name, "b.png"), pattern) in ([name], ["b.png", name])


def test_a_pattern_tells_the_folder_it_starts_from(make, monkeypatch):
    folder = make("x/y/a.jpg")
    assert storage.glob(f"{folder}/x/*/a.jpg")[0] == f"{folder}/x"
    assert globbed(f"file://{folder}/x/*/a.jpg") == globbed(f"{folder}/x/*/a.jpg")
    assert globbed("/*.no such ending") == ("/", [])  # without a walk over the whole disk
    monkeypatch.chdir(folder)
    assert [info.path for info in storage.glob("x/*/*.jpg")[1]] == ["x/y/a.jpg"]
    assert storage.glob("**/*.jpg")[0] == "."
    assert [info.path for info in storage.glob("**/*.jpg")[1]] == ["./x/y/a.jpg"]


TREE = ("a.jpg", "b1.jpg", "b2.png", "x/a.jpg", "x/b1.jpg", "x/y/a.jpg", "y/-.jpg", "y/[.jpg", "y/x/b2.png", ".h/a.jpg")
LEVELS = (
    "*",
    "**",
    "?",
    "x",
    "y",
    "[xy]",
    "[!x]",
    "[a-w]*",
    "*.jpg",
    "b?.*",
    "[!.]*g",
    "b[12].???",
    "[[-]*",
    "a.jpg",
    "*1*",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(LEVELS), min_size=1, max_size=4).map("/".join).filter(storage.has_wildcard))
def test_patterns_agree_with_the_standard_library(tree, pattern):
    expected = {path for path in glob.glob(f"{tree}/{pattern}", recursive=True) if os.path.isfile(path)}
    assert {info.path for info in storage.glob(f"{tree}/{pattern}")[1]} == expected


# Committing


def test_a_file_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with storage.commit(str(path)) as temporary:
        temporary.write_bytes(b"content")
        assert not path.exists()
        assert temporary.parent == path.parent  # the same disk: a rename, no copy
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["a.txt"]


def _write_half(path: str, error: BaseException) -> None:
    with storage.commit(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), OSError(errno.EIO, "of another file")])
def test_an_exception_leaves_nothing_and_passes_as_it_is(tmp_path, error):
    with pytest.raises(type(error)) as raised:
        _write_half(f"{tmp_path}/a.txt", error)
    assert raised.value is error
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_kept_until_it_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="mine"):
        _write_half(str(path), ValueError("mine"))
    assert path.read_bytes() == b"before"
    with path.open("rb") as reader:
        with storage.commit(str(path)) as temporary:
            temporary.write_bytes(b"after")
            assert path.read_bytes() == b"before"
        assert reader.read() == b"before"  # who has it open reads on
    assert path.read_bytes() == b"after"


def test_commits_of_the_same_file_at_once_do_not_meet(tmp_path):
    """Speculative copies of an item: each writes its own file, the last rename stands."""
    path = f"{tmp_path}/a.txt"
    with storage.commit(path) as first, storage.commit(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert storage.read_bytes(path) == b"first"  # its block ended last
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_commit_can_name_a_file_in_the_current_folder_or_by_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage.write_text("a.txt", "näxt")
    storage.write_text(f"file://{tmp_path}/b/c.txt", "there")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "näxt"
    assert (tmp_path / "b" / "c.txt").read_text() == "there"


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_under_the_name(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"before")
    code = (
        "import os, sys; from od_core import storage\n"
        "with storage.commit(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code, f"{tmp_path}/a.txt"], cwd=REPOSITORY)
    assert run.returncode == -9
    assert (tmp_path / "a.txt").read_bytes() == b"before"
    assert found(tmp_path) == ["a.txt"]  # what is left is hidden from readers
    (leftover,) = {*os.listdir(tmp_path)} - {"a.txt"}
    assert (tmp_path / leftover).read_bytes() == b"half"
    storage.remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["a.txt"]


# Disks that are full, and places where one may not write


_UNTIL_IT_IS_FULL = """
import resource, signal, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from od_core import storage
from od_core.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writers = {
    "bytes": lambda path: path.write_bytes(bytes(200_000)),
    "parquet": lambda path: pq.write_table(pa.table({"x": np.random.default_rng(0).random(50_000)}), path),
}
try:
    with storage.commit(sys.argv[1]) as temporary:
        writers[sys.argv[2]](temporary)
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("writer", ["bytes", "parquet"])
def test_a_disk_that_fills_up_is_told_with_the_way_out(tmp_path, writer):
    """A real refusal of the kernel in the middle of a file; Arrow wraps it, and it must be known all the same."""
    arguments = [sys.executable, "-c", _UNTIL_IT_IS_FULL, f"{tmp_path}/a.parquet", writer]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=REPOSITORY)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == (
        f"{tmp_path}/a.parquet: cannot be written (File too large); free some space and repeat the command:"
        " finished work is kept\n"
    )
    assert os.listdir(tmp_path) == []


def test_no_space_left_is_told_with_the_way_out(tmp_path):
    """/dev/full answers every write as a full disk does."""

    def write() -> None:
        with storage.commit(f"{tmp_path}/a.txt") as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x")

    with pytest.raises(StorageError) as raised:
        write()
    assert str(raised.value) == (
        f"{tmp_path}/a.txt: cannot be written (No space left on device); free some space and repeat the command:"
        " finished work is kept"
    )
    assert os.listdir(tmp_path) == []


def test_a_file_where_a_folder_should_be_is_told(make):
    folder = make("file")
    with pytest.raises(StorageError, match=r"file/a\.txt: cannot be written \((File exists|Not a directory)\); repeat"):
        storage.write_text(f"{folder}/file/a.txt", "x")
    (folder / "folder").mkdir()
    with pytest.raises(StorageError, match=r"folder: cannot be written \(Is a directory\); repeat the command when"):
        storage.write_text(f"{folder}/folder", "x")
    assert sorted(os.listdir(folder)) == ["file", "folder"]


_AS_NOBODY_SPECIAL = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root's right to pass over permissions
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; fails, and need not succeed, for others
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""


def test_where_one_may_not_write_another_output_is_advised(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    code = (
        "import sys; from od_core import errors, storage\n"
        "try: storage.write_text(sys.argv[1], 'x')\n"
        "except errors.StorageError as error: print(error)"
    )
    for name in ("a.txt", "new/a.txt"):
        path = f"{tmp_path}/locked/{name}"
        run = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY_SPECIAL, code, path], capture_output=True, text=True, cwd=REPOSITORY
        )
        assert run.stdout == f"{path}: cannot be written (Permission denied); choose an --output you may write to\n"


# Removing


def test_leftovers_are_removed_and_nothing_else(make):
    ours = ".boxbeam-" + "0f" * 16 + ".tmp"
    others = [".boxbeam-lock", "a.tmp", ".boxbeam-zz.tmp", f"{ours}.txt", f"below/{ours}", "a.parquet"]
    folder = make(ours, *others)
    storage.remove_leftovers(str(folder))
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert left == sorted(others)
    storage.remove_leftovers(f"{folder}/gone")  # nothing to do


def test_files_and_folders_are_removed_and_may_be_gone_already(make):
    folder = make("a", "b", "c/d/e", "c/.f")
    storage.remove([f"{folder}/a", f"{folder}/gone", f"file://{folder}/b"])
    assert os.listdir(folder) == ["c"]
    for _ in range(2):
        storage.remove_folder(f"{folder}/c")
        assert os.listdir(folder) == []


# Names


def test_printable_shows_bytes_that_are_no_text(make):
    assert storage.printable(NOT_UTF8) == "caf\\xe9.jpg"
    assert (
        storage.printable("caf\N{LATIN SMALL LETTER E WITH ACUTE}\n.jpg")
        == "caf\N{LATIN SMALL LETTER E WITH ACUTE}\n.jpg"
    )


@given(st.binary(min_size=1, max_size=8))
def test_printable_is_valid_unicode_and_keeps_names_apart(name):
    shown = storage.printable(os.fsdecode(name))
    shown.encode()
    if b"\\" not in name:
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), shown.encode())
        assert back == name


# Other file systems


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://bucket/a", True),
        ("gs://bucket", True),
        ("hdfs://x", True),
        ("/a/b", False),
        ("a", False),
        ("file:///a", False),
        ("FILE:///a", False),
        ("C://a", False),  # a scheme has two letters or more
        ("//a", False),
        ("a/s3://b", False),
        ("", False),
    ],
)
def test_a_scheme_makes_a_path_remote(path, remote):
    assert storage.is_remote(path) == remote


@pytest.fixture
def shelf(monkeypatch) -> Shelf:
    made = Shelf("mem://b/a.jpg", "mem://b/x/c.jpg", "mem://b/.h/d.jpg", "mem://b/x/e[1].txt")
    monkeypatch.setattr(storage, "_remote", None)
    storage.register_remote(made)
    return made


def test_without_a_registered_file_system_remote_paths_are_refused(monkeypatch):
    monkeypatch.setattr(storage, "_remote", None)
    for look in (storage.stat, storage.is_folder, storage.open_input, lambda path: list(storage.walk(path))):
        with pytest.raises(StorageError, match="s3://b/a: only local files can be opened here"):
            look("s3://b/a")


def test_a_registered_file_system_serves_every_remote_path(shelf):
    assert storage.stat("mem://b/a.jpg") == FileInfo("mem://b/a.jpg", 13, 7)
    assert storage.stat("mem://b/gone") is None
    assert storage.is_folder("mem://b/x")
    assert not storage.is_folder("mem://b/y")
    assert storage.read_bytes("mem://b/a.jpg") == b"mem://b/a.jpg"
    assert sorted(info.path for info in storage.walk("mem://b")) == [
        "mem://b/a.jpg",
        "mem://b/x/c.jpg",
        "mem://b/x/e[1].txt",
    ]
    assert storage.names_in("mem://b/x") == ["c.jpg", "e[1].txt"]
    assert globbed("mem://b/**/*.jpg") == (
        "mem://b",
        [storage.stat("mem://b/a.jpg"), storage.stat("mem://b/x/c.jpg")],
    )


def test_a_remote_file_is_uploaded_whole_when_the_block_ends(shelf):
    with storage.commit("mem://b/new/a.txt") as temporary:
        temporary.write_bytes(b"content")
        assert temporary.name == "a.txt"
        assert shelf.uploads == []
    assert (shelf.uploads, shelf.files["mem://b/new/a.txt"]) == (["mem://b/new/a.txt"], b"content")
    assert not temporary.exists()
    with pytest.raises(ValueError, match="mine"):
        _write_half("mem://b/no.txt", ValueError("mine"))
    assert "mem://b/no.txt" not in shelf.files


def test_leftovers_of_a_remote_folder_are_its_file_systems_affair(shelf):
    storage.remove_leftovers("mem://b/x")
    assert shelf.swept == ["mem://b/x"]


def test_remote_files_and_folders_are_removed(shelf, tmp_path):
    (tmp_path / "a").write_text("x")
    storage.remove(["mem://b/a.jpg", f"{tmp_path}/a"])
    assert "mem://b/a.jpg" not in shelf.files
    assert os.listdir(tmp_path) == []
    storage.remove_folder("mem://b/x")
    assert sorted(shelf.files) == ["mem://b/.h/d.jpg"]


def test_what_lies_in_a_folder():
    assert storage.lies_in("/a/b", "/a")
    assert storage.lies_in("/a", "/a")
    assert storage.lies_in("/a", "/")
    assert not storage.lies_in("/ab", "/a")
    assert not storage.lies_in("/a", "/a/b")


def test_the_real_path_follows_links_on_a_disk_only(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert storage.real_path(f"{tmp_path}/link/x") == str(tmp_path / "folder/x")
    assert storage.real_path(f"file://{tmp_path}/link/") == str(tmp_path / "folder")
    assert storage.real_path("s3://bucket/a/") == "s3://bucket/a"
