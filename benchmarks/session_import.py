"""Start-up with all of TensorFlow, or with its session modules alone: seconds to import, and to open and run a graph.

    python -m benchmarks.session_import --graph frozen_inference_graph.pb --what session

The session modules alone are had by putting a bare `tensorflow` in place, which then serves nobody else.
"""

import argparse
import importlib.util
import os
import pathlib
import sys
import time
import types
from typing import Any

import numpy as np

from benchmarks.child import answer, import_tensorflow

WHAT = ("all", "session")


def main() -> int:
    """Import, open, run once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", required=True)
    parser.add_argument("--what", choices=WHAT, required=True)
    args = parser.parse_args()
    started, cpu = time.monotonic(), time.process_time()
    graph_type, import_graph, message, session_type = _all() if args.what == "all" else _session_modules()
    imported = time.monotonic() - started
    message.ParseFromString(pathlib.Path(args.graph).read_bytes())
    with graph_type().as_default() as graph:
        import_graph(message, name="")
    with session_type(graph=graph) as session:
        image = np.zeros((1, 64, 64, 3), np.uint8)
        scores = session.run("detection_scores:0", {"image_tensor:0": image})
    seconds = time.monotonic() - started
    answer(
        {
            "import_seconds": imported,
            "seconds": seconds,
            "cpu_seconds": time.process_time() - cpu,
            "scores": scores[0].tolist(),
        }
    )
    return 0


def _all() -> tuple[Any, Any, Any, Any]:
    tf = import_tensorflow()
    return tf.Graph, tf.graph_util.import_graph_def, tf.compat.v1.GraphDef(), tf.compat.v1.Session


def _session_modules() -> tuple[Any, Any, Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    for name in ("tensorflow", "tensorflow.python"):
        bare = types.ModuleType(name)
        inside = name.split(".")[1:]
        bare.__path__ = [os.path.join(place, *inside) for place in spec.submodule_search_locations]
        sys.modules[name] = bare
    from tensorflow.core.framework import graph_pb2
    from tensorflow.python.client import session
    from tensorflow.python.framework import importer, ops

    return ops.Graph, importer.import_graph_def, graph_pb2.GraphDef(), session.Session


if __name__ == "__main__":
    sys.exit(main())
