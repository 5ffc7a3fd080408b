"""The rows of an item on their way to its part, and what each piece came to."""

import tempfile
from collections.abc import Iterator, Mapping

import pyarrow as pa

from pipelines.items import Outcome, Piece, add_counts
from pipelines.job import Watch
from pipelines.parts import RowWriter
from pipelines.render.rendered import RENDERED, RenderedRow, rendered_table

UNITS = {"image": "images", "video": "frames", "record": "records"}
"""What is counted, by kind of input."""

_ROWS_PER_TABLE = 512


class EndedPieces:
    """Takes the rows of an item, piece by piece."""

    def __init__(self, rows: RowWriter, watch: Watch, *, with_truth: bool):
        self._rows = rows
        self._watch = watch
        self._with_truth = with_truth
        self._waiting: list[RenderedRow] = []
        self._piece_rows = 0
        self._counts: dict[str, int] = {}
        self._error: str | None = None

    def add(self, row: RenderedRow) -> Mapping[str, int]:
        """A file is written, or could not be; returns what is counted."""
        counts: dict[str, int] = {}
        error = row.error
        if error is not None:
            place = f"record {row.record_index}: " if row.record_index is not None else ""
            self._error = self._error or f"{place}{error.message}"
        elif row.detection_index is not None:
            counts = {"crops": 1}
        else:
            counts = {UNITS[row.kind]: row.frames, "boxes": row.detections}
            if self._with_truth and row.objects is None:
                counts["without_ground_truth"] = 1
        self._waiting.append(row)
        self._piece_rows += 1
        if len(self._waiting) >= _ROWS_PER_TABLE:
            self.flush()
        add_counts(self._counts, counts)
        return counts

    def finish(self, piece: Piece) -> None:
        """The piece has no more rows."""
        status = "failed" if self._error else "done" if self._piece_rows else "empty"
        self._rows.finish(Outcome(piece, status, self._piece_rows, self._counts, self._error))
        self._watch.end(piece)
        self._piece_rows, self._counts, self._error = 0, {}, None

    def flush(self) -> None:
        """Hand over the rows so far."""
        self._rows.write(rendered_table(self._waiting))
        self._waiting = []


class RowSpool:
    """Holds rows on the disk until it is known whether they are to be had; their `error` is lost."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._writer = pa.ipc.new_stream(self._file, RENDERED)
        self._waiting: list[RenderedRow] = []

    def add(self, row: RenderedRow) -> None:
        """Hold one more."""
        self._waiting.append(row)
        if len(self._waiting) >= _ROWS_PER_TABLE:
            self._flush()

    def rows(self) -> Iterator[RenderedRow]:
        """All rows, in order; nothing can be added after this."""
        self._flush()
        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as stream:
            for batch in stream:
                yield from (RenderedRow(**{**row, "error": None}) for row in batch.drop_columns(["status"]).to_pylist())

    def _flush(self) -> None:
        self._writer.write_table(rendered_table(self._waiting))
        self._waiting = []

    def __enter__(self) -> "RowSpool":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
