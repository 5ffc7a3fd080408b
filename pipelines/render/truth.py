"""Ground truth on its way into pictures: read once by the launcher, looked up by workers frame by frame.

The launcher keeps where things are, about a hundred bytes a frame; the annotated objects go through a temporary file
into the output's work folder, in the order in which the set gives them. Beside it lies an index by the keys that the
detections use.
"""

import array
import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.errors import UsageError
from od_core.ground_truth import GroundTruth, IntArray
from od_core.joining import match_keys
from od_core.label_map import LabelMap
from od_core.schemas import GROUND_TRUTH, FrameRow, ground_truth_table, ground_truths_of
from pipelines.dataset import Dataset
from pipelines.parts import RowFile
from pipelines.render.rows import INDEX_GROUP_ROWS, look_up

_OBJECTS = "ground_truth.parquet"
_PLACES = "ground_truth_places.parquet"
_OBJECT_SCHEMA = pa.schema([GROUND_TRUTH.field("objects")])
_PLACE_SCHEMA = pa.schema([("key", pa.string()), ("frame_index", pa.int64()), ("row", pa.int64())])
_GROUP_ROWS = 1 << 11
_BLOCK_ROWS = 256
_BLOCKS_HELD = 8
_DIGEST_BYTES = 8
_KNOWN_CLASSES = b"known_classes"

Indices = npt.NDArray[np.int64]


class TruthOfDetections:
    """The ground truth that belongs to some detections, in the launcher.

    Its classes are told by name: those that the detections have too get the detections' ids, and thereby their colours;
    others get the id -1 and keep their names.
    """

    def __init__(self, truth: GroundTruthSet, labels: Mapping[int, str], found: Collection[str]):
        """Read the ground truth and join it.

        Args:
            truth: all of it.
            labels: class id -> name of the detections.
            found: the keys of the detections' rows.

        Raises:
            UsageError: no image of the detections is in it.
        """
        self._file = tempfile.TemporaryFile(prefix="boxbeam-")  # noqa: SIM115  # it lives as long as this object
        weakref.finalize(self, self._file.close)
        self._digests = bytearray()
        codes: dict[str, int] = {}
        source_ids: dict[str, str | None] = {}
        row_codes, frames = array.array("q"), array.array("q")
        classes = _Classes(labels, truth.label_map)
        with pq.ParquetWriter(self._file, _OBJECT_SCHEMA, compression="zstd") as writer:
            for rows in _in_groups(_usable_rows(truth, classes)):
                for row in rows:
                    source_ids[row.key] = source_ids.get(row.key) or row.source_id
                    row_codes.append(codes.setdefault(row.key, len(codes)))
                    frames.append(row.frame_index or 0)
                    self._digests += _digest(row.objects or GroundTruth.empty())
                writer.write_table(ground_truth_table(rows, {}).select(["objects"]))
        self._frames = np.array(frames, np.int64)
        numbers = np.array(row_codes, np.int64)
        self._order: Indices = np.lexsort((self._frames, numbers))
        self._stops: Indices = np.cumsum(np.bincount(numbers, minlength=len(codes)))
        matches = match_keys(found, source_ids)
        if not matches.truth_of:
            raise _nothing_matches(sorted(found), sorted(codes), len(matches.ambiguous))
        self._codes = {key: codes[meant] for key, meant in matches.truth_of.items()}
        self.known_classes = frozenset(classes.known)
        """Ids of those classes of the detections that the ground truth has too."""

    def digest(self, keys: Iterable[str]) -> str:
        """What is annotated under these keys of detections, as a few digits."""
        digest = hashlib.sha256()
        for key in keys:
            rows = self._rows(self._codes[key]) if key in self._codes else np.zeros(0, np.int64)
            places = (rows * _DIGEST_BYTES).tolist()
            parts = (self._digests[place : place + _DIGEST_BYTES] for place in places)
            digest.update(b"".join([b"%d:" % len(rows), self._frames[rows].tobytes(), *parts]))
        return digest.hexdigest()

    def _rows(self, code: int) -> Indices:
        """The rows of a key, by frame."""
        return self._order[self._stops[code - 1] if code else 0 : self._stops[code]]

    def write(self, output: str) -> None:
        """Leave it for workers."""
        work = Dataset(output).work
        with storage.commit(storage.join(work, _OBJECTS)) as temporary, open(temporary, "wb") as file:
            self._file.seek(0)
            shutil.copyfileobj(self._file, file, 1 << 20)
        schema = _PLACE_SCHEMA.with_metadata({_KNOWN_CLASSES: json.dumps(sorted(self.known_classes)).encode()})
        with storage.commit(storage.join(work, _PLACES)) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for table in self._places():
                    writer.write_table(table, row_group_size=INDEX_GROUP_ROWS)

    def _places(self) -> Iterator[pa.Table]:
        keys: list[str] = []
        rows: list[int] = []
        for key, code in sorted(self._codes.items()):
            some = self._rows(code).tolist()
            keys += [key] * len(some)
            rows += some
            if len(rows) >= INDEX_GROUP_ROWS:
                yield pa.table([pa.array(keys), self._frames[rows], pa.array(rows)], _PLACE_SCHEMA)
                keys, rows = [], []
        if rows:
            yield pa.table([pa.array(keys), self._frames[rows], pa.array(rows)], _PLACE_SCHEMA)


