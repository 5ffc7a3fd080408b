"""Threads beside a stream: order is kept, the distance ahead is bounded, an early exit leaves nothing running."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.ordered import ordered_map, prefetch


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def test_ordered_map_keeps_order_and_distance(executor: ThreadPoolExecutor) -> None:
    taken = []

    def inputs() -> Iterator[int]:
        for n in range(50):
            taken.append(n)
            yield n

    def slow_first(n: int) -> int:
        time.sleep(0.01 if n % 7 == 0 else 0)
        return n * n

    furthest = 0
    results = []
    for result in ordered_map(slow_first, inputs(), executor, ahead=5):
        results.append(result)
        furthest = max(furthest, len(taken) - len(results))
    assert results == [n * n for n in range(50)]
    assert furthest <= 5


def test_ordered_map_raises_an_error_in_its_place(executor: ThreadPoolExecutor) -> None:
    results = ordered_map(lambda n: 1 // (n - 2), range(10), executor, ahead=4)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ordered_map_gives_all_results_before_an_error_of_its_inputs(executor: ThreadPoolExecutor) -> None:
    def broken() -> Iterator[int]:
        yield from range(6)
        raise OSError("the disk went away")

    results = ordered_map(lambda n: n * n, broken(), executor, ahead=4)
    assert [next(results) for _ in range(6)] == [n * n for n in range(6)]
    with pytest.raises(OSError, match="went away"):
        next(results)


def test_prefetch_stays_within_its_distance_and_ends_with_the_consumer(executor: ThreadPoolExecutor) -> None:
    made, closed = [], threading.Event()

    def endless() -> Iterator[int]:
        try:
            for n in range(10**9):
                made.append(n)
                yield n
        finally:
            closed.set()

    stream = prefetch(endless, executor, ahead=3)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    assert len(made) <= 5 + 3 + 1
    stream.close()  # type: ignore[attr-defined]
    assert closed.is_set()


def test_prefetch_gives_what_came_before_an_error(executor: ThreadPoolExecutor) -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("then this")

    stream = prefetch(broken, executor, ahead=1)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(RuntimeError, match="then this"):
        next(stream)
