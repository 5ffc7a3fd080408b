"""Tables as text: comma, semicolon or tab between the columns, read line by line.

UTF-8 with or without a byte order mark, quoted as spreadsheets quote. What is in single lines can be anything: a line
that cannot be read is told by its number, and the next one is read.
"""

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
        self._start = [self._readline()]
        while self._start[-1].isspace():
            self._start.append(self._readline())
        self.delimiter = max(DELIMITERS, key=self._start[-1].count)

    def __iter__(self) -> Iterator[CsvRow]:
        reader = csv.reader(self._lines(), delimiter=self.delimiter)
        while True:
            line = reader.line_num + 1
            try:
                fields = [field.strip() for field in next(reader)]
            except StopIteration:
                return
            except csv.Error as error:  # a quotation mark that is never closed
                raise UsageError(f"{self._origin}: line {line}: cannot be read as a table ({error})") from error
            if any(fields):
                yield CsvRow(line, fields, _fault(fields))

    def _lines(self) -> Iterator[str]:
        yield from self._start
        while line := self._readline():
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
