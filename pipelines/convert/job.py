"""The convert job: annotated images become TFRecord shards of the TF Object Detection API, and an index of them.

An item is a shard: its worker writes it into OUTPUT/_work/shards, with a note of what is in it, and the rows of its
images into the index. At the end shards take their place in OUTPUT.
"""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from od_core import storage
from od_core.annotations.annotated import Annotations
from od_core.annotations.coco import CocoAnnotations
from od_core.annotations.detect import open_annotations
from od_core.annotations.image_folder import ImageFolder
from od_core.annotations.reading import ReadingOptions
from od_core.annotations.voc import VocAnnotations
from od_core.box_policy import POLICIES
from od_core.errors import LabelMapError, OutputError, StorageError, UsageError
from od_core.label_map import LabelMap
from od_core.records.index import RECORD_INDEX, RECORDS_VERSION, RecordPlace, record_index_table
from od_core.records.stored_image import DEFAULT_RULES, ImageRules
from od_core.schemas import FrameError, FrameRow
from pipelines.convert import messages as convert_messages
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.collect import AnnotationSet, make_convert_plan
from pipelines.convert.layout import Layout
from pipelines.convert.plan import ConvertPlan, PlanHeader, ShardPlans
from pipelines.convert.report import REPORT_FILE, conversion_report, report_text
from pipelines.convert.rules import RecordRules
from pipelines.convert.shards import (
    SHARD_NAME,
    ShardFile,
    empty_shard,
    note_placed,
    placed_shards,
    plan_path,
    shards_folder,
    split_of,
    staged_shards,
)
from pipelines.dataset import Dataset
from pipelines.grouping import by_kind
from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.manifest import MANIFEST, DataFile, Manifest
from pipelines.sources import Found

UNKNOWN_LABEL = ("fail", "skip")
LABEL_MAP = "label_map.pbtxt"


