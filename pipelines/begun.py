"""Which pieces of an item are at work: a byte for each, in memory that an item process shares with its parent.

A message at every beginning and end would cost the parent as much as the work on a small image costs the process. What
is written here costs neither anything, and stays when the process is killed.
"""

import mmap
import os
from collections.abc import Sequence

from pipelines.items import Item, Piece

_AT_WORK, _PAST = 1, 2


class Board:
    """The parent's side, for one process; `descriptor` is what the process is given."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("boxbeam-begun", os.MFD_CLOEXEC)
        self._pieces: tuple[Piece, ...] = ()
        self._last: list[Piece] | None = None

    def clear(self, item: Item) -> None:
        """From now on it is about this item, of which no piece has begun."""
        self._pieces = item.pieces
        os.pwrite(self.descriptor, bytes(len(item.pieces)), 0)  # never shorter: the process may still look at it

    def at_work(self) -> list[Piece]:
        """The pieces that have begun and not ended; those when it was closed, if it is."""
        if self._last is not None:
            return self._last
        states = os.pread(self.descriptor, len(self._pieces), 0)
        return [piece for piece, state in zip(self._pieces, states, strict=True) if state == _AT_WORK]

    def close(self) -> None:
        """Give the memory back, when the process has ended."""
        self._last = self.at_work()
        os.close(self.descriptor)


class BegunPieces:
    """The process's side, for one item."""

    def __init__(self, descriptor: int, pieces: Sequence[Piece]):
        self._places = {piece: place for place, piece in enumerate(pieces)}
        self._states = mmap.mmap(descriptor, len(pieces))

    def begin(self, piece: Piece) -> None:
        """This piece is at work."""
        self._states[self._places[piece]] = _AT_WORK

    def end(self, piece: Piece) -> None:
        """It is past all danger."""
        self._states[self._places[piece]] = _PAST
