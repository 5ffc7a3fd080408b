"""Planning arithmetic: what is covered is taken away exactly, and what is left is grouped within the limits."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.grouping import ItemLimit, by_limits
from pipelines.items import Item, Outcome, Piece, Source
from pipelines.plan import uncovered

SOURCE = Source("a.t", "/in/a.t", "text", 1000, 0)
spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: tuple(sorted(pair))), max_size=8)


@given(spans, st.integers(0, 39), st.integers(1, 40))
def test_uncovered_pieces_are_exactly_what_no_span_holds(
    covered: list[tuple[int, int]], start: int, length: int
) -> None:
    piece = Piece(SOURCE, start, start + length, 100)
    left = list(uncovered(piece, covered))
    units = {unit for rest in left for unit in range(rest.start, rest.stop)}
    wanted = set(range(start, start + length)) - {unit for low, high in covered for unit in range(low, high)}
    assert units == wanted
    assert sum(rest.stop - rest.start for rest in left) == len(wanted), "pieces overlap"
    assert all(first.stop < second.start for first, second in itertools.pairwise(left)), "not joined, not sorted"


@given(st.lists(st.integers(1, 500_000), max_size=60), st.integers(1, 7))
def test_groups_keep_every_piece_in_order_and_within_the_limits(sizes: list[int], files: int) -> None:
    pieces = [Piece(Source(f"{n:03}.t", "", "", size, 0)) for n, size in enumerate(sizes)]
    items = list(by_limits(pieces, {"": ItemLimit(files, 1 << 20)}))
    assert [piece for item in items for piece in item.pieces] == pieces
    for item in items:
        assert len(item.pieces) == 1 or (len(item.pieces) <= files and item.weight <= 1 << 20)


def test_kinds_are_not_mixed_in_an_item() -> None:
    pieces = [Piece(Source(f"{n}", "", kind, 1, 0)) for n, kind in enumerate(["text", "other", "text", "other"])]
    items = list(by_limits(pieces, dict.fromkeys(("text", "other"), ItemLimit(4, 1 << 20))))
    assert [[piece.source.key for piece in item.pieces] for item in items] == [["0", "2"], ["1", "3"]]


def test_an_items_name_depends_on_identity_range_and_options_but_not_on_place() -> None:
    def name(source: Source = SOURCE, start: int = 0, fingerprint: str = "x") -> str:
        return Item((Piece(source, start, 10, 10),)).name(fingerprint)

    assert name() == name(SOURCE._replace(uri="/moved/a.t"))
    others = [
        name(SOURCE._replace(key="b.t")),
        name(SOURCE._replace(size=1)),
        name(SOURCE._replace(version=1)),
        name(start=1),
        name(fingerprint="y"),
    ]
    assert len({name(), *others}) == 6


def test_an_outcome_survives_its_file_form_without_the_uri() -> None:
    outcome = Outcome(Piece(SOURCE, 3, 5, 10), "failed", 2, {"lines": 2}, "why")
    read = Outcome.from_json(outcome.to_json())
    assert read == dataclasses.replace(outcome, piece=Piece(SOURCE._replace(uri=""), 3, 5, 10))


def test_an_empty_item_and_an_unknown_status_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one piece"):
        Item(())
    with pytest.raises(ValueError, match="must be one of done, empty, failed, got 'skipped'"):
        Outcome(Piece(SOURCE), "skipped", 0)
