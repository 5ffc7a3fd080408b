"""Print what `as_supervision` makes of every frame of a detections dataset, and that supervision works with it.

python use_as_supervision.py DETECTIONS
"""

import json
import sys

import numpy as np
import supervision

from od_core.detected_frames import read_frames
from od_core.supervision_detections import as_supervision


def main(path: str) -> None:
    seen = []
    zone = supervision.PolygonZone(polygon=np.array([[0, 0], [1000, 0], [1000, 1000], [0, 1000]]))
    for frame in read_frames(path):
        found = as_supervision(frame)
        canvas = np.zeros((frame.height or 1, frame.width or 1, 3), np.uint8)
        drawn = supervision.BoxAnnotator(color_lookup=supervision.ColorLookup.CLASS).annotate(canvas.copy(), found)
        seen.append(
            {
                "xyxy": found.xyxy.tolist(),
                "confidence": [] if found.confidence is None else found.confidence.tolist(),
                "class_id": [] if found.class_id is None else found.class_id.tolist(),
                "class_name": list(map(str, found.data.get("class_name", ()))),
                "sure": len(found[found.confidence > 0.6]) if found.confidence is not None else 0,
                "is_drawn": bool(drawn.any()),
                "in_zone": int(zone.trigger(found).sum()),
            }
        )
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
