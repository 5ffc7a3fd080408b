"""CPU seconds of a bare loop over detections, in a process of its own: python -m benchmarks.read_loop DETECTIONS."""

import sys
import time

from benchmarks.child import answer
from od_core.detected_frames import read_frames

if __name__ == "__main__":
    started = time.process_time()
    for _ in read_frames(sys.argv[1]):
        pass
    answer({"cpu_seconds": time.process_time() - started})
