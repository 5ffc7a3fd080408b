"""A Detector from any exported TensorFlow model: what it takes and gives, and opening it.

Nothing here imports TensorFlow: the signature rules answer in milliseconds, and `open_detector`
imports the backend (`od_core.model.tf_session`) when it is called.
"""

import math
import os
from collections.abc import Collection
from typing import Protocol

from od_core.detections import Detections
from od_core.images import ImageArray
from od_core.model.files import ModelFiles as ModelFiles
from od_core.model.files import find_model as find_model
from od_core.model.signature import INPUT_KINDS as INPUT_KINDS
from od_core.model.signature import OUTPUTS as OUTPUTS
from od_core.model.signature import Signature as Signature
from od_core.model.tensors import API_TENSORS, ModelTensors


class Detector(Protocol):
    """An open model. Every method may be called from many threads at once."""

    @property
    def signature(self) -> Signature:
        """How the model is fed and read."""

    def detect(self, images: ImageArray, *, min_score: float = -math.inf, limit: int | None = None) -> list[Detections]:
        """What the model finds in each image.

        Args:
            images: uint8 (B, H, W, 3), RGB, upright; any B: it is cut to the model's `batch_limit` here.
            min_score: detections with a lower score are left out, before work goes into their masks.
            limit: the best so many of an image are kept; None keeps all.

        Returns:
            One Detections per image, cut at the model's own num_detections.

        Raises:
            DetectError: the model failed on these images, or answered with numbers that are no detections.
            ValueError: another shape or dtype, or the detector is closed.
        """

    def decode_jpeg(self, encoded: bytes) -> ImageArray:
        """JPEG pixels as the TensorFlow Object Detection API saw them: uint8 (H, W, 3), EXIF not applied.

        Decoders differ by about one grey level, and that moves scores by up to 0.2: results name theirs.

        Raises:
            ImageError: not a JPEG, damaged or cut off.
            ValueError: the detector is closed.
        """

    def close(self) -> None:
        """Give back memory and threads; may be called again."""


def open_detector(
    path: str | os.PathLike[str],
    *,
    tensors: ModelTensors = API_TENSORS,
    keep: Collection[str] = (),
    device: str | None = None,
    gpu_memory_growth: bool = True,
) -> Detector:
    """Open the model at `path` (see `find_model`) in one TensorFlow Session.

    On CPU each call of `detect` computes on one core, in the thread that calls: call it from as many threads as there
    are cores.

    Args:
        path: the model.
        tensors: its tensors' names and the meaning of its numbers, where they are not the API's.
        keep: what its Detections hold beside boxes, scores and classes: some of `model_tensors.SHAPES`.
        device: "cpu" or "gpu:N", counted from 0; None leaves it to TensorFlow: the first GPU, or else the CPU.
        gpu_memory_growth: take GPU memory as needed, so that several processes can share a GPU; otherwise
            TensorFlow takes nearly all of it at once.

    Raises:
        ModelError: not a model, not a detector, or TensorFlow is not installed.
        UsageError: there is no such device; lists those that there are.
    """
    files = find_model(path)
    from od_core.model.tf_session import SessionDetector

    return SessionDetector(files, tensors=tensors, keep=keep, device=device, gpu_memory_growth=gpu_memory_growth)
