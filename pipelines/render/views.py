"""What is to be seen in one frame: the detections that are shown, what is annotated, and the verdicts on both."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.verdicts import NONE, Reason, Verdict, Verdicts, verdicts_of
from od_core.score_limits import ScoreLimits
from pipelines.render.choices import RenderChoices
from pipelines.render.classes import ids_of
from pipelines.render.rows import DetectionRow
from pipelines.render.truth import TruthRows

# Class ids from here on are those of annotated classes that the detections lack: they can only be missed.
_FIRST_FOREIGN_ID = 1 << 30


_NO_NUMBERS = np.zeros(0, np.int64)
_EVERYTHING = np.array([[0, 0, 1, 1]], np.float32)


class View(NamedTuple):
    """What is to be seen in one frame.

    Attributes:
        shown: the detections; None where nobody has looked, or where that failed.
        truth: what is annotated, with the class ids of the detections; None where nobody has annotated.
        verdicts: on these two; None where nobody asks for them, or one of the two is missing.
        has_failed: whether somebody has looked in vain.
        numbers: int64 (N,), the places of `shown` in the row's list of detections.
        hidden: float32 (K, 4), boxes of what is to be made unrecognisable; None for nothing.
        held_from: the number of the frame in which `shown` was found, if it is not this one.
    """

    shown: Detections | None
    truth: GroundTruth | None
    verdicts: Verdicts | None = None
    has_failed: bool = False
    numbers: npt.NDArray[np.int64] = _NO_NUMBERS
    hidden: npt.NDArray[np.float32] | None = None
    held_from: int | None = None

    @property
    def has_errors(self) -> bool:
        """Whether a detection is wrong, or an object was missed."""
        verdicts = self.verdicts
        return verdicts is not None and bool(
            (verdicts.found == Verdict.FP).any() or (verdicts.truth == Verdict.FN).any()
        )


class Viewer:
    """Makes views of rows, as a job wants them."""

    def __init__(self, job: RenderChoices, truth: TruthRows | None):
        self._job = job
        self._truth = truth
        self._limits = ScoreLimits()
        self._hidden_classes: list[int] = []

    def begin(self, labels: Mapping[int, str]) -> None:
        """From now on rows are of classes with these names."""
        self._limits = self._job.score_limits(labels)
        self._hidden_classes = [class_id for name in self._job.blur for class_id in ids_of(name, labels)]

    def load(self, keys: Sequence[str]) -> None:
        """Look up the ground truth of these keys; that of others is forgotten."""
        if self._truth is not None:
            self._truth.load(keys)

    def view(self, found: DetectionRow | None, key: str, frame_index: int) -> View:
        """What is to be seen in a frame, of which `found` is the row."""
        shown, numbers = self._shown(found)
        truth = self._truth.at(key, frame_index) if self._truth is not None else None
        verdicts = None
        if self._job.needs_verdicts and found is not None and shown is not None and truth is not None:
            verdicts = self._verdicts(found, shown, truth)
        has_failed = found is not None and shown is None
        return View(shown, truth, verdicts, has_failed, numbers, self._hidden(shown, truth))

    def held_view(self, before: DetectionRow, after: DetectionRow | None, key: str, frame_index: int) -> View:
        """What is to be seen in a frame that nobody has looked at: what was found in the one before, without verdicts.

        Hidden is also what is found afterwards: things move.
        """
        shown, numbers = self._shown(before)
        truth = self._truth.at(key, frame_index) if self._truth is not None else None
        hidden = self._hidden(shown, truth)
        later, _ = self._shown(after)
        if hidden is not None and later is not None:
            hidden = np.concatenate([hidden, later.boxes[np.isin(later.classes, self._hidden_classes)]])
        return View(shown, truth, None, False, numbers, hidden, before.frame_index)

    def _shown(self, found: DetectionRow | None) -> tuple[Detections | None, npt.NDArray[np.int64]]:
        """The detections of a row that are shown, and their places in it."""
        if found is None or found.detections is None:
            return None, _NO_NUMBERS
        passed = self._limits.passed(found.detections)
        return found.detections.where(passed), np.flatnonzero(passed)

    def _hidden(self, shown: Detections | None, truth: GroundTruth | None) -> npt.NDArray[np.float32] | None:
        """What --blur hides: all that was found or annotated of its classes; where nobody has looked, everything."""
        if not self._job.blur:
            return None
        if shown is None:
            return _EVERYTHING
        hidden = shown.boxes[np.isin(shown.classes, self._hidden_classes)]
        if truth is not None:
            hidden = np.concatenate([hidden, truth.boxes[np.isin(truth.classes, self._hidden_classes)]])
        return hidden

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
