"""What an evaluation looks into beside its numbers, and what workers leave of it for the launcher."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import pyarrow.parquet as pq

from od_core import storage
from od_core.insight.insight import BoxInsight, Insight
from pipelines.evaluate_slices import SliceBy

CURVES_FILE = "curves.parquet"
_REPORT_FILE = "insight.json"


@dataclasses.dataclass(frozen=True)
class InsightTask:
    """What to look into, and where to leave it.

    Attributes:
        folder: shared by launcher and workers.
        categories: class id -> name.
        iou: least overlap of a detection that counts as right.
        slicing: parts of the data to tell apart.
    """

    folder: str
    categories: Mapping[int, str]
    iou: float
    slicing: Sequence[SliceBy] = ()

    def empty(self) -> BoxInsight:
        """An accumulator without frames."""
        return BoxInsight(self.categories, self.iou, [way.word for way in self.slicing])

    def read(self) -> Insight:
        """What the graph has left."""
        document = json.loads(storage.read_bytes(storage.join(self.folder, _REPORT_FILE)))
        with storage.open_input(storage.join(self.folder, CURVES_FILE)) as file:
            return Insight(document["numbers"], document["report"], pq.read_table(file))

    def write(self, insight: Insight) -> None:
        """Leave it."""
        document = {"numbers": insight.numbers, "report": insight.report}
        storage.write_text(storage.join(self.folder, _REPORT_FILE), json.dumps(document))  # NaN: the file is our own
        with storage.commit(storage.join(self.folder, CURVES_FILE)) as temporary:
            pq.write_table(insight.curves, temporary, compression="zstd")


def leave_beside(output: str, insight: Insight | None) -> None:
    """Write the curves into the output folder; without insight, remove those of an earlier evaluation."""
    place = storage.join(output, CURVES_FILE)
    if insight is None:
        storage.remove([place])
        return
    with storage.commit(place) as temporary:
        pq.write_table(insight.curves, temporary, compression="zstd")
