"""How many images go through the model at once: as told, or measured while it works."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Found = TypeVar("Found")
Image = npt.NDArray[np.uint8]

# Where measuring begins. On a CPU most models are best here or within some percent (benchmarks/infer.py).
FIRST_SIZE = 4
_LARGER = (8, 16, 32, 64)
_SMALLER = (2, 1)
_LARGEST = 1 << 16
_RUNS = 4
# Another size has to be better by this much: less could be chance, and smaller batches mean less memory and waiting.
_WORTH_IT = 0.95


class BatchSize:
    """The batch size of one open model. May be used from many threads at once.

    Measuring goes up from `FIRST_SIZE` for as long as that pays, or else down, with full batches of the first image
    size that comes, which are work that has to be done anyway. A detection does not depend on its batch, so what comes
    out of this changes how long the work takes and nothing else.
    """

    def __init__(self, fixed: int | None, limit: int | None):
        """`fixed`: as told, None to measure; `limit`: what the model is fixed to, None where it takes any number."""
        self.now = min(fixed or limit or FIRST_SIZE, limit or _LARGEST)
        self._ways = [list(_LARGER), list(_SMALLER)] if fixed is None and limit is None else []
        self._measuring = bool(self._ways)
        self._best: tuple[int, float] | None = None
        self._seconds: list[float] = []
        self._shape: tuple[int, ...] | None = None
        self._lock = threading.Lock()

    def timed(self, detect: Callable[[Image], Found]) -> Callable[[Image], Found]:
        """`detect`, measured for as long as there is something to learn."""

        def run(images: Image) -> Found:
            started = time.perf_counter()
            found = detect(images)
            if self._measuring:
                self.note(images.shape, time.perf_counter() - started)
            return found

        return run

    def note(self, shape: tuple[int, ...], seconds: float) -> None:
        """A batch of this shape, (B, H, W, 3), took so long."""
        with self._lock:
            if not self._measuring or shape[0] != self.now or shape[1:] != (self._shape or shape[1:]):
                return
            self._shape = shape[1:]
            self._seconds.append(seconds / shape[0])
            if len(self._seconds) == _RUNS:
                self._choose(min(self._seconds))  # the least: the first run of a size is slow, and others disturb
                self._seconds = []

    def _choose(self, seconds: float) -> None:
        """The size tried now takes so long for an image: keep it or not, and name the next to try."""
        if self._best is None or seconds < _WORTH_IT * self._best[1]:
            self._best = self.now, seconds
            if self.now > FIRST_SIZE:
                del self._ways[1:]  # larger ones pay, so smaller ones do not
        else:
            del self._ways[0]
        self._ways = [way for way in self._ways if way]
        self._measuring = bool(self._ways)
        self.now = self._ways[0].pop(0) if self._ways else self._best[0]
