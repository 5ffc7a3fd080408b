"""One planned image: read, verified, and made into a record; or the reason why not."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from od_core import boxes, storage
from od_core.annotations.annotated import AnnotatedObject
from od_core.box_policy import KeptObjects, Remark, apply_policy
from od_core.errors import AnnotationError, ImageError, InputError
from od_core.ground_truth import GroundTruth
from od_core.images import MAX_FILE_BYTES
from od_core.records.image_record import Placed, Shapes, encode_record, placed_objects
from od_core.records.stored_image import MADE_PNG, SCALED, TURNED, StoredImage, stored_image
from od_core.schemas import FrameError, FrameRow
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.plan import PlanHeader, PlannedImage
from pipelines.convert.rules import RecordRules
from pipelines.convert.shapes import ShapeReader
from pipelines.reading import frame_error, reading

_TOO_LARGE = f"a file of more than {MAX_FILE_BYTES >> 20:,} MiB, more than any image that is decoded"


class Converted(NamedTuple):
    """What became of one image.

    Attributes:
        row: of the index, without the number of its record.
        remarks: on the image and its objects.
        counts: for people.
        format: of the stored image.
        payload: the serialized record; None if there is none: the row says why.
    """

    row: FrameRow
    remarks: tuple[Remark, ...]
    counts: Mapping[str, int] = MappingProxyType({})
    format: str | None = None
    payload: bytes | None = None


class RecordMaker:
    """Makes records by the rules of a job; holds one annotation file open."""

    def __init__(self, rules: RecordRules, header: PlanHeader):
        self._rules = rules
        self._label_map = header.label_map
        self._labels = header.label_map.labels if header.label_map else {}
        self._ids: dict[str, int] = {}
        self._with_pose = header.format == "voc"
        self._shapes = ShapeReader(masks=rules.masks, keypoints=header.keypoints if rules.keypoints else {})

    def convert(self, planned: PlannedImage) -> Converted:
        """The record of an image. What is wrong with an image never raises: it becomes a failed row."""
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
            placed = placed_objects(planned.annotated.in_pixels(image.width, image.height), image)
            reason = convert_remarks.IMAGE_WITH_REFUSED_BOXES
            kept = self._kept(planned, placed)
            objects = [item for item in kept.objects if self._id_of(item.label) >= 0]
            reason = convert_remarks.IMAGE_WITH_TOO_LARGE_MASKS
            self._shapes.refuse_too_large(objects, placed, image)
            reason = convert_remarks.IMAGE_NOT_READABLE
            shapes, shape_remarks = self._shapes.of(planned.annotated, objects, placed, image)
            remarks = self._remarks(planned, image, kept, shape_remarks)
            return self._record(planned, image, placed, objects, shapes, remarks)
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

    def _record(
        self,
        planned: PlannedImage,
        image: StoredImage,
        placed: Placed,
        objects: list[AnnotatedObject],
        shapes: Shapes,
        remarks: tuple[Remark, ...],
    ) -> Converted:
        annotated = planned.annotated
        ids = [self._id_of(item.label) for item in objects]
        labels = [(label, self._id_of(label.label)) for label in annotated.labels]
        known_labels = [pair for pair in labels if pair[1] >= 0]
        normalised = boxes.to_normalised([item.box_px for item in objects], placed.height, placed.width)
        source_id = annotated.source_id or annotated.name
        payload = encode_record(
            image,
            filename=annotated.name,
            source_id=source_id,
            objects=objects,
            class_ids=ids,
            normalised=normalised,
            with_pose=self._with_pose,
            shapes=shapes,
            labels=known_labels,
        )
        truth = GroundTruth.of(
            normalised,
            ids,
            is_crowd=_flags([item.is_crowd for item in objects]),
            difficult=_flags([item.difficult for item in objects]),
            group_of=_flags([item.group_of for item in objects]),
            labels=[self._labels.get(class_id, item.label) for class_id, item in zip(ids, objects, strict=True)],
            area=[math.nan if item.area is None else item.area for item in objects],
        )
        row = FrameRow(
            planned.key,
            storage.printable(planned.uri),
            "image",
            0,
            width=image.width,
            height=image.height,
            objects=truth,
            source_id=source_id,
        )
        counts = {"images": 1, "boxes": len(objects)}
        if image.changes:
            counts["images_re_encoded"] = 1
        if labels:
            counts |= {"image_labels": len(known_labels), "image_labels_skipped": len(labels) - len(known_labels)}
        for remark in remarks:
            counts[remark.kind] = counts.get(remark.kind, 0) + 1
        return Converted(row, remarks, counts, image.format, payload)

    def _remarks(
        self, planned: PlannedImage, image: StoredImage, kept: KeptObjects, shape_remarks: list[Remark]
    ) -> tuple[Remark, ...]:
        place = planned.annotated.place
        unknown = [
            Remark(convert_remarks.UNKNOWN_LABEL_SKIPPED, f"{item.place}: the label map has no class {item.label!r}")
            for item in kept.objects
            if self._id_of(item.label) < 0
        ]
        return (
            *_changes(image),
            *(Remark(note.kind, f"{place}: {note.text}") for note in planned.annotated.notes),
            *(Remark(convert_remarks.OBJECT_NOT_USABLE, text) for text in planned.lost_objects),
            *(Remark(kind, f"{place}: {text}") for kind, text in (*kept.remarks, *unknown, *shape_remarks)),
        )

    def _id_of(self, label: str) -> int:
        if label not in self._ids:
            found = self._label_map.id_of(label) if self._label_map else None
            self._ids[label] = -1 if found is None else found
        return self._ids[label]


def _read(planned: PlannedImage) -> bytes:
    """A whole image file, which may have grown since the run was planned."""
    with reading(planned.uri), storage.open_input(planned.uri) as file:
        encoded = file.read(planned.size + 1)  # not more: room is made for all that is asked for
        if len(encoded) > planned.size:
            encoded += file.read(MAX_FILE_BYTES + 1 - len(encoded))
    if len(encoded) > MAX_FILE_BYTES:
        raise ImageError(_TOO_LARGE)
    return encoded


def _flags(values: list[bool]) -> list[bool] | None:
    """Flags, if any object has it: most have none, and None costs nothing."""
    return values if True in values else None


def _changes(image: StoredImage) -> list[Remark]:
    """What of the original file is not in the record as it was."""
    if not image.changes:
        return []
    width, height = image.full_size or (image.width, image.height)
    texts = {
        TURNED: f"its EXIF orientation was {image.orientation}",
        SCALED: f"it was {width} x {height}, and is {image.width} x {image.height}",
        MADE_PNG: f"it was a {image.original_format.upper()}",
    }
    return [Remark(change, texts[change]) for change in image.changes]
