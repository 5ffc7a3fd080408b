"""Rows of a detections dataset, found by input and read a few hundred at a time.

The launcher leaves an index in the output's work folder (`write_spans`): which rows of which data files are an input's.
Workers look up the inputs of their item in it (`DetectionRows`), so that neither holds what grows with the data.
"""

import collections
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.detections import Detections
from od_core.errors import InputError, StorageError
from od_core.schemas import FrameError, detections_of
from pipelines.dataset import Dataset
from pipelines.items import Source
from pipelines.parts import PROVENANCE, RowFile

_SPANS = "render_spans.parquet"
_SPAN_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        *((name, pa.int64()) for name in ("first_row", "rows", "start", "stop", "total", "size")),
    ]
)
INDEX_GROUP_ROWS = 1 << 13
"""Rows in a row group of an index: workers look up some hundred keys at a time."""

_OPEN_FILES = 4
_ROWS_PER_BLOCK = 256
_COLUMNS = ("key", "frame_index", "record_index", "width", "height", "error")
NEEDED_COLUMNS = (*_COLUMNS, "source", "detections")
"""Columns of a detections dataset without which nothing can be rendered."""


class RowSpan(NamedTuple):
    """Rows of one piece of an input: where they lie, which piece it was (see Piece), and the input's bytes then."""

    path: str
    first_row: int
    rows: int
    start: int
    stop: int
    total: int
    size: int

    def change_of(self, source: Source) -> InputError | None:
        """Why an original of another size than it had cannot be drawn on; one that is empty is refused for that."""
        if source.size in (0, self.size):
            return None
        return InputError(
            f"the original has {source.size:,} bytes, and had {self.size:,} when the detections were made: it was"
            " changed since; infer again, or give the folder of the right ones with --source_root"
        )


class DetectionRow(NamedTuple):
    """What is drawn of a row of the detections; `detections` is None where `error` says why. Else as in the format."""

    key: str
    frame_index: int | None
    record_index: int | None
    width: int | None
    height: int | None
    error: FrameError | None
    detections: Detections | None

    def refuse_other_size(self, image: npt.NDArray[np.uint8]) -> None:
        """Refuse an image (H, W, 3) of another size than the one that was looked at.

        Raises:
            InputError: says both.
        """
        height, width = image.shape[:2]
        if self.width is not None and (width, height) != (self.width, self.height):
            raise InputError(
                f"the original has {width} x {height} pixels, the detections were made from"
                f" {self.width} x {self.height}: it is another picture; infer again, or give the folder of the right"
                " ones with --source_root"
            )


def write_spans(output: str, spans: Iterable[tuple[str, RowSpan]]) -> None:
    """Leave for workers which rows are an input's: (key, span), in order of key and then as they are to be read."""
    with storage.commit(storage.join(Dataset(output).work, _SPANS)) as temporary:
        with pq.ParquetWriter(temporary, _SPAN_SCHEMA, compression="zstd") as writer:
            rows = ((key, *span) for key, span in spans)
            while some := list(itertools.islice(rows, INDEX_GROUP_ROWS)):
                columns = [pa.array(column) for column in zip(*some, strict=True)]
                writer.write_table(pa.table(columns, _SPAN_SCHEMA))


def look_up(path: str, keys: Sequence[str]) -> pa.Table:
    """The rows of an index, a Parquet file sorted by its column `key`, that are of one of these keys."""
    with storage.open_input(path) as file:
        return pq.read_table(file, filters=[("key", "in", sorted(set(keys)))])


class DetectionRows:
    """Reads the rows of inputs; holds a few data files open."""

    def __init__(self, output: str):
        self._index = storage.join(Dataset(output).work, _SPANS)
        self._files: collections.OrderedDict[str, RowFile] = collections.OrderedDict()

    def spans_of(self, keys: Sequence[str]) -> Mapping[str, list[RowSpan]]:
        """The rows of these inputs, by key, in the order of their frames or records."""
        found: dict[str, list[RowSpan]] = {key: [] for key in keys}
        for fields in look_up(self._index, keys).to_pylist():
            found[fields.pop("key")].append(RowSpan(**fields))
        return found

    def labels(self, span: RowSpan) -> Mapping[int, str]:
        """The names of the classes, as the detections have them."""
        provenance = json.loads(self._opened(span.path).metadata.get(PROVENANCE, b"{}"))
        return {int(class_id): label for class_id, label in provenance.get("labels", {}).items()}

    def blocks(self, spans: Iterable[RowSpan], first_frame: int = 0) -> Iterator[list[DetectionRow]]:
        """All rows of these spans, in order, some hundred at a time.

        Args:
            spans: where they are.
            first_frame: leave out what comes before the block with the last row before this frame of a video.
        """
        held: pa.Table | None = None  # what may be left out, if the next block begins before that frame too
        for block in self._tables(spans):
            numbers = block.column("frame_index").drop_null() if first_frame else None
            begins_before = numbers is not None and len(numbers) > 0 and numbers[0].as_py() < first_frame
            if held is not None and not begins_before:
                yield _rows_of(held)
                held = None
            if begins_before:
                held = block
            else:
                yield _rows_of(block)
        if held is not None:
            yield _rows_of(held)

    def _tables(self, spans: Iterable[RowSpan]) -> Iterator[pa.Table]:
        for span in spans:
            for table in self._opened(span.path).rows(span.first_row, span.first_row + span.rows):
                for start in range(0, table.num_rows, _ROWS_PER_BLOCK):
                    yield table.slice(start, _ROWS_PER_BLOCK)

    def close(self) -> None:
        """Let go of all files."""
        while self._files:
            self._files.popitem()[1].close()

    def _opened(self, path: str) -> RowFile:
        file = self._files.pop(path, None)
        if file is None:
            try:
                file = RowFile(path)
            except (OSError, pa.ArrowException) as error:
                raise StorageError(
                    f"{path}: this file of the detections is gone or damaged; if they were made anew meanwhile, repeat"
                    " the command"
                ) from error
        self._files[path] = file
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return file


def _rows_of(table: pa.Table) -> list[DetectionRow]:
    columns = [table.column(name).to_pylist() for name in _COLUMNS]
    return [
        DetectionRow(key, frame_index, record_index, width, height, None if error is None else _error(error), found)
        for key, frame_index, record_index, width, height, error, found in zip(
            *columns, detections_of(table, with_shapes=True), strict=True
        )
    ]


def _error(fields: Mapping[str, object]) -> FrameError:
    return FrameError(**{name: fields.get(name) for name in FrameError._fields})  # type: ignore[arg-type]
