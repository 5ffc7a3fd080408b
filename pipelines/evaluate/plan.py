"""What is found out before an evaluation: which frames belong together, and whether it makes sense at all.

The detections are read twice, a row group at a time and without their boxes: their keys, then what became of every row.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from od_core import storage
from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.errors import UsageError
from od_core.joining import KeyMatches, match_keys
from od_core.label_map import LabelMap
from pipelines.evaluate.classes import (
    NO_CLASS,
    Classes,
    ClassPair,
    class_name,
    classes_of,
    quoted,
    refuse_strangers,
)
from pipelines.evaluate.detections import DetectionsSet, read_columns
from pipelines.evaluate.image_labels import OpenImages
from pipelines.evaluate.join import SHOWN, FramesByKey, Join, Named
from pipelines.evaluate.truth import MASK, TruthFrames, read_truth, write_frames


class ClassCount(NamedTuple):
    """A class in the evaluated frames: annotated objects, and detections."""

    id: int
    name: str
    objects: int
    detections: int


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation that makes sense.

    Attributes:
        detections: the detections.
        truth_file: the frames to evaluate, as `write_frames` left them.
        files_file: the data files of the detections, as a JSON list of paths: a graph that names only this file does
            not grow with them.
        categories: class id -> name.
        detection_classes: the classes of the detections -> class id, `NO_CLASS` for one that the ground truth lacks.
        evaluated: number of frames to evaluate.
        without_objects, without_detections: how many of them have no ground truth, or no detection at all.
        unprocessed: frames of the ground truth that no model has looked at; not evaluated.
        failed: how many of these were tried.
        unusable: frames whose annotation cannot be used; not evaluated.
        object_faults: annotated objects that cannot be used, where and why.
        unknown: frames of detections that the ground truth lacks; not evaluated.
        ambiguous: keys of detections that could mean several images; their frames count as unknown too.
        other_size: evaluated frames that are of another size in the ground truth than in the detections.
        classes: the categories, counted.
        unknown_classes: names of classes of the detections that the ground truth lacks: left out.
        unknown_objects: names of classes of annotated objects that the label map lacks: left out.
        ancestors: class id -> ids of the classes above it, where a hierarchy was given.
    """

    detections: DetectionsSet
    truth_file: str
    files_file: str
    categories: dict[int, str]
    detection_classes: tuple[tuple[ClassPair, int], ...]
    evaluated: int
    without_objects: int
    without_detections: int
    unprocessed: Named
    failed: int
    unusable: Named
    object_faults: Named
    unknown: Named
    ambiguous: Named
    other_size: Named
    classes: tuple[ClassCount, ...]
    unknown_classes: tuple[str, ...]
    unknown_objects: tuple[str, ...]
    ancestors: dict[int, tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        """For a file; see `from_json`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, **{name: list(fields[name].items()) for name in _BY_ID}}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "EvaluationPlan":
        """The reverse of `to_json`, after JSON has made lists of tuples."""
        path, files, provenance = fields["detections"]
        made = {
            "detections": DetectionsSet(path, tuple(files), provenance),
            "detection_classes": tuple(((id, label), code) for (id, label), code in fields["detection_classes"]),
            "classes": tuple(ClassCount(*one) for one in fields["classes"]),
            "categories": dict(fields["categories"]),
            "ancestors": {id: tuple(above) for id, above in fields["ancestors"]},
            **{name: tuple(fields[name]) for name in ("unknown_classes", "unknown_objects")},
            **{name: Named(total, tuple(first), more) for name in _NAMED for total, first, more in [fields[name]]},
        }
        return cls(**{**fields, **made})


_BY_ID = ("categories", "ancestors")
_NAMED = ("unprocessed", "unusable", "object_faults", "unknown", "ambiguous", "other_size")


def plan_evaluation(
    detections: DetectionsSet,
    truth: GroundTruthSet,
    folder: str,
    *,
    allow_missing: bool,
    open_images: OpenImages | None = None,
    columns: Sequence[str] = (),
    masks: bool = False,
    names: LabelMap | None = None,
) -> EvaluationPlan:
    """Join detections and ground truth, and leave the ground truth of the frames to evaluate in a folder.

    Args:
        detections, truth: the two.
        folder: for what workers read: see `EvaluationPlan.truth_file` and `files_file`.
        allow_missing: leave out frames that were not processed, and say so.
        open_images: image-level labels, and a hierarchy of classes.
        columns: of the ground truth, to be kept for slices.
        masks: whether masks are evaluated.
        names: the label map given for detections that have ids only; it is also that of a ground truth without names.

    Raises:
        UsageError: nothing of the two belongs together, neither images nor classes; a frame is there twice; or frames
            of the ground truth were not processed, and `allow_missing` is not given.
    """
    frames = read_truth(truth, columns, masks=masks)
    if masks:
        _refuse_without_masks(detections, frames)
    usable = frames.table.column("usable").to_numpy()
    if not usable.any():
        raise UsageError(f"not one of {len(usable):,} annotations of the ground truth can be used")
    ids_are_given = "voc" not in truth.form.split("+")  # Pascal VOC has names only; their numbers are ours
    label_map = truth.label_map
    if label_map is None and not any(label for _, label in frames.classes.pairs):
        label_map = names
    classes = classes_of(label_map, ids_are_given, frames.classes.pairs)
    # Names of other splits count too: else an ending that is unique in this one could mean an image of another.
    matches = match_keys(_keys_of(detections), {**truth.left_out(), **frames.source_ids})
    join = Join(frames, matches)
    join.add_all(detections)
    if not join.is_seen.any():
        raise _nothing_matches(join, frames, matches)
    if masks and join.other_size.total:
        raise UsageError(
            f"{join.other_size.total:,} images are not as large as the ground truth says, and masks have no size but"
            f" that of their image: {join.other_size.named().first[0]}: infer again, from the images that were"
            " annotated, or leave coco_masks out of --metrics"
        )
    refuse_strangers(join.classes.pairs, classes)
    missing = np.flatnonzero(usable & ~join.is_seen)
    if len(missing) and not allow_missing:
        raise _unprocessed(join, frames, matches, missing)
    open_images = open_images or OpenImages()
    ancestors, verified = open_images.ancestors(classes), open_images.verified(frames, classes)
    places = np.flatnonzero(join.is_seen)
    places = places[np.argsort(np.array(frames.names_at(places), object), kind="stable")]
    truth_file, files_file = storage.join(folder, "truth.parquet"), storage.join(folder, "files.json")
    extra = {} if verified is None else {"verified": verified.take(pa.array(places))}
    class_ids = write_frames(frames, places, join.keys.take(pa.array(places)), classes, truth_file, extra)
    storage.write_text(files_file, json.dumps(detections.files))
    ids = [classes.id_of(pair) for pair in join.classes.pairs]
    lengths = pc.list_value_length(frames.table.column("objects")).to_numpy()
    strangers = {pair for pair in frames.classes.pairs if classes.id_of(pair) == NO_CLASS}
    return EvaluationPlan(
        detections=detections,
        truth_file=truth_file,
        files_file=files_file,
        categories=dict(classes.categories),
        detection_classes=tuple(zip(join.classes.pairs, ids, strict=True)),
        evaluated=len(places),
        without_objects=int((lengths[places] == 0).sum()),
        without_detections=join.empty,
        unprocessed=_named(frames, missing),
        failed=int(join.is_failed()[missing].sum()),
        unusable=_named(frames, np.flatnonzero(~usable)),
        object_faults=_object_faults(truth),
        unknown=join.unknown.named(),
        ambiguous=Named.of(matches.ambiguous),
        other_size=join.other_size.named(),
        classes=_counted(classes, class_ids, ids, join.class_counts),
        unknown_classes=tuple(sorted({class_name(p) for p, i in zip(join.classes.pairs, ids, strict=True) if i < 0})),
        unknown_objects=tuple(sorted(class_name(pair) for pair in strangers)),
        ancestors=ancestors,
    )


def _refuse_without_masks(detections: DetectionsSet, frames: TruthFrames) -> None:
    objects = frames.table.column("objects").combine_chunks().flatten()
    if len(objects) and objects.field(MASK).null_count == len(objects):
        raise UsageError(
            "no object of the ground truth has a mask: give COCO's JSON with segmentations, or Parquet with"
            " objects[].mask (docs/detections-format.md), or leave coco_masks out of --metrics"
        )
    for group in detections.row_groups():
        found = read_columns(group, ("score", MASK)).column("detections").combine_chunks().flatten()
        if len(found) and (MASK not in found.type.names or found.field(MASK).null_count):
            raise UsageError(
                f"{detections.path}: detections without masks: infer again with --keep masks, or leave coco_masks out"
                " of --metrics"
            )


def _keys_of(detections: DetectionsSet) -> set[str]:
    keys: set[str] = set()
    for group in detections.row_groups():
        keys.update(pc.unique(read_columns(group).column("key")).to_pylist())
        if None in keys:
            raise UsageError(f"{group.path}: a row without a key; boxbeam inspect says more")
    return keys


def _object_faults(truth: GroundTruthSet) -> Named:
    first = tuple(f"{fault.place}: {fault.message}" for fault in truth.first_object_faults[:SHOWN])
    return Named(truth.object_faults, first, truth.object_faults - len(first))


def _named(frames: TruthFrames, places: npt.NDArray[np.int64]) -> Named:
    told = FramesByKey()
    told.add(frames.table.column("key").take(pa.array(places)).to_pylist(), frames.names_at(places))
    return told.named()


def _counted(
    classes: Classes, objects: npt.NDArray[np.int64], ids: Sequence[int], detections: npt.NDArray[np.int64]
) -> tuple[ClassCount, ...]:
    found = dict.fromkeys(classes.categories, 0)
    for class_id, count in zip(ids, detections.tolist(), strict=True):
        if class_id != NO_CLASS:
            found[class_id] += count
    there = dict(zip(*(column.tolist() for column in np.unique(objects, return_counts=True)), strict=True))
    return tuple(
        ClassCount(class_id, name, there.get(class_id, 0), found[class_id])
        for class_id, name in sorted(classes.categories.items())
    )


def _nothing_matches(join: Join, frames: TruthFrames, matches: KeyMatches) -> UsageError:
    if join.is_failed().any():
        return UsageError("every image of the ground truth that the detections know of has failed: nothing to evaluate")
    if matches.ambiguous:
        why = f"{len(matches.ambiguous):,} names could each mean several images, such as '{matches.ambiguous[0]}'"
    else:
        why = "names must be equal, or end alike by whole folders"
    there = frames.names_at(np.array([0]))[0]
    unknown = join.unknown.named()
    example = unknown.first[0] if unknown.first else None
    speak = f"the detections speak of '{example}'" if example else "the detections hold no rows"
    return UsageError(
        f"no image of the detections is in the ground truth: {speak}, the ground truth of '{there}'; {why}"
    )


def _unprocessed(join: Join, frames: TruthFrames, matches: KeyMatches, missing: npt.NDArray[np.int64]) -> UsageError:
    named = _named(frames, missing)
    more = f" and {named.more:,} more" if named.more else ""
    failed = int(join.is_failed()[missing].sum())
    tried = f", {failed:,} of them because they failed" if failed else ""
    other = ""
    if matches.ambiguous:
        other = f"; names that could each mean several of them: {quoted(matches.ambiguous)}"
    elif unknown := join.unknown.named().first:
        other = f"; the detections also speak of images that the ground truth lacks, such as '{unknown[0]}'"
    return UsageError(
        f"{len(missing):,} of {frames.table.num_rows:,} images of the ground truth were not processed{tried}:"
        f" {quoted(named.first)}{more}{other}. Numbers that leave them out could flatter the model: run infer on"
        f" them{' (--retry_failed)' if failed else ''}, or evaluate the others with --allow_missing"
    )
