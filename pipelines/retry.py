"""What to do with an item that crashed, hung or raised: find the culprit, try it once more, then give it up."""

import dataclasses
from collections.abc import Collection

from pipelines.items import Failure, Item, Piece

_LAST_ATTEMPT = 2


@dataclasses.dataclass(frozen=True)
class Attempt:
    """An item to be done.

    Attributes:
        item: what is to be done.
        failures: how often it, or an item it was part of, has failed before without a culprit.
        suspects: pieces of a whole item that were at work when it failed before.
    """

    item: Item
    failures: int = 0
    suspects: frozenset[Piece] = frozenset()


def after_failure(attempt: Attempt, suspects: Collection[Piece], failure: Failure, *, whole: bool) -> list[Attempt]:
    """How to go on after an attempt failed; an empty list means: the item is given up.

    An item of several pieces is taken apart: each suspect alone, the others together. Without a suspect, or when all
    are, it is halved. A single piece is tried once more after its first failure. A whole item stays together: a piece
    at which it fails twice is condemned, and the item is done without it.

    Args:
        attempt: what failed.
        suspects: pieces that had begun and not ended when it did.
        failure: why it did.
        whole: the item must not be taken apart (`Job.whole_items`).
    """
    if whole:
        return _whole_again(attempt, suspects, failure)
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


def _whole_again(attempt: Attempt, suspects: Collection[Piece], failure: Failure) -> list[Attempt]:
    item = attempt.item
    condemned = dict(item.condemned)
    accused = frozenset(piece for piece in item.pieces if piece in suspects and piece not in condemned)
    if not accused:
        again = dataclasses.replace(attempt, failures=attempt.failures + 1)
        return [again] if again.failures < _LAST_ATTEMPT else []
    condemned |= {piece: failure for piece in item.pieces if piece in accused & attempt.suspects}
    return [Attempt(Item(item.pieces, tuple(condemned.items())), attempt.failures, attempt.suspects | accused)]
