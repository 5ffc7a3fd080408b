"""A detections dataset as a stream of frames: what was found in each image, record or frame of a video.

    for frame in read_frames("found"):
        if frame.detections is not None:
            print(frame.name, frame.detections.scores, frame.labels)

Frames come ordered by where they were found: by the path of the file, then by record or frame. That order does not
depend on how the rows lie in the dataset's files. Held in memory are a few row groups (see `od_core.frame_order`).
"""

import collections
import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.detections import Detections
from od_core.errors import UsageError
from od_core.frame_order import Segment, in_order
from od_core.schemas import DETECTIONS, FrameError, detections_of

ROWS_AT_ONCE = 1024

_MANIFEST = "manifest.json"
_SCALARS = ("key", "source", "kind", "frame_index", "record_index", "timestamp_us", "width", "height", "error")
_GROUPS_HELD = 4


class DetectedFrame(NamedTuple):
    """One row of a detections dataset; columns as in docs/detections-format.md.

    Attributes:
        detections: None for a failed row, `error` says why; with masks and keypoints only where they were asked for.
        labels: the name of every detection's class, or "class 7" where the label map lacks the id.
    """

    key: str
    source: str
    kind: str
    frame_index: int | None
    record_index: int | None
    timestamp_us: int | None
    width: int | None
    height: int | None
    error: FrameError | None
    detections: Detections | None
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """See `frame_name`."""
        return frame_name(self.key, self.kind, self.frame_index)


def frame_name(key: str, kind: str, frame_index: int | None) -> str:
    """The key of an image; of a video's frame, the name that its picture has: "clip.mp4/000000012.jpg"."""
    return key if kind != "video" or frame_index is None else f"{key}/{frame_index:09d}.jpg"


def read_frames(path: str, *, with_shapes: bool = False) -> Iterator[DetectedFrame]:
    """Every row of a detections dataset, see the module.

    Args:
        path: the folder that boxbeam infer wrote, or one Parquet file of that format.
        with_shapes: with masks and keypoints, which can be far larger than the rest.

    Raises:
        UsageError: no finished detections dataset there.
    """
    for table in read_tables(dataset_files(path), with_shapes=with_shapes):
        yield from frames_of(table)


