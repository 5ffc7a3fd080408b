"""The loop that many start from: a function that loads the graph, opens a Session and looks at one image, in a loop.

python -m benchmarks.graph_per_image --graph frozen_inference_graph.pb --images DIR --seconds 8
"""

import argparse
import itertools
import pathlib
import sys
import time
from typing import Any

from benchmarks.child import answer, import_tensorflow, positive

_OUTPUTS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def main() -> int:
    """Look at images for some seconds, one call each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=positive, required=True)
    args = parser.parse_args()
    tf = import_tensorflow()
    paths = itertools.cycle(sorted(args.images.rglob("*.jpg")))
    _detect(tf, args.graph, next(paths))
    done, cpu, started = 0, time.process_time(), time.monotonic()
    while time.monotonic() - started < args.seconds:
        _detect(tf, args.graph, next(paths))
        done += 1
    elapsed, cpu = time.monotonic() - started, time.process_time() - cpu
    answer({"images_per_second": done / elapsed, "cpu_ms": 1000 * cpu / done})
    return 0


def _detect(tf: Any, graph_path: str, image_path: pathlib.Path) -> Any:
    image = tf.io.decode_jpeg(image_path.read_bytes(), channels=3).numpy()
    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(pathlib.Path(graph_path).read_bytes())
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run([f"{name}:0" for name in _OUTPUTS], {"image_tensor:0": image[None]})


if __name__ == "__main__":
    sys.exit(main())
