"""One planned image: read, verified, and made into a record; or the reason why not."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core import boxes, storage
from od_core.annotations.annotated import AnnotatedObject
from od_core.annotations.object_columns import ObjectColumns
from od_core.box_policy import KeptObjects, Remark, apply_policy
from od_core.errors import AnnotationError, ImageError, InputError
from od_core.images import MAX_FILE_BYTES
from od_core.label_map import LabelMap
from od_core.records.image_record import Placed, Shapes, encode_record, placed_objects
from od_core.records.stored_image import MADE_PNG, SCALED, TURNED, StoredImage, stored_image
from od_core.schemas import FrameError, FrameRow
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.plan import PlanHeader, PlannedImage
from pipelines.convert.rules import RecordRules
from pipelines.convert.shapes import ShapeReader
from pipelines.reading import Reading, frame_error

_NO_ID = -1  # of a class that the label map lacks

_TOO_LARGE = f"a file of more than {MAX_FILE_BYTES >> 20:,} MiB, more than any image that is decoded"


class RecordObjects(NamedTuple):
    """The objects of a record: as annotated, their label-map ids, and boxes in units of the image, float32 (N, 4)."""

    annotated: ObjectColumns
    class_ids: Sequence[int]
    boxes: npt.NDArray[np.float32]


class Converted(NamedTuple):
    """What became of one image.

    Attributes:
        row: of the index, without objects.
        remarks: on the image and its objects.
        counts: for people.
        format: of the stored image.
        payload: the serialized record; None if there is none: the row says why.
        objects: those of the record; None if there is none.
    """

    row: FrameRow
    remarks: tuple[Remark, ...]
    counts: Mapping[str, int] = MappingProxyType({})
    format: str | None = None
    payload: bytes | None = None
    objects: RecordObjects | None = None


class _ClassIds(dict[str, int]):
    """The label-map ids of class names, each looked up once; `_NO_ID` for one that the label map lacks."""

    def __init__(self, label_map: LabelMap | None):
        super().__init__()
        self._label_map = label_map

    def __missing__(self, label: str) -> int:
        found = self._label_map.id_of(label) if self._label_map else None
        self[label] = class_id = _NO_ID if found is None else found
        return class_id


class RecordMaker:
    """Makes records by the rules of a job; holds one annotation file open."""

    def __init__(self, rules: RecordRules, header: PlanHeader):
        self._rules = rules
        self._ids = _ClassIds(header.label_map)
        self._with_pose = header.format == "voc"
        self._shapes = ShapeReader(masks=rules.masks, keypoints=header.keypoints if rules.keypoints else {})

    def convert(self, planned: PlannedImage, number: int) -> Converted:
        """The record of an image, `number` of its shard. What is wrong with an image never raises: its row failed."""
        reason = planned.fault_kind or convert_remarks.ANNOTATION_NOT_USABLE
        try:
            if planned.fault is not None:
                raise AnnotationError(f"{planned.annotated.place}: {planned.fault}")
            reason = convert_remarks.IMAGE_DAMAGED
            if planned.size > MAX_FILE_BYTES:
                raise ImageError(_TOO_LARGE)
            reason = convert_remarks.IMAGE_NOT_READABLE
            encoded = _read(planned)
            reason = convert_remarks.IMAGE_DAMAGED
            image = stored_image(encoded, self._rules.images)
            reason = convert_remarks.IMAGE_OF_ANOTHER_SIZE
            placed = placed_objects(planned.annotated, image)
            reason = convert_remarks.IMAGE_WITH_REFUSED_BOXES
            kept = self._kept(planned, placed)
            known, unknown = self._known(kept.objects)
            reason = convert_remarks.IMAGE_WITH_TOO_LARGE_MASKS
            self._shapes.refuse_too_large(known, placed, image)
            reason = convert_remarks.IMAGE_NOT_READABLE
            shapes, shape_remarks = self._shapes.of(planned.annotated, known, placed, image)
            remarks = _remarks(planned, image, (*kept.remarks, *unknown, *shape_remarks))
            return self._record(planned, number, image, self._of_record(known, placed), shapes, remarks)
        except InputError as error:
            return self.failed(planned, frame_error(error), reason)

    def failed(self, planned: PlannedImage, error: FrameError, reason: str) -> Converted:
        """The row of an image of which there is no record; `reason`: a kind of remark."""
        source_id = planned.annotated.source_id or None
        row = FrameRow(planned.key, storage.printable(planned.uri), "image", 0, error=error, source_id=source_id)
        return Converted(row, (Remark(reason, error.message),))

    def close(self) -> None:
        """Let go of the annotation file."""
        self._shapes.close()

    def _kept(self, planned: PlannedImage, placed: Placed) -> KeptObjects:
        try:
            return apply_policy(placed.objects, placed.width, placed.height, self._rules.boxes)
        except AnnotationError as error:
            raise AnnotationError(f"{planned.annotated.place}: {error}") from error

    def _known(self, objects: Sequence[AnnotatedObject]) -> tuple[Sequence[AnnotatedObject], Sequence[Remark]]:
        """The objects whose class the label map has, and remarks on the others, which do not go into the record."""
        ids = [self._ids[label] for label in ObjectColumns.of(objects).label]
        if _NO_ID not in ids:
            return objects, ()
        kind = convert_remarks.UNKNOWN_LABEL_SKIPPED
        known, unknown = [], []
        for item, class_id in zip(objects, ids, strict=True):
            if class_id == _NO_ID:
                unknown.append(Remark(kind, f"{item.place}: the label map has no class {item.label!r}"))
            else:
                known.append(item)
        return known, unknown

    def _of_record(self, objects: Sequence[AnnotatedObject], placed: Placed) -> RecordObjects:
        columns = ObjectColumns.of(objects)
        normalised = boxes.to_normalised(columns.box_px, placed.height, placed.width)
        return RecordObjects(columns, [self._ids[label] for label in columns.label], normalised.astype(np.float32))

    def _record(
        self,
        planned: PlannedImage,
        number: int,
        image: StoredImage,
        objects: RecordObjects,
        shapes: Shapes,
        remarks: tuple[Remark, ...],
    ) -> Converted:
        annotated = planned.annotated
        labels = [(label, self._ids[label.label]) for label in annotated.labels]
        known_labels = [pair for pair in labels if pair[1] != _NO_ID]
        source_id = annotated.source_id or annotated.name
        payload = encode_record(
            image,
            filename=annotated.name,
            source_id=source_id,
            objects=objects.annotated,
            class_ids=objects.class_ids,
            normalised=objects.boxes,
            with_pose=self._with_pose,
            shapes=shapes,
            labels=known_labels,
        )
        row = FrameRow(
            planned.key,
            storage.printable(planned.uri),
            "image",
            0,
            number,
            width=image.width,
            height=image.height,
            source_id=source_id,
        )
        counts = {"images": 1, "boxes": len(objects.class_ids)}
        if image.changes:
            counts["images_re_encoded"] = 1
        if labels:
            counts |= {"image_labels": len(known_labels), "image_labels_skipped": len(labels) - len(known_labels)}
        for remark in remarks:
            counts[remark.kind] = counts.get(remark.kind, 0) + 1
        return Converted(row, remarks, counts, image.format, payload, objects)


def _remarks(planned: PlannedImage, image: StoredImage, on_objects: Sequence[Remark]) -> tuple[Remark, ...]:
    annotated = planned.annotated
    if not (on_objects or image.changes or annotated.notes or planned.lost_objects):
        return ()  # as almost all images
    return (
        *_changes(image),
        *(Remark(note.kind, f"{annotated.place}: {note.text}") for note in annotated.notes),
        *(Remark(convert_remarks.OBJECT_NOT_USABLE, text) for text in planned.lost_objects),
        *(Remark(kind, f"{annotated.place}: {text}") for kind, text in on_objects),
    )


def _read(planned: PlannedImage) -> bytes:
    """A whole image file, which may have grown since the run was planned."""
    with Reading(planned.uri):
        encoded = storage.read_up_to(planned.uri, MAX_FILE_BYTES + 1, planned.size)
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