class _Classes:
    """Which class of the detections an annotated one is, by name."""

    def __init__(self, labels: Mapping[int, str], annotated: LabelMap | None):
        self._labels = labels
        self._ids = {label: class_id for class_id, label in sorted(labels.items(), reverse=True)}
        self._is_mapped = annotated is not None
        self.known: set[int] = set()
        """The detections' ids of the annotated classes: those of its label map, else those met so far."""
        for item in annotated.items if annotated else ():
            for name in (item.name, item.label):
                if name in self._ids:
                    self._ids = {item.name: self._ids[name], item.label: self._ids[name]} | self._ids
                    self.known.add(self._ids[name])
                    break
            else:
                if not labels:
                    self.known.add(item.id)

    def ids(self, truth: GroundTruth) -> IntArray:
        """The detections' ids of the classes of these objects; -1 for a name that they lack."""
        ids = truth.classes
        if truth.labels is not None and self._labels:
            pairs = zip(truth.classes.tolist(), truth.labels, strict=True)
            ids = np.array([self._id(class_id, name) for class_id, name in pairs], np.int32)
        if not self._is_mapped:
            self.known.update(ids[ids >= 0].tolist())
        return ids

    def _id(self, class_id: int, name: str | None) -> int:
        if name:
            return self._ids.get(name, -1)
        return -1 if self._is_mapped else class_id  # of an id that its own label map lacks nothing is known


def _usable_rows(truth: GroundTruthSet, classes: _Classes) -> Iterator[FrameRow]:
    for table in truth.tables():
        names = [table.column(name).to_pylist() for name in ("key", "frame_index", "source_id")]
        for key, frame_index, source_id, objects in zip(*names, ground_truths_of(table), strict=True):
            if objects is not None:
                objects = _named(objects, truth.label_map)
                objects = GroundTruth.of(
                    objects.boxes,
                    classes.ids(objects),
                    is_crowd=objects.is_crowd,
                    difficult=objects.difficult,
                    group_of=objects.group_of,
                    labels=objects.labels,
                    area=objects.area,
                )
                yield FrameRow(key, "", "image", frame_index, objects=objects, source_id=source_id)


def _named(objects: GroundTruth, label_map: LabelMap | None) -> GroundTruth:
    """With the names of the ground truth's own label map for ids without: they are not the detections' ids."""
    labels = objects.labels or (None,) * len(objects)
    if label_map is None or None not in labels:
        return objects
    shown = label_map.labels
    named = zip(labels, objects.classes.tolist(), strict=True)
    return dataclasses.replace(objects, labels=tuple(label or shown.get(class_id) for label, class_id in named))


