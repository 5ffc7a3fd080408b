"""The end of a run: parts become data files, the manifest is switched, what it no longer names is removed.

A run can be killed anywhere in here. Until the manifest is switched readers see the former dataset, whole; afterwards
they see the new one; what lies about in between is removed by the next run.
"""

import collections
import hashlib
import json
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from od_core import storage
from od_core.errors import StorageError
from pipelines.dataset import MANIFEST, DataFile, Dataset, Manifest, Part, fingerprint, metadata
from pipelines.items import OUTCOMES, Ask, Identity, Outcome, Piece, add_counts
from pipelines.job import Job
from pipelines.joints import counts_for, misfits
from pipelines.parts import RowFile, RowWriter, read_footer
from pipelines.plan import Spans, read_inventory, uncovered

# A data file of this many bytes in memory is about 100 to 250 MB on disk.
TARGET_FILE_BYTES = 512 << 20
_OPEN_FILES = 16


class _Slice(NamedTuple):
    """The rows of one piece, and the row file they lie in."""

    key: str
    start: int
    path: str
    first_row: int
    outcome: Outcome
    bytes: int


class _Choice(NamedTuple):
    """Data files that stay as they are, rows to be written anew, all outcomes, and how many inputs are dropped.

    `unfit`: inputs whose pieces do not fit together, and why; of those only what was done whole is taken.
    """

    kept: list[DataFile]
    slices: list[_Slice]
    outcomes: list[Outcome]
    removed: int
    unfit: Mapping[Identity, str]


class Finished(NamedTuple):
    """What a finalized output holds.

    Attributes:
        manifest: the manifest, as written.
        failed: every outcome that failed.
        changed: whether this run changed the dataset.
        removed_inputs: inputs whose rows were dropped: they no longer exist, or are another size or time now.
    """

    manifest: Manifest
    failed: list[Outcome]
    changed: bool
    removed_inputs: int


class Unfit(NamedTuple):
    """Inputs whose pieces do not fit together: they are to be done whole first. Name and reason of each."""

    reasons: list[tuple[str, str]]


def finalize(job: Job, ask: Ask) -> Finished | Unfit:
    """Turn an output whose items are all done into a dataset; where some are to be done again, nothing is changed.

    Raises:
        StorageError: an input has no outcome yet (a worker was lost): the run is to be repeated.
    """
    dataset = Dataset(ask.output)
    wanted = read_inventory(dataset)
    manifest = dataset.manifest()
    parts = list(dataset.parts_of(job))
    former = manifest if manifest is not None and not ask.overwrite else None
    kept, slices, outcomes, removed, unfit = _choose(dataset, parts, former, wanted, parts_first=job.whole_items)
    gaps = _gaps(wanted, outcomes)
    if any(gap in unfit for gap in gaps):
        return Unfit([(gap[0], unfit[gap]) for gap in gaps if gap in unfit])
    _refuse_gaps(gaps, wanted, ask.output)
    provenance = dict(manifest.provenance if manifest is not None and kept else job.provenance)
    for part in parts:
        provenance.update(part.provenance)
    files = [*kept, *_write_data_files(dataset, job, provenance, slices, first=_next_ordinal(kept))]
    counts = {"inputs": len(wanted), **_count(outcomes)}
    former_details = manifest.details if manifest is not None else {}
    details = job.publish(dataset.path, former_details, [file.name for file in files])
    finished = Manifest(job.name, job.schema_version, job.options, provenance, counts, tuple(files), details)
    changed = manifest != finished
    place = storage.join(dataset.path, MANIFEST)
    if changed or storage.stat(place) is None:  # a job may have to remove it before it publishes
        storage.write_text(place, finished.to_text())
    _remove_unnamed(dataset, job, finished)
    failed = sorted((o for o in outcomes if o.status == "failed"), key=lambda outcome: outcome.piece)
    return Finished(finished, failed, changed, removed)


def _choose(
    dataset: Dataset, parts: Sequence[Part], manifest: Manifest | None, wanted: Iterable[Identity], *, parts_first: bool
) -> _Choice:
    """Decide what the new dataset is made of.

    A span of an input is taken once. Finished rows come first, then parts, and finished rows that say "failed" last:
    a part for the same span exists only because the failure was to be tried again. Where items are whole, a part does
    its pieces anew, whatever was there of them.
    """
    accepted: dict[Identity, Spans] = {identity: [] for identity in wanted}
    finished: dict[DataFile, list[Outcome]] = {}
    if manifest is not None:
        for file in manifest.files:
            footer = read_footer(dataset.data_path(file))
            finished[file] = footer[1] if footer else []
    taken: set[int] = set()
    usable = [o for outcomes in finished.values() for o in outcomes if o.status != "failed"]
    failed = [o for outcomes in finished.values() for o in outcomes if o.status == "failed"]
    new = [o for part in parts for o in part.outcomes]
    order = [*new, *usable, *failed] if parts_first else [*usable, *new, *failed]
    unfit = misfits(order)
    for outcome in order:
        start, stop = outcome.piece.span
        spans = accepted.get(outcome.piece.source.identity)
        if spans is None or not counts_for(outcome, unfit):
            continue
        if all(stop <= low or start >= high for low, high in spans):
            spans.append((start, stop))
            taken.add(id(outcome))
    kept = [file for file, outcomes in finished.items() if outcomes and all(id(o) in taken for o in outcomes)]
    rewritten = {dataset.data_path(file): outcomes for file, outcomes in finished.items() if file not in kept}
    files = [*rewritten.items(), *((part.path, part.outcomes) for part in parts)]
    slices = sorted(one for path, outcomes in files for one in _slices(path, outcomes, taken))
    every = [o for file in kept for o in finished[file]] + [one.outcome for one in slices]
    gone = {o.piece.source.identity for outcomes in finished.values() for o in outcomes} - accepted.keys()
    return _Choice(kept, slices, every, len(gone), unfit)


