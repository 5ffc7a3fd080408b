"""What an evaluation looks into beside its numbers, and what workers leave of it for the launcher."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from od_core import storage
from od_core.evaluation_page.page import CHARTS, evaluation_page, plots
from od_core.evaluation_page.png import png_of
from od_core.insight.insight import BoxInsight, Insight
from pipelines.evaluate.slices import SliceBy

CURVES_FILE = "curves.parquet"
PAGE_FILE = "evaluation.html"
PLOTS_FOLDER = "plots"
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


def leave_beside(output: str, insight: Insight | None, document: Mapping[str, Any]) -> None:
    """Write curves, plots and the page into the output folder; without insight, remove those of an earlier evaluation.

    Args:
        output: the folder.
        insight: what came of the evaluation.
        document: the content of metrics.json.
    """
    places = {name: storage.join(output, name) for name in (CURVES_FILE, PAGE_FILE)}
    if insight is None:
        plot_files = [storage.join(output, PLOTS_FOLDER, f"{name}.{end}") for name in CHARTS for end in ("svg", "png")]
        storage.remove([*places.values(), *plot_files])
        if not storage.is_remote(output):
            with contextlib.suppress(OSError):
                os.rmdir(storage.local_path(storage.join(output, PLOTS_FOLDER)))
        return
    with storage.commit(places[CURVES_FILE]) as temporary:
        pq.write_table(insight.curves, temporary, compression="zstd")
    for name, svg in plots(document["insight"], insight.curves).items():
        storage.write_text(storage.join(output, PLOTS_FOLDER, name), svg)
        with storage.commit(storage.join(output, PLOTS_FOLDER, f"{name.removesuffix('.svg')}.png")) as temporary:
            temporary.write_bytes(png_of(svg))
    storage.write_text(places[PAGE_FILE], evaluation_page(document, insight.curves))
