"""Verdicts of an evaluation as one Parquet file: workers write a part for each row group, the launcher joins them."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.metrics.verdict_rows import VERDICTS, JudgedFrame, verdict_table
from od_core.metrics.verdicts import verdicts_of
from pipelines.evaluate.detections import DetectionsSet, RowGroup
from pipelines.evaluate.frames import RowFrame

VERDICTS_FILE = "verdicts.parquet"

_GROUP_ROWS = 1 << 16


@dataclasses.dataclass(frozen=True)
class VerdictParts:
    """Where workers leave verdicts, and how they come to them.

    Attributes:
        folder: for the parts, shared by launcher and workers.
        categories: class id -> name.
        iou: see `verdicts_of`.
    """

    folder: str
    categories: Mapping[int, str]
    iou: float

    @contextlib.contextmanager
    def writer(self, group: RowGroup) -> Iterator[Callable[[Sequence[RowFrame]], None]]:
        """To be called with all frames of a row group, some at a time; the part appears whole or not at all."""
        with storage.commit(self._path(group)) as temporary:
            with pq.ParquetWriter(temporary, VERDICTS, compression="zstd") as writer:

                def write(rows: Sequence[RowFrame]) -> None:
                    judged = [JudgedFrame(frame, origin, verdicts_of(frame, self.iou)) for frame, origin in rows]
                    writer.write_table(verdict_table(judged, self.categories))

                yield write

    def join(self, detections: DetectionsSet, path: str) -> None:
        """Write all parts as one file, in the order of the detections' rows; some rows at a time."""
        with storage.commit(path) as temporary:
            with pq.ParquetWriter(temporary, VERDICTS, compression="zstd") as writer:
                for table in self._tables(detections):
                    writer.write_table(table, row_group_size=_GROUP_ROWS)

    def _tables(self, detections: DetectionsSet) -> Iterator[pa.Table]:
        """Tables of the size of a row group, but for the last."""
        some: list[pa.Table] = []
        rows = 0
        for group in detections.row_groups():
            with storage.open_input(self._path(group)) as file, pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(_GROUP_ROWS):
                    some.append(pa.Table.from_batches([batch], VERDICTS))
                    rows += batch.num_rows
                    if rows >= _GROUP_ROWS:
                        whole = pa.concat_tables(some)
                        yield whole.slice(0, _GROUP_ROWS)
                        some = [whole.slice(_GROUP_ROWS)]
                        rows -= _GROUP_ROWS
        if rows:
            yield pa.concat_tables(some)

    def _path(self, group: RowGroup) -> str:
        name = hashlib.sha256(f"{group.number} {group.path}".encode()).hexdigest()[:32]
        return storage.join(self.folder, f"{name}.parquet")