def _in_groups(rows: Iterable[FrameRow]) -> Iterator[list[FrameRow]]:
    some: list[FrameRow] = []
    for row in rows:
        some.append(row)
        if len(some) == _GROUP_ROWS:
            yield some
            some = []
    if some:
        yield some


def _digest(truth: GroundTruth) -> bytes:
    arrays = (truth.boxes, truth.classes, truth.is_crowd, truth.difficult, truth.group_of)
    content = b"".join(array.tobytes() for array in arrays) + repr(truth.labels).encode()
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _nothing_matches(found: Sequence[str], there: Sequence[str], ambiguous: int) -> UsageError:
    if not there:
        return UsageError("--ground_truth: it holds no image whose annotation can be used")
    why = "names must be equal, or end alike by whole folders"
    if ambiguous:
        why = f"{ambiguous:,} names could each mean several images"
    return UsageError(
        f"--ground_truth: no image of the detections is in it: the detections speak of {found[0]!r}, the ground truth"
        f" of {there[0]!r}; {why}"
    )


class _Places(NamedTuple):
    """Frames of one key, in order, and the place of the first of them among all that are looked up."""

    frames: Indices
    first: int


def _neighbours(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    return column.slice(1), column.slice(0, max(0, len(column) - 1))


class TruthRows:
    """The same in a worker: the annotated objects of some keys, by frame."""

    def __init__(self, output: str):
        work = Dataset(output).work
        self._index = storage.join(work, _PLACES)
        self._objects = storage.join(work, _OBJECTS)
        self._file: RowFile | None = None
        self._places: dict[str, _Places] = {}
        self._rows: Indices = np.zeros(0, np.int64)
        self._blocks: collections.OrderedDict[int, dict[int, GroundTruth | None]] = collections.OrderedDict()

    @functools.cached_property
    def known_classes(self) -> frozenset[int]:
        """As of `TruthOfDetections`."""
        with storage.open_input(self._index) as file:
            return frozenset(json.loads(pq.read_schema(file).metadata[_KNOWN_CLASSES]))

    def load(self, keys: Sequence[str]) -> None:
        """Look up these keys of detections; those before are forgotten."""
        table = look_up(self._index, keys).combine_chunks()
        frames, self._rows = (table.column(name).to_numpy() for name in ("frame_index", "row"))
        self._blocks.clear()
        starts = [0, *(np.flatnonzero(pc.not_equal(*_neighbours(table.column("key")))) + 1).tolist(), table.num_rows]
        self._places = {
            table.column("key")[start].as_py(): _Places(frames[start:stop], start)
            for start, stop in itertools.pairwise(starts)
            if start < stop
        }

    def at(self, key: str, frame_index: int) -> GroundTruth | None:
        """What is annotated in a frame, with the detections' class ids; None where nobody has annotated."""
        places = self._places.get(key)
        if places is None:
            return None
        found = int(np.searchsorted(places.frames, frame_index))
        if found == len(places.frames) or places.frames[found] != frame_index:
            return None
        place = places.first + found
        return self._block(place // _BLOCK_ROWS)[int(self._rows[place])]

    def _block(self, number: int) -> dict[int, GroundTruth | None]:
        """Some hundred rows that are likely to be asked for together, by their numbers; a few blocks are held."""
        block = self._blocks.pop(number, None)
        if block is None:
            if self._file is None:
                self._file = RowFile(self._objects)
            rows = np.unique(self._rows[number * _BLOCK_ROWS : (number + 1) * _BLOCK_ROWS])
            truths = (truth for table in self._file.take(rows) for truth in ground_truths_of(table))
            block = dict(zip(rows.tolist(), truths, strict=True))
        self._blocks[number] = block
        if len(self._blocks) > _BLOCKS_HELD:
            self._blocks.popitem(last=False)
        return block

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
