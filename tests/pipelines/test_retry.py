"""The retry rules: whatever crashes, every piece ends exactly once, and only culprits are given up."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.items import Failure, Item, Piece, Source
from pipelines.retry import Attempt, after_failure

CRASH = Failure("item", "ProcessLost", "it crashed")


def piece(number: int) -> Piece:
    return Piece(Source(f"{number:03}", "", "text", 1, 0))


@given(st.integers(1, 40), st.sets(st.integers(0, 39)), st.integers(0, 8), st.randoms())
def test_every_piece_ends_once_and_only_culprits_fail(
    count: int, culprits: set[int], window: int, random: object
) -> None:
    """An item dies when it reaches a culprit; the `window` pieces up to there have begun (0: nothing was reported)."""
    waiting = [Attempt(Item(tuple(piece(n) for n in range(count))))]
    done: list[str] = []
    failed: list[str] = []
    rounds = 0
    while waiting:
        rounds += 1
        assert rounds < 50 * count, "it does not end"
        attempt = waiting.pop(random.randrange(len(waiting)))  # type: ignore[attr-defined]
        keys = [one.source.key for one in attempt.item.pieces]
        fatal = next((at for at, key in enumerate(keys) if int(key) in culprits), None)
        if fatal is None:
            done += keys
            continue
        suspects = attempt.item.pieces[max(0, fatal + 1 - window) : fatal + 1] if window else ()
        again = after_failure(attempt, suspects, CRASH, whole=False)
        waiting += again
        if not again:
            failed += keys
    assert sorted(done + failed) == [f"{n:03}" for n in range(count)]
    assert {int(key) for key in failed} == culprits & set(range(count))


def test_a_single_piece_gets_one_more_try() -> None:
    first = Attempt(Item((piece(0),)))
    (second,) = after_failure(first, [], CRASH, whole=False)
    assert second.item == first.item
    assert after_failure(second, [], CRASH, whole=False) == []


def test_a_suspect_is_set_apart_from_the_others() -> None:
    attempt = Attempt(Item((piece(0), piece(1), piece(2))))
    alone, others = after_failure(attempt, [piece(1)], CRASH, whole=False)
    assert alone == Attempt(Item((piece(1),)), failures=1)
    assert others == Attempt(Item((piece(0), piece(2))))


@given(st.integers(1, 30), st.sets(st.integers(0, 29)), st.integers(1, 3))
def test_a_whole_item_stays_together_and_condemns_only_culprits(count: int, culprits: set[int], window: int) -> None:
    """It dies at the first culprit it touches; with a window above 1, innocent neighbours are at work then, too."""
    item = Item(tuple(piece(n) for n in range(count)))
    attempt = Attempt(item)
    for _ in range(2 * count + 1):
        todo = [one for one in attempt.item.pieces if one not in dict(attempt.item.condemned)]
        fatal = next((at for at, one in enumerate(todo) if int(one.source.key) in culprits), None)
        if fatal is None:
            break
        (attempt,) = after_failure(attempt, todo[max(0, fatal + 1 - window) : fatal + 1], CRASH, whole=True)
        assert attempt.item.pieces == item.pieces
        assert attempt.item.name("x") == item.name("x"), "its part is the same part"
    condemned = {int(one.source.key) for one in dict(attempt.item.condemned)}
    assert condemned >= culprits & set(range(count))
    if window == 1:
        assert condemned == culprits & set(range(count))


def test_a_whole_item_that_fails_without_a_suspect_gets_one_more_try() -> None:
    first = Attempt(Item((piece(0), piece(1))))
    (second,) = after_failure(first, [], CRASH, whole=True)
    assert second.item == first.item
    assert after_failure(second, [], CRASH, whole=True) == []


def test_a_piece_of_a_whole_item_is_condemned_at_its_second_crash_with_the_reason() -> None:
    item = Item((piece(0), piece(1)))
    (second,) = after_failure(Attempt(item), [piece(1)], CRASH, whole=True)
    assert second.item.condemned == ()
    (third,) = after_failure(second, [piece(1)], CRASH, whole=True)
    assert third.item.condemned == ((piece(1), CRASH),)
