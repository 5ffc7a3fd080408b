"""boxbeam: object detection over far too many images and videos, on one machine or many.

boxbeam JOB [OPTIONS]        each JOB explains itself: boxbeam JOB --help
"""

import importlib
import os
import select
import sys
from collections.abc import Sequence

from od_core.closest_name import did_you_mean

JOBS = {
    "convert": "make TFRecord shards of annotated images (Pascal VOC, COCO), split into training and validation",
    "infer": "find objects in images, videos and TFRecords with a trained TensorFlow model; detections go to Parquet",
    "evaluate": "hold detections against ground truth: COCO's and Pascal VOC's numbers, per class and overall",
    "render": "draw detections into pictures and videos, ground truth beside them",
    "export": "write detections in the format of another tool: COCO, Pascal VOC, YOLO, CSV, MegaDetector, tf.Example",
    "review": "pages to look at detections with, which open from disk: pictures, videos, mistakes, counts",
    "inspect": "say what a detections dataset, a model, a video or a TFRecord file holds, and whether it is valid",
    "demo": "the whole chain on a harbour that boxbeam draws itself: look at its pictures first",
}

_START = """
start here (this works when pasted):
  boxbeam demo --output demo_out
  boxbeam infer --model demo_out/model --label_map demo_out/model/label_map.pbtxt --input demo_out/scene --output found
  boxbeam evaluate --detections found --ground_truth demo_out/records --output scores
"""


_SIGPIPE_STATUS = 141  # as shells tell of a program that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one job; returns its exit status."""
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # `boxbeam … | head`: who read it has enough; what is still in the buffer must not be complained about at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe that nobody reads."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    job, *rest = arguments
    if job == "--version":
        print(f"boxbeam {version()}")
        return 0
    if job not in JOBS:
        guess = did_you_mean(job, JOBS, otherwise=f"there are {', '.join(JOBS)}")
        print(f"boxbeam: error: no job called {job!r}{guess}", file=sys.stderr)
        return 2
    status: int = importlib.import_module(f"beam_jobs.{job}").main(rest)
    return status


def version() -> str:
    """boxbeam's version, from its installation or its source."""
    from od_core.version import __version__

    return __version__


def _help() -> str:
    jobs = "\n".join(f"  {name:<9}{line}" for name, line in JOBS.items())
    return f"{(__doc__ or '').strip()}\n\njobs:\n{jobs}\n{_START}"


if __name__ == "__main__":
    sys.exit(main())
