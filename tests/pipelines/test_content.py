"""Inputs told apart by their bytes: on any file system, in order, and without waiting for films when stopped."""

import pathlib
import threading

import pytest

from od_core import storage
from pipelines.content import by_content, content_version
from pipelines.items import Source
from tests.memory_files import MemoryFiles


def source(uri: str, modified: int = 7) -> Source:
    return Source(uri.rsplit("/", 1)[-1], uri, "text", 3, modified)


def test_equal_bytes_make_equal_versions_wherever_they_lie(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{number:02}": bytes([number % 5]) * (number % 5 << 20) for number in range(40)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    local = list(by_content(source(str(tmp_path / name)) for name in contents))
    assert [one.key for one in local] == list(contents)
    assert {one.modified_ms for one in local} == {7}
    by_bytes = {contents[one.key]: one.version for one in local}
    assert all(one.version == by_bytes[contents[one.key]] for one in local)
    assert len(set(by_bytes.values())) == 5
    bucket = MemoryFiles()
    monkeypatch.setattr(storage, "_remote", bucket)
    bucket.files = {f"mem://bucket/{name}": content for name, content in contents.items()}
    assert [one.version for one in by_content(map(source, bucket.files))] == [one.version for one in local]
    assert all(0 < version < 1 << 63 for version in by_bytes.values())  # an int64 column holds them


def test_what_cannot_be_read_has_a_version_too_and_fails_in_its_turn(tmp_path: pathlib.Path) -> None:
    assert [one.version for one in by_content([source(str(tmp_path / "gone"))])] == [0]


def test_a_stopped_digest_reads_no_further(tmp_path: pathlib.Path) -> None:
    (tmp_path / "film").write_bytes(b"x" * (3 << 20))
    stopped = threading.Event()
    whole = content_version(str(tmp_path / "film"), stopped)
    stopped.set()
    assert content_version(str(tmp_path / "film"), stopped) != whole
