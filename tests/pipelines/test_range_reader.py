"""Objects read by ranges: what a broken connection leaves out is fetched again, or an error; never the file's end."""

import errno
import io
import itertools
import random
from collections.abc import Iterable

import pytest

from pipelines.remote.range_reader import Fetched, RangeReader

CONTENT = random.Random(0).randbytes(900_000)


def reader(breaks: Iterable[int | None]) -> io.BufferedReader:
    """Reads CONTENT; of every answer only so many bytes come, all for None."""
    left = iter(breaks)

    def fetch(start: int, count: int) -> Fetched:
        return Fetched(CONTENT[start : start + count][: next(left)], start, len(CONTENT))

    return io.BufferedReader(RangeReader(fetch, "store://b/a"), 64 << 10)


def test_all_is_read_by_ranges() -> None:
    with reader(itertools.repeat(None)) as file:
        assert file.read(1000) == CONTENT[:1000]
        assert file.read() == CONTENT[1000:]
        assert file.seek(-10, io.SEEK_END) == len(CONTENT) - 10
        assert file.read(100) == CONTENT[-10:]
        assert file.read(100) == b""


@pytest.mark.parametrize("came", [0, 1, 70_000])
@pytest.mark.parametrize("portion", [-1, 1000, 400_000])
def test_what_a_broken_connection_leaves_out_is_fetched_again(came: int, portion: int) -> None:
    with reader(itertools.cycle([None, came])) as file:
        assert b"".join(iter(lambda: file.read(portion), b"")) == CONTENT


@pytest.mark.parametrize("came", [0, 1, 70_000])
@pytest.mark.parametrize("portion", [-1, 1000, 400_000])
def test_a_connection_that_always_breaks_is_an_error_and_not_the_end(came: int, portion: int) -> None:
    with reader(itertools.chain([None], itertools.repeat(came))) as file:
        with pytest.raises(OSError, match=r"of its 900,000 bytes only those up to [\d,]+ came") as raised:
            list(iter(lambda: file.read(portion), b""))
        assert (raised.value.errno, raised.value.filename) == (errno.EIO, "store://b/a")
