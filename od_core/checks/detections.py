"""Is this a valid detections dataset? Every promise of docs/detections-format.md that can be checked from the files."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.checks.manifest import check_data_files
from od_core.detection_totals import class_counts
from od_core.image_masks import run_lengths
from od_core.schemas import DETECTIONS, DETECTIONS_VERSION, KINDS, STATUSES, detections_of

_MOST_PROBLEMS = 20


@dataclasses.dataclass
class DetectionsReport:
    """What a dataset holds, and what is wrong with it.

    Attributes:
        files, rows, detections: how many.
        keys: how many different inputs the rows are of.
        rows_by: column (kind, status) -> value -> rows.
        labels: label, or "class N" where there is none -> detections.
        score_range: the least and the largest score; None without detections.
        problems: sentences, each with its file; empty for a valid dataset.
    """

    files: int = 0
    rows: int = 0
    detections: int = 0
    keys: int = 0
    rows_by: dict[str, collections.Counter[str]] = dataclasses.field(
        default_factory=lambda: {"kind": collections.Counter(), "status": collections.Counter()}
    )
    labels: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    score_range: tuple[float, float] | None = None
    problems: list[str] = dataclasses.field(default_factory=list)

    def add_problem(self, problem: str) -> None:
        """Note a problem; only the first ones are kept."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)


def check_detections(path: str | os.PathLike[str]) -> DetectionsReport:
    """Read a detections dataset (its folder, or one of its files) and check it, a row group at a time.

    Raises:
        FileNotFoundError: there is no such path.
    """
    place = pathlib.Path(path)
    report = DetectionsReport()
    if place.is_dir():
        files = check_data_files(place, "*.parquet", report.add_problem).files
    else:
        place.stat()
        files = [place]
    keys: set[str] = set()
    for file in files:
        try:
            _check_file(file, report, keys)
        except (pa.ArrowException, OSError) as error:
            report.add_problem(f"{file.name}: not a readable Parquet file ({error})")
    report.files, report.keys = len(files), len(keys)
    return report


def _check_file(file: pathlib.Path, report: DetectionsReport, keys: set[str]) -> None:
    with storage.open_input(str(file)) as opened, pq.ParquetFile(opened) as parquet:
        metadata = parquet.metadata.metadata or {}
        version = metadata.get(b"boxbeam.schema", b"").decode(errors="replace")
        if version != DETECTIONS_VERSION:
            report.add_problem(f"{file.name}: schema is {version or 'not named'}, expected {DETECTIONS_VERSION}")
        if not _is_json(metadata.get(b"boxbeam.provenance", b"")):
            report.add_problem(f"{file.name}: says not where its rows come from (boxbeam.provenance, a JSON text)")
        schema = parquet.schema_arrow
        wrong = [
            f"{field.name} ({'missing' if schema.get_field_index(field.name) < 0 else schema.field(field.name).type})"
            for field in DETECTIONS
            if schema.get_field_index(field.name) < 0 or schema.field(field.name).type != field.type
        ]
        if wrong:
            report.add_problem(f"{file.name}: columns that are not those of {DETECTIONS_VERSION}: {', '.join(wrong)}")
            return
        first = report.rows
        for group in range(parquet.metadata.num_row_groups):
            table = parquet.read_row_group(group)
            _check_rows(file.name, table, report.rows - first, report)
            keys.update(pc.unique(table.column("key")).to_pylist())


def _check_rows(name: str, table: pa.Table, before: int, report: DetectionsReport) -> None:
    """Check a row group; `before` rows of the file came before it."""
    report.rows += table.num_rows
    for column, counter in report.rows_by.items():
        for value in pc.value_counts(table.column(column)).to_pylist():
            counter[value["values"] or "(null)"] += value["counts"]
    for rule, broken in _rules(table):
        if (first := pc.index(broken, True).as_py()) >= 0:
            report.add_problem(f"{name}: row {before + first}: {rule}")
    labels = class_counts(table)
    report.labels += labels
    report.detections += labels.total()
    for row, reason in _misfit_masks(table):
        rule = "a mask must be COCO's compressed code of a height x width mask"
        report.add_problem(f"{name}: row {before + row}: {rule}: {reason}")
    try:
        found = detections_of(table)
    except ValueError as error:
        report.add_problem(f"{name}: rows {before} to {before + table.num_rows - 1}: {error}")
        return
    scores = [one.scores for one in found if one is not None and len(one)]
    if scores:
        low, high = min(float(s[-1]) for s in scores), max(float(s[0]) for s in scores)
        old = report.score_range or (low, high)
        report.score_range = min(low, old[0]), max(high, old[1])
    for index, one in enumerate(found):
        if one is not None and (one.boxes[:, :2] > one.boxes[:, 2:]).any():
            worst = int(np.argmax((one.boxes[:, :2] > one.boxes[:, 2:]).any(axis=1)))
            report.add_problem(f"{name}: row {before + index}: detection {worst} has its minimum above its maximum")
            break


def _rules(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """What must not be, in words, and which rows are so; a null there counts as no."""
    column = {field.name: table.column(field.name) for field in DETECTIONS}
    missing = {name: values.is_null() for name, values in column.items()}
    for field in DETECTIONS:
        if not field.nullable:
            yield f"{field.name} must not be null", missing[field.name]
    for name, known in (("kind", KINDS), ("status", STATUSES)):
        unknown = pc.and_not(column[name].is_valid(), pc.is_in(column[name], pa.array(known)))
        yield f"{name} must be {' or '.join(known)}", unknown
    failed, done = (pc.equal(column["status"], status) for status in ("failed", "done"))
    yield "a failed row must have an error", pc.and_(failed, missing["error"])
    yield "a done row must have no error (null)", pc.and_not(done, missing["error"])
    yield "a failed row must have no detections (null)", pc.and_not(failed, missing["detections"])
    yield "a done row must have a list of detections, empty if nothing was found", pc.and_(done, missing["detections"])
    for name in ("frame_index", "width", "height"):
        yield f"a done row must have a {name}", pc.and_(done, missing[name])
    for name, lowest in (("frame_index", 0), ("record_index", 0), ("width", 1), ("height", 1)):
        yield f"{name} must be at least {lowest}", pc.less(column[name], lowest)
    for name, kind in (("record_index", "record"), ("timestamp_us", "video")):
        yield f"{name} is for a {kind} only", pc.and_not(pc.not_equal(column["kind"], kind), missing[name])
    is_record = pc.equal(column["kind"], "record")
    yield "a done record must have a record_index", pc.and_(pc.and_(done, is_record), missing["record_index"])
    other = pc.and_(pc.not_equal(column["kind"], "video"), pc.not_equal(column["frame_index"], 0))
    yield "frame_index must be 0 where it is not a video", other


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _misfit_masks(table: pa.Table) -> Iterator[tuple[int, str]]:
    """The first detection whose mask is no code of a mask as large as its row's image: the row, and why."""
    lists = table.column("detections").combine_chunks()
    structs = lists.flatten()
    masks = structs.field("mask")
    places = np.flatnonzero(masks.is_valid().to_numpy(zero_copy_only=False))
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)[places] if len(places) else places
    heights, widths = (table.column(name).to_pylist() for name in ("height", "width"))
    for row, code in zip(rows.tolist(), masks.drop_null(), strict=True):
        try:
            pixels = int(run_lengths(code.as_py()).sum())
        except ValueError as error:
            yield row, str(error)
            return
        if heights[row] is not None and widths[row] is not None and pixels != heights[row] * widths[row]:
            yield row, f"it has {pixels:,} pixels"
            return
