"""The inputs of a rendering: what detections speak of, where the originals lie, and what is annotated in them."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import no_such_path
from od_core.annotations.joined_truth import open_all_ground_truth
from od_core.errors import OutputError, UsageError
from od_core.records.tfrecord import is_gzip
from od_core.schemas import DETECTIONS_VERSION
from od_core.source_root import SourceRoot, look_for
from od_core.storage import FileInfo
from pipelines.content import content_versions
from pipelines.dataset import MANIFEST, Dataset, Manifest
from pipelines.items import Ask, Outcome, Source
from pipelines.parts import OPTIONS, read_footer
from pipelines.render.choices import RenderChoices
from pipelines.render.classes import refuse_unknown
from pipelines.render.names import file_of
from pipelines.render.rows import NEEDED_COLUMNS, RowSpan, write_spans
from pipelines.render.sample import Sample
from pipelines.render.targets import (
    refuse_equal_names,
    refuse_foreign_files,
    refuse_full_output,
    refuse_output_in_detections,
)
from pipelines.render.truth import TruthOfDetections
from pipelines.sources import Found

_ROWS_AT_ONCE = 1 << 16
_REMOTE_LOOKS = 32


class _Detections(NamedTuple):
    """A finished detections dataset."""

    dataset: Dataset
    manifest: Manifest

    @property
    def labels(self) -> Mapping[int, str]:
        """Class id -> name."""
        return {int(class_id): label for class_id, label in self.manifest.provenance.get("labels", {}).items()}


@dataclasses.dataclass(slots=True)
class _Input:
    """One input of the detections.

    Attributes:
        key, kind: as in the detections.
        spans: its rows, and what tells them from other rows of the same place: in order of their pieces.
        place: where it lay when the detections were made; None if it has no rows.
        frame_keys: the keys of its rows.
    """

    key: str
    kind: str
    spans: list[tuple[RowSpan, str]]
    place: str | None = None
    frame_keys: list[str] = dataclasses.field(default_factory=list)


def check_inputs(ask: Ask, job: RenderChoices) -> None:
    """Refuse what can be seen at once.

    Raises:
        UsageError: not a finished detections dataset; an output in it; a folder or file that is not there; a class that
            the detections do not have.
    """
    detections = _open_detections(ask.inputs[0])
    refuse_output_in_detections(ask)
    for option, name in job.named_classes:
        refuse_unknown(option, name, detections.labels)
    job.source_root.check()
    for path in job.ground_truth:
        if storage.stat(path) is None and not storage.is_folder(path):
            raise no_such_path(path)


def find_inputs(ask: Ask, job: RenderChoices) -> Found:
    """Every input of the detections that is in the sample, sorted by key; see Job.find.

    A source's version tells of its original, its rows and its annotations: if one of them changes, it is rendered anew.

    Raises:
        UsageError: as `check_inputs`; no original is there; ground truth of other images; pictures that would replace
            files of somebody else, or each other.
    """
    check_inputs(ask, job)
    detections = _open_detections(ask.inputs[0])
    inputs = _read_inputs(detections, with_keys=bool(job.ground_truth or job.sample))
    names = [file_of(one.key, one.kind) for one in inputs]
    refuse_equal_names(names, [one.key for one in inputs])
    keys = {key for one in inputs for key in one.frame_keys}
    sample = None
    if job.sample is not None:
        sample = Sample.of((key for one in inputs for key in one.frame_keys), job.sample, job.seed)
        inputs = _sampled(inputs, sample)
    places = _find_originals(inputs, job.source_root)
    if job.crops:
        refuse_full_output(ask.output)
    else:
        names = [file_of(one.key, one.kind) for one in inputs]
        refuse_foreign_files(ask.output, dict(zip(names, (info.path for info in places), strict=True)))
    truth = None
    if job.ground_truth:
        truth = TruthOfDetections(open_all_ground_truth(job.ground_truth), detections.labels, keys)
    is_judged = job.needs_verdicts
    versions: Iterable[int] = (info.mtime_ms for info in places)
    if job.identity == "content":
        versions = content_versions(info.path for info in places)
    sources = [
        _source(one, info, version, truth, sample, is_judged)
        for one, info, version in zip(inputs, places, versions, strict=True)
    ]

    def prepare(output: str) -> None:
        write_spans(output, ((one.key, span) for one in inputs for span, _ in one.spans))
        if truth is not None:
            truth.write(output)
        if sample is not None:
            sample.write(output)

    return Found(sources, {}, prepare)


def _sampled(inputs: Iterable[_Input], sample: Sample) -> list[_Input]:
    """The inputs of which something is in the sample; of records, the keys of those that are."""
    for one in inputs:
        one.frame_keys = [key for key in one.frame_keys if sample.takes(key)]
    return [one for one in inputs if one.frame_keys]


def is_compressed(source: Source) -> bool:
    """Whether a record file is compressed as a whole; False where it cannot be read."""
    try:
        with storage.open_input(source.uri) as file:
            return is_gzip(file)
    except OSError:
        return False


def _open_detections(path: str) -> _Detections:
    if not storage.is_folder(path):
        if storage.stat(path) is None:
            raise no_such_path(path)
        raise UsageError(f"{path}: a file; --detections is the folder that boxbeam infer wrote as its --output")
    dataset = Dataset(path)
    try:
        manifest = dataset.manifest()
    except OutputError as error:
        raise UsageError(f"{path}: no detections dataset: its {MANIFEST} is not one that boxbeam wrote") from error
    if manifest is None:
        hint = (
            "repeat the boxbeam infer that makes it"
            if dataset.options_at_work()
            else "expected what boxbeam infer made"
        )
        raise UsageError(f"{path}: no {MANIFEST}, so this is not a finished detections dataset; {hint}")
    if manifest.schema != DETECTIONS_VERSION:
        raise UsageError(
            f"{path}: holds the output of boxbeam {manifest.job} ({manifest.schema}), expected detections"
            f" ({DETECTIONS_VERSION}) as boxbeam infer writes them"
        )
    for file in manifest.files:
        info = storage.stat(dataset.data_path(file))
        if info is None or info.size != file.bytes:
            raise _damaged(dataset.data_path(file))
    if not manifest.files:
        raise UsageError(f"{path}: these detections have no rows, so there is nothing to render")
    return _Detections(dataset, manifest)


def _damaged(path: str) -> UsageError:
    return UsageError(f"{path}: a file of the detections is gone or damaged; repeat the boxbeam infer that made it")


def _read_inputs(detections: _Detections, *, with_keys: bool) -> list[_Input]:
    """Every input, sorted by key.

    Args:
        with_keys: tell the keys of its rows too; records have keys of their own.
    """
    inputs: dict[str, _Input] = {}
    for file in detections.manifest.files:
        path = detections.dataset.data_path(file)
        footer = read_footer(path)
        if footer is None:
            raise _damaged(path)
        options = footer[0].get(OPTIONS, b"")
        here: list[tuple[_Input, RowSpan]] = []
        first_row = 0
        for outcome in footer[1]:
            source, start, stop, total = outcome.piece
            one = inputs.setdefault(source.key, _Input(source.key, source.kind, []))
            span = RowSpan(path, first_row, outcome.rows, start, stop, total, source.size)
            one.spans.append((span, _identity(options, outcome)))
            here.append((one, span))
            first_row += outcome.rows
        _read_places(path, here, with_keys=with_keys)
    for one in inputs.values():
        one.spans.sort(key=lambda pair: pair[0].start)
        if with_keys and one.kind != "record":
            one.frame_keys = [one.key]
    return [inputs[key] for key in sorted(inputs)]


def _identity(options: bytes, outcome: Outcome) -> str:
    """What tells an input's rows from others: rows are a function of the input and of the options."""
    content = options + json.dumps(outcome.to_json()).encode()
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _refuse_foreign_file(path: str, parquet: pq.ParquetFile, rows: int) -> None:
    """Refuse a data file without the columns that are needed, or with other rows than its footer says.

    Raises:
        UsageError: names the file, and what differs.
    """
    missing = [name for name in NEEDED_COLUMNS if name not in parquet.schema_arrow.names]
    found = f"it lacks the columns {', '.join(missing)}" if missing else ""
    if not missing and parquet.metadata.num_rows != rows:
        found = f"its footer tells of {rows:,} rows, and it has {parquet.metadata.num_rows:,}"
    if found:
        raise UsageError(
            f"{path}: not as boxbeam infer wrote it: {found}. It is of an older version, or was written anew by another"
            " program; repeat the boxbeam infer with --overwrite"
        )


