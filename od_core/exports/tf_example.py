"""TFRecord with a tf.train.Example for every image: its detections under the keys of the TF Object Detection API.

`image/detection/*` as its infer_detections.py writes them with --discard_image_pixels, but without the ground truth
that it copies from its input.
"""

import pathlib
from collections.abc import Sequence

import numpy as np

from od_core import examples
from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import size_of
from od_core.records import write_record


class TfExampleExporter:
    """Writes one TFRecord file."""

    def __init__(self, path: pathlib.Path):
        self._file = open(path, "wb")  # noqa: SIM115  # closed in close()

    def write(self, frame: DetectedFrame, found: Detections) -> None:
        """See Exporter."""
        height, width = size_of(frame)
        features: dict[str, examples.FeatureValue] = {
            examples.FILENAME: frame.name,
            examples.SOURCE_ID: frame.name,
            examples.HEIGHT: height,
            examples.WIDTH: width,
            examples.DETECTION_SCORE: found.scores,
            examples.DETECTION_LABEL: found.classes.astype(np.int64),
        }
        for column, key in enumerate(examples.DETECTION_BOX):
            features[key] = found.boxes[:, column]
        write_record(self._file, examples.encode_example(features))

    def failed(self, frame: DetectedFrame) -> None:
        """No record: one without detections would say that nothing is in the image."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self.close()
        return []

    def close(self) -> None:
        """See Exporter."""
        self._file.close()
