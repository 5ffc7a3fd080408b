"""The item side of convert: one shard at a time, one image of it in memory."""

import hashlib
import math
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from od_core import boxes, storage
from od_core.annotations.annotated import AnnotatedObject
from od_core.box_policy import KeptObjects, Remark, apply_policy
from od_core.errors import AnnotationError, ImageError, InputError
from od_core.ground_truth import GroundTruth
from od_core.image_record import Placed, encode_record, placed_objects
from od_core.images import MAX_FILE_BYTES
from od_core.record_index import RecordPlace, record_index_table
from od_core.schemas import FrameError, FrameRow
from od_core.stored_image import MADE_PNG, SCALED, TURNED, StoredImage, stored_image
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.layout import GZIP_EXTENSION
from pipelines.convert.plan import PlannedImage, ShardPlans
from pipelines.convert.shapes import ShapeReader
from pipelines.convert.shards import ShardFile, ShardWriter, note_shard, plan_path, shards_folder, split_of
from pipelines.items import Item, Outcome, Piece
from pipelines.job import Watch
from pipelines.parts import RowWriter
from pipelines.reading import frame_error, reading

if TYPE_CHECKING:
    from pipelines.convert.job import ConvertJob

_INDEX_ROWS_PER_TABLE = 1000
_TOO_LARGE = f"a file of more than {MAX_FILE_BYTES >> 20:,} MiB, more than any image that is decoded"


class _Written(NamedTuple):
    """What became of one image."""

    row: FrameRow
    place: RecordPlace
    counts: Mapping[str, int]


