"""Evaluate a detector picture by picture, as a training loop would: update, update, ..., value.

python examples/evaluate_in_a_loop.py MODEL RECORDS        RECORDS: a dataset made by boxbeam convert
"""

import glob
import sys

from od_core.images import decode_image
from od_core.label_map import read_label_map
from od_core.metrics.coco import CocoBoxes
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.voc import PascalBoxes
from od_core.model.detector import open_detector
from od_core.records.examples import parse_ground_truth, parse_image_example
from od_core.records.tfrecord import read_records

model, records = sys.argv[1:]
label_map = read_label_map(f"{records}/label_map.pbtxt")
metrics = [CocoBoxes(label_map.labels), PascalBoxes(label_map.labels)]
detector = open_detector(model)

for shard in sorted(glob.glob(f"{records}/val-*.tfrecord")):
    with open(shard, "rb") as file:
        for _, record in read_records(file):
            if isinstance(record, Exception):
                raise record
            example = parse_image_example(record)
            image = decode_image(example.encoded, decode_jpeg=detector.decode_jpeg)
            (found,) = detector.detect(image[None])
            height, width, _ = image.shape
            truth = parse_ground_truth(record, label_map)
            for metric in metrics:
                metric.update([EvaluatedFrame(example.source_id, height, width, truth, found)])
detector.close()

# Metrics of several processes are put together with metric.merge(other); the numbers stay the same.
for metric in metrics:
    print(metric.definition)
    for name, value in metric.value().items():
        print(f"  {name} = {value:.4f}")
