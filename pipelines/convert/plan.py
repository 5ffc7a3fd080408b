"""The plan of a conversion: every annotation, in the shard and the order in which its record will be written.

It is one Parquet file, a row group a shard, which the workers read; the annotation files themselves are read once.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationNote,
    Excerpt,
    ImageLabel,
)
from od_core.annotations.object_columns import ObjectColumns, rows_of
from od_core.label_map import LabelMap, parse_label_map
from pipelines.convert.layout import Shard
from pipelines.items import Source

_EXCERPT = pa.struct([pa.field("offset", pa.int64()), pa.field("length", pa.int64()), pa.field("crc32", pa.int64())])
_OBJECT = pa.struct(
    [
        pa.field("label", pa.string()),
        pa.field("box_px", pa.list_(pa.float64(), 4)),
        pa.field("place", pa.string()),
        pa.field("class_id", pa.int64()),
        pa.field("is_crowd", pa.bool_()),
        pa.field("difficult", pa.bool_()),
        pa.field("group_of", pa.bool_()),
        pa.field("truncated", pa.bool_()),
        pa.field("view", pa.string()),
        pa.field("area", pa.float64()),
        pa.field("excerpt", _EXCERPT),
        pa.field("features", pa.string()),  # JSON
    ]
)

_PLAN = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("uri", pa.binary()),
        pa.field("size", pa.int64()),
        pa.field("source", pa.binary()),
        pa.field("place", pa.string()),
        pa.field("name", pa.string()),
        pa.field("source_id", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("fault", pa.string()),
        pa.field("fault_kind", pa.string()),
        pa.field("lost_objects", pa.list_(pa.string())),
        pa.field("found_objects", pa.int64()),
        pa.field("objects", pa.list_(_OBJECT)),
        pa.field("normalised", pa.bool_()),
        pa.field("labels", pa.string()),  # JSON
        pa.field("notes", pa.string()),  # JSON
    ]
)
_HEADER = b"boxbeam.convert_plan"
_ROWS_AT_A_TIME = 1000

_T = TypeVar("_T")


class PlannedImage(NamedTuple):
    """One row of the plan.

    Attributes:
        key: identity of the image: its path below the image folder.
        uri: where it lies; "" if it is not there.
        size: its bytes.
        annotated: what the annotation says.
        fault: why there can be no record of it; None if nothing is known against it yet.
        fault_kind: the same as a kind of remark, see `convert_remarks`.
        lost_objects: objects of it that cannot be used, and why.
        found_objects: how many objects its annotation has, usable or not.
    """

    key: str
    uri: str
    size: int
    annotated: AnnotatedImage
    fault: str | None = None
    fault_kind: str | None = None
    lost_objects: tuple[str, ...] = ()
    found_objects: int = 0


class LabelUse(NamedTuple):
    """How many objects have a class name, and where the first of them is."""

    objects: int
    place: str


class LeftOut(NamedTuple):
    """Images that are not in the plan: how many, how many objects they have, and the first of them."""

    images: int = 0
    objects: int = 0
    first: tuple[str, ...] = ()


class PlanHeader(NamedTuple):
    """What holds for all images.

    Attributes:
        format: of the annotations: "voc", "coco".
        digest: of everything a record depends on but the pixels, 16 hex digits.
        label_map: the classes; None if there are none at all.
        shards: in the order of the splits.
        loose_faults: faults that belong to no image.
        loose_objects: how many objects were lost by them.
        not_annotated: images in the image folders that no annotation is about.
        in_no_split: images that are in none of the splits that were given.
        unused_splits: splits that the data set itself has and that were not asked for.
        keypoints: names of keypoints by class.
    """

    format: str
    digest: str
    label_map: LabelMap | None
    shards: tuple[Shard, ...]
    loose_faults: tuple[str, ...]
    loose_objects: int = 0
    not_annotated: LeftOut = LeftOut()
    in_no_split: LeftOut = LeftOut()
    unused_splits: tuple[str, ...] = ()
    keypoints: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    @property
    def version(self) -> int:
        """The digest as a version of sources: fits a signed 64-bit integer."""
        return int(self.digest, 16) >> 1

    def to_text(self) -> str:
        """JSON; see `of_text`."""
        label_map = self.label_map.to_text() if self.label_map else None
        return json.dumps({**self._asdict(), "label_map": label_map, "keypoints": dict(self.keypoints)})

    @classmethod
    def of_text(cls, text: str | bytes) -> "PlanHeader":
        """The reverse of `to_text`."""
        fields = json.loads(text)
        fields["label_map"] = parse_label_map(fields["label_map"], "the plan") if fields["label_map"] else None
        fields["shards"] = tuple(Shard(*shard) for shard in fields["shards"])
        fields["loose_faults"] = tuple(fields["loose_faults"])
        fields["keypoints"] = {label: tuple(names) for label, names in fields["keypoints"].items()}
        fields["unused_splits"] = tuple(fields["unused_splits"])
        for name in ("not_annotated", "in_no_split"):
            images, objects, first = fields[name]
            fields[name] = LeftOut(images, objects, tuple(first))
        return cls(**fields)


class ConvertPlan:
    """A plan in memory, as Arrow columns: about a kilobyte an image with eight boxes."""

    def __init__(self, header: PlanHeader, table: pa.Table, labels: Mapping[str, LabelUse]):
        """`labels`: how often and where first each class name is used."""
        self.header = header
        self.labels = labels
        self._table = table

    def sources(self) -> Iterator[Source]:
        """Every image; its kind is the name of its shard, its version the whole plan's digest."""
        keys, uris, sizes = (self._table.column(name).to_pylist() for name in ("key", "uri", "size"))
        shards = (shard.name for shard in self.header.shards for _ in range(shard.images))
        for key, uri, size, shard in zip(keys, uris, sizes, shards, strict=True):
            yield Source(key, _path(uri), shard, size, self.header.version)

    def write(self, path: str) -> None:
        """Write it as a file for `ShardPlans`."""
        schema = _PLAN.with_metadata({_HEADER: self.header.to_text().encode()})
        with storage.commit(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            start = 0
            for shard in self.header.shards:
                writer.write_table(self._table.slice(start, shard.images), row_group_size=shard.images)
                start += shard.images


def plan_table(rows: Sequence[PlannedImage]) -> pa.Table:
    """Rows as they stand in the file."""
    columns: dict[str, Any] = {
        "key": [row.key for row in rows],
        "uri": [row.uri.encode("utf-8", "surrogateescape") for row in rows],
        "size": [row.size for row in rows],
        "fault": [row.fault for row in rows],
        "fault_kind": [row.fault_kind for row in rows],
        "found_objects": [row.found_objects for row in rows],
        "lost_objects": [list(row.lost_objects) for row in rows],
        "objects": _object_lists([row.annotated.objects for row in rows]),
        "source": [row.annotated.source.encode("utf-8", "surrogateescape") for row in rows],
        "labels": [json.dumps(row.annotated.labels) for row in rows],
        "notes": [json.dumps(row.annotated.notes) for row in rows],
    }
    for name in ("place", "name", "source_id", "width", "height", "normalised"):
        columns[name] = [getattr(row.annotated, name) for row in rows]
    return pa.table(columns, _PLAN)


def _object_lists(rows: Sequence[Sequence[AnnotatedObject]]) -> pa.ListArray:
    """The objects of each row, written field by field: from a dictionary for every object it takes twice as long."""
    columns = ObjectColumns.of(itertools.chain.from_iterable(rows))._asdict()
    columns["excerpt"] = [one and one._asdict() for one in columns["excerpt"]]
    columns["features"] = [json.dumps(one) if one else None for one in columns["features"]]
    fields = list(_OBJECT)
    structs = pa.StructArray.from_arrays([pa.array(columns[field.name], field.type) for field in fields], fields=fields)
    starts = itertools.accumulate(map(len, rows), initial=0)
    return pa.ListArray.from_arrays(pa.array(starts, pa.int32()), structs)


class ShardPlans:
    """Reads the plan of one shard after another."""

    def __init__(self, path: str):
        self._file = storage.open_input(path)
        self._parquet = pq.ParquetFile(self._file)
        self.header = PlanHeader.of_text(self._parquet.schema_arrow.metadata[_HEADER])
        self._groups = {shard.name: index for index, shard in enumerate(self.header.shards)}

    def images(self, shard: str) -> Iterator[PlannedImage]:
        """The images of a shard, in the order of their records; of few at a time there are Python objects."""
        table = self._parquet.read_row_group(self._groups[shard])
        for rows in table.to_batches(max_chunksize=_ROWS_AT_A_TIME):
            yield from _planned(rows)

    def found_objects(self) -> pa.Table:
        """Columns `key` and `found_objects`, of all images."""
        return self._parquet.read(["key", "found_objects"])

    def close(self) -> None:
        """Let go of the file."""
        self._parquet.close()
        self._file.close()


def _planned(rows: pa.RecordBatch) -> Iterator[PlannedImage]:
    """The reverse of `plan_table`; column by column, which is several times faster than row by row."""
    column = {name: rows.column(name).to_pylist() for name in rows.schema.names if name != "objects"}
    lists = rows.column("objects")
    objects = rows_of(_columns(lists.flatten()), lists.value_lengths().to_pylist())
    annotated = map(
        AnnotatedImage,
        column["name"],
        map(_path, column["source"]),
        column["place"],
        column["source_id"],
        column["width"],
        column["height"],
        objects,
        itertools.repeat(None),  # the split is in the name of the shard
        column["normalised"],
        (_of_json(text, ImageLabel) for text in column["labels"]),
        (_of_json(text, AnnotationNote) for text in column["notes"]),
    )
    return map(
        PlannedImage,
        column["key"],
        map(_path, column["uri"]),
        column["size"],
        annotated,
        column["fault"],
        column["fault_kind"],
        map(tuple, column["lost_objects"]),
        column["found_objects"],
    )


def _columns(structs: pa.StructArray) -> ObjectColumns:
    fields = dict(zip((field.name for field in _OBJECT), structs.flatten(), strict=True))
    boxes = fields.pop("box_px").flatten().to_numpy().reshape(-1, 4)
    columns = {name: column.to_pylist() for name, column in fields.items()}
    columns["excerpt"] = [one and Excerpt(**one) for one in columns["excerpt"]]
    columns["features"] = [_of_json(one, _pair) for one in columns["features"]]
    return ObjectColumns(box_px=boxes, **columns)


def _path(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _of_json(text: str | None, make: Callable[..., _T]) -> tuple[_T, ...]:
    """A list of lists of arguments; most are empty."""
    return () if text is None or text == "[]" else tuple(make(*one) for one in json.loads(text))


def _pair(key: str, value: Any) -> tuple[str, Any]:
    return key, value
