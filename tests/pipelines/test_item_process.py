"""What an item process tells its parent: of the item at work, and of no other."""

from multiprocessing import Pipe

from pipelines import item_process
from pipelines.begun import BegunPieces, Board
from pipelines.item_process import Advanced
from pipelines.items import Item, Piece, Source


def an_item(number: int) -> Item:
    return Item(tuple(Piece(Source(f"{number}-{name}", "", "image", 1, 1)) for name in "ab"))


def test_a_thread_that_an_item_left_behind_is_not_heard_in_the_next_one(monkeypatch) -> None:
    monkeypatch.setattr(item_process, "_REPORT_EVERY_SECONDS", 0.0)
    parent, child = Pipe()
    board = Board()
    former, item = an_item(1), an_item(2)
    board.clear(former)
    watch = item_process._PipeWatch(child, BegunPieces(board.descriptor, former.pieces))
    watch.begin(former.pieces[0])
    assert (board.at_work(), parent.recv()) == ([former.pieces[0]], Advanced({}, 0))
    watch.close()
    board.clear(item)
    watch.begin(former.pieces[1])
    watch.advance({"images": 1}, 5)
    assert board.at_work() == []
    assert not parent.poll()
    board.close()