def dataset_files(path: str) -> list[str]:
    """The data files of a detections dataset, in the order of its manifest; of a single file, that file.

    Raises:
        UsageError: there is none, or one that is not finished.
    """
    if storage.stat(path) is not None:
        return [path]
    manifest = storage.join(path, _MANIFEST)
    if storage.stat(manifest) is None:
        raise UsageError(f"{path}: no {_MANIFEST}, so this is not a finished detections dataset of boxbeam infer")
    try:
        return [storage.join(path, str(file["name"])) for file in json.loads(storage.read_bytes(manifest))["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{manifest}: not a manifest that boxbeam wrote ({error})") from error


def read_tables(files: Sequence[str], *, with_shapes: bool = False) -> Iterator[pa.Table]:
    """The rows of data files in the order of the module, in tables of about `ROWS_AT_ONCE` rows.

    Args:
        files: their paths.
        with_shapes: with masks and keypoints.

    Raises:
        UsageError: a file that cannot be read, or that is not of detections.
    """
    for path in files:
        with _opened(path) as opened:
            _check(path, opened.schema_arrow)
    groups = _RowGroups(files, with_shapes)
    pending: list[pa.Table] = []
    for segment in in_order(files, _opened):
        for table in groups.rows(segment):
            if pending and not table.schema.equals(
                pending[0].schema
            ):  # files of different programs, or of an older one
                yield pa.concat_tables(pending)
                pending = []
            pending.append(table)
            if sum(map(len, pending)) >= ROWS_AT_ONCE:
                yield pa.concat_tables(pending)
                pending = []
    if pending:
        yield pa.concat_tables(pending)


def frames_of(table: pa.Table) -> Iterator[DetectedFrame]:
    """The rows of a table with at least the columns of the detections format (in any order)."""
    columns = [table.column(name).to_pylist() for name in _SCALARS]
    found = detections_of(table, with_shapes=True)
    lists = table.column("detections").combine_chunks()
    structs = lists.flatten()
    labels = structs.field("label")
    if labels.null_count:
        unnamed = pc.binary_join_element_wise("class", structs.field("class_id").cast(pa.string()), " ")
        labels = pc.coalesce(labels, unnamed)
    names = labels.to_pylist()
    first = 0
    for *scalars, error, detections in zip(*columns, found, strict=True):
        stop = first + len(detections or ())
        yield DetectedFrame._make((*scalars, error and _error(error), detections, tuple(names[first:stop])))
        first = stop


def _error(fields: Mapping[str, Any]) -> FrameError:
    return FrameError(**{name: fields.get(name) for name in FrameError._fields})  # type: ignore[arg-type]


class _RowGroups:
    """Reads rows by their position; holds the last few row groups, so that files may be read in turns."""

    def __init__(self, files: Sequence[str], with_shapes: bool):
        self._files = files
        self._with_shapes = with_shapes
        self._starts: dict[int, npt.NDArray[np.int64]] = {}
        self._held: collections.OrderedDict[tuple[int, int], pa.Table] = collections.OrderedDict()

    def rows(self, segment: Segment) -> Iterator[pa.Table]:
        starts = self._group_starts(segment.file)
        row = segment.start
        while row < segment.stop:
            group = int(np.searchsorted(starts, row, side="right")) - 1
            stop = min(segment.stop, int(starts[group + 1]), row + ROWS_AT_ONCE)
            yield self._group(segment.file, group).slice(row - int(starts[group]), stop - row)
            if stop == starts[group + 1]:  # most likely it is done with: rows come nearly in order
                self._held.pop((segment.file, group), None)
            row = stop

    def _group_starts(self, file: int) -> npt.NDArray[np.int64]:
        if file not in self._starts:
            with _opened(self._files[file]) as opened:
                counts = [opened.metadata.row_group(n).num_rows for n in range(opened.metadata.num_row_groups)]
            self._starts[file] = np.cumsum([0, *counts])
        return self._starts[file]

    def _group(self, file: int, group: int) -> pa.Table:
        table = self._held.pop((file, group), None)
        if table is None:
            with _opened(self._files[file]) as opened:
                table = opened.read_row_group(group, columns=_columns(opened, self._with_shapes))
        self._held[file, group] = table
        if len(self._held) > _GROUPS_HELD:
            self._held.popitem(last=False)
        return table


_SHAPES = frozenset({"mask", "keypoints"})


class ShapesThere(NamedTuple):
    """How many masks there are, and whether there are keypoints."""

    masks: int
    keypoints: bool


def shapes_in(files: Sequence[str]) -> ShapesThere:
    """What data files have of both, as their footers tell; where one does not tell, all that it might have."""
    masks, keypoints = 0, False
    for path in files:
        with _opened(path) as opened:
            for column in range(len(opened.schema)):
                parts = opened.schema.column(column).path.split(".")
                if parts[0] != "detections" or not _SHAPES & set(parts):
                    continue
                for group in range(opened.metadata.num_row_groups):
                    told = opened.metadata.row_group(group).column(column)
                    values = told.num_values if told.statistics is None else told.statistics.num_values
                    if "mask" in parts:
                        masks += values
                    else:
                        keypoints = keypoints or told.statistics is None or told.statistics.has_min_max
    return ShapesThere(masks, keypoints)


def _columns(file: pq.ParquetFile, with_shapes: bool) -> list[str]:
    """What is read: all that the format has, or less masks and keypoints."""
    paths = [file.schema.column(index).path for index in range(len(file.schema))]
    is_known = set(DETECTIONS.names)
    return [
        path for path in paths if path.split(".")[0] in is_known and (with_shapes or not _SHAPES & set(path.split(".")))
    ]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with storage.open_input(path) as file, pq.ParquetFile(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({error}); boxbeam inspect says more") from error


def _check(path: str, schema: pa.Schema) -> None:
    missing = [name for name in DETECTIONS.names if name not in schema.names]
    if missing:
        raise UsageError(
            f"{path}: not detections: no column {', '.join(missing)}; docs/detections-format.md says what there must be"
        )


def only(
    frames: Iterable[DetectedFrame], *, min_score: float = 0.0, labels: frozenset[str] | None = None
) -> Iterator[DetectedFrame]:
    """The same frames with the detections of at least `min_score` and, if `labels` are given, of these classes."""
    for frame in frames:
        if frame.detections is None:
            yield frame
            continue
        found = frame.detections.best(min_score=min_score)
        names = frame.labels[: len(found)]
        if labels is not None and not labels.issuperset(names):
            kept = np.array([name in labels for name in names], np.bool_)
            found = found.where(kept)
            names = tuple(name for name in names if name in labels)
        yield frame._replace(detections=found, labels=names)
