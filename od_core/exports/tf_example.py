"""TFRecord with a tf.train.Example for every image: its detections under the keys of the TF Object Detection API.

`image/detection/*` as its infer_detections.py writes them with --discard_image_pixels. Where there is ground truth, its
objects are beside them as `image/object/*`: the API's offline_eval_map_corloc.py passes over records without.
"""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from od_core.detected_frames import DetectedFrame
from od_core.detections import Detections
from od_core.exports.exporter import size_of
from od_core.ground_truth import GroundTruth
from od_core.records import examples
from od_core.records.tfrecord import write_record

Truth = Callable[[DetectedFrame], GroundTruth | None]
"""What is annotated in a frame, with the class ids of the detections; None where nobody has annotated."""


class TfExampleExporter:
    """Writes one TFRecord file."""

    def __init__(self, path: pathlib.Path, truth_of: Truth = lambda frame: None):
        self._file = open(path, "wb")  # noqa: SIM115  # closed in close()
        self._truth_of = truth_of
        self._without_truth = self._unknown_objects = self._annotated = 0

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
        truth = self._truth_of(frame)
        if truth is None:
            self._without_truth += 1
        else:
            self._annotated += 1
            features |= self._objects(truth)
        write_record(self._file, examples.encode_example(features))

    def _objects(self, truth: GroundTruth) -> dict[str, examples.FeatureValue]:
        known = truth.classes >= 0
        self._unknown_objects += int((~known).sum())
        features: dict[str, examples.FeatureValue] = {
            examples.OBJECT_CLASS_LABEL: truth.classes[known].astype(np.int64),
            examples.OBJECT_DIFFICULT: truth.difficult[known].astype(np.int64),
            examples.OBJECT_GROUP_OF: truth.group_of[known].astype(np.int64),
            examples.OBJECT_IS_CROWD: truth.is_crowd[known].astype(np.int64),
        }
        if truth.area is not None:  # 0, which the API too takes for an area that is not known
            features[examples.OBJECT_AREA] = np.nan_to_num(truth.area[known], nan=0.0)
        return features | {key: truth.boxes[known, column] for column, key in enumerate(examples.OBJECT_BOX)}

    def failed(self, frame: DetectedFrame) -> None:
        """No record: one without detections would say that nothing is in the image."""

    def finish(self) -> Sequence[str]:
        """See Exporter."""
        self.close()
        notes = []
        if self._annotated and self._without_truth:
            notes.append(f"{self._without_truth:,} images without ground truth, which have detections alone")
        if self._unknown_objects:
            notes.append(f"{self._unknown_objects:,} objects left out, the detections' label map lacks their class")
        return notes

    def close(self) -> None:
        """See Exporter."""
        self._file.close()
