"""Look at every image and frame of a detections dataset, and at what was found in it as NumPy arrays.

python examples/loop_over_detections.py DETECTIONS
"""

import sys

from od_core.detected_frames import read_frames

for frame in read_frames(sys.argv[1]):
    if frame.detections is None:
        print(f"{frame.name}: {frame.error.message}")
        continue
    best = frame.detections.best(min_score=0.5)  # boxes (N, 4): ymin, xmin, ymax, xmax; scores (N,); classes (N,)
    print(f"{frame.name}: {', '.join(frame.labels[: len(best)])}")
