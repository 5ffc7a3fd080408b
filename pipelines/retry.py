"""What to do with an item that crashed, hung or raised: find the culprit, try it once more alone, then give it up."""

import dataclasses
from collections.abc import Collection

from pipelines.items import Item, Piece

_LAST_ATTEMPT = 2


@dataclasses.dataclass(frozen=True)
class Attempt:
    """An item to be done, and how often it, or an item it was part of, has failed before."""

    item: Item
    failures: int = 0


def after_failure(attempt: Attempt, suspects: Collection[Piece]) -> list[Attempt]:
    """How to go on after an attempt failed; an empty list means: the item is given up.

    An item of several pieces is taken apart: each suspect alone, the others together. Without a suspect, or when all
    are, it is halved. A single piece is tried once more after its first failure.

    Args:
        attempt: what failed.
        suspects: pieces that had begun and not ended when it did.
    """
    pieces = attempt.item.pieces
    if len(pieces) == 1:
        again = Attempt(attempt.item, attempt.failures + 1)
        return [again] if again.failures < _LAST_ATTEMPT else []
    accused = [piece for piece in pieces if piece in suspects]
    others = tuple(piece for piece in pieces if piece not in suspects)
    if accused and others:
        alone = [Attempt(Item((piece,)), failures=1) for piece in accused]
        return [*alone, Attempt(Item(others))]
    middle = len(pieces) // 2
    return [Attempt(Item(pieces[:middle])), Attempt(Item(pieces[middle:]))]
