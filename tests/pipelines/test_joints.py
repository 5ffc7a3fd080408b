"""Pieces that were cut on trust: when they fit together, and when their source is to be done whole."""

import itertools

import pytest

from pipelines.items import LAST_END, Joint, Outcome, Piece, Source
from pipelines.joints import counts_for, misfits

VIDEO = Source("v.mp4", "", "video", 100, 1)
OTHER = Source("w.mp4", "", "video", 100, 1)
HOLDS_NOTHING = Joint(None, None)
LOST = None


def outcomes(*joints: Joint | None, source: Source = VIDEO, total: int = 100) -> list[Outcome]:
    """Outcomes of neighbouring pieces of 25; LOST is one of a piece that could not be done."""
    return [
        Outcome(Piece(source, at, at + 25, total), "done" if joint else "failed", 1, joint=joint)
        for at, joint in zip(range(0, 100, 25), joints, strict=False)
    ]


@pytest.mark.parametrize(
    "joints",
    [
        (Joint(None, "a"), Joint("a", "b"), Joint("b", "c"), Joint("c", LAST_END)),
        (Joint(None, "a"), HOLDS_NOTHING, Joint("a", "b"), Joint("b", LAST_END)),
        (Joint(None, "a"), Joint("a", LAST_END), HOLDS_NOTHING, HOLDS_NOTHING),
        (Joint(None, LAST_END), HOLDS_NOTHING, HOLDS_NOTHING, HOLDS_NOTHING),
        (HOLDS_NOTHING, Joint(None, "a"), Joint("a", None), HOLDS_NOTHING),  # begins and ends within
        (Joint(None, "a"), LOST, Joint("x", "b"), Joint("b", LAST_END)),  # what was lost has seen nothing
        (HOLDS_NOTHING,) * 4,
    ],
)
def test_pieces_that_fit(joints: tuple[Joint | None, ...]) -> None:
    for order in itertools.permutations(outcomes(*joints)):
        assert misfits(order) == {}
    for number in range(5):  # what is not there yet is no reason
        assert misfits(outcomes(*joints[:number])) == {}
    assert misfits([*outcomes(*joints), *outcomes(*joints)]) == {}  # done twice, as after a retry


@pytest.mark.parametrize(
    ("joints", "reason"),
    [
        ((Joint(None, "a"), Joint("b", None)), "do not continue each other"),
        ((Joint(None, "a"), HOLDS_NOTHING, Joint("b", None)), "do not continue each other"),
        ((Joint(None, LAST_END), Joint("a", LAST_END)), "do not continue each other"),
        ((Joint(None, "a"), HOLDS_NOTHING, HOLDS_NOTHING, HOLDS_NOTHING), "end is missing"),
        ((HOLDS_NOTHING, HOLDS_NOTHING, HOLDS_NOTHING, Joint(None, "a")), "end is missing"),
        ((Joint(None, "a"), Joint(None, None, "It is damaged.")), "It is damaged."),
    ],
)
def test_pieces_that_do_not_fit(joints: tuple[Joint, ...], reason: str) -> None:
    good = outcomes(Joint(None, "a"), Joint("a", "b"), source=OTHER)
    for order in itertools.permutations(outcomes(*joints)):
        ((identity, said),) = misfits([*good, *order]).items()
        assert identity == VIDEO.identity
        assert reason in said


def test_of_those_that_do_not_fit_only_what_was_done_whole_counts() -> None:
    unfit = {VIDEO.identity}
    assert not any(counts_for(outcome, unfit) for outcome in outcomes(Joint(None, "a"), LOST))
    assert all(counts_for(outcome, unfit) for outcome in outcomes(Joint(None, "a"), source=OTHER))
    assert counts_for(Outcome(Piece(VIDEO), "done", 3), unfit)
    assert not counts_for(Outcome(Piece(VIDEO, 0, 100, 100), "done", 3, joint=Joint(None, None, "no")), unfit)


def test_a_joint_is_kept_with_its_outcome() -> None:
    for joint in (None, Joint("a", None), Joint(None, LAST_END, "why")):
        (outcome,) = outcomes(joint)
        assert Outcome.from_json(outcome.to_json()) == outcome
    assert len(outcomes(None)[0].to_json()) == 11  # as files had it before there were joints
