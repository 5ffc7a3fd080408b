"""What is to be seen in one frame: the detections that are shown, what is annotated, and the verdicts on both."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Reason, Verdict, Verdicts, verdicts_of
from od_core.score_limits import ScoreLimits
from pipelines.render_rows import DetectionRow
from pipelines.render_truth import TruthRows

if TYPE_CHECKING:
    from pipelines.render import RenderJob

# Class ids from here on are those of annotated classes that the detections lack: they can only be missed.
_FIRST_FOREIGN_ID = 1 << 30


class View(NamedTuple):
    """What is to be seen in one frame.

    Attributes:
        shown: the detections; None where nobody has looked, or where that failed.
        truth: what is annotated, with the class ids of the detections; None where nobody has annotated.
        verdicts: on these two; None where nobody asks for them, or one of the two is missing.
        has_failed: whether somebody has looked in vain.
    """

    shown: Detections | None
    truth: GroundTruth | None
    verdicts: Verdicts | None = None
    has_failed: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether a detection is wrong, or an object was missed."""
        verdicts = self.verdicts
        return verdicts is not None and bool(
            (verdicts.found == Verdict.FP).any() or (verdicts.truth == Verdict.FN).any()
        )


class Viewer:
    """Makes views of rows, as a job wants them."""

    def __init__(self, job: "RenderJob", truth: TruthRows | None):
        self._job = job
        self._truth = truth
        self._limits = ScoreLimits()

    def begin(self, labels: Mapping[int, str]) -> None:
        """From now on rows are of classes with these names."""
        self._limits = self._job.score_limits(labels)

    def load(self, keys: Sequence[str]) -> None:
        """Look up the ground truth of these keys; that of others is forgotten."""
        if self._truth is not None:
            self._truth.load(keys)

    def view(self, found: DetectionRow | None, key: str, frame_index: int) -> View:
        """What is to be seen in a frame, of which `found` is the row."""
        shown = None
        if found is not None and found.detections is not None:
            shown = self._limits.kept(found.detections)
        truth = self._truth.at(key, frame_index) if self._truth is not None else None
        verdicts = None
        if self._job.needs_verdicts and found is not None and shown is not None and truth is not None:
            verdicts = self._verdicts(found, shown, truth)
        return View(shown, truth, verdicts, has_failed=found is not None and shown is None)

    def wants(self, view: View) -> bool:
        """Whether --only lets this frame be rendered."""
        if self._job.only == "errors":
            return view.has_errors
        return self._job.only == "all" or bool(view.shown)

    def _verdicts(self, row: DetectionRow, shown: Detections, truth: GroundTruth) -> Verdicts:
        """As boxbeam evaluate gives them; a detection of a class that the ground truth lacks is ignored."""
        assert self._truth is not None
        frame = EvaluatedFrame(row.key, row.height or 1, row.width or 1, _with_foreign_ids(truth), shown)
        verdicts = verdicts_of(frame, self._job.iou)
        known = np.isin(shown.classes, list(self._truth.known_classes))
        return dataclasses.replace(
            verdicts,
            found=np.where(known, verdicts.found, np.int8(Verdict.IGNORED)),
            reasons=np.where(known, verdicts.reasons, np.int8(Reason.NONE)),
            objects=np.where(known, verdicts.objects, NONE),
            ious=np.where(known, verdicts.ious, 0.0),
        )

    def close(self) -> None:
        """Let go of the file of the ground truth."""
        if self._truth is not None:
            self._truth.close()


def _with_foreign_ids(truth: GroundTruth) -> GroundTruth:
    """The objects with ids for the classes that the detections lack, one for each name."""
    if truth.labels is None or (truth.classes >= 0).all():
        return truth
    names = sorted({name for name in truth.labels if name})
    ids = [
        _FIRST_FOREIGN_ID + names.index(name) if class_id < 0 and name else class_id
        for class_id, name in zip(truth.classes.tolist(), truth.labels, strict=True)
    ]
    return GroundTruth.of(truth.boxes, ids, is_crowd=truth.is_crowd, difficult=truth.difficult, group_of=truth.group_of)
