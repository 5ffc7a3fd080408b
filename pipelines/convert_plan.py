"""The plan of a conversion: every annotation, in the shard and the order in which its record will be written.

It is one Parquet file, a row group a shard, which the workers read; the annotation files themselves are read once.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from od_core import storage
from od_core.annotations.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    AnnotationFault,
    AnnotationNote,
    Annotations,
    ImageLabel,
)
from od_core.annotations.image_folder import ImageFolder
from od_core.errors import AnnotationError, UsageError
from od_core.label_map import LabelMap, parse_label_map
from od_core.storage import FileInfo
from pipelines.convert_layout import Layout, Shard
from pipelines.items import Source

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
        pa.field("features", pa.string()),  # JSON
    ]
)

_PLAN = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("uri", pa.binary()),
        pa.field("size", pa.int64()),
        pa.field("place", pa.string()),
        pa.field("name", pa.string()),
        pa.field("source_id", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("fault", pa.string()),
        pa.field("lost_objects", pa.list_(pa.string())),
        pa.field("objects", pa.list_(_OBJECT)),
        pa.field("normalised", pa.bool_()),
        pa.field("labels", pa.string()),  # JSON
        pa.field("notes", pa.string()),  # JSON
    ]
)
_HEADER = b"boxbeam.convert_plan"
_ROWS_AT_A_TIME = 1000


class PlannedImage(NamedTuple):
    """One row of the plan.

    Attributes:
        key: identity of the image: its path below the image folder.
        uri: where it lies; "" if it is not there.
        size: its bytes.
        annotated: what the annotation says.
        fault: why there can be no record of it; None if nothing is known against it yet.
        lost_objects: objects of it that cannot be used, and why.
    """

    key: str
    uri: str
    size: int
    annotated: AnnotatedImage
    fault: str | None = None
    lost_objects: tuple[str, ...] = ()


class LabelUse(NamedTuple):
    """How many objects have a class name, and where the first of them is."""

    objects: int
    place: str


class PlanHeader(NamedTuple):
    """What holds for all images.

    Attributes:
        format: of the annotations: "voc", "coco".
        digest: of everything a record depends on but the pixels, 16 hex digits.
        label_map: the classes; None if there are none at all.
        shards: in the order of the splits.
        loose_faults: faults that belong to no image.
    """

    format: str
    digest: str
    label_map: LabelMap | None
    shards: tuple[Shard, ...]
    loose_faults: tuple[str, ...]

    @property
    def version(self) -> int:
        """The digest as a version of sources: fits a signed 64-bit integer."""
        return int(self.digest, 16) >> 1

    def to_text(self) -> str:
        """JSON; see `of_text`."""
        label_map = self.label_map.to_text() if self.label_map else None
        return json.dumps({**self._asdict(), "label_map": label_map})

    @classmethod
    def of_text(cls, text: str | bytes) -> "PlanHeader":
        """The reverse of `to_text`."""
        fields = json.loads(text)
        fields["label_map"] = parse_label_map(fields["label_map"], "the plan") if fields["label_map"] else None
        fields["shards"] = tuple(Shard(*shard) for shard in fields["shards"])
        fields["loose_faults"] = tuple(fields["loose_faults"])
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
            yield Source(key, uri.decode("utf-8", "surrogateescape"), shard, size, self.header.version)

    def write(self, path: str) -> None:
        """Write it as a file for `ShardPlans`."""
        schema = _PLAN.with_metadata({_HEADER: self.header.to_text().encode()})
        with storage.commit(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            start = 0
            for shard in self.header.shards:
                writer.write_table(self._table.slice(start, shard.images), row_group_size=shard.images)
                start += shard.images


def make_convert_plan(
    annotations: Sequence[Annotations],
    folders: Sequence[ImageFolder],
    layout: Layout,
    label_map: LabelMap | None,
    options: Mapping[str, str],
) -> ConvertPlan:
    """Read annotations, find their images, and deal them out.

    Args:
        annotations: the sets to be converted, together.
        folders: for each of them, where its images lie.
        label_map: the classes; None takes those of the annotations.
        options: all that a record depends on and that is not in the annotations, for the plan's digest.

    Raises:
        UsageError: two annotations are about images of one name, sets number their classes differently, none of the
            images is there, or they cannot be divided as the layout says.
    """
    loose: list[str] = []
    images = _images(annotations, folders, loose)
    table, digests, labels = _collected(images)
    if label_map is None:
        label_map = _label_map(annotations, set(labels))
    keys = table.column("key").to_pylist()
    layout.refuse_one_group(keys)
    splits = np.array([layout.split_of(key) for key in keys])
    order = np.array([layout.order_of(key) for key in keys], np.uint64)
    sizes = table.column("size").to_numpy()
    shards: list[Shard] = []
    rows: list[int] = []
    for split in layout.splits:
        (members,) = np.nonzero(splits == split)
        members = members[np.argsort(order[members], kind="stable")]
        rows += members.tolist()
        shards += layout.shards(split, sizes[members])
    classes = label_map.digest if label_map else ""
    known = [json.dumps(dict(options), sort_keys=True), classes, *sorted(digests)]
    digest = hashlib.sha256("".join(known).encode()).hexdigest()[:16]
    header = PlanHeader(annotations[0].format, digest, label_map, tuple(shards), tuple(loose))
    return ConvertPlan(header, table.take(pa.array(rows, pa.int64())), labels)


def _images(
    annotations: Sequence[Annotations], folders: Sequence[ImageFolder], loose: list[str]
) -> Iterator[tuple[PlannedImage, FileInfo | None]]:
    """Every annotated image with its file, objects that cannot be used attached to their image or put into `loose`."""
    for one, folder in zip(annotations, folders, strict=True):
        waiting: tuple[PlannedImage, FileInfo | None] | None = None
        first_missing = ""
        located = missing = 0
        for found in one.images():
            if isinstance(found, AnnotationFault) and found.of_object:
                text = f"{found.place}: {found.message}"
                if waiting is not None and found.name == waiting[0].annotated.name:
                    waiting = (waiting[0]._replace(lost_objects=(*waiting[0].lost_objects, text)), waiting[1])
                else:
                    loose.append(text)
                continue
            if waiting is not None:
                yield waiting
            if isinstance(found, AnnotationFault):
                waiting = _faulty(found)
                continue
            waiting = _located(found, folder)
            if waiting[1] is not None:
                located += 1
                continue
            missing += 1
            first_missing = first_missing or f"{found.place}: {waiting[0].fault}"
        if missing and not located:
            raise UsageError(
                f"none of {missing:,} annotated images is there. {first_missing}. Say with --images DIR where they lie"
            )
        if waiting is not None:
            yield waiting


def _located(image: AnnotatedImage, folder: ImageFolder) -> tuple[PlannedImage, FileInfo | None]:
    try:
        key, info = folder.find(image.name)
    except AnnotationError as error:
        return PlannedImage(image.name, "", 0, image, str(error)), None
    return PlannedImage(key, info.path, info.size, image), info


def _faulty(fault: AnnotationFault) -> tuple[PlannedImage, FileInfo | None]:
    nothing = AnnotatedImage(fault.name or fault.place, "", fault.place, "", None, None, ())
    return PlannedImage(nothing.name, "", 0, nothing, fault.message), None


def _collected(
    images: Iterable[tuple[PlannedImage, FileInfo | None]],
) -> tuple[pa.Table, list[str], dict[str, LabelUse]]:
    """The images as a table, a digest of each, and the use of every class name."""
    places: dict[str, str] = {}
    tables: list[pa.Table] = []
    digests: list[str] = []
    labels: dict[str, LabelUse] = {}
    rows: list[PlannedImage] = []
    for image, info in images:
        if image.key in places:
            if image.fault is None:
                raise UsageError(
                    f"two annotations are about an image called {image.key}: {places[image.key]} and"
                    f" {image.annotated.place}; remove one, or, if they are different images, convert them into two"
                    " outputs"
                )
            # It is the annotation that is lost, not an image: it is known by its place.
            image = image._replace(key=f"{image.annotated.place} ({image.key}, {len(places)})")
        places[image.key] = image.annotated.place
        rows.append(image)
        content = (image.key, image.size, info and info.mtime_ms, image.annotated._replace(source=""), image.fault)
        digests.append(hashlib.sha256(repr((content, image.lost_objects)).encode()).hexdigest())
        for item in image.annotated.objects:
            used = labels.get(item.label) or LabelUse(0, f"{image.annotated.place}: {item.place}")
            labels[item.label] = used._replace(objects=used.objects + 1)
        if len(rows) == _ROWS_AT_A_TIME:
            tables.append(_table(rows))
            rows = []
    return pa.concat_tables([*tables, _table(rows)]), digests, labels


def _table(rows: Sequence[PlannedImage]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "key": [row.key for row in rows],
        "uri": [row.uri.encode("utf-8", "surrogateescape") for row in rows],
        "size": [row.size for row in rows],
        "fault": [row.fault for row in rows],
        "lost_objects": [list(row.lost_objects) for row in rows],
        "objects": [[_object_fields(item) for item in row.annotated.objects] for row in rows],
        "labels": [json.dumps(row.annotated.labels) for row in rows],
        "notes": [json.dumps(row.annotated.notes) for row in rows],
    }
    for name in ("place", "name", "source_id", "width", "height", "normalised"):
        columns[name] = [getattr(row.annotated, name) for row in rows]
    return pa.table(columns, _PLAN)


def _object_fields(item: AnnotatedObject) -> dict[str, Any]:
    return {**item._asdict(), "features": json.dumps(item.features) if item.features else None}


def _label_map(annotations: Sequence[Annotations], names: set[str]) -> LabelMap | None:
    """The label map of the annotations, which must agree; else the names, in alphabetical order."""
    given = [one.label_map for one in annotations if one.label_map is not None]
    if not given:
        return LabelMap.of_names(sorted(names)) if names else None
    if any(other.names != given[0].names for other in given[1:]):
        raise UsageError("the annotations number their classes differently; give one --label_map for all of them")
    return given[0] if names <= set(given[0].names.values()) else LabelMap.of_names(sorted(names))


class ShardPlans:
    """Reads the plan of one shard after another."""

    def __init__(self, path: str):
        self._file = storage.open_input(path)
        self._parquet = pq.ParquetFile(self._file)
        self.header = PlanHeader.of_text(self._parquet.schema_arrow.metadata[_HEADER])
        self._groups = {shard.name: index for index, shard in enumerate(self.header.shards)}

    def images(self, shard: str) -> list[PlannedImage]:
        """The images of a shard, in the order of their records."""
        return [_planned(row) for row in self._parquet.read_row_group(self._groups[shard]).to_pylist()]

    def close(self) -> None:
        """Let go of the file."""
        self._parquet.close()
        self._file.close()


def _planned(row: Mapping[str, Any]) -> PlannedImage:
    annotated = AnnotatedImage(
        row["name"],
        "",
        row["place"],
        row["source_id"],
        row["width"],
        row["height"],
        tuple(_object(item) for item in row["objects"]),
        row["normalised"],
        tuple(ImageLabel(*label) for label in json.loads(row["labels"])),
        tuple(AnnotationNote(*note) for note in json.loads(row["notes"])),
    )
    return PlannedImage(
        row["key"],
        row["uri"].decode("utf-8", "surrogateescape"),
        row["size"],
        annotated,
        row["fault"],
        tuple(row["lost_objects"]),
    )


def _object(fields: Mapping[str, Any]) -> AnnotatedObject:
    features = tuple((key, value) for key, value in json.loads(fields["features"] or "[]"))
    return AnnotatedObject(**{**fields, "box_px": tuple(fields["box_px"]), "features": features})
