"""Finding the rows of frames or records one after the other, without holding more than two."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from od_core.errors import InputError
from pipelines.render.rows import DetectionRow


class _Numbered(NamedTuple):
    """A row, its number, and whether a failed stretch lies between it and the row before."""

    number: int
    row: DetectionRow
    follows_failure: bool


class Follower:
    """Finds rows by a number that rises from row to row and from question to question; holds two rows."""

    def __init__(self, rows: Iterable[DetectionRow], field: str):
        self._failure = False
        self._numbered = self._number(rows, field)
        self._before: _Numbered | None = None
        self._next = next(self._numbered, None)
        self._longest_step = 0
        self._asked = -1

    def at(self, number: int) -> DetectionRow | None:
        """The row of this number, if there is one; those before are passed over."""
        self._asked = number
        while self._next is not None and self._next.number < number:
            self._advance()
        return self._next.row if self._next is not None and self._next.number == number else None

    def before(self) -> DetectionRow | None:
        """For a number without a row: the row before it, where it was left out on purpose.

        Not where something failed between it and its neighbours; and after the last row only for as long as rows were
        apart at most, so that what ends in the middle of a video does not stay to its end.
        """
        before = self._before
        if before is None or before.row.detections is None:
            return None
        if self._next is None:
            is_near = self._asked - before.number < self._longest_step
            return before.row if is_near and not self._failure else None
        return None if self._next.follows_failure else before.row

    def after(self) -> DetectionRow | None:
        """The next row."""
        return None if self._next is None else self._next.row

    def refuse_rest(self, unit: str, what: str) -> None:
        """Refuse an original that has ended before its rows: there are some beyond the last that was asked for."""
        self.at(self._asked + 1)
        if self._next is not None:
            raise InputError(
                f"it ends before the detections do, which go on with {unit} {self._next.number}: it is not the {what}"
                " that they were made from, or was cut short"
            )

    def _advance(self) -> None:
        self._before, self._next = self._next, next(self._numbered, None)
        if self._before is not None and self._next is not None and not self._next.follows_failure:
            self._longest_step = max(self._longest_step, self._next.number - self._before.number)

    def _number(self, rows: Iterable[DetectionRow], field: str) -> Iterator[_Numbered]:
        for row in rows:
            number = getattr(row, field)
            if number is None:
                self._failure = True
                continue
            yield _Numbered(number, row, self._failure)
            self._failure = False
