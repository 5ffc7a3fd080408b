"""Progress: what is counted, what is said of it in lines, and the bar on a real terminal."""

import fcntl
import os
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr

import pytest

from beam_jobs import progress
from beam_jobs.progress import BarProgress, PlainProgress, Progress, progress_for
from pipelines.items import Item, ItemReport, Piece, Source
from pipelines.plan import Plan


class Clock:
    """Stands in for the module `time` in beam_jobs.progress."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(progress, "time", stopped)
    return stopped


def plan_of(*sizes: int, done: int = 0) -> Plan:
    """A plan of one input per item; `done` more inputs have no piece left to do."""
    sources = [Source(f"{number}.jpg", f"/{number}.jpg", "image", size, 0) for number, size in enumerate(sizes)]
    before = [Source(f"before{number}.jpg", "", "image", 1, 0) for number in range(done)]
    pieces = [Piece(source) for source in sources]
    items = [Item((piece,)) for piece in pieces]
    kinds = {"image": len(before) + len(sources)}
    return Plan(
        [*before, *sources], items, {}, kinds, {"image": len(sources)}, done + sum(sizes), sum(sizes), len(items)
    )


def report(weight: int, worker: str = "here:1", done: int = 0, failed: int = 0, **counts: int) -> ItemReport:
    return ItemReport("name", weight, {"done": done, "empty": 0, "failed": failed}, counts, 1.0, worker)


# Counting


def test_what_is_under_way_becomes_what_is_done_and_is_never_counted_twice():
    seen = Progress("toy")
    seen.planned(plan_of(100, 100))
    seen.opened(1.0)
    seen.advanced({"images": 4}, 40)
    assert seen.units == {"images": 4}
    seen.advanced({"images": 6}, 60)
    assert seen.units == {"images": 10}
    seen.finished(report(100, done=10, images=10))
    assert seen.units == {"images": 10}
    assert (seen.done_weight, seen.total_weight) == (100, 200)
    seen.advanced({"images": 5}, 50)
    seen.finished(report(100, done=10, images=10))  # the rest of its progress was not sent
    assert seen.units == {"images": 20}
    assert seen.inputs_ended == 20


def test_an_item_that_was_repeated_is_counted_once_when_all_is_done():
    """Its first attempt got to 8 images before its process died."""
    seen = Progress("toy")
    seen.planned(plan_of(100))
    seen.advanced({"images": 8}, 80)
    seen.advanced({"images": 10}, 100)
    seen.finished(report(100, done=9, failed=1, images=9))
    assert seen.units == {"images": 9}
    assert seen.statuses == {"done": 9, "empty": 0, "failed": 1}


def test_two_items_at_once_do_not_take_each_others_progress():
    seen = Progress("toy")
    seen.planned(plan_of(100, 100))
    seen.advanced({"images": 7}, 70)
    seen.advanced({"frames": 30}, 50)
    seen.finished(report(100, done=10, images=10))
    assert seen.units == {"images": 10, "frames": 30}


def test_every_worker_is_credited_with_its_items():
    seen = Progress("toy")
    seen.planned(plan_of(1, 1, 1))
    for worker in ("here:1", "here:2", "here:1"):
        seen.finished(report(1, worker, done=1))
    assert seen.workers == {"here:1": 2, "here:2": 1}


def test_speed_is_measured_from_the_first_open_worker_to_the_last_finished_item(clock):
    seen = Progress("toy")
    assert seen.work_seconds is None
    clock.now += 10
    seen.opened(10.0)
    assert seen.work_seconds is None
    clock.now += 3
    seen.opened(13.0)  # a second worker
    clock.now += 4
    seen.finished(report(1))
    clock.now += 100
    assert seen.work_seconds == 7


# Words


def test_words_say_what_was_seen_how_fast_and_what_failed(clock):
    seen = Progress("toy")
    seen.planned(plan_of(10_000))
    assert seen.words() == "starting"
    clock.now += 2
    seen.advanced({"images": 1000, "detections": 99}, 10)
    assert seen.words() == "1,000 images · 500.0/s"
    clock.now += 2
    seen.finished(report(10, done=1000, failed=2, images=1000, frames=200))
    assert seen.words() == "1,000 images · 200 frames · 300.0/s · 2 failed"


def test_the_rate_is_of_the_last_moments_not_of_the_whole_run(clock):
    seen = Progress("toy")
    seen.planned(plan_of(10_000))
    seen.words()
    for _ in range(60):
        clock.now += 1
        seen.advanced({"images": 100}, 1)
        seen.words()
    for _ in range(30):
        clock.now += 1
        seen.advanced({"images": 1}, 1)
        words = seen.words()
    assert words == "6,030 images · 1.0/s"


# Lines


@pytest.fixture
def lines(capsys) -> Callable[[], list[str]]:
    """What was said on stderr since the last call; nothing ever goes to stdout."""

    def said() -> list[str]:
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err.splitlines()

    return said


def test_the_start_says_how_much_there_is_and_how_much_is_done_already(lines):
    PlainProgress("toy").planned(plan_of(1, 2, 3))
    assert lines() == ["toy: 3 inputs; starting"]
    PlainProgress("toy").planned(plan_of(1))
    assert lines() == ["toy: 1 input; starting"]
    PlainProgress("toy").planned(plan_of(1, 2, done=2000))
    assert lines() == ["toy: 2,002 inputs, 2,000 of them done already; starting"]
    PlainProgress("toy").planned(plan_of(done=5))
    assert lines() == []


def test_a_line_now_and_then_says_share_and_time_left(clock, lines):
    seen = PlainProgress("toy")
    seen.planned(plan_of(*[100] * 100))
    clock.now += 5
    seen.opened(5.0)
    lines()
    for _ in range(80):  # eight messages a second, a line every ten seconds
        clock.now += 0.125
        seen.advanced({"images": 1}, 25)
    assert lines() == ["toy:  10% · 40 images · ETA 0:45"]  # a tenth took five seconds
    clock.now += 3595
    seen.advanced({}, 0)
    assert lines() == ["toy:  20% · 80 images · ETA 4:00:20"]  # a fifth took an hour and five seconds
    for _ in range(100):
        seen.finished(report(100, done=2, images=2))
    assert lines() == []
    clock.now += 10
    seen.advanced({}, 0)
    assert lines() == ["toy: 100% · 200 images · 12.0/s · ETA 0:00"]


def test_before_anything_is_done_no_time_left_is_guessed(clock, lines):
    seen = PlainProgress("toy")
    seen.planned(plan_of(100))
    lines()
    clock.now += 20
    seen.opened(20.0)
    assert lines() == ["toy:   0% · starting"]


def test_incidents_are_told_at_once_but_not_without_end(lines):
    seen = PlainProgress("toy")
    for number in range(50):
        seen.incident(f"{number}.jpg: its item process was lost")
    told = lines()
    assert told[:2] == ["toy: 0.jpg: its item process was lost", "toy: 1.jpg: its item process was lost"]
    assert len(told) == 21
    assert told[20] == "toy: more of this is not shown; every failure is in the rows and in run.json"
    assert seen.incidents == 50


def test_no_name_in_an_incident_steers_the_terminal(lines):
    PlainProgress("toy").incident("\x1b[2J.jpg: its item process was lost")
    assert lines() == ["toy: \\x1b[2J.jpg: its item process was lost"]


def test_progress_can_be_off(lines):
    with progress_for("off", "toy") as seen:
        seen.planned(plan_of(1))
        seen.opened(1.0)
        seen.incident("something")
        seen.finished(report(1, done=1))
    assert lines() == []
    assert seen.inputs_ended == 1  # counted all the same, for the summary


# The bar


class Terminal:
    """A pseudo-terminal, and what a person would see on it."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        os.set_blocking(self._master, False)
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._lines = [""]
        self._column = 0

    def lines(self) -> list[str]:
        """The lines that are to be seen now."""
        self.stream.flush()
        received = b""
        while True:
            try:
                received += os.read(self._master, 65536)
            except BlockingIOError:
                break
        for character in received.decode():
            if character == "\n":
                self._lines.append("")
            elif character == "\r":
                self._column = 0
            else:
                line = self._lines[-1].ljust(self._column)
                self._lines[-1] = line[: self._column] + character + line[self._column + 1 :]
                self._column += 1
        return [line.rstrip() for line in self._lines]

    def close(self) -> None:
        self.stream.close()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_only_a_terminal_gets_a_bar(terminal):
    with redirect_stderr(terminal.stream):
        assert type(progress_for("auto", "toy")) is BarProgress
        assert type(progress_for("plain", "toy")) is PlainProgress
    with open(os.devnull, "w") as no_terminal, redirect_stderr(no_terminal):
        assert type(progress_for("auto", "toy")) is PlainProgress


