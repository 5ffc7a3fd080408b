"""Whether pieces of one source, done apart, fit together.

Some sources can be cut only on trust: whether the cut was right shows when both sides of it are done. Pieces of such a
source say with their outcome what they saw at their ends. Where that differs, the source is done again, whole.
"""

import collections
from collections.abc import Iterable

from pipelines.items import LAST_END, Identity, Outcome


def misfits(outcomes: Iterable[Outcome]) -> dict[Identity, str]:
    """The sources whose pieces do not fit together, and why; pieces that are not there yet are no reason."""
    pieces: dict[Identity, list[Outcome]] = collections.defaultdict(list)
    for outcome in outcomes:
        if outcome.joint is not None or not outcome.piece.is_whole:
            pieces[outcome.piece.source.identity].append(outcome)
    reasons = {identity: _misfit(several) for identity, several in pieces.items()}
    return {identity: reason for identity, reason in reasons.items() if reason}


def counts_for(outcome: Outcome, unfit: Iterable[Identity]) -> bool:
    """Whether an outcome may be used, given which sources' pieces do not fit: of those only what was done whole may."""
    return outcome.piece.source.identity not in unfit or (outcome.joint is None and outcome.piece.is_whole)


def _misfit(outcomes: list[Outcome]) -> str | None:
    broken = next((one.joint.broken for one in outcomes if one.joint and one.joint.broken), None)
    if broken:
        return broken
    reached, expected = 0, None
    for outcome in sorted(outcomes, key=lambda one: (one.piece.start, one.piece.stop)):
        _, start, stop, total = outcome.piece
        if start < reached:
            continue  # done twice
        if start > reached or outcome.joint is None:
            expected = None
        reached = stop
        joint = outcome.joint
        if joint is None or (joint.first is None and joint.after is None):
            continue
        if expected is not None and joint.first != expected:
            return "Its pieces do not continue each other."
        expected = joint.after
        if stop == total:
            break
    else:
        if not (outcomes and reached == outcomes[0].piece.total):
            return None
    return "Its end is missing." if expected not in (None, LAST_END) else None
