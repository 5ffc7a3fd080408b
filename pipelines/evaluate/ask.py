"""What is to be evaluated, as asked for, and what came of planning it.

Both are small whatever the number of images, so that the plan can be made wherever the data is near: in the launcher on
one machine, on a worker of a cluster (planning.py).
"""

import dataclasses
import json
from typing import Any, NamedTuple

from od_core.annotations.ground_truth_set import check_ground_truth
from od_core.annotations.joined_truth import open_all_ground_truth
from od_core.errors import UsageError
from od_core.label_map import LabelMap
from pipelines.evaluate.detection_forms import check_detections, open_detections
from pipelines.evaluate.image_labels import OpenImages
from pipelines.evaluate.plan import EvaluationPlan, plan_evaluation
from pipelines.evaluate.slices import SliceBy, columns_asked, slices_by


class Planned(NamedTuple):
    """An evaluation that makes sense: its plan, the form of the ground truth, and the parts to tell apart."""

    plan: EvaluationPlan
    truth_form: str
    slicing: tuple[SliceBy, ...]

    def to_text(self) -> str:
        """JSON, for `planned_from`."""
        return json.dumps({"plan": self.plan.to_json(), "truth_form": self.truth_form, "slicing": self.slicing})


def refusal_text(error: UsageError) -> str:
    """JSON in place of a plan, for `planned_from`."""
    return json.dumps({"refused": str(error)})


def planned_from(text: str | bytes) -> Planned:
    """The reverse of `Planned.to_text`.

    Raises:
        UsageError: the text is that of a refusal.
    """
    fields: dict[str, Any] = json.loads(text)
    if "refused" in fields:
        raise UsageError(fields["refused"])
    slicing = tuple(SliceBy(*way) for way in fields["slicing"])
    return Planned(EvaluationPlan.from_json(fields["plan"]), fields["truth_form"], slicing)


@dataclasses.dataclass(frozen=True)
class EvaluationAsk:
    """What is to be held against what; all paths are absolute.

    Attributes:
        detections: see `open_detections`.
        ground_truth: paths, see `open_ground_truth`, as are images and splits.
        label_map: names of the classes of forms of detections that have ids only, and of a ground truth like that.
        slice_by: words for the parts to tell apart, see `slices_by`.
        masks: whether masks are evaluated.
        allow_missing: leave out frames that were not processed.
        open_images: what Open Images knows beside boxes.
    """

    detections: str
    ground_truth: tuple[str, ...]
    images: str | None = None
    splits: tuple[str, ...] = ()
    label_map: LabelMap | None = None
    slice_by: tuple[str, ...] = ()
    masks: bool = False
    allow_missing: bool = False
    open_images: OpenImages | None = None

    def check(self) -> None:
        """Refuse what a look at paths, footers and beginnings of files shows, in a time that does not depend on sizes.

        Raises:
            UsageError: see `check_ground_truth` and `check_detections`.
        """
        for path in self.ground_truth:
            check_ground_truth(path, images=self.images, splits=self.splits)
        check_detections(self.detections)

    def plan(self, folder: str) -> Planned:
        """Read both to their end, join them, and leave in `folder` what workers need.

        Raises:
            UsageError: as `check`, and see `plan_evaluation`.
        """
        columns = columns_asked(self.slice_by)
        truth = open_all_ground_truth(
            self.ground_truth, images=self.images, splits=self.splits, columns=columns, masks=self.masks
        )
        found = open_detections(self.detections, truth, folder, self.label_map)
        slicing = slices_by(self.slice_by, found, truth)
        plan = plan_evaluation(
            found,
            truth,
            folder,
            allow_missing=self.allow_missing,
            open_images=self.open_images,
            columns=[way.truth_column for way in slicing if way.truth_column],
            masks=self.masks,
            names=self.label_map,
        )
        return Planned(plan, truth.form, slicing)
