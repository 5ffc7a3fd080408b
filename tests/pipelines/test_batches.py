"""Batching mixed sizes: order, equal results for any timing, bounded memory, and one bad image costs only itself."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.detections import Detections
from od_core.errors import DetectError
from pipelines.infer.batches import Batcher, Frame, Image, stacked


def image(height: int, value: int) -> Image:
    return np.full((height, 2, 3), value, np.uint8)


def found(value: int) -> Detections:
    return Detections.best_first([[0, 0, 1, 1]], [value / 255], [1])


class Model:
    """Scores each image by its value; notes the batches; may be slow now and then; refuses images of value 13."""

    def __init__(self, slow: bool = False):
        self.batches: list[tuple[int, ...]] = []
        self._lock = threading.Lock()
        self._slow = slow

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        values = tuple(int(v) for v in stacked(images)[:, 0, 0, 0])
        with self._lock:
            self.batches.append(values)
        if self._slow and values[0] % 3 == 0:
            time.sleep(0.002)
        if 13 in values:
            raise DetectError("13 is not liked")
        return [found(value) for value in values]


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as made:
        yield made


frames = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 255)) | st.none(), max_size=80)


@settings(deadline=None)
@given(frames, st.integers(1, 5))
def test_results_come_in_order_each_image_with_its_own(
    executor: ThreadPoolExecutor, given_frames: list[tuple[int, int] | None], batch_size: int
) -> None:
    model = Model()
    batcher = Batcher(model.detect, executor, batch_size=lambda _: batch_size, threads=3)
    stream = [Frame(n, None if one is None else image(*one)) for n, one in enumerate(given_frames)]
    results = list(batcher.run(stream))
    assert [result.tag for result in results] == list(range(len(given_frames)))
    for one, result in zip(given_frames, results, strict=True):
        if one is None:
            assert (result.detections, result.error) == (None, None)
        elif one[1] == 13:
            assert str(result.error) == "13 is not liked"
        else:
            assert result.detections == found(one[1])
    assert all(len(batch) <= batch_size for batch in model.batches)


def test_an_image_has_its_result_though_batches_become_smaller_while_it_waits(executor: ThreadPoolExecutor) -> None:
    rng = random.Random(0)
    batcher = Batcher(Model().detect, executor, batch_size=lambda _: rng.choice((1, *[8] * 9)), threads=1)
    results = list(batcher.run(Frame(n, image(1, n % 13)) for n in range(2000)))
    assert [result.detections for result in results] == [found(n % 13) for n in range(2000)]


def test_batches_depend_on_the_stream_and_not_on_timing(executor: ThreadPoolExecutor) -> None:
    rng = np.random.default_rng(0)
    stream = [Frame(n, image(int(rng.integers(1, 4)), n % 256)) for n in range(300)]
    grouped = []
    for slow in (False, True, True):
        model = Model(slow)
        list(Batcher(model.detect, executor, batch_size=lambda _: 4, threads=3).run(stream))
        grouped.append(sorted(batch for batch in model.batches if 13 not in batch and len(batch) > 1))
    assert grouped[0] == grouped[1] == grouped[2]
    assert max(map(len, grouped[0])) == 4


def test_a_lonely_size_does_not_wait_for_the_end(executor: ThreadPoolExecutor) -> None:
    def stream() -> Iterator[Frame[int]]:
        yield Frame(0, image(9, 1))
        for n in range(1, 1000):
            yield Frame(n, image(1, 2))

    results = Batcher(Model().detect, executor, batch_size=lambda _: 4, threads=3).run(_counted(stream(), seen := []))
    assert next(results).tag == 0
    assert len(seen) < 100


def test_few_frames_are_held_at_a_time(executor: ThreadPoolExecutor) -> None:
    stream = (Frame(n, image(1, n % 256)) for n in range(2000))
    given_out, most = 0, 0
    for _ in Batcher(Model(slow=True).detect, executor, batch_size=lambda _: 4, threads=3).run(
        _counted(stream, seen := [])
    ):
        given_out += 1
        most = max(most, len(seen) - given_out)
    assert given_out == 2000
    assert most <= 4 * 4 + 2 * 3 * 4 + 1


def _counted(stream: Iterator[Frame[int]], seen: list[int]) -> Iterator[Frame[int]]:
    for frame in stream:
        seen.append(frame.tag)
        yield frame
