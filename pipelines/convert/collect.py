"""Reading annotations into the plan of a conversion: every image with its file and split, and what is wrong with it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from od_core import storage
from od_core.annotations.annotated import AnnotatedImage, AnnotationFault, Annotations
from od_core.annotations.coco import CocoAnnotations
from od_core.annotations.image_folder import ImageFolder, LinkedAwayError
from od_core.annotations.voc import VocAnnotations
from od_core.errors import AnnotationError, UsageError
from od_core.label_map import LabelMap
from od_core.storage import FileInfo
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.layout import Layout, Shard, given_order
from pipelines.convert.plan import ConvertPlan, LabelUse, LeftOut, PlanHeader, PlannedImage, plan_table

_ROWS_AT_A_TIME = 1000
_FIRST = 5


class AnnotationSet(NamedTuple):
    """Annotations, the folder of their images, and the split they all are in if the command line says so."""

    annotations: Annotations
    folder: ImageFolder
    split: str | None = None


class _Collected(NamedTuple):
    """All images.

    Attributes:
        table: of the plan's schema, in order of the input.
        splits: that each is said to be in; None where nothing is said.
        digests: of each.
        labels: how often and where first each class name is used.
    """

    table: pa.Table
    splits: list[str | None]
    digests: list[str]
    labels: dict[str, LabelUse]


def make_convert_plan(
    sets: Sequence[AnnotationSet],
    layout: Layout,
    label_map: LabelMap | None,
    options: Mapping[str, str],
) -> ConvertPlan:
    """Read annotations, find their images, and deal them out.

    Args:
        sets: what is to be converted, together.
        layout: how it is dealt out.
        label_map: the classes; None takes those of the annotations.
        options: all that a record depends on and that is not in the annotations, for the plan's digest.

    Raises:
        UsageError: two annotations are about images of one name, sets number their classes differently, none of the
            images is there, or they cannot be divided as the layout says.
    """
    loose: list[AnnotationFault] = []
    collected = _collected(_images(sets, loose))
    table = collected.table
    if label_map is None:
        label_map = _label_map([one.annotations for one in sets], set(collected.labels))
    keys = table.column("key").to_pylist()
    if layout.splits is None:
        names = given_order(collected.splits)
        splits = collected.splits
    else:
        names = list(layout.splits)
        layout.refuse_one_group(keys)
        splits = [layout.split_of(key) for key in keys]
    rows, shards = _dealt(layout, names, splits, keys, table.column("size").to_numpy())
    digest = _digest(layout, options, label_map, collected, splits)
    header = PlanHeader(
        sets[0].annotations.format,
        digest,
        label_map,
        tuple(shards),
        tuple(f"{fault.place}: {fault.message}" for fault in loose),
        sum(fault.lost_objects for fault in loose),
        _not_annotated(sets, keys),
        _in_no_split(table, splits),
        () if layout.splits is None else _own_splits(sets, collected.splits),
        _keypoints(sets),
    )
    return ConvertPlan(header, table.take(pa.array(rows, pa.int64())), collected.labels)


def _own_splits(sets: Sequence[AnnotationSet], splits: Sequence[str | None]) -> tuple[str, ...]:
    found = {split for split in splits if split is not None}
    for one in sets:
        if isinstance(one.annotations, VocAnnotations):
            found.update(one.annotations.own_splits)
    return tuple(sorted(found))


def _keypoints(sets: Sequence[AnnotationSet]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in sets:
        if isinstance(one.annotations, CocoAnnotations):
            for label, names in one.annotations.keypoints.items():
                if found.setdefault(label, tuple(names)) != tuple(names):
                    raise UsageError(
                        f"the annotations name the keypoints of {label!r} differently; correct one of them"
                    )
    return found


def _dealt(
    layout: Layout,
    names: Iterable[str],
    splits: Sequence[str | None],
    keys: Sequence[str],
    sizes: npt.NDArray[np.int64],
) -> tuple[list[int], list[Shard]]:
    """The rows in the order of their records, and the shards they fill; those in no split are left out."""
    split_of_row = np.array(splits, object)
    order = np.array([layout.order_of(key) for key in keys] if layout.shuffle else range(len(keys)), np.uint64)
    rows: list[int] = []
    shards: list[Shard] = []
    for split in names:
        (members,) = np.nonzero(split_of_row == split)
        members = members[np.argsort(order[members], kind="stable")]
        rows += members.tolist()
        shards += layout.shards(split, sizes[members])
    return rows, shards


def _digest(
    layout: Layout,
    options: Mapping[str, str],
    label_map: LabelMap | None,
    collected: _Collected,
    splits: Sequence[str | None],
) -> str:
    """Of everything a record and its place depend on but the pixels."""
    images = [f"{digest}{split or ''}" for digest, split in zip(collected.digests, splits, strict=True)]
    classes = label_map.digest if label_map else ""
    # Where records keep the order of the input, that order is part of the result.
    known = [json.dumps(dict(options), sort_keys=True), classes, *(sorted(images) if layout.shuffle else images)]
    return hashlib.sha256("".join(known).encode()).hexdigest()[:16]


def _not_annotated(sets: Sequence[AnnotationSet], keys: Sequence[str]) -> LeftOut:
    known = set(keys)
    others = sorted({key for one in sets for key in one.folder if key not in known})
    return LeftOut(len(others), 0, tuple(others[:_FIRST]))


def _in_no_split(table: pa.Table, splits: Sequence[str | None]) -> LeftOut:
    others = table.filter(pa.array([split is None for split in splits], pa.bool_()))
    objects = sum(others.column("found_objects").to_pylist())
    return LeftOut(len(others), objects, tuple(sorted(others.column("key").to_pylist())[:_FIRST]))


def _images(
    sets: Sequence[AnnotationSet], loose: list[AnnotationFault]
) -> Iterator[tuple[PlannedImage, FileInfo | None]]:
    """Every annotated image with its file, objects that cannot be used attached to their image or put into `loose`."""
    for one, folder, split in sets:
        waiting: tuple[PlannedImage, FileInfo | None] | None = None
        lost: list[AnnotationFault] = []  # of the waiting one
        first_missing = ""
        located = missing = 0
        all_linked = True
        for found in one.images():
            if isinstance(found, AnnotationFault) and found.of_object:
                is_of_waiting = waiting is not None and found.name == waiting[0].annotated.name
                (lost if is_of_waiting else loose).append(found)
                continue
            if waiting is not None:
                yield _less(waiting[0], lost), waiting[1]
                lost = []
            found = found if split is None else found._replace(split=split)
            if isinstance(found, AnnotationFault):
                waiting = _faulty(found)
                continue
            waiting = _located(found, folder)
            if waiting[1] is not None:
                located += 1
                continue
            missing += 1
            all_linked = all_linked and waiting[0].fault_kind == convert_remarks.IMAGE_LINKED_AWAY
            first_missing = first_missing or f"{found.place}: {waiting[0].fault}"
        if missing and not located:
            if all_linked:
                raise UsageError(f"none of {missing:,} annotated images may be read. {first_missing}")
            raise UsageError(
                f"none of {missing:,} annotated images is there. {first_missing}. Say with --images DIR where they lie"
            )
        if waiting is not None:
            yield _less(waiting[0], lost), waiting[1]


def _less(image: PlannedImage, faults: Sequence[AnnotationFault]) -> PlannedImage:
    """An image that has lost objects."""
    if not faults:
        return image
    lost = tuple(f"{fault.place}: {fault.message}" for fault in faults)
    return image._replace(lost_objects=lost, found_objects=image.found_objects + sum(f.lost_objects for f in faults))


def _located(image: AnnotatedImage, folder: ImageFolder) -> tuple[PlannedImage, FileInfo | None]:
    objects = len(image.objects) + sum(convert_remarks.is_lost(note.kind) for note in image.notes)
    try:
        key, info = folder.find(image.name)
    except AnnotationError as error:
        is_link = isinstance(error, LinkedAwayError)
        kind = convert_remarks.IMAGE_LINKED_AWAY if is_link else convert_remarks.IMAGE_NOT_FOUND
        return PlannedImage(image.name, "", 0, image, str(error), kind, found_objects=objects), None
    return PlannedImage(key, info.path, info.size, image, found_objects=objects), info


def _faulty(fault: AnnotationFault) -> tuple[PlannedImage, FileInfo | None]:
    nothing = AnnotatedImage(fault.name or fault.place, "", fault.place, "", None, None, (), fault.split)
    kind = convert_remarks.ANNOTATION_NOT_USABLE
    return PlannedImage(nothing.name, "", 0, nothing, fault.message, kind, found_objects=fault.lost_objects), None


def _collected(images: Iterable[tuple[PlannedImage, FileInfo | None]]) -> _Collected:
    places: dict[str, tuple[str, str]] = {}  # and the annotation files: files in two folders can have one name
    tables: list[pa.Table] = []
    splits: list[str | None] = []
    digests: list[str] = []
    labels: dict[str, LabelUse] = {}
    rows: list[PlannedImage] = []
    for image, info in images:
        if image.key in places:
            if image.fault is None:
                first, second = places[image.key], _place_of(image)
                told = [place if first[0] != second[0] else f"{place} ({source})" for place, source in (first, second)]
                raise UsageError(
                    f"two annotations are about an image called {image.key}: {told[0]} and {told[1]}; remove one, or,"
                    " if they are different images, convert them into two outputs"
                )
            # It is the annotation that is lost, not an image: it is known by its place.
            image = image._replace(key=f"{image.annotated.place} ({image.key}, {len(places)})")
        places[image.key] = _place_of(image)
        rows.append(image)
        splits.append(image.annotated.split)
        annotated = image.annotated._replace(source="", split=None)
        content = (image.key, image.size, info and info.mtime_ms, annotated, image.fault)
        digests.append(hashlib.sha256(repr((content, image.lost_objects, image.found_objects)).encode()).hexdigest())
        for item in image.annotated.objects:
            used = labels.get(item.label) or LabelUse(0, f"{image.annotated.place}: {item.place}")
            labels[item.label] = used._replace(objects=used.objects + 1)
        if len(rows) == _ROWS_AT_A_TIME:
            tables.append(plan_table(rows))
            rows = []
    return _Collected(pa.concat_tables([*tables, plan_table(rows)]), splits, digests, labels)


def _place_of(image: PlannedImage) -> tuple[str, str]:
    return image.annotated.place, storage.printable(image.annotated.source)


def _label_map(annotations: Sequence[Annotations], names: set[str]) -> LabelMap | None:
    """The label map of the annotations, which must agree; else the names, in alphabetical order."""
    given = [one.label_map for one in annotations if one.label_map is not None]
    if not given:
        return LabelMap.of_names(sorted(names)) if names else None
    if any(other.names != given[0].names for other in given[1:]):
        raise UsageError("the annotations number their classes differently; give one --label_map for all of them")
    return given[0] if names <= set(given[0].names.values()) else LabelMap.of_names(sorted(names))
