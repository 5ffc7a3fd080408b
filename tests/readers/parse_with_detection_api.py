"""Print what the TensorFlow Object Detection API's own parser of detections sees in a TFRecord file, as one JSON list.

python parse_with_detection_api.py TFRECORD
"""

import json
import sys

import numpy as np

np.float, np.int = float, int  # type: ignore[attr-defined]  # the parser is of 2022, when NumPy had these names

import tensorflow as tf  # noqa: E402
from object_detection.metrics.tf_example_parser import TfExampleDetectionAndGTParser  # noqa: E402


def main(path: str) -> None:
    parser = TfExampleDetectionAndGTParser()
    seen = []
    for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
        example = tf.train.Example.FromString(serialized)
        whole = parser.parse(example)
        one = {name: part.parse(example) for name, part in parser.items_to_handlers.items()}
        seen.append(
            {
                "is_whole": whole is not None,
                **{name: value.decode() if isinstance(value, bytes) else _listed(value) for name, value in one.items()},
            }
        )
    print(json.dumps(seen))


def _listed(value: "np.ndarray | None") -> object:
    return None if value is None else value.tolist()


if __name__ == "__main__":
    main(*sys.argv[1:])