class ConvertWorker:
    """Writes shards as a plan says."""

    def __init__(self, job: "ConvertJob", output: str):
        self._job = job
        self._output = output
        self._plans = ShardPlans(plan_path(output))
        self._label_map = self._plans.header.label_map
        self._labels = self._label_map.labels if self._label_map else {}
        self._shapes = ShapeReader(masks=job.masks, keypoints=self._plans.header.keypoints if job.keypoints else {})

    @property
    def provenance(self) -> Mapping[str, object]:
        """Nothing that the job does not know."""
        return {}

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        """Write the shard of an item, then its note, then the index rows of its images, in the order of their keys."""
        shard = item.pieces[0].source.kind
        pieces = {piece.source.key: piece for piece in item.pieces}
        condemned = {piece.source.key: failure for piece, failure in item.condemned}
        written: dict[str, _Written] = {}
        with (
            storage.commit(storage.join(shards_folder(self._output), shard)) as temporary,
            open(temporary, "wb") as file,
        ):
            writer = ShardWriter(file, is_compressed=shard.endswith(GZIP_EXTENSION))
            for planned in self._plans.images(shard):
                piece = pieces[planned.key]
                if planned.key in condemned:
                    error = FrameError(*condemned[planned.key])
                    written[planned.key] = self._failed(planned, shard, error, convert_remarks.IMAGE_GIVEN_UP)
                    continue
                watch.begin(piece)
                one, payload = self._convert(planned, shard)
                if payload is not None:
                    row = one.row._replace(record_index=writer.records)
                    offset, length = writer.add(payload)
                    one = one._replace(row=row, place=one.place._replace(shard=shard, offset=offset, length=length))
                written[planned.key] = one
                watch.advance(one.counts, piece.weight)
                watch.end(piece)
            writer.close()
            file.flush()
            size, digest = file.tell(), _sha256(temporary)
        note_shard(self._output, ShardFile(shard, split_of(shard), writer.records, size, digest))
        self._index(item, rows, written)

    def close(self) -> None:
        """Close the plan and the annotations."""
        self._plans.close()
        self._shapes.close()

    def _index(self, item: Item, rows: RowWriter, written: Mapping[str, _Written]) -> None:
        for start in range(0, len(item.pieces), _INDEX_ROWS_PER_TABLE):
            some = [written[piece.source.key] for piece in item.pieces[start : start + _INDEX_ROWS_PER_TABLE]]
            rows.write(record_index_table([one.row for one in some], [one.place for one in some], self._labels))
        for piece in item.pieces:
            rows.finish(_outcome(piece, written[piece.source.key]))

    def _convert(self, planned: PlannedImage, shard: str) -> tuple[_Written, bytes | None]:
        reason = planned.fault_kind or convert_remarks.ANNOTATION_NOT_USABLE
        try:
            if planned.fault is not None:
                raise AnnotationError(f"{planned.annotated.place}: {planned.fault}")
            reason = convert_remarks.IMAGE_DAMAGED
            if planned.size > MAX_FILE_BYTES:
                raise ImageError(_TOO_LARGE)
            reason = convert_remarks.IMAGE_NOT_READABLE
            encoded = _read(planned.uri)
            reason = convert_remarks.IMAGE_DAMAGED
            image = stored_image(encoded, self._job.image_rules)
            reason = convert_remarks.IMAGE_OF_ANOTHER_SIZE
            placed = placed_objects(planned.annotated.in_pixels(image.width, image.height), image)
            reason = convert_remarks.IMAGE_WITH_REFUSED_BOXES
            kept = self._kept(planned, placed)
            reason = convert_remarks.IMAGE_NOT_READABLE
            return self._record(planned, image, placed, kept, shard)
        except InputError as error:
            return self._failed(planned, shard, frame_error(error), reason), None

    def _kept(self, planned: PlannedImage, placed: Placed) -> KeptObjects:
        try:
            return apply_policy(placed.objects, placed.width, placed.height, self._job.boxes)
        except AnnotationError as error:
            raise AnnotationError(f"{planned.annotated.place}: {error}") from error

    def _record(
        self, planned: PlannedImage, image: StoredImage, placed: Placed, kept: KeptObjects, shard: str
    ) -> tuple[_Written, bytes]:
        annotated = planned.annotated
        objects, unknown = self._known(kept.objects)
        ids = [self._id_of(item.label) for item in objects]
        labels = [(label, self._id_of(label.label)) for label in annotated.labels]
        known_labels = [pair for pair in labels if pair[1] >= 0]
        shapes, shape_remarks = self._shapes.of(annotated, objects, placed, image)
        remarks = (
            *_changes(image),
            *(Remark(note.kind, f"{annotated.place}: {note.text}") for note in annotated.notes),
            *(Remark(convert_remarks.OBJECT_NOT_USABLE, text) for text in planned.lost_objects),
            *(Remark(kind, f"{annotated.place}: {text}") for kind, text in (*kept.remarks, *unknown, *shape_remarks)),
        )
        normalised = boxes.to_normalised([item.box_px for item in objects], placed.height, placed.width)
        source_id = annotated.source_id or annotated.name
        payload = encode_record(
            image,
            filename=annotated.name,
            source_id=source_id,
            objects=objects,
            class_ids=ids,
            normalised=normalised,
            with_pose=self._plans.header.format == "voc",
            shapes=shapes,
            labels=known_labels,
        )
        areas = [math.nan if item.area is None else item.area for item in objects]
        truth = GroundTruth.of(
            normalised,
            ids,
            is_crowd=[item.is_crowd for item in objects],
            difficult=[item.difficult for item in objects],
            group_of=[item.group_of for item in objects],
            labels=[self._labels.get(class_id, item.label) for class_id, item in zip(ids, objects, strict=True)],
            area=areas,
        )
        row = self._blank(planned)._replace(width=image.width, height=image.height, objects=truth)
        row = row._replace(source_id=source_id)
        place = RecordPlace(split_of(shard), format=image.format, remarks=tuple(r._asdict() for r in remarks))
        counts = {"images": 1, "boxes": len(objects)}
        if image.changes:
            counts["images_re_encoded"] = 1
        if labels:
            counts |= {"image_labels": len(known_labels), "image_labels_skipped": len(labels) - len(known_labels)}
        for remark in remarks:
            counts[remark.kind] = counts.get(remark.kind, 0) + 1
        return _Written(row, place, counts), payload

    def _known(self, objects: tuple[AnnotatedObject, ...]) -> tuple[list[AnnotatedObject], list[Remark]]:
        known = [item for item in objects if self._id_of(item.label) >= 0]
        remarks = [
            Remark(convert_remarks.UNKNOWN_LABEL_SKIPPED, f"{item.place}: the label map has no class {item.label!r}")
            for item in objects
            if self._id_of(item.label) < 0
        ]
        return known, remarks

    def _id_of(self, label: str) -> int:
        found = self._label_map.id_of(label) if self._label_map else None
        return -1 if found is None else found

    def _blank(self, planned: PlannedImage) -> FrameRow:
        return FrameRow(planned.key, storage.printable(planned.uri), "image", 0)

    def _failed(self, planned: PlannedImage, shard: str, error: FrameError, reason: str) -> _Written:
        row = self._blank(planned)._replace(error=error, source_id=planned.annotated.source_id or None)
        remark = Remark(reason, error.message)
        return _Written(row, RecordPlace(split_of(shard), remarks=(remark._asdict(),)), {})


def _read(uri: str) -> bytes:
    """A whole image file, which may have grown since the run was planned."""
    with reading(uri), storage.open_input(uri) as file:
        encoded = file.read(MAX_FILE_BYTES + 1)
    if len(encoded) > MAX_FILE_BYTES:
        raise ImageError(_TOO_LARGE)
    return encoded


def _changes(image: StoredImage) -> list[Remark]:
    """What of the original file is not in the record as it was."""
    width, height = image.full_size or (image.width, image.height)
    texts = {
        TURNED: f"its EXIF orientation was {image.orientation}",
        SCALED: f"it was {width} x {height}, and is {image.width} x {image.height}",
        MADE_PNG: f"it was a {image.original_format.upper()}",
    }
    return [Remark(change, texts[change]) for change in image.changes]


def _outcome(piece: Piece, written: _Written) -> Outcome:
    row = written.row
    if row.error is not None:
        return Outcome(piece, "failed", 1, {}, row.error.message)
    return Outcome(piece, "done" if row.objects is not None and len(row.objects) else "empty", 1, written.counts)


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
