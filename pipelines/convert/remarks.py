"""The kinds of remarks on images and their objects: the words of the index, of the report, and of the counts."""

from typing import NamedTuple

from od_core.records.stored_image import MADE_PNG, SCALED, TURNED

IMAGE_NOT_FOUND = "images_not_found"
IMAGE_LINKED_AWAY = "images_linked_away"
ANNOTATION_NOT_USABLE = "annotations_not_usable"
IMAGE_NOT_READABLE = "images_not_readable"
IMAGE_DAMAGED = "images_damaged"
IMAGE_OF_ANOTHER_SIZE = "images_of_another_size"
IMAGE_WITH_REFUSED_BOXES = "images_with_refused_boxes"
IMAGE_WITH_TOO_LARGE_MASKS = "images_with_too_large_masks"
IMAGE_GIVEN_UP = "images_given_up"

OBJECT_NOT_USABLE = "objects_not_usable"
UNKNOWN_LABEL_SKIPPED = "unknown_labels_skipped"
OBJECT_OF_NO_IMAGE = "objects_of_no_image"
IMAGE_IN_NO_SPLIT = "images_in_no_split"
OBJECT_IN_NO_SPLIT = "objects_of_images_in_no_split"
OBJECT_OF_REJECTED_IMAGE = "objects_of_rejected_images"


MASK_MISSING = "masks_missing"
KEYPOINTS_MISSING = "keypoints_missing"


class Reason(NamedTuple):
    """What a kind of remark is about and what came of it, in words.

    Attributes:
        of: "images" or "boxes".
        outcome: "written", "clipped", "dropped" or "rejected"; boxes that are clipped are written too.
        words: why, to be read behind a count: "4 images rejected: damaged, or no image at all".
    """

    of: str
    outcome: str
    words: str


REASONS = {
    ANNOTATION_NOT_USABLE: Reason("images", "rejected", "the annotation cannot be used"),
    IMAGE_NOT_FOUND: Reason("images", "rejected", "no image of that name, or several"),
    IMAGE_LINKED_AWAY: Reason("images", "rejected", "a link out of the folders that were given (--follow_links)"),
    IMAGE_NOT_READABLE: Reason("images", "rejected", "the file cannot be read"),
    IMAGE_DAMAGED: Reason("images", "rejected", "damaged, too large, or no image at all"),
    IMAGE_OF_ANOTHER_SIZE: Reason("images", "rejected", "of another shape than the annotation says"),
    IMAGE_WITH_REFUSED_BOXES: Reason("images", "rejected", "a box that --boxes strict refuses"),
    IMAGE_WITH_TOO_LARGE_MASKS: Reason("images", "rejected", "more pixels of masks than a record takes"),
    IMAGE_GIVEN_UP: Reason("images", "rejected", "crashed or stalled its process"),
    IMAGE_IN_NO_SPLIT: Reason("images", "rejected", "in none of the splits that are given"),
    "images_with_recognised_units": Reason("images", "written", "boxes taken to be in units of the image"),
    "images_with_weak_detections": Reason("images", "written", "with detections below --min_score, left out"),
    "polygons_boxed": Reason("boxes", "written", "polygons, of which the bounding boxes are taken"),
    "keypoints_left_out": Reason("boxes", "written", "without their keypoints, which are not read from this format"),
    TURNED: Reason("images", "written", "encoded anew: turned upright by their EXIF orientation"),
    SCALED: Reason("images", "written", "encoded anew: scaled down to --max_side"),
    MADE_PNG: Reason("images", "written", "encoded anew as PNG: neither JPEG nor PNG"),
    MASK_MISSING: Reason("boxes", "written", "without a mask, which has the weight 0"),
    KEYPOINTS_MISSING: Reason("boxes", "written", "without their keypoints"),
    "boxes_clipped": Reason("boxes", "clipped", "over the border of the image"),
    "over_border_boxes_dropped": Reason("boxes", "dropped", "over the border of the image"),
    "empty_boxes_dropped": Reason("boxes", "dropped", "no wider or no higher than nothing"),
    "outside_boxes_dropped": Reason("boxes", "dropped", "wholly outside the image"),
    "dontcare_regions": Reason("boxes", "dropped", "DontCare regions, which are no objects"),
    "objects_in_dontcare_dropped": Reason("boxes", "dropped", "overlapping a DontCare region (--dont_care exclude)"),
    OBJECT_NOT_USABLE: Reason("boxes", "rejected", "the annotation of the object cannot be used"),
    UNKNOWN_LABEL_SKIPPED: Reason("boxes", "rejected", "a class that the label map lacks"),
    OBJECT_OF_REJECTED_IMAGE: Reason("boxes", "rejected", "their image was rejected"),
    OBJECT_IN_NO_SPLIT: Reason("boxes", "rejected", "their image is in none of the splits that are given"),
    OBJECT_OF_NO_IMAGE: Reason("boxes", "rejected", "of no image of the data set"),
}
"""In the order in which they are told."""


def is_lost(kind: str) -> bool:
    """Whether a remark of this kind is about a box that is not written."""
    reason = REASONS.get(kind)
    return reason is not None and reason.of == "boxes" and reason.outcome in ("dropped", "rejected")
