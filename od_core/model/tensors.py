"""The tensors of a model whose exporter named them in its own way, and what its numbers mean."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from od_core.errors import UsageError

# What an output is for -> how the TensorFlow Object Detection API calls it. All but the first three may be absent.
ROLES = {
    "boxes": "detection_boxes",
    "scores": "detection_scores",
    "classes": "detection_classes",
    "num": "num_detections",
    "masks": "detection_masks",
    "keypoints": "detection_keypoints",
    "keypoint_scores": "detection_keypoint_scores",
}
NEEDED_ROLES = ("boxes", "scores", "classes")

# What can be kept of a detection beside its box, score and class; roles of outputs.
SHAPES = ("masks", "keypoints")

BOX_FORMATS = ("ymin_xmin_ymax_xmax", "xmin_ymin_xmax_ymax", "cx_cy_w_h")
PIXELS = "pixels"


@dataclasses.dataclass(frozen=True)
class ModelTensors:
    """How to find a model's tensors and read its answers; by default as the TensorFlow Object Detection API exports.

    Attributes:
        input: name of the input; None for the API's names.
        outputs: pairs of a role (one of `ROLES`) and the output's name: a key of the SavedModel's signature, or a node
            or tensor of the graph such as `nms/boxes` or `nms:2`. Empty for the API's names. Without `num` every row
            with a score above 0 counts.
        box_format: what the four numbers of a box are, one of `BOX_FORMATS`.
        in_pixels: they are pixels of the image that was fed, not parts of its height and width.
        first_class_id: what the model calls the label map's class 1: 1, or 0 where it knows no background.

    Raises:
        UsageError: an unknown or missing role, a name given twice, or an unknown format.
    """

    input: str | None = None
    outputs: tuple[tuple[str, str], ...] = ()
    box_format: str = BOX_FORMATS[0]
    in_pixels: bool = False
    first_class_id: int = 1

    def __post_init__(self) -> None:
        roles = [role for role, _ in self.outputs]
        optional = ", ".join(role for role in ROLES if role not in NEEDED_ROLES)
        known = f"there are boxes, scores, classes and, where the model has them, {optional}; got {', '.join(roles)}"
        if unknown := [role for role in roles if role not in ROLES]:
            raise UsageError(f"--output_tensors: a model has no output for {unknown[0]!r}: {known}")
        if len(set(roles)) < len(roles):
            raise UsageError(f"--output_tensors: one name for each, but one is given twice: {known}")
        if roles and (missing := [role for role in NEEDED_ROLES if role not in roles]):
            raise UsageError(f"--output_tensors: say which output gives the {missing[0]}: {known}")
        if self.box_format not in BOX_FORMATS:
            raise UsageError(f"--box_format: {self.box_format!r} is not one of {', '.join(BOX_FORMATS)}")

    @classmethod
    def of_text(
        cls,
        input_tensor: str | None = None,
        output_tensors: str | None = None,
        box_format: str | None = None,
        first_class_id: int | None = None,
    ) -> "ModelTensors":
        """From the words of a command line: `boxes=a,scores=b,classes=c` and `cx_cy_w_h,pixels`.

        Raises:
            UsageError: see the class; or a text of another form.
        """
        pairs = []
        for part in output_tensors.split(",") if output_tensors is not None else []:
            role, equals, name = (word.strip() for word in part.partition("="))
            if not (role and equals and name):
                form = "boxes=NAME,scores=NAME,classes=NAME,num=NAME"
                raise UsageError(f"--output_tensors: must be like {form}, got {output_tensors!r}")
            pairs.append((role, name))
        layout, *units = (box_format or BOX_FORMATS[0]).split(",")
        if units not in ([], [PIXELS]):
            raise UsageError(f"--box_format: after the comma comes {PIXELS} or nothing, got {box_format!r}")
        first = 1 if first_class_id is None else first_class_id
        return cls(input_tensor, tuple(pairs), layout, bool(units), first)

    @property
    def options(self) -> Mapping[str, str]:
        """What is not as the API has it, by the option that says so; all of it changes the result."""
        default = ModelTensors()
        given = {
            "--input_tensor": self.input,
            "--output_tensors": ",".join(f"{role}={name}" for role, name in self.outputs) or None,
            "--box_format": self.box_format + f",{PIXELS}" * self.in_pixels,
            "--first_class_id": str(self.first_class_id),
        }
        unchanged = {"--box_format": default.box_format, "--first_class_id": str(default.first_class_id)}
        return {name: text for name, text in given.items() if text is not None and text != unchanged.get(name)}

    @property
    def output_names(self) -> Mapping[str, str]:
        """The API's name of an output -> its name in this model; empty where they are the same."""
        return {ROLES[role]: name for role, name in self.outputs}

    def normalised_boxes(self, boxes: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
        """(N, 4) boxes as the model gives them, as rows [ymin, xmin, ymax, xmax] in units of the image."""
        if self.box_format == BOX_FORMATS[0] and not self.in_pixels:
            return boxes
        rows = boxes.astype(np.float64)
        if self.box_format == "cx_cy_w_h":
            centres, halves = rows[:, [1, 0]], rows[:, [3, 2]] / 2
            rows = np.concatenate([centres - halves, centres + halves], axis=1)
        elif self.box_format == "xmin_ymin_xmax_ymax":
            rows = rows[:, [1, 0, 3, 2]]
        return rows / (height, width, height, width) if self.in_pixels else rows

    def normalised_points(self, points: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
        """(N, K, 2) keypoints as the model gives them, as rows [y, x] in units of the image.

        The API gives them as y, x; a model with boxes of another order gives x first, as those do.
        """
        rows = points if self.box_format == BOX_FORMATS[0] else points[..., ::-1]
        return rows / (height, width) if self.in_pixels else rows


API_TENSORS = ModelTensors()
