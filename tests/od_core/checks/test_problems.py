"""Faults are told once per kind, with their number and the first places."""

from od_core.checks.problems import Fault, Problems

EMPTY = Fault("a box without an area", "leave it out")
TURNED = Fault("a turned image", "look at it", is_note=True)


def test_a_kind_is_told_once_with_its_first_places():
    problems = Problems()
    for number in range(1205):
        problems.add(EMPTY, f"record {number}")
    (one,) = problems
    assert str(one) == (
        "a box without an area (1,205): record 0; record 1; record 2; and 1,202 more. Way out: leave it out"
    )
    assert not problems.is_valid


def test_kinds_are_told_in_the_order_in_which_they_came_up():
    problems = Problems()
    for fault in (TURNED, EMPTY, TURNED):
        problems.add(fault, "here")
    assert [(one.fault, one.count) for one in problems] == [(TURNED, 2), (EMPTY, 1)]


def test_notes_leave_everything_valid():
    problems = Problems()
    assert problems.is_valid
    problems.add(TURNED, "here")
    assert problems.is_valid
