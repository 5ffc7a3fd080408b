"""Frames of mixed sizes in, detections in the same order out: batches of equal size, several in the model at once."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.errors import DetectError

Image = npt.NDArray[np.uint8]
Tag = TypeVar("Tag")

# A frame waits for company of its size at most this many batches' worth of other frames.
_PATIENCE = 4
_MAX_PENDING_BYTES = 256 << 20
_ALIGNMENT = 64


class Frame(NamedTuple, Generic[Tag]):
    """Something that passes in order: with an image it goes through the model, without one it only keeps its place."""

    tag: Tag
    image: Image | None


class Detected(NamedTuple, Generic[Tag]):
    """What came out for a frame: detections, the model's error, or neither where there was no image."""

    tag: Tag
    detections: Detections | None
    error: DetectError | None


@dataclasses.dataclass(eq=False)
class _Slot:
    tag: object
    number: int
    image: Image | None
    future: Future[list[Detections | DetectError]] | None = None
    place: int = 0

    @property
    def bytes(self) -> int:
        return 0 if self.image is None else self.image.nbytes


class Batcher:
    """Runs a model over a stream of frames.

    With a steady batch size, which frames share a batch depends on the stream alone, never on timing.

    Args:
        detect: images of one shape to as many detections; called from the executor's threads. May raise DetectError.
        executor: its threads call `detect`.
        batch_size: gives how many frames of a shape, (H, W, 3), a batch holds at most; may give another number every
            time.
        threads: batches in the model at once.
    """

    def __init__(
        self,
        detect: Callable[[Sequence[Image]], list[Detections]],
        executor: Executor,
        *,
        batch_size: Callable[[tuple[int, ...]], int],
        threads: int,
    ):
        self._detect = detect
        self._executor = executor
        self._batch_size = batch_size
        self._threads = threads

    def run(self, frames: Iterable[Frame[Tag]]) -> Iterator[Detected[Tag]]:
        """Detect in every frame; at most a bounded number of frames (and bytes of them) is held at a time."""
        order: collections.deque[_Slot] = collections.deque()
        waiting: dict[tuple[int, ...], list[_Slot]] = {}
        pending_bytes = 0
        try:
            for number, frame in enumerate(frames):
                slot = _Slot(frame.tag, number, frame.image)
                order.append(slot)
                pending_bytes += slot.bytes
                if slot.image is not None:
                    self._add(slot, waiting)
                self._submit_overdue(number, waiting)
                while order and (
                    _is_ready(order[0])
                    or len(order) > (_PATIENCE + 2 * self._threads) * self._size_for(order[0])
                    or (pending_bytes > _MAX_PENDING_BYTES and order[0].future is not None)
                ):
                    pending_bytes -= order[0].bytes
                    yield self._result(order.popleft(), waiting)
            for shape in list(waiting):
                self._submit(waiting.pop(shape))
            while order:
                yield self._result(order.popleft(), waiting)
        finally:
            for slot in order:
                if slot.future is not None:
                    slot.future.cancel()

    def _add(self, slot: _Slot, waiting: dict[tuple[int, ...], list[_Slot]]) -> None:
        if slot.image is None:
            return
        shape = slot.image.shape
        slots = waiting.setdefault(shape, [])
        slots.append(slot)
        if len(slots) >= self._batch_size(shape):
            self._submit(waiting.pop(shape))

    def _submit_overdue(self, number: int, waiting: dict[tuple[int, ...], list[_Slot]]) -> None:
        overdue = [
            shape for shape, slots in waiting.items() if number - slots[0].number >= _PATIENCE * self._batch_size(shape)
        ]
        for shape in overdue:
            self._submit(waiting.pop(shape))

    def _size_for(self, slot: _Slot) -> int:
        return 1 if slot.image is None else self._batch_size(slot.image.shape)

    def _submit(self, slots: Sequence[_Slot]) -> None:
        images = [slot.image for slot in slots if slot.image is not None]
        future = self._executor.submit(self._detect_batch, images)
        for place, slot in enumerate(slots):
            slot.future, slot.place = future, place

    def _result(self, slot: _Slot, waiting: dict[tuple[int, ...], list[_Slot]]) -> Detected[Tag]:
        """What came out for a slot; may wait for it."""
        if slot.image is None:
            return Detected(slot.tag, None, None)  # type: ignore[arg-type]
        if slot.future is None:  # batches became smaller while it waited for company, in another thread
            self._submit(waiting.pop(slot.image.shape))
        assert slot.future is not None
        result = slot.future.result()[slot.place]
        found, error = (None, result) if isinstance(result, DetectError) else (result, None)
        return Detected(slot.tag, found, error)  # type: ignore[arg-type]

    def _detect_batch(self, images: Sequence[Image]) -> list[Detections | DetectError]:
        try:
            found = list(self._detect(images))
            if len(found) != len(images):
                raise ValueError(f"{len(found)} results came for {len(images)} images")
            return [*found]
        except DetectError as error:
            if len(images) == 1:
                return [error]
        # One image can spoil a batch: each alone shows which.
        return [result for image in images for result in self._detect_batch([image])]


def stacked(images: Sequence[Image]) -> Image:
    """Images of one size as one array, on a boundary where TensorFlow takes it as it is instead of copying it."""
    if len(images) == 1:
        return images[0][None]
    size = len(images) * images[0].nbytes
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return np.stack(images, out=memory[start : start + size].reshape(len(images), *images[0].shape))


def _is_ready(slot: _Slot) -> bool:
    return slot.image is None or (slot.future is not None and slot.future.done())
