"""Finding the rows of frames or records one after the other, without holding more than one."""

from collections.abc import Iterable

from od_core.errors import InputError
from pipelines.render_rows import DetectionRow


class Follower:
    """Finds rows by a number that rises from row to row and from question to question; holds one row."""

    def __init__(self, rows: Iterable[DetectionRow], field: str):
        self._numbered = ((getattr(row, field), row) for row in rows if getattr(row, field) is not None)
        self._next = next(self._numbered, None)
        self._asked = -1

    def at(self, number: int) -> DetectionRow | None:
        """The row of this number, if there is one; those before are passed over."""
        self._asked = number
        while self._next is not None and self._next[0] < number:
            self._next = next(self._numbered, None)
        return self._next[1] if self._next is not None and self._next[0] == number else None

    def refuse_rest(self, unit: str, what: str) -> None:
        """Refuse an original that has ended before its rows: there are some beyond the last that was asked for."""
        self.at(self._asked + 1)
        if self._next is not None:
            raise InputError(
                f"it ends before the detections do, which go on with {unit} {self._next[0]}: it is not the {what} that"
                " they were made from, or was cut short"
            )