def test_a_bar_shows_the_share_of_the_bytes_and_is_gone_at_the_end(terminal):
    with redirect_stderr(terminal.stream), progress_for("auto", "toy") as seen:
        seen.planned(plan_of(1000, 1000))
        seen.opened(1.0)
        time.sleep(0.12)  # tqdm draws ten times a second
        seen.advanced({"images": 5}, 500)
        *above, bar = terminal.lines()
        assert above == ["toy: 2 inputs; starting"]
        assert bar.startswith("toy  25% |")
        assert "5 images" in bar
        assert "ETA " in bar
        assert len(bar) <= 100
        time.sleep(0.12)
        seen.finished(report(1000, done=10, failed=1, images=10))
        assert terminal.lines()[-1].startswith("toy  50% |")
        assert "10 images" in terminal.lines()[-1]
        assert "1 failed" in terminal.lines()[-1]
        seen.incident("7.jpg: trying again")
        assert terminal.lines()[:2] == ["toy: 2 inputs; starting", "toy: 7.jpg: trying again"]
    assert terminal.lines() == ["toy: 2 inputs; starting", "toy: 7.jpg: trying again", ""]


def test_a_bar_never_passes_its_end_whatever_is_repeated(terminal):
    shares = []
    with redirect_stderr(terminal.stream), progress_for("auto", "toy") as seen:
        seen.planned(plan_of(1000))
        seen.opened(1.0)
        for _ in range(3):
            time.sleep(0.12)
            seen.advanced({"images": 1}, 600)
            shares.append(terminal.lines()[-1].partition(" |")[0])
    assert shares == ["toy  60%", "toy 100%", "toy 100%"]


def test_a_run_that_breaks_off_leaves_the_terminal_clean(terminal):
    def interrupted() -> None:
        with redirect_stderr(terminal.stream), progress_for("auto", "toy") as seen:
            seen.planned(plan_of(1000))
            seen.opened(1.0)
            assert terminal.lines()[-1].startswith("toy   0% |")
            assert "| starting · ETA ?" in terminal.lines()[-1]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.lines() == ["toy: 1 input; starting", ""]


def test_with_nothing_to_do_there_is_no_bar(terminal):
    with redirect_stderr(terminal.stream), progress_for("auto", "toy") as seen:
        seen.planned(plan_of(done=3))
    assert terminal.lines() == [""]
