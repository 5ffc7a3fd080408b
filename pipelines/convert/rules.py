"""What a record takes over of an image and its annotation."""

from typing import NamedTuple

from od_core.records.stored_image import ImageRules


class RecordRules(NamedTuple):
    """The part of a conversion's options that its workers need; attributes as those of `ConvertJob`."""

    boxes: str
    masks: bool
    keypoints: bool
    images: ImageRules
