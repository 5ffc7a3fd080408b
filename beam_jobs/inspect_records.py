"""What boxbeam inspect says about record datasets and TFRecord files."""

import fnmatch
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from beam_jobs.summary import byte_size, counted
from beam_jobs.terminal import visible

if TYPE_CHECKING:
    from od_core.checks.problems import Problems
    from od_core.checks.record_dataset import RecordDatasetReport
    from od_core.checks.record_files import RecordFilesReport
    from od_core.checks.record_statistics import RecordStatistics

_MOST_CLASSES = 40
_MOST_FEATURES = 60
_MOST_SPLITS = 6


def inspect_dataset(path: str, shown: str, *, decode: bool) -> int:
    """Check the record dataset in a folder and print what it holds; returns the exit status."""
    from od_core.checks.record_dataset import SHARDS, check_record_dataset

    size = sum(os.path.getsize(os.path.join(path, name)) for name in fnmatch.filter(os.listdir(path), SHARDS))
    with _Bar(size) as bar:
        report = check_record_dataset(path, decode=decode, advance=bar.advance)
    print(f"{shown}: record dataset, {_verdict(report.problems)}")
    _print(_dataset_lines(report), _content_lines(report.statistics), _problem_lines(report.problems))
    return 0 if report.problems.is_valid else 1


def inspect_files(paths: Sequence[str], shown: str, *, label_map: str | None, decode: bool) -> int:
    """Check TFRecord files together and print what they hold; returns the exit status."""
    from od_core.checks.record_files import check_record_files
    from od_core.label_map import read_label_map
    from od_core.storage import printable

    labels = read_label_map(label_map) if label_map else None
    with _Bar(sum(os.path.getsize(path) for path in paths if os.path.isfile(path))) as bar:
        report = check_record_files(paths, label_map=labels, decode=decode, advance=bar.advance)
    print(f"{shown}: {report.contents}, {_verdict(report.problems)}")
    if label_map and labels:
        print(f"  label map: {counted(len(labels.labels), 'classes')} ({printable(label_map)})")
    statistics = report.statistics
    _print(_file_lines(report), _content_lines(statistics), _feature_lines(statistics), _problem_lines(report.problems))
    return 0 if report.problems.is_valid else 1


def _dataset_lines(report: "RecordDatasetReport") -> Iterator[str]:
    records, index = report.statistics.records, report.index
    shards = ", ".join(
        f"{split or 'no split'}: {counted(records[split], 'records')} in {counted(count, 'shards')}"
        for split, count in sorted(report.shards.items())
    )
    made_of = f", made from {report.format} annotations" if report.format else ""
    total = counted(sum(report.shards.values()), "shards")
    yield f"  {counted(records.total(), 'records')} in {total} ({byte_size(report.bytes)}){made_of}"
    if len(report.shards) > 1:
        yield f"  {shards}"
    failed = f", {index.failed:,} of them failed ({'; '.join(index.first_failures)})" if index.failed else ""
    yield f"  index: {counted(index.rows, 'images')}{failed}"
    if index.remarks:
        ordered = sorted(index.remarks.items(), key=lambda pair: (-pair[1], pair[0]))
        remarks = [f"{kind.replace('_', ' ')} ({count:,})" for kind, count in ordered]
        yield f"  remarks: {', '.join(remarks)}"


def _file_lines(report: "RecordFilesReport") -> Iterator[str]:
    packed = {0: "", report.files: ", GZIP"}.get(report.compressed, f", {report.compressed:,} of them GZIP")
    yield f"  {counted(report.read, 'records')} in {counted(report.files, 'files')} ({byte_size(report.bytes)}{packed})"


def _content_lines(statistics: "RecordStatistics") -> Iterator[str]:
    from od_core.checks.record_statistics import LARGE_FROM, SMALL_BELOW, Spread

    widths, heights = Spread.of(statistics.widths), Spread.of(statistics.heights)
    if widths and heights:
        formats = ", ".join(f"{count:,} {format}" for format, count in statistics.formats.most_common())
        yield f"  images: {formats}; width {_spread(widths)}, height {_spread(heights)} px"
    boxes = Spread.of(statistics.boxes_per_image)
    if boxes and statistics.annotated:
        empty = statistics.boxes_per_image[0]
        without = f"; {counted(empty, 'images')} without any" if empty else ""
        yield f"  objects: {statistics.boxes:,}; per image {_spread(boxes)}{without}"
    if statistics.box_sizes.total():
        small, large = round(SMALL_BELOW**0.5), round(LARGE_FROM**0.5)
        sizes = ", ".join(f"{statistics.box_sizes[name]:,} {name}" for name in ("small", "medium", "large"))
        yield f"  sizes: {sizes} (COCO's, by area: below {small}², from {large}² px)"
    yield from _class_lines(statistics.objects, sorted(statistics.records))


def _class_lines(objects: Mapping[str, Mapping[str, int]], splits: Sequence[str]) -> Iterator[str]:
    """A table of objects by class and split; one column where there are no splits, or very many."""
    if not objects:
        return
    columns = [(split,) for split in splits] if 1 < len(splits) <= _MOST_SPLITS else [tuple(splits)]
    counts = {label: [sum(by.get(s, 0) for s in column) for column in columns] for label, by in objects.items()}
    ordered = sorted(counts, key=lambda label: (-sum(counts[label]), label))
    heads = [column[0] if len(columns) > 1 else "objects" for column in columns]
    yield f"    {counted(len(ordered), 'classes'):<24}" + "".join(f"{head or '(no split)':>12}" for head in heads)
    for label in ordered[:_MOST_CLASSES]:
        yield f"    {label:<24}" + "".join(f"{count:>12,}" for count in counts[label])
    if len(ordered) > _MOST_CLASSES:
        yield f"    and {len(ordered) - _MOST_CLASSES:,} more"


def _feature_lines(statistics: "RecordStatistics") -> Iterator[str]:
    if not statistics.features:
        return
    yield "  features:"
    total = statistics.records.total()
    for key, use in sorted(statistics.features.items())[:_MOST_FEATURES]:
        kind = " or ".join(sorted(kind or "no list" for kind in use.kinds))
        values = f"{use.least:,}" if use.least == use.most else f"{use.least:,} to {use.most:,}"
        where = "all records" if use.records == total else f"{use.records:,} of {counted(total, 'records')}"
        yield f"    {key:<32} {kind:<8} in {where}, {values} value{'s' * (values != '1')} each"
    if len(statistics.features) > _MOST_FEATURES:
        yield f"    and {len(statistics.features) - _MOST_FEATURES:,} more"


def _problem_lines(problems: "Problems") -> Iterator[str]:
    for problem in problems:
        yield f"  {'note' if problem.fault.is_note else 'problem'}: {problem}"


def _print(*parts: Iterable[str]) -> None:
    """Print lines."""
    for line in itertools.chain(*parts):
        print(visible(line))


def _verdict(problems: "Problems") -> str:
    return "valid" if problems.is_valid else "NOT valid"


def _spread(spread: tuple[int, int, int]) -> str:
    least, median, largest = spread
    return f"{least:,}" if least == largest else f"{least:,} to {largest:,} (median {median:,})"


class _Bar:
    """A bar of bytes read, on a terminal only."""

    def __init__(self, total: int):
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc="inspect", unit="B", unit_scale=True, leave=False, disable=None)

    def advance(self, count: int) -> None:
        """More bytes were read."""
        self._bar.update(count)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
