"""Find objects in one picture and draw them: a model, an image, no pipeline.

python examples/detect_and_draw.py MODEL LABEL_MAP IMAGE DRAWN.jpg
"""

import pathlib
import sys

from od_core.drawing import draw_detections
from od_core.images import decode_image, encode_jpeg
from od_core.label_map import read_label_map
from od_core.model.detector import open_detector

model, label_map, image_file, drawn = sys.argv[1:]
labels = read_label_map(label_map).labels
detector = open_detector(model)

# Detectors are sensitive to the JPEG decoder: this is the one they were trained with.
image = decode_image(pathlib.Path(image_file).read_bytes(), decode_jpeg=detector.decode_jpeg)
(found,) = detector.detect(image[None])  # a batch of one: uint8 (1, height, width, 3)
detector.close()

best = found.best(min_score=0.5)
for box, score, class_id in zip(best.boxes, best.scores, best.classes, strict=True):
    ymin, xmin, ymax, xmax = box  # in units of the image's height and width
    print(f"{labels[class_id]} {score:.0%} at x {xmin:.3f} to {xmax:.3f}, y {ymin:.3f} to {ymax:.3f}")
pathlib.Path(drawn).write_bytes(encode_jpeg(draw_detections(image, found, labels)))
