"""Cutting sources into pieces, and grouping pieces into items."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pipelines.items import Item, Piece, Source


class ItemLimit(NamedTuple):
    """How much one item holds at most (but always at least one piece)."""

    pieces: int
    weight: int


def on_grid(source: Source, step: int) -> list[Piece]:
    """A source as pieces of `step` bytes; the last may have fewer."""
    grid = range(0, source.size, step)
    return [Piece(source, at, min(at + step, source.size), source.size) for at in grid]


def by_limits(pieces: Iterable[Piece], limits: Mapping[str, ItemLimit]) -> Iterator[Item]:
    """Neighbouring pieces of one kind as items, within the limits for their kind."""
    open_groups: dict[str, list[Piece]] = {}
    weights: dict[str, int] = {}
    for piece in pieces:
        kind = piece.source.kind
        limit = limits[kind]
        waiting = open_groups.setdefault(kind, [])
        if waiting and (len(waiting) >= limit.pieces or weights[kind] + piece.weight > limit.weight):
            yield Item(tuple(waiting))
            waiting = open_groups[kind] = []
        if not waiting:
            weights[kind] = 0
        waiting.append(piece)
        weights[kind] += piece.weight
    for waiting in open_groups.values():
        yield Item(tuple(waiting))


def by_kind(pieces: Iterable[Piece]) -> Iterator[Item]:
    """All pieces of a kind as one item, however many."""
    kinds: dict[str, list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault(piece.source.kind, []).append(piece)
    for together in kinds.values():
        yield Item(tuple(together))
