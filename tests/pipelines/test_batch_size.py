"""The batch size is as told, as the model is fixed to, or the one that took least time."""

import numpy as np
import pytest

from pipelines.infer.batch_size import FIRST_SIZE, BatchSize

SHAPE = (480, 640, 3)


@pytest.mark.parametrize(
    ("fixed", "limit", "size"), [(7, None, 7), (7, 3, 3), (2, 3, 2), (None, 1, 1), (None, 8, 8), (1000, None, 1000)]
)
def test_what_is_told_or_fixed_is_not_measured(fixed: int | None, limit: int | None, size: int) -> None:
    batch_size = BatchSize(fixed, limit)
    for _ in range(20):
        batch_size.note((size, *SHAPE), 1.0 / size)
    assert batch_size.now == size


@pytest.mark.parametrize(
    ("seconds_an_image", "best"),
    [
        ({2: 3.0, 4: 2.0, 8: 2.0}, 4),
        ({2: 1.96, 4: 2.0, 8: 1.96}, 4),  # within chance
        ({4: 2.0, 8: 1.5, 16: 1.0, 32: 1.1}, 16),
        ({4: 8.0, 8: 4.0, 16: 2.0, 32: 1.0, 64: 0.5}, 64),
        ({2: 1.0, 4: 2.0, 8: 3.0, 1: 1.5}, 2),
        ({1: 0.5, 2: 1.0, 4: 2.0, 8: 3.0}, 1),
    ],
)
def test_it_goes_where_an_image_takes_least_time(seconds_an_image: dict[int, float], best: int) -> None:
    batch_size = BatchSize(None, None)
    assert batch_size.now == FIRST_SIZE
    rng, tried = np.random.default_rng(0), set()
    for _ in range(100):
        size = batch_size.now
        tried.add(size)
        batch_size.note((size, *SHAPE), size * seconds_an_image[size] * float(rng.uniform(1, 1.5)))
        batch_size.note((size, *SHAPE), size * seconds_an_image[size])
        batch_size.note((size, 900, 900, 3), 0.0)  # another size of image says nothing about this one
        batch_size.note((size + 1, *SHAPE), 0.0)  # nor does a batch that began before
    assert batch_size.now == best
    assert tried == seconds_an_image.keys()


def test_what_is_timed_is_passed_through_and_so_is_its_error() -> None:
    batch_size = BatchSize(None, None)
    detect = batch_size.timed(lambda images: [int(image.sum()) for image in images])
    assert detect(np.ones((3, 2, 2, 3), np.uint8)) == [12, 12, 12]
    with pytest.raises(ZeroDivisionError):
        batch_size.timed(lambda images: 1 // 0)(np.ones((1, 2, 2, 3), np.uint8))
