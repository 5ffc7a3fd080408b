"""What becomes of annotated boxes that are not as they should be: clipped, dropped, or a reason to refuse the image."""

from collections.abc import Sequence
from typing import NamedTuple

from od_core.annotations.annotated import AnnotatedObject
from od_core.annotations.object_columns import ObjectRows
from od_core.errors import AnnotationError

POLICIES = ("clip", "drop", "strict")

# An annotation tool that rounds can put an edge this far over the border: no reason to refuse an image.
_ROUNDING_PX = 1.0


class Remark(NamedTuple):
    """Something a person may want to know about one object: what was done, where, and why."""

    kind: str
    text: str


class KeptObjects(NamedTuple):
    """Objects with boxes that lie in the image, (ymin, xmin, ymax, xmax) in pixels, and what was done to others.

    A remark's kind is the name it is counted by: boxes_clipped, over_border_boxes_dropped, empty_boxes_dropped or
    outside_boxes_dropped.
    """

    objects: Sequence[AnnotatedObject]
    remarks: tuple[Remark, ...]


def apply_policy(objects: Sequence[AnnotatedObject], width: int, height: int, policy: str) -> KeptObjects:
    """Keep what lies in the image.

    An empty box (no wider or no higher than nothing) and one wholly outside are dropped. One that reaches over the
    border is clipped, or dropped where the policy is "drop".

    Args:
        objects: boxes in pixels of an image of this width and height.
        policy: one of `POLICIES`; "strict" takes no box that is not as it should be.

    Raises:
        AnnotationError: "strict", and a box is empty or reaches over the border by more than a pixel.
    """
    if isinstance(objects, ObjectRows) and objects.all_lie_in(width, height):
        return KeptObjects(objects, ())  # as those of almost all images
    kept: list[AnnotatedObject] = []
    remarks: list[Remark] = []
    for item in objects:
        ymin, xmin, ymax, xmax = item.box_px
        if 0 <= ymin < ymax <= height and 0 <= xmin < xmax <= width:
            kept.append(item)
            continue
        what = f"{item.place} ({item.label}): its box, x {xmin:g} to {xmax:g}, y {ymin:g} to {ymax:g},"
        over = max(-ymin, -xmin, ymax - height, xmax - width)
        if ymin >= ymax or xmin >= xmax:
            remark = Remark("empty_boxes_dropped", f"{what} is no wider or no higher than nothing")
        elif ymin >= height or xmin >= width or ymax <= 0 or xmax <= 0:
            remark = Remark("outside_boxes_dropped", f"{what} lies outside the {width} x {height} image")
        else:
            remark = Remark(
                "boxes_clipped", f"{what} reaches {over:g} px over the border of the {width} x {height} image"
            )
        if policy == "strict" and (remark.kind != "boxes_clipped" or over > _ROUNDING_PX):
            raise AnnotationError(f"{remark.text}; correct it, or choose --boxes clip or drop")
        if remark.kind == "boxes_clipped" and policy != "drop":
            box = (max(ymin, 0.0), max(xmin, 0.0), min(ymax, float(height)), min(xmax, float(width)))
            kept.append(item._replace(box_px=box))
        elif remark.kind == "boxes_clipped":
            remark = remark._replace(kind="over_border_boxes_dropped")
        remarks.append(remark)
    return KeptObjects(tuple(kept), tuple(remarks))
