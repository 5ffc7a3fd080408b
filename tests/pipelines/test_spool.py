"""The spool equals `sorted` for any entries, also where they do not fit into memory; full disks are told by name."""

import errno
import pathlib
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.errors import StorageError
from pipelines import spool
from pipelines.spool import SortedSpool

entries = st.lists(st.tuples(st.text(max_size=3), st.integers(0, 5), st.integers()))


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few entries, as if memory held no more."""
    monkeypatch.setattr(spool, "_RUN_SIZE", 5)
    monkeypatch.setattr(spool, "_CHUNK_SIZE", 2)


@given(entries)
def test_entries_come_back_sorted_any_number_of_times(given_entries: list[tuple[str, int, int]]) -> None:
    made = SortedSpool(given_entries)
    assert len(made) == len(given_entries)
    assert [*made] == [*made] == sorted(given_entries)
    assert all(entry in made for entry in given_entries)
    assert ("not there", 0, 0) not in made


@given(entries)
def test_equal_keys_keep_their_order_whatever_an_entry_weighs(given_entries: list[tuple[str, int, int]]) -> None:
    made = SortedSpool(given_entries, key=lambda entry: -entry[1], size=lambda entry: 1 + entry[1])
    assert [*made] == sorted(given_entries, key=lambda entry: -entry[1])


def test_two_readers_at_a_time_do_not_disturb_each_other() -> None:
    made = SortedSpool(range(20, 0, -1))
    assert [*zip(made, made, strict=True)] == [(n, n) for n in range(1, 21)]


def test_names_that_are_not_utf8_survive() -> None:
    names = [f"caf\udce9{n}" for n in range(12)]
    assert [*SortedSpool(names)] == sorted(names)


def test_a_full_temporary_folder_is_told_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    def full(**_: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(StorageError, match=r"needs some room there \(No space left on device\).*TMPDIR"):
        SortedSpool(range(10))
