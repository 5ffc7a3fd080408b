"""The batch size is as told, as the model is fixed to, or for each size of images the one that took least time."""

import numpy as np
import pytest

from pipelines.infer.batch_size import BatchSize

SHAPE = (480, 640, 3)
SMALL = (100, 100, 3)
HUGE = (4320, 7680, 3)


@pytest.mark.parametrize(
    ("fixed", "limit", "size"), [(7, None, 7), (7, 3, 3), (2, 3, 2), (None, 1, 1), (None, 8, 8), (72, None, 72)]
)
def test_what_is_told_or_fixed_is_not_measured(fixed: int | None, limit: int | None, size: int) -> None:
    batch_size = BatchSize(fixed, limit)
    for _ in range(20):
        batch_size.note((size, *SHAPE), 1.0 / size)
    assert batch_size.of(SHAPE) == size
    assert batch_size.of(HUGE) == 1  # 95 MiB each
    assert batch_size.measured == {}


def measure(batch_size: BatchSize, shape: tuple[int, ...], seconds_an_image: dict[int, float]) -> set[int]:
    """Run batches of one shape, disturbed now and then; returns the sizes tried."""
    rng, tried = np.random.default_rng(0), set()
    for _ in range(200):
        size = batch_size.of(shape)
        tried.add(size)
        disturbed = float(rng.uniform(1, 3)) if rng.integers(2) else 1.0
        batch_size.note((size, *shape), size * seconds_an_image[size] * disturbed)
        batch_size.note((size, *HUGE), 0.0)  # another size of image says nothing about this one
        batch_size.note((3, *shape), 0.0)  # nor does a batch that was not asked for
    return tried


@pytest.mark.parametrize(
    ("seconds_an_image", "best"),
    [
        ({1: 2.5, 2: 2.2, 4: 2.0, 8: 2.0}, 4),
        ({1: 2.2, 2: 1.98, 4: 2.0, 8: 1.96}, 2),  # within chance: the smaller
        ({1: 3.0, 2: 2.5, 4: 2.0, 8: 1.5, 16: 1.0, 32: 1.1}, 16),
        ({1: 30.0, 2: 16.0, 4: 8.0, 8: 4.0, 16: 2.0, 32: 1.0, 64: 0.5}, 64),
        ({1: 0.5, 2: 1.0, 4: 2.0, 8: 3.0}, 1),
    ],
)
def test_it_goes_where_an_image_takes_least_time(seconds_an_image: dict[int, float], best: int) -> None:
    batch_size = BatchSize(None, None)
    assert batch_size.of(SHAPE) == 4
    assert measure(batch_size, SHAPE, seconds_an_image) == seconds_an_image.keys()
    assert batch_size.of(SHAPE) == best
    assert batch_size.measured == {"640x480": best}


def test_each_magnitude_of_images_has_its_own() -> None:
    batch_size = BatchSize(None, None)
    measure(batch_size, SHAPE, {1: 1.0, 2: 2.0, 4: 2.0, 8: 2.0})
    measure(batch_size, SMALL, {1: 4.0, 2: 3.0, 4: 2.0, 8: 1.0, 16: 1.0})
    assert (batch_size.of(SHAPE), batch_size.of((500, 600, 3)), batch_size.of(SMALL)) == (1, 1, 8)
    assert batch_size.measured == {"100x100": 8, "640x480": 1}
    assert measure(batch_size, (2160, 3840, 3), {1: 2.0, 2: 1.0}) == {1, 2}  # no more fit into a batch
    assert batch_size.of((2160, 3840, 3)) == 2


def test_thousands_of_sizes_of_which_few_come_again_are_not_measured_one_by_one() -> None:
    batch_size = BatchSize(None, None)
    for width in range(500, 600):
        assert batch_size.of((480, width, 3)) == 4
        batch_size.note((4, 480, width, 3), 1.0)
    assert batch_size.measured == {}
    measure(batch_size, SHAPE, {1: 2.0, 2: 1.0, 4: 2.0, 8: 3.0})
    assert batch_size.measured == {"640x480": 2}


def test_what_is_timed_is_passed_through_and_so_is_its_error() -> None:
    batch_size = BatchSize(None, None)
    detect = batch_size.timed(lambda images: [int(image.sum()) for image in images])
    assert detect([np.ones((2, 2, 3), np.uint8)] * 3) == [12, 12, 12]
    with pytest.raises(ZeroDivisionError):
        batch_size.timed(lambda images: 1 // 0)([np.ones((2, 2, 3), np.uint8)])
