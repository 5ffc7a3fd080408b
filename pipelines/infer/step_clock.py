"""Where the time of an item goes: seconds spent in each step, added up over the threads that do it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


class StepClock:
    """Adds up seconds by step; for all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def spent(self, step: str) -> Iterator[None]:
        """The time that the block takes is spent in this step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._add(step, time.perf_counter() - started)

    def timed(self, step: str, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """A function whose time is spent in this step."""

        def run(*args: Given.args, **options: Given.kwargs) -> Result:
            with self.spent(step):
                return function(*args, **options)

        return run

    def iterated(self, step: str, elements: Iterator[Result]) -> Iterator[Result]:
        """An iterator whose own time, not that of who takes its elements, is spent in this step."""
        try:
            while True:
                started = time.perf_counter()
                try:
                    element = next(elements)
                except StopIteration:
                    return
                finally:
                    self._add(step, time.perf_counter() - started)
                yield element
        finally:
            getattr(elements, "close", lambda: None)()

    def _add(self, step: str, seconds: float) -> None:
        with self._lock:
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds
