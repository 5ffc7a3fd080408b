"""One run at a time in an output on an object store: refused, waited for, taken over, lost."""

import json
import pathlib
import threading
from collections.abc import Callable

import pytest

from od_core import storage
from od_core.errors import OutputError, StorageError
from pipelines import lease
from pipelines.dataset import Dataset
from pipelines.engine import Engine
from pipelines.items import ItemReport
from pipelines.lease import Lease
from pipelines.lock import locked
from pipelines.observer import Silent
from pipelines.work import RunResult, run
from tests.memory_files import MemoryFiles
from tests.pipelines.toy_job import ToyJob, toy_work

Texts = Callable[..., pathlib.Path]

OUTPUT = "mem://bucket/out"
LOCK = f"{OUTPUT}/.boxbeam-lock"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryFiles:
    """An object store that is empty, and clocks that tick fast."""
    files = MemoryFiles()
    monkeypatch.setattr(storage, "_remote", files)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.3)
    return files


class Told(Silent):
    """Keeps what it is told, and calls something whenever an item has ended."""

    def __init__(self, at_item: Callable[[], object] = lambda: None):
        self.incidents: list[str] = []
        self._at_item = at_item

    def incident(self, message: str) -> None:
        self.incidents.append(message)

    def finished(self, report: ItemReport) -> None:
        self._at_item()


def do(folder: pathlib.Path, told: Told | None = None) -> RunResult:
    work = toy_work([str(folder)], OUTPUT, ToyJob(), isolation="none")
    return run(work, Engine(), told or Told(), max_failed_ratio=1.0)


def left_by(store: MemoryFiles, **words: object) -> None:
    """A lock that nobody renews."""
    words = {"run": "x", "pid": 7, "started": "1", "host": "there", "place": "there", "beat": 1, **words}
    assert store.replace(LOCK, json.dumps(words).encode(), None)


def test_a_run_leaves_no_lock(store: MemoryFiles, texts: Texts) -> None:
    do(texts(a="1\n", b="2\n"))
    assert Dataset(OUTPUT).manifest() is not None
    assert LOCK not in store.files


def test_a_second_run_is_refused_while_the_first_one_lives(store: MemoryFiles, texts: Texts) -> None:
    folder = texts(a="1\n")
    with locked(OUTPUT), pytest.raises(OutputError, match=r"another boxbeam run is writing there \(process \d+ on"):
        do(folder)
    assert Dataset(OUTPUT).manifest() is None
    do(folder)
    assert Dataset(OUTPUT).manifest() is not None


def test_a_run_elsewhere_shows_that_it_lives(store: MemoryFiles, texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "STALE_SECONDS", 60.0)
    monkeypatch.setattr(lease, "_place", lambda: "there")
    told = Told()
    with locked(OUTPUT):
        monkeypatch.setattr(lease, "_place", lambda: "here")
        with pytest.raises(OutputError, match="another boxbeam run is writing there"):
            do(texts(a="1\n"), told)
    assert len(told.incidents) == 1
    assert "waiting for a sign of life, 60 s at most" in told.incidents[0]


def test_what_a_killed_run_left_is_taken_over(
    store: MemoryFiles, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere after a while; here at once, as there is no such process."""
    left_by(store)
    told = Told()
    do(texts(a="1\n"), told)
    assert "process 7 on there may still be writing there" in told.incidents[0]
    monkeypatch.setattr(lease, "STALE_SECONDS", 1e9)
    left_by(store, place=lease._place(), pid=2**22 + 1)
    do(texts(b="1\n"))
    assert LOCK not in store.files
    store.replace(LOCK, b"nonsense", None)
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.01)
    do(texts(c="1\n"))


def test_one_of_many_takes_over(store: MemoryFiles) -> None:
    left_by(store, place=lease._place(), pid=2**22 + 1)
    barrier, taken, refused = threading.Barrier(8), [], []

    def take() -> None:
        one = Lease(LOCK, OUTPUT)
        barrier.wait(20)
        try:
            one.take(print)
            taken.append(one)
        except OutputError:
            refused.append(one)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(taken), len(refused)) == (1, 7)
    taken[0].check()
    taken[0].end()


def test_a_run_that_was_taken_for_dead_publishes_nothing(store: MemoryFiles, texts: Texts) -> None:
    def take_over() -> None:
        store.files[LOCK] = b'{"run": "another"}'
        store.versions[LOCK] += 1

    with pytest.raises(StorageError, match="took this output over"):
        do(texts(a="1\n"), Told(take_over))
    assert Dataset(OUTPUT).manifest() is None
    assert store.files[LOCK] == b'{"run": "another"}'  # which goes on
    assert any(path.startswith(f"{OUTPUT}/_work/parts/") for path in store.files)