def _slices(path: str, outcomes: Sequence[Outcome], taken: set[int]) -> Iterator[_Slice]:
    if not any(id(outcome) in taken for outcome in outcomes):
        return
    with RowFile(path) as file:
        bytes_per_row = file.bytes / max(1, file.num_rows)
    first_row = 0
    for outcome in outcomes:
        if id(outcome) in taken:
            size = int(outcome.rows * bytes_per_row)
            yield _Slice(outcome.piece.source.key, outcome.piece.start, path, first_row, outcome, size)
        first_row += outcome.rows


def _gaps(wanted: Sequence[Identity], outcomes: Iterable[Outcome]) -> list[Identity]:
    """The inputs of which not all is done."""
    complete: set[Identity] = set()
    spans: dict[Piece, Spans] = collections.defaultdict(list)
    for outcome in outcomes:
        source, start, stop, total = outcome.piece
        if outcome.piece.is_whole:
            complete.add(source.identity)
        else:
            spans[Piece(source, 0, total, total)].append((start, stop))
    complete.update(whole.source.identity for whole, taken in spans.items() if not any(uncovered(whole, taken)))
    return [identity for identity in wanted if identity not in complete]


def _refuse_gaps(gaps: Sequence[Identity], wanted: Sequence[Identity], output: str) -> None:
    if gaps:
        more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        raise StorageError(
            f"{output}: {gaps[0][0]}{more} of {len(wanted)} inputs have no result: a worker was lost. Nothing is"
            " published; repeat the command, it continues where this run stopped"
        )


def _write_data_files(
    dataset: Dataset, job: Job, provenance: Mapping[str, object], slices: Sequence[_Slice], first: int
) -> Iterator[DataFile]:
    for ordinal, rows in enumerate(_by_size(slices), first):
        digest = hashlib.sha256(fingerprint(job).encode())
        for one in rows:
            digest.update(json.dumps(one.outcome.to_json()).encode())
        name = f"{job.table}-{ordinal:05d}-{digest.hexdigest()[:12]}.parquet"
        yield _write_data_file(storage.join(dataset.path, name), job, provenance, rows)


def _by_size(slices: Iterable[_Slice]) -> Iterator[list[_Slice]]:
    rows: list[_Slice] = []
    size = 0
    for one in slices:
        if rows and size + one.bytes > TARGET_FILE_BYTES:
            yield rows
            rows, size = [], 0
        rows.append(one)
        size += one.bytes
    if rows:
        yield rows


def _write_data_file(path: str, job: Job, provenance: Mapping[str, object], rows: Sequence[_Slice]) -> DataFile:
    files: collections.OrderedDict[str, RowFile] = collections.OrderedDict()
    with storage.commit(path) as temporary:
        writer = RowWriter(temporary, job.schema, metadata(job, provenance))
        try:
            for neighbours in _neighbours(rows):
                first, last = neighbours[0], neighbours[-1]
                file = files.pop(first.path, None) or RowFile(first.path)
                files[first.path] = file
                if len(files) > _OPEN_FILES:
                    files.popitem(last=False)[1].close()
                for table in file.rows(first.first_row, last.first_row + last.outcome.rows):
                    writer.write(table.cast(job.schema))
                for one in neighbours:
                    writer.finish(one.outcome)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        finally:
            for file in files.values():
                file.close()
        return DataFile(
            path.rsplit("/", 1)[-1],
            rows=sum(one.outcome.rows for one in rows),
            bytes=temporary.stat().st_size,
            sha256=_sha256(temporary),
            inputs=len(rows),
        )


def _neighbours(rows: Iterable[_Slice]) -> Iterator[list[_Slice]]:
    """Slices that follow each other in one file, taken together: they are read in one go."""
    together: list[_Slice] = []
    for one in rows:
        if together:
            last = together[-1]
            if one.path != last.path or one.first_row != last.first_row + last.outcome.rows:
                yield together
                together = []
        together.append(one)
    if together:
        yield together


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How inputs ended (one cut into pieces is failed if a piece is, else done if one is), and the job's counts."""
    worst: dict[str, str] = {}
    order = ("empty", "done", "failed")
    counts: dict[str, int] = {}
    for outcome in outcomes:
        key = outcome.piece.source.key
        worst[key] = max(worst.get(key, "empty"), outcome.status, key=order.index)
        add_counts(counts, outcome.counts)
    statuses = collections.Counter(worst.values())
    return {**{status: statuses[status] for status in OUTCOMES}, **dict(sorted(counts.items()))}


def _next_ordinal(files: Iterable[DataFile]) -> int:
    return max((int(file.name.split("-")[1]) + 1 for file in files), default=0)


def _remove_unnamed(dataset: Dataset, job: Job, manifest: Manifest) -> None:
    """Remove parts, and data files of ours that the manifest does not name; other people's files stay."""
    named = {file.name for file in manifest.files}
    ours = re.compile(rf"{re.escape(job.table)}-\d{{5}}-[0-9a-f]{{12}}\.parquet")
    names = [name for name in storage.names_in(dataset.path) if ours.fullmatch(name) and name not in named]
    storage.remove([storage.join(dataset.path, name) for name in names])
    storage.remove_leftovers(dataset.path)
    storage.remove_folder(dataset.work)
