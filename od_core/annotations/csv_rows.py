"""Tables as text: comma, semicolon or tab between the columns, read line by line.

UTF-8 with or without a byte order mark, quoted as spreadsheets quote. What is in single lines can be anything: a line
that cannot be read is told by its number, and the next one is read.
"""

import collections
import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

from od_core import storage
from od_core.annotations.annotated import is_text
from od_core.errors import UsageError

DELIMITERS = (",", ";", "\t")

# No line of boxes is longer; a file without line ends would be read into memory as one line.
_MAX_LINE = 1 << 20
_NOT_CLOSED = "a quotation mark opens a field, and none closes it; remove it"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class CsvRow(NamedTuple):
    """One row.

    line: where it begins, counted from 1; fields: without spaces around them; fault: why they cannot be used, else "".
    """

    line: int
    fields: Sequence[str]
    fault: str = ""


class CsvRows:
    """The rows of one file, blank lines left out.

    Attributes:
        delimiter: that of the first line that is not blank: the one it has most of.
    """

    def __init__(self, text: TextIO, origin: str):
        """`origin`: the file's name, for messages."""
        self._origin = origin
        self._text = text
        start = [self._readline()]
        while start[-1].isspace():
            start.append(self._readline())
        self.delimiter = max(DELIMITERS, key=start[-1].count)
        self._ahead = collections.deque(start)  # lines that were read and are still to be given
        self._given: list[str] = []  # those of the row that is being read

    def __iter__(self) -> Iterator[CsvRow]:
        reader = csv.reader(self._lines(), delimiter=self.delimiter)
        line = 1
        while True:
            self._given = []
            try:
                fields = [field.strip() for field in next(reader)]
                is_row = len(self._given) == 1 or self._is_closed(self._given)
            except StopIteration:
                return
            except csv.Error as error:
                if len(self._given) == 1:
                    raise UsageError(f"{self._origin}: line {line}: cannot be read as a table ({error})") from error
                is_row = False
            if is_row:
                if any(fields):
                    yield CsvRow(line, fields, _fault(fields))
                line += len(self._given)
            else:
                # Of what the quotation mark has swallowed only its own line is lost.
                first, *others = self._given
                self._ahead.extendleft(reversed(others))
                reader = csv.reader(self._lines(), delimiter=self.delimiter)  # the other one may be at its end
                yield CsvRow(line, [field.strip() for field in first.split(self.delimiter)], _NOT_CLOSED)
                line += 1

    def _is_closed(self, lines: Sequence[str]) -> bool:
        """Whether a row of several lines ends every quotation that it begins, behind it nothing but a delimiter."""
        try:
            collections.deque(csv.reader(lines, delimiter=self.delimiter, strict=True), 0)
        except csv.Error:
            return False
        return True

    def _lines(self) -> Iterator[str]:
        while line := self._ahead.popleft() if self._ahead else self._readline():
            self._given.append(line)
            yield line

    def _readline(self) -> str:
        line = self._text.readline(_MAX_LINE)
        if len(line) == _MAX_LINE:
            raise UsageError(f"{self._origin}: it has a line of more than a million characters: not a table of boxes")
        return line


def _fault(fields: Sequence[str]) -> str:
    text = "".join(fields)
    if not text.isascii() and not is_text(text):
        return "the line is not UTF-8 text; save the file as UTF-8"
    return "the line has a NUL character" if "\0" in text else ""


@contextlib.contextmanager
def open_table(path: str) -> Iterator[CsvRows]:
    """The rows of a file, as long as the context lasts.

    Raises:
        UsageError: it cannot be read, or is no text; also while rows are read.
    """
    origin = storage.printable(path)
    try:
        with storage.open_input(path) as file:
            if file.read(2) in _UTF16:
                raise UsageError(
                    f"{origin}: the text is UTF-16, as spreadsheets save it as Unicode; save it as CSV UTF-8"
                )
            file.seek(0)
            with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
                yield CsvRows(text, origin)
    except OSError as error:
        raise UsageError(f"{origin}: cannot be read ({error.strerror or error})") from error


def first_row(path: str) -> Sequence[str]:
    """The fields of the first row that is not blank, of a file that may be anything; empty if there is none."""
    try:
        with open_table(path) as rows:
            return next((row.fields for row in rows), ())
    except UsageError:
        return ()