@dataclasses.dataclass(frozen=True)
class ConvertJob:
    """Convert annotated images; see the engine's Job for what the methods promise.

    Attributes:
        layout: splits and shards.
        masks, keypoints: whether records get them.
        image_rules: how images go into records.
        input_splits: the split that each input is in, as the command line says; empty where it does not.
        images: the image folder; None for the one that belongs to the annotations by convention.
        follow_links: images may be links to any place, not only into the folders that were given.
        format: of the annotations, or "auto".
        label_map: the classes; None takes them from the annotations.
        boxes: what to do with boxes outside the image, one of `box_policy.POLICIES`.
        unknown_label: what to do with objects whose class the label map lacks, one of `UNKNOWN_LABEL`.
        reading: what the annotations do not say themselves.
    """

    layout: Layout
    images: str | None = None
    follow_links: bool = False
    format: str = "auto"
    label_map: LabelMap | None = None
    boxes: str = "clip"
    unknown_label: str = "fail"
    masks: bool = False
    keypoints: bool = False
    image_rules: ImageRules = DEFAULT_RULES
    input_splits: tuple[str, ...] = ()
    reading: ReadingOptions = dataclasses.field(default_factory=ReadingOptions)

    name = "convert"
    table = "index"
    schema = RECORD_INDEX
    schema_version = RECORDS_VERSION
    whole_items = True
    failed_counts: ClassVar[Mapping[str, int]] = {}
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.boxes not in POLICIES or self.unknown_label not in UNKNOWN_LABEL:
            raise ValueError(f"unknown policy: boxes {self.boxes!r}, unknown_label {self.unknown_label!r}")

    @property
    def record_rules(self) -> RecordRules:
        """What workers need of it."""
        return RecordRules(self.boxes, self.masks, self.keypoints, self.image_rules)

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the records."""
        layout, rules = self.layout, self.image_rules
        sizes = {
            "--shard_bytes": layout.shard_bytes,
            "--images_per_shard": layout.images_per_shard,
            "--num_shards": layout.num_shards,
        }
        return {
            "--splits": layout.splits_text,
            "--split_by": layout.split_by,
            "--seed": str(layout.seed),
            "--shuffle": "on" if layout.shuffle else "off",
            **{name: str(value) for name, value in sizes.items() if value is not None},
            "--label_map": f"sha256:{self.label_map.digest}" if self.label_map else "that of the annotations",
            "--boxes": self.boxes,
            "--unknown_label": self.unknown_label,
            "--masks": "on" if self.masks else "off",
            "--keypoints": "on" if self.keypoints else "off",
            **self.reading.given(),
            "--exif": rules.exif,
            "--max_side": str(rules.max_side or "none"),
            "--jpeg_quality": str(rules.jpeg_quality),
            "--verify": rules.verify,
            "--compression": layout.compression,
        }

    def check(self, ask: Ask) -> None:
        """See Job. Opens what is quickly opened; whole files are read in `find`."""
        twice = next((path for path, times in collections.Counter(ask.inputs).items() if times > 1), None)
        if twice is not None:
            raise UsageError(convert_messages.given_twice(twice, ask.inputs, self.input_splits))
        for path in ask.inputs:
            if storage.stat(path) is None:
                self._open(path)
        if self.images is not None and not storage.is_folder(self.images):
            raise UsageError(f"{self.images}: no such image folder (--images)")

    def find(self, ask: Ask) -> Found:
        """See Job. Reads every annotation."""
        sets = self._sets(ask)
        plan = make_convert_plan(sets, self.layout, self.label_map, self.options)
        self._refuse_unknown_labels(plan)
        sources = sorted(plan.sources())
        if not sources:
            raise UsageError(convert_messages.nothing_to_do(ask.inputs, plan.header))
        self._refuse_foreign_shards(ask)
        return Found(sources, {}, lambda output: _prepare(output, plan))

    def cut(self, source: Source) -> Sequence[Piece]:
        """Images are whole."""
        return [Piece(source)]

    def is_step(self, piece: Piece) -> bool:
        """There are none."""
        return False

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """A shard, the kind of its images, is an item."""
        return by_kind(pieces)

    def spread(self, workers: int) -> Spread:
        """A process per core: an image that crashes its process is alone in it."""
        return Spread(workers, 1)

    def open_worker(self, output: str, threads: int) -> Worker:
        """See Job."""
        from pipelines.convert.worker import ConvertWorker

        return ConvertWorker(self.record_rules, output)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row without a record."""
        source = piece.source
        error = FrameError(failure.stage, failure.type, failure.message)
        row = FrameRow(source.key, storage.printable(source.uri), "image", 0, error=error)
        remark = {"kind": convert_remarks.IMAGE_GIVEN_UP, "text": failure.message}
        return record_index_table([row], [RecordPlace(split_of(source.kind), remarks=(remark,))], {})

    def publish(self, output: str, former: Manifest | None, files: Sequence[DataFile]) -> Mapping[str, Any]:
        """Move new shards to their places; those of a former plan go."""
        plan = ShardPlans(plan_path(output))
        header, found_objects = plan.header, plan.found_objects()
        plan.close()
        report = conversion_report(header, found_objects, [storage.join(output, file.name) for file in files])
        made = self._made_shards(output, header)
        details = former.details if former is not None else {}
        if not made and details:
            _write_report(output, report)
            return details
        known = {file["name"]: ShardFile(**file) for file in details.get("shards", [])}
        shards = [made.get(shard.name) or known[shard.name] for shard in header.shards]
        names = {file.name for file in shards}
        placed = placed_shards(output, details)
        note_placed(output, placed | names)
        # Until the manifest is written anew there is none: shards of two conversions must not pass for one.
        storage.remove([storage.join(output, MANIFEST)])
        for file in made.values():
            if not file.records:  # its item may have been given up, before it had written a file or after
                storage.write_text(storage.join(output, file.name), "")
            elif storage.stat(storage.join(shards_folder(output), file.name)) is not None:
                storage.move(storage.join(shards_folder(output), file.name), storage.join(output, file.name))
        storage.remove([storage.join(output, name) for name in sorted(placed - names)])
        if header.label_map is not None:
            storage.write_text(storage.join(output, LABEL_MAP), header.label_map.to_text())
        elif details.get("label_map"):
            storage.remove([storage.join(output, LABEL_MAP)])
        _write_report(output, report)
        return {
            "format": header.format,
            "label_map": LABEL_MAP if header.label_map else None,
            "shards": [file._asdict() for file in shards],
            "annotations_not_used": len(header.loose_faults),
            "notes": convert_messages.notes(list(self.layout.splits or {}), shards, header),
        }

    def _made_shards(self, output: str, header: PlanHeader) -> dict[str, ShardFile]:
        """The shards that were made anew since the last manifest, by name.

        A shard all of whose images failed has no records, whatever lies about under its name: perhaps its item was
        given up, and that is from another run.

        Raises:
            StorageError: a shard has not the records that its index tells of.
        """
        usable: dict[str, int] = {}
        paths: dict[str, str] = {}
        for part in Dataset(output).parts_of(self):
            for outcome in part.outcomes:
                source = outcome.piece.source
                if source.version == header.version:
                    usable[source.kind] = usable.get(source.kind, 0) + (outcome.status != "failed")
                    paths[source.kind] = part.path
        staged = staged_shards(output)
        unlike = [name for name, count in usable.items() if count and not _has_records(staged.get(name), count)]
        if unlike:
            storage.remove([paths[name] for name in unlike])
            raise StorageError(
                f"{output}: {', '.join(sorted(unlike))}: not as many records as in the index, as if another run had"
                " written there. Nothing is published; repeat the command, it makes these shards anew"
            )
        return {name: staged[name] if count else empty_shard(name) for name, count in usable.items()}

    def _refuse_foreign_shards(self, ask: Ask) -> None:
        """Shards are replaced without a question, so they must be ours."""
        if ask.overwrite or not storage.is_folder(ask.output):
            return
        manifest = Dataset(ask.output).manifest()
        ours = placed_shards(ask.output, manifest.details if manifest else {})
        foreign = sorted(
            name for name in storage.names_in(ask.output) if SHARD_NAME.fullmatch(name) and name not in ours
        )
        if foreign:
            more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
            raise OutputError(
                f"{ask.output}: holds record shards that boxbeam convert did not write ({foreign[0]}{more}):"
                " nobody could tell them from the new ones; choose another --output"
            )

    def _open(self, path: str) -> Annotations:
        with_excerpts = self.masks or self.keypoints
        return open_annotations(
            path, self.format, images=self.images, options=self.reading, with_excerpts=with_excerpts
        )

    def _sets(self, ask: Ask) -> list[AnnotationSet]:
        folders: dict[str, ImageFolder] = {}
        found = []
        given = None  # where links may lead to; only local folders have any
        if not self.follow_links:
            given = [path for path in ask.inputs if not storage.is_remote(path) and storage.is_folder(path)]
        splits = self.input_splits or (None,) * len(ask.inputs)
        for path, split in zip(ask.inputs, splits, strict=True):
            one = self._open(path)
            self._refuse_without_shapes(path, one)
            if isinstance(one, VocAnnotations) and self.layout.splits is None and split is None:
                one = one.with_own_splits()
            place = self.images or one.images_folder
            if place is None:
                raise UsageError(f"{path}: it is not known where its images lie; say it with --images DIR")
            if place not in folders:
                folders[place] = ImageFolder(place, given)
                if not len(folders[place]):
                    raise UsageError(f"{place}: no images in there; say with --images DIR where those of {path} lie")
            found.append(AnnotationSet(one, folders[place], split))
        return found

    def _refuse_without_shapes(self, path: str, annotations: Annotations) -> None:
        if self.masks and not isinstance(annotations, CocoAnnotations):
            raise UsageError(f"{path}: --masks needs COCO annotations, these are {annotations.format}; leave it out")
        if self.keypoints and not (isinstance(annotations, CocoAnnotations) and annotations.keypoints):
            raise UsageError(
                f"{path}: no category lists keypoints, as COCO's person_keypoints files do; leave --keypoints out"
            )

    def _refuse_unknown_labels(self, plan: ConvertPlan) -> None:
        label_map = plan.header.label_map
        if self.label_map is None or label_map is None:
            return
        unknown = {name: use for name, use in plan.labels.items() if label_map.id_of(name) is None}
        if unknown and len(unknown) == len(plan.labels):
            raise LabelMapError(
                convert_messages.unknown_labels(unknown, label_map, "; no class of the annotations is in it")
            )
        if unknown and self.unknown_label == "fail":
            advice = ", or leave such objects out with --unknown_label skip"
            raise LabelMapError(convert_messages.unknown_labels(unknown, label_map, advice))


def _has_records(file: ShardFile | None, count: int) -> bool:
    return file is not None and file.records == count


def _prepare(output: str, plan: ConvertPlan) -> None:
    """Write the plan; parts and shards that were made by another one go: what lies in `_work` is of one plan."""
    path = plan_path(output)
    if storage.stat(path) is not None:
        former = ShardPlans(path)
        former.close()
        if former.header.digest == plan.header.digest:
            return
    storage.remove(list(Dataset(output).part_paths()))
    storage.remove_folder(shards_folder(output))
    plan.write(path)


def _write_report(output: str, report: Mapping[str, Any]) -> None:
    """Write report.json, unless it is there already: a run that has nothing to do changes nothing."""
    path, text = storage.join(output, REPORT_FILE), report_text(report)
    if storage.stat(path) is None or storage.read_bytes(path) != text.encode():
        storage.write_text(path, text)
