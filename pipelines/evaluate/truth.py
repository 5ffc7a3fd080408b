"""The ground truth of an evaluation: what the launcher holds of it, and the file that it leaves for the workers.

What is held is Arrow and NumPy arrays, no object a box: about 30 MB a million boxes, and 150 bytes an image with keys
of ordinary length. The workers' file has only the frames that are evaluated, under the keys that the detections use.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.errors import UsageError
from od_core.ground_truth import GroundTruth
from od_core.joining import FrameIndex
from pipelines.evaluate.classes import ClassCodes, Classes

EDGES = ("ymin", "xmin", "ymax", "xmax")
_FLAGS = ("is_crowd", "difficult", "group_of")
MASK = "mask"
_ROW_GROUP = 1 << 16


class TruthFrames(NamedTuple):
    """All frames of a ground truth.

    Attributes:
        table: a row a frame: key, source_id, name, frame_index, width, height (0 where not known), usable, and objects
            with the number of their class in `classes` as class_id.
        classes: the classes of the objects.
        columns: names of what else was kept of every frame, for slices; the table has them as text.
    """

    table: pa.Table
    classes: ClassCodes
    columns: Sequence[str] = ()

    def numbers(self, column: str) -> npt.NDArray[np.int64]:
        """A column of numbers."""
        array: npt.NDArray[np.int64] = self.table.column(column).to_numpy()
        return array

    @property
    def source_ids(self) -> dict[str, str | None]:
        """Key -> source id."""
        keys, ids = (self.table.column(name).to_pylist() for name in ("key", "source_id"))
        return dict(zip(keys, ids, strict=True))

    def names_at(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The names of some frames."""
        names: list[str] = self.table.column("name").take(pa.array(places)).to_pylist()
        return names


def read_truth(truth: GroundTruthSet, columns: Sequence[str] = (), *, masks: bool = False) -> TruthFrames:
    """Read a ground truth to its end.

    Args:
        truth: the ground truth, opened with these columns.
        columns: what else to keep of every frame.
        masks: whether to keep the masks of objects.

    Raises:
        UsageError: it has no frames, or one twice.
    """
    classes = ClassCodes()
    tables = [_compact(table, classes, columns, masks) for table in truth.tables()]
    if not tables:
        raise UsageError("the ground truth holds no images")
    frames = TruthFrames(pa.concat_tables(tables).combine_chunks(), classes, columns)
    keys = frames.table.column("key").combine_chunks()
    try:
        twice = FrameIndex(keys, frames.numbers("frame_index")).repeated()
    except ValueError as error:
        raise UsageError(f"the ground truth has {error}") from error
    if len(twice):
        name = frames.names_at(twice[:1])[0]
        raise UsageError(
            f"the ground truth has {len(twice):,} images more than once, such as '{name}': keep one of each"
        )
    return frames


def frame_names(keys: pa.Array, frame_indices: npt.NDArray[np.int64], is_video: npt.NDArray[np.bool_]) -> pa.Array:
    """Names that order as key and frame do: the key of an image, "clip.mp4#000000012" for a frame of a video."""
    numbers = pc.utf8_lpad(pa.array(frame_indices).cast(pa.string()), 9, "0")
    return pc.if_else(pa.array(is_video), pc.binary_join_element_wise(keys, numbers, "#"), keys)


def _compact(table: pa.Table, classes: ClassCodes, more: Sequence[str], masks: bool) -> pa.Table:
    table = table.combine_chunks()
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    frame_indices = columns["frame_index"].fill_null(0)
    is_video = pc.equal(columns["kind"], "video").to_numpy(zero_copy_only=False)
    sizes = {name: columns[name].fill_null(0).cast(pa.int64()) for name in ("width", "height")}
    objects = columns["objects"]
    structs = objects.flatten()
    fields = {name: structs.field(name) for name in (*EDGES, *_FLAGS, "area", *([MASK] if masks else []))}
    lengths = objects.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return pa.table(
        {
            "key": columns["key"],
            "source_id": columns["source_id"],
            "name": frame_names(columns["key"], frame_indices.to_numpy(zero_copy_only=False), is_video),
            "frame_index": frame_indices,
            **sizes,
            "usable": pc.equal(columns["status"], "done"),
            "objects": _lists(lengths, {"class_id": pa.array(classes.codes(structs), pa.int32()), **fields}),
            **{_column(name): _texts(table, name) for name in more},
        }
    )


def _column(name: str) -> str:
    """What a column for slices is called, apart from all others."""
    return f"column {name}"


