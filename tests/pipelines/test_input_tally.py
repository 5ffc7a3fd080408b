"""Inputs that were cut count once, by what all their pieces came to."""

from pipelines.input_tally import InputTally
from pipelines.items import Item, Outcome, Piece, Source, report_on
from pipelines.plan import Plan

LONG = Source("long", "/long", "video", 300, 1)
SHORT = Source("short", "/short", "video", 1, 1)


def finish(tally: InputTally, piece: Piece, status: str) -> dict[str, int]:
    tally.finished(report_on(Item((piece,)), "name", [Outcome(piece, status, 1)], seconds=1, worker="here:1"))
    return {name: count for name, count in tally.statuses.items() if count}


def part(number: int) -> Piece:
    return Piece(LONG, 100 * number, 100 * number + 100, 300)


def test_an_empty_last_piece_does_not_make_an_input_empty() -> None:
    tally = InputTally()
    assert finish(tally, part(0), "done") == {}
    assert finish(tally, Piece(SHORT), "empty") == {"empty": 1}
    assert finish(tally, part(2), "empty") == {"empty": 1, "done": 1}
    assert finish(tally, part(1), "empty") == {"empty": 1, "done": 1}


def test_what_is_done_after_the_last_piece_counts_too() -> None:
    tally = InputTally()
    assert finish(tally, part(2), "empty") == {"empty": 1}
    assert finish(tally, part(0), "done") == {"done": 1}
    assert finish(tally, part(1), "failed") == {"failed": 1}


def test_an_input_fails_once_and_at_once() -> None:
    tally = InputTally()
    assert finish(tally, part(0), "failed") == {"failed": 1}
    assert finish(tally, part(1), "failed") == {"failed": 1}
    assert finish(tally, part(2), "done") == {"failed": 1}


def test_an_input_that_is_done_once_more_in_the_same_run_counts_once() -> None:
    tally = InputTally()
    for number in range(3):
        finish(tally, part(number), "done")
    again = [Item((Piece(LONG),))]
    tally.planned(Plan([LONG], again, {}, {"video": 1}, {"video": 1}, 300, 300, 1))
    assert sum(tally.statuses.values()) == 0
    assert finish(tally, Piece(LONG), "done") == {"done": 1}
