"""Work on a stream in threads, keeping its order and a bounded distance ahead."""

import collections
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

_END = object()


def ordered_map(function: Callable[[In], Out], inputs: Iterable[In], executor: Executor, ahead: int) -> Iterator[Out]:
    """`map` in the executor's threads: results in the order of the inputs, at most `ahead` of them in the making.

    An exception of `function` is raised where its result would have come, one of `inputs` behind all results before it.
    """
    pending: collections.deque[Future[Out]] = collections.deque()
    rest, broken = iter(inputs), None
    try:
        while True:
            try:
                one = next(rest)
            except StopIteration:
                break
            except Exception as error:
                broken = error
                break
            pending.append(executor.submit(function, one))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        if broken is not None:
            raise broken
    finally:
        for future in pending:
            future.cancel()


def prefetch(inputs: Callable[[], Iterator[In]], executor: Executor, ahead: int) -> Generator[In, None, None]:
    """Run an iterator in one of the executor's threads, at most `ahead` elements before its consumer.

    The iterator is made, used and closed in that thread. Its exception is raised here, after what it yielded before.
    """
    ready: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(element: object, error: BaseException | None = None) -> None:
        while not stopped.is_set():
            try:
                return ready.put((element, error), timeout=0.1)
            except queue.Full:
                continue

    def pump() -> None:
        try:
            iterator = inputs()
            for element in iterator:
                put(element)
                if stopped.is_set():
                    break
            getattr(iterator, "close", lambda: None)()
        except BaseException as error:
            put(_END, error)
        else:
            put(_END)

    future = executor.submit(pump)
    try:
        while True:
            element, error = ready.get()
            if error is not None:
                raise error
            if element is _END:
                return
            yield element  # type: ignore[misc]
    finally:
        stopped.set()
        future.result()
