"""Beam's RunInference with a hand-written handler on a folder of JPEGs, as a program of its own.

python -m benchmarks.run_inference --graph frozen_inference_graph.pb --images DIR --mode multi_processing --workers 2
"""

import argparse
import pathlib
import sys
import tempfile

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from benchmarks.child import answer, whole
from benchmarks.inference_handler import build

MODES = ("in_memory", "multi_threading", "multi_processing")


def main() -> int:
    """Run it, and count the rows it wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--workers", type=whole, required=True)
    args = parser.parse_args()
    paths = sorted(map(str, args.images.rglob("*.jpg")))
    options = PipelineOptions(direct_running_mode=args.mode, direct_num_workers=args.workers)
    with tempfile.TemporaryDirectory(prefix="boxbeam-bench-") as output:
        with beam.Pipeline(FnApiRunner(), options) as root:
            build(root, paths, args.graph, f"{output}/found")
        rows = sum(pq.read_metadata(path).num_rows for path in pathlib.Path(output).glob("*.parquet"))
    answer({"images": len(paths), "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
