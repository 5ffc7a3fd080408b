"""How many images go through the model at once: as told, or measured while it works."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Found = TypeVar("Found")
Image = npt.NDArray[np.uint8]
Shape = tuple[int, ...]

# On a CPU most models are best at one of these (benchmarks/infer.py); the first one is what is not measured yet gets.
_FIRST_SIZES = (4, 1, 2, 8)
_LARGEST = 64
_LARGEST_BATCH_BYTES = 64 << 20
_RUNS = 5
# A larger batch has to be better by this much: less could be chance, and smaller ones mean less memory and waiting.
_WORTH_IT = 0.98
# Image sizes of one magnitude that are measured at a time; a folder of photos may hold thousands.
_MOST_MEASURED = 16


class BatchSize:
    """The batch sizes of one open model: what is best depends on the size of the images. For many threads at once.

    Large images make tensors that no longer fit into caches and that memory has to be found for anew, so what pays for
    small ones may cost with large ones. Sizes are kept by magnitude: images of half to twice the pixels share one.
    Measuring takes turns among sizes, so that what disturbs disturbs all, and takes the least of several runs of each,
    as the first is slow. It uses full batches of work that has to be done anyway. A detection does not depend on its
    batch, so what comes out of this changes how long the work takes and nothing else.
    """

    def __init__(self, fixed: int | None, limit: int | None, *, clock: Callable[[], float] = time.thread_time):
        """Measures only if neither `fixed` nor `limit` is given.

        Args:
            fixed: as told, None to measure.
            limit: what the model is fixed to, None where it takes any number.
            clock: seconds. A run on a CPU stays in its thread, whose time others cannot disturb; on a GPU it waits.
        """
        self._told = min(fixed or limit or 0, limit or math.inf)
        self._clock = clock
        self._magnitudes: dict[int, _Magnitude] = {}
        self._lock = threading.Lock()

    def of(self, shape: Shape) -> int:
        """How many images of this shape, (H, W, 3), a batch may hold now."""
        most = max(1, _LARGEST_BATCH_BYTES // max(1, math.prod(shape)))
        if self._told:
            return int(min(self._told, most))
        with self._lock:
            return self._magnitude(shape).size(shape, most)

    def timed(self, detect: Callable[[Sequence[Image]], Found]) -> Callable[[Sequence[Image]], Found]:
        """`detect`, which is called in one thread for each run, measured for as long as there is something to learn."""

        def run(images: Sequence[Image]) -> Found:
            if not self._is_measuring(images[0].shape):
                return detect(images)
            started = self._clock()
            found = detect(images)
            self.note((len(images), *images[0].shape), self._clock() - started)
            return found

        return run

    def note(self, shape: Shape, seconds: float) -> None:
        """A batch of this shape, (B, H, W, 3), took so long."""
        if not self._told:
            with self._lock:
                self._magnitude(shape[1:]).note(shape[1:], shape[0], seconds / shape[0])

    def _is_measuring(self, shape: Shape) -> bool:
        return not self._told and self._magnitude(shape).best is None

    @property
    def measured(self) -> Mapping[str, int]:
        """What was found best, by the image size it was measured with: "1280x720"."""
        with self._lock:
            found = [one for _, one in sorted(self._magnitudes.items()) if one.best is not None and one.shape]
            return {f"{one.shape[1]}x{one.shape[0]}": one.best for one in found if one.shape and one.best}

    def _magnitude(self, shape: Shape) -> "_Magnitude":
        return self._magnitudes.setdefault(round(math.log2(max(1, math.prod(shape)))), _Magnitude())


class _Magnitude:
    """Images of about one size; the first shape of which enough is seen decides for all."""

    def __init__(self) -> None:
        self.best: int | None = None
        self.shape: Shape | None = None
        self._measured: dict[Shape, dict[int, list[float]]] = {}

    def size(self, shape: Shape, most: int) -> int:
        """What to use for this shape; `most` is allowed."""
        if self.best is not None:
            return min(self.best, most)
        if shape not in self._measured:
            if len(self._measured) == _MOST_MEASURED:
                del self._measured[next(iter(self._measured))]  # if it is a common one, it will be back
            self._measured[shape] = {size: [] for size in _FIRST_SIZES if size <= most}
        runs = self._measured[shape]
        return min(runs, key=lambda size: len(runs[size]))  # of equal ones the first

    def note(self, shape: Shape, size: int, seconds: float) -> None:
        """An image in a batch of this size took so long."""
        runs = self._measured.get(shape, {})
        if size not in runs:
            return
        runs[size].append(seconds)
        if min(map(len, runs.values())) < _RUNS:
            return
        least = {size: min(taken) for size, taken in sorted(runs.items())}
        best = next(size for size in least if least[size] * _WORTH_IT <= min(least.values()))
        larger = 2 * best
        if best == max(runs) and larger <= min(_LARGEST, _LARGEST_BATCH_BYTES // max(1, math.prod(shape))):
            self._measured[shape] = {best: [], larger: []}  # side by side again: the machine may be busier by now
        else:
            self.best, self.shape, self._measured = best, shape, {}
