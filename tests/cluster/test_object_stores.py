"""The layers below s3://, gs:// and hdfs://, on real servers: objects are read as files are, moved and removed."""

import pathlib
import random

import pytest

from od_core.storage import FileInfo
from pipelines.remote.file_systems import FileSystems

from .gcs import ENDPOINT, GcsServer
from .hdfs import HdfsServer
from .s3 import S3Server

pytestmark = pytest.mark.cluster


class Store:
    """An empty bucket: its place, the server it is on, and what serves it in a run."""

    def __init__(self, scheme: str, server: S3Server | GcsServer | HdfsServer):
        self._server, self._bucket = server, server.new_bucket()
        self.place = f"{scheme}://{self._bucket}"
        self.files = FileSystems(server.options)

    def upload(self, folder: pathlib.Path) -> None:
        """Copy every file below a folder there."""
        self._server.upload(folder, self._bucket, "")


@pytest.fixture(params=["s3", "gs", "hdfs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    server = request.getfixturevalue({"gs": "gcs"}.get(request.param, request.param))
    if request.param == "gs":
        monkeypatch.setenv(ENDPOINT, server.endpoint_url)
    return Store(request.param, server)


def test_an_object_is_read_as_a_file_is(store: Store, tmp_path: pathlib.Path) -> None:
    chance = random.Random(3)
    (tmp_path / "large").write_bytes(chance.randbytes(3_000_001))
    (tmp_path / "empty").touch()
    store.upload(tmp_path)
    with store.files.open(f"{store.place}/empty") as empty:
        assert (empty.read(), empty.seek(0, 2), empty.read(1)) == (b"", 0, b"")
    for _ in range(5):
        with (tmp_path / "large").open("rb") as here, store.files.open(f"{store.place}/large") as there:
            for _ in range(60):
                if chance.random() < 0.4:
                    where = chance.choice([(chance.randrange(3_000_100), 0), (-chance.randrange(3_000_001), 2), (0, 1)])
                    assert there.seek(*where) == here.seek(*where)
                count = chance.choice([0, 1, 1000, 300_000, -1])
                assert there.read(count) == here.read(count)
                assert there.tell() == here.tell()


def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    assert store.files.stat(f"{store.place}/gone") is None
    assert list(store.files.walk(f"{store.place}/gone")) == []
    with pytest.raises(FileNotFoundError):
        store.files.open(f"{store.place}/gone")
    if not store.place.startswith("hdfs"):  # which has folders, and no buckets
        with pytest.raises(Exception, match="there is no bucket 'not-made'"):
            list(store.files.walk(f"{store.place.partition(':')[0]}://not-made/in"))


@pytest.mark.parametrize("store", ["s3"], indirect=True)  # the server of gs:// used here compares no generations
def test_an_object_that_is_replaced_while_it_is_read_is_noticed(store: Store, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1_000_000))
    store.upload(tmp_path)
    with store.files.open(f"{store.place}/a") as file:
        assert file.read(10) == bytes(10)
        (tmp_path / "a").write_bytes(bytes([1]) * 1_000_000)
        store.upload(tmp_path)
        with pytest.raises(OSError, match="replaced while it was read"):
            file.read()


def test_files_are_moved_and_removed(store: Store, tmp_path: pathlib.Path) -> None:
    """Names with brackets are names, not patterns."""
    (tmp_path / "a").write_bytes(b"one")
    store.files.upload(tmp_path / "a", f"{store.place}/x/a b.txt")
    (tmp_path / "a").write_bytes(b"another")
    store.files.upload(tmp_path / "a", f"{store.place}/x/a b.txt")  # replaced
    store.files.upload(tmp_path / "a", f"{store.place}/y/c.txt")
    store.files.move(f"{store.place}/x/a b.txt", f"{store.place}/y/[c].txt")
    found = {info.path: info for info in store.files.walk(store.place)}
    moved = found.pop(f"{store.place}/y/[c].txt")
    assert moved[:2] == FileInfo(f"{store.place}/y/[c].txt", 7, 0)[:2]
    assert list(found) == [f"{store.place}/y/c.txt"]
    assert store.files.stat(moved.path) == moved
    store.files.remove([moved.path, f"{store.place}/never-there"])
    assert [info.path for info in store.files.walk(store.place)] == [f"{store.place}/y/c.txt"]


def test_a_file_is_replaced_only_by_who_knows_its_version(store: Store) -> None:
    """On which one run at a time in an output rests."""
    path = f"{store.place}/lock"
    assert store.files.read_versioned(path) is None
    first = store.files.replace(path, b"1", None)
    assert first is not None
    assert store.files.replace(path, b"other", None) is None
    assert store.files.read_versioned(path) == (b"1", first)
    second = store.files.replace(path, b"2", first)
    assert second not in (None, first)
    assert store.files.replace(path, b"other", first) is None
    assert store.files.read_versioned(path) == (b"2", second)
    store.files.remove([path])
    assert store.files.replace(path, b"other", second) is None
    assert store.files.read_versioned(path) is None