def _read_places(path: str, spans: Sequence[tuple[_Input, RowSpan]], *, with_keys: bool) -> None:
    """Note where inputs lay, from the first of their rows, and the keys of records, from all of them."""
    columns = ["source", "key"] if with_keys else ["source"]
    with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
        _refuse_foreign_file(path, parquet, sum(span.rows for _, span in spans))
        batches = _numbered(parquet.iter_batches(_ROWS_AT_ONCE, columns=columns))
        low, batch = next(batches, (0, None))
        for one, span in spans:
            row, stop = span.first_row, span.first_row + span.rows
            while row < stop and batch is not None:
                if row >= low + batch.num_rows:
                    low, batch = next(batches, (low, None))
                    continue
                one.place = one.place or batch.column("source")[row - low].as_py()
                if not with_keys or one.kind != "record":
                    break
                one.frame_keys += batch.column("key").slice(row - low, stop - row).to_pylist()
                row = min(stop, low + batch.num_rows)


def _numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches with the number of their first row."""
    first = 0
    for batch in batches:
        yield first, batch
        first += batch.num_rows


def _find_originals(inputs: Sequence[_Input], source_root: SourceRoot) -> list[FileInfo]:
    """Every original; of size and time -1 where it is gone."""
    source_root.refuse_useless([one.place for one in inputs if one.place is not None])
    looked_for = [source_root.place(one.key, one.place) for one in inputs]
    is_remote = any(place is not None and storage.is_remote(place) for place in looked_for)
    with ThreadPoolExecutor(_REMOTE_LOOKS) as threads:
        found = list((threads.map if is_remote else map)(look_for, looked_for))
    wanted = [place for place in looked_for if place is not None]
    if wanted and all(info is None for info in found):
        advice = "If they were moved, give their folder with --source_root"
        if source_root.folder is not None:
            advice = "--source_root must be what was infer's --input, wherever that lies now"
        raise UsageError(
            f"not one of {len(wanted):,} originals is where it is looked for, such as {wanted[0]}. {advice}"
        )
    return [info or FileInfo(place or "", -1, -1) for place, info in zip(looked_for, found, strict=True)]


def _source(
    one: _Input,
    info: FileInfo,
    version: int,
    truth: TruthOfDetections | None,
    sample: Sample | None,
    is_judged: bool,
) -> Source:
    told: list[object] = [version, *(identity for _, identity in one.spans)]
    told.append(truth and truth.digest(one.frame_keys))
    if truth is not None and is_judged:
        told.append(sorted(truth.known_classes))
    if sample is not None:
        told.append(one.frame_keys)
    digest = hashlib.sha256(json.dumps(told).encode()).digest()
    return Source(one.key, info.path, one.kind, max(0, info.size), int.from_bytes(digest[:8]) >> 1)
