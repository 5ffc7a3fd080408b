"""The convert job: annotated images become TFRecord shards of the TF Object Detection API, and an index of them.

An item is a shard: its worker writes it into OUTPUT/_work/shards, with a note of what is in it, and the rows of its
images into the index. At the end shards take their place in OUTPUT.
"""

# Item processes unpickle this job and never import Beam: keep this module, and what it imports, free of it.

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from od_core import storage
from od_core.annotations.annotated import Annotations
from od_core.annotations.detect import open_annotations
from od_core.annotations.image_folder import ImageFolder
from od_core.box_policy import POLICIES
from od_core.errors import LabelMapError, UsageError
from od_core.label_map import LabelMap
from od_core.record_index import RECORD_INDEX, RECORDS_VERSION, RecordPlace, record_index_table
from od_core.schemas import FrameError, FrameRow
from pipelines.convert_layout import Layout
from pipelines.convert_plan import ConvertPlan, LabelUse, ShardPlans, make_convert_plan
from pipelines.convert_shards import ShardFile, plan_path, shards_folder, split_of, staged_shards
from pipelines.dataset import MANIFEST
from pipelines.grouping import by_kind
from pipelines.items import Ask, Failure, Item, Piece, Source
from pipelines.job import Spread, Worker
from pipelines.sources import Found

UNKNOWN_LABEL = ("fail", "skip")
LABEL_MAP = "label_map.pbtxt"

_SHARD_NAME = re.compile(r"[A-Za-z0-9_]+-\d{5}-of-\d{5}\.tfrecord")
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ConvertJob:
    """Convert annotated images; see the engine's Job for what the methods promise.

    Attributes:
        layout: splits and shards.
        images: the image folder; None for the one that belongs to the annotations by convention.
        format: of the annotations, or "auto".
        label_map: the classes; None takes them from the annotations.
        boxes: what to do with boxes outside the image, one of `box_policy.POLICIES`.
        unknown_label: what to do with objects whose class the label map lacks, one of `UNKNOWN_LABEL`.
    """

    layout: Layout
    images: str | None = None
    format: str = "auto"
    label_map: LabelMap | None = None
    boxes: str = "clip"
    unknown_label: str = "fail"

    name = "convert"
    table = "index"
    schema = RECORD_INDEX
    schema_version = RECORDS_VERSION
    whole_items = True
    provenance: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.boxes not in POLICIES or self.unknown_label not in UNKNOWN_LABEL:
            raise ValueError(f"unknown policy: boxes {self.boxes!r}, unknown_label {self.unknown_label!r}")

    @property
    def options(self) -> Mapping[str, str]:
        """What changes the records."""
        layout = self.layout
        sizes = {
            "--shard_bytes": layout.shard_bytes,
            "--images_per_shard": layout.images_per_shard,
            "--num_shards": layout.num_shards,
        }
        return {
            "--splits": ",".join(f"{name}={share:g}" for name, share in layout.splits.items()),
            "--split_by": layout.split_by,
            "--seed": str(layout.seed),
            **{name: str(value) for name, value in sizes.items() if value is not None},
            "--label_map": f"sha256:{self.label_map.digest}" if self.label_map else "that of the annotations",
            "--boxes": self.boxes,
            "--unknown_label": self.unknown_label,
        }

    def check(self, ask: Ask) -> None:
        """See Job. Opens what is quickly opened; whole files are read in `find`."""
        for path in ask.inputs:
            if storage.stat(path) is None:
                open_annotations(path, self.format)
        if self.images is not None and not storage.is_folder(self.images):
            raise UsageError(f"{self.images}: no such image folder (--images)")

    def find(self, ask: Ask) -> Found:
        """See Job. Reads every annotation."""
        annotations = [open_annotations(path, self.format) for path in ask.inputs]
        plan = make_convert_plan(annotations, self._folders(ask, annotations), self.layout, self.label_map)
        self._refuse_unknown_labels(plan)
        sources = sorted(plan.sources())
        if not sources:
            raise UsageError(f"{', '.join(ask.inputs)}: no image is annotated in there")
        return Found(sources, {}, lambda output: _prepare(output, plan))

    def cut(self, source: Source) -> Sequence[Piece]:
        """Images are whole."""
        return [Piece(source)]

    def group(self, pieces: Iterable[Piece]) -> Iterator[Item]:
        """A shard, the kind of its images, is an item."""
        return by_kind(pieces)

    def spread(self, workers: int) -> Spread:
        """A process per core: an image that crashes its process is alone in it."""
        return Spread(workers, 1)

    def open_worker(self, output: str, threads: int) -> Worker:
        """See Job."""
        from pipelines.convert_worker import ConvertWorker

        return ConvertWorker(self, output)

    def failed_rows(self, piece: Piece, failure: Failure) -> pa.Table:
        """One row without a record."""
        source = piece.source
        error = FrameError(failure.stage, failure.type, failure.message)
        row = FrameRow(source.key, storage.printable(source.uri), "image", 0, error=error)
        return record_index_table([row], [RecordPlace(split_of(source.kind))], {})

    def publish(self, output: str, former: Mapping[str, Any]) -> Mapping[str, Any]:
        """Move new shards to their places; those of a former plan go."""
        plan = ShardPlans(plan_path(output))
        plan.close()
        staged = staged_shards(output)
        if not staged and former:
            return former
        known = {file["name"]: ShardFile(**file) for file in former.get("shards", [])}
        files = []
        # Until the manifest is written anew there is none: shards of two conversions must not pass for one.
        storage.remove([storage.join(output, MANIFEST)])
        for shard in plan.header.shards:
            name = shard.name
            if name not in staged and name not in known:  # the whole item was given up
                with storage.commit(storage.join(output, name)):
                    pass
                known[name] = ShardFile(name, shard.split, 0, 0, _SHA256_OF_NOTHING)
            files.append(staged.get(name) or known[name])
            if storage.stat(storage.join(shards_folder(output), name)) is not None:
                storage.move(storage.join(shards_folder(output), name), storage.join(output, name))
        names = {file.name for file in files}
        stale = [n for n in storage.names_in(output) if _SHARD_NAME.fullmatch(n) and n not in names]
        storage.remove([storage.join(output, name) for name in stale])
        label_map = plan.header.label_map
        if label_map is not None:
            storage.write_text(storage.join(output, LABEL_MAP), label_map.to_text())
        return {
            "format": plan.header.format,
            "label_map": LABEL_MAP if label_map else None,
            "shards": [file._asdict() for file in files],
            "annotations_not_used": len(plan.header.loose_faults),
            "notes": _notes(files, plan.header.loose_faults),
        }

    def _folders(self, ask: Ask, annotations: Sequence[Annotations]) -> list[ImageFolder]:
        folders: dict[str, ImageFolder] = {}
        found = []
        for path, one in zip(ask.inputs, annotations, strict=True):
            place = self.images or one.images_folder
            if place is None:
                raise UsageError(f"{path}: it is not known where its images lie; say it with --images DIR")
            if place not in folders:
                folders[place] = ImageFolder(place)
                if not len(folders[place]):
                    raise UsageError(f"{place}: no images in there; say with --images DIR where those of {path} lie")
            found.append(folders[place])
        return found

    def _refuse_unknown_labels(self, plan: ConvertPlan) -> None:
        label_map = plan.header.label_map
        if self.label_map is None or label_map is None or self.unknown_label == "skip":
            return
        unknown = {name: use for name, use in plan.labels.items() if label_map.id_of(name) is None}
        if unknown:
            raise LabelMapError(_unknown_labels(unknown, label_map))