def _texts(table: pa.Table, name: str) -> pa.Array:
    """A column as text; nulls where one of several ground truths lacks it."""
    if name not in table.column_names:
        return pa.nulls(len(table), pa.string())
    return pa.array([None if x is None else str(x) for x in table.column(name).to_pylist()], pa.string())


def _lists(lengths: npt.NDArray[np.int32], fields: Mapping[str, pa.Array]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    structs = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    return pa.ListArray.from_arrays(pa.array(offsets), structs)


def write_frames(
    frames: TruthFrames,
    places: npt.NDArray[np.int64],
    keys: pa.Array,
    classes: Classes,
    path: str,
    extra: Mapping[str, pa.Array] | None = None,
) -> npt.NDArray[np.int64]:
    """Leave some frames for the workers.

    Args:
        frames: the ground truth.
        places: which of its frames.
        keys: the key that the detections have for each of them.
        classes: those of the evaluation.
        path: the Parquet file.
        extra: further columns, of these frames: verified, see `EvaluatedFrame`.

    Returns:
        The class ids of all objects in these frames, -1 for one that is not evaluated.
    """
    table = frames.table.take(pa.array(places))
    objects = table.column("objects").combine_chunks()
    structs = objects.flatten()
    ids = np.array([classes.id_of(pair) for pair in frames.classes.pairs] or [0], np.int32)
    class_ids = ids[structs.field("class_id").to_numpy(zero_copy_only=False)]
    fields = {field.name: structs.field(field.name) for field in structs.type if field.name != "class_id"}
    lists = _lists(objects.value_lengths().to_numpy(zero_copy_only=False), {"class_id": pa.array(class_ids), **fields})
    kept = ("name", "frame_index", "width", "height", *map(_column, frames.columns))
    columns = {name: table.column(name) for name in kept}
    with storage.commit(path) as temporary:
        pq.write_table(
            pa.table({**columns, "key": keys, "objects": lists, **(extra or {})}),
            temporary,
            row_group_size=_ROW_GROUP,
            compression="zstd",
        )
    evaluated: npt.NDArray[np.int64] = class_ids.astype(np.int64)
    return evaluated


class WorkerTruth:
    """The frames left by `write_frames`, in a worker: 27 MB a million boxes, and some 150 bytes a frame."""

    def __init__(self, path: str) -> None:
        with storage.open_input(path) as file:
            table = pq.read_table(file)
        objects = table.column("objects").combine_chunks()
        structs = objects.flatten()
        self.index = FrameIndex(table.column("key").combine_chunks(), table.column("frame_index").to_numpy())
        self.names = table.column("name").combine_chunks()
        self.sizes = np.column_stack([table.column(name).to_numpy() for name in ("height", "width")])
        lengths = objects.value_lengths().to_numpy(zero_copy_only=False)
        self._stops = np.concatenate([[0], np.cumsum(lengths)])
        names = [name for name in structs.type.names if name != MASK]
        numbers = {name: structs.field(name).to_numpy(zero_copy_only=False) for name in names}
        self._masks = structs.field(MASK) if MASK in structs.type.names else None
        self._boxes = np.stack([numbers[edge] for edge in EDGES], axis=1)
        self._classes = numbers["class_id"]
        self._flags = {name: numbers[name].astype(np.bool_) for name in _FLAGS}
        self._areas = numbers["area"].astype(np.float32)  # null is NaN
        self._table = table
        self._verified = table.column("verified").combine_chunks() if "verified" in table.column_names else None

    @property
    def has_masks(self) -> bool:
        """Whether the masks of objects were kept."""
        return self._masks is not None

    def column_at(self, name: str, places: npt.NDArray[np.int64]) -> list[str | None]:
        """What a column that was kept says of some frames, by their places in `index`; of -1 it says nothing."""
        column = self._table.column(_column(name)).combine_chunks()
        texts: list[str | None] = column.take(pa.array(places, mask=places < 0)).to_pylist()
        return texts

    def truth_at(self, place: int) -> GroundTruth:
        """The ground truth of the frame at a place of `index`."""
        part = slice(self._stops[place], self._stops[place + 1])
        return GroundTruth(
            self._boxes[part],
            self._classes[part],
            **{name: flags[part] for name, flags in self._flags.items()},
            area=self._areas[part],
            masks=None if self._masks is None else tuple(self._masks[part].to_pylist()),
        )

    def verified_at(self, place: int) -> npt.NDArray[np.int32] | None:
        """The classes that were looked for in the frame at a place of `index`; None where nobody has said so."""
        if self._verified is None:
            return None
        class_ids: npt.NDArray[np.int32] = self._verified[place].values.to_numpy(zero_copy_only=False)
        return class_ids