def _unknown_labels(unknown: Mapping[str, LabelUse], label_map: LabelMap) -> str:
    names = list(label_map.names.values())
    told = []
    for name, use in sorted(unknown.items(), key=lambda pair: (-pair[1].objects, pair[0]))[:_NAMED]:
        by_lower = {known.lower(): known for known in names}
        close = difflib.get_close_matches(name.lower(), by_lower, 1)
        guess = f", did you mean {by_lower[close[0]]!r}?" if close else ""
        told.append(f"{name!r} ({use.objects} objects, the first in {use.place}{guess})")
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return (
        f"the label map has no class called {'; '.join(told)}{more}. It has: {', '.join(names[:20])}. Correct the"
        " annotations or the label map, or leave such objects out with --unknown_label skip"
    )


_SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _prepare(output: str, plan: ConvertPlan) -> None:
    """Write the plan; shards that were made by another one are of no use."""
    path = plan_path(output)
    if storage.stat(path) is not None:
        former = ShardPlans(path)
        former.close()
        if former.header.digest == plan.header.digest and former.header.shards == plan.header.shards:
            return
        storage.remove_folder(shards_folder(output))
    plan.write(path)


def _notes(files: Sequence[ShardFile], loose_faults: Sequence[str]) -> list[str]:
    """What a person should read at the end."""
    splits: dict[str, list[ShardFile]] = {}
    for file in files:
        splits.setdefault(file.split, []).append(file)
    notes = [
        f"{split}: {sum(file.records for file in of_split):,} records in {len(of_split):,} shard{'s' * (len(of_split) > 1)}"
        for split, of_split in splits.items()
    ]
    if loose_faults:
        notes.append(f"{len(loose_faults):,} annotations could not be used: {'; '.join(loose_faults[:_NAMED])}")
    return notes
