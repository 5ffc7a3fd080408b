"""Look at one record of a dataset that boxbeam convert made, then feed all of them to a training loop.

python examples/read_records.py demo_out/records harbour_000.jpg
"""

import sys

from od_core.records.dataset import open_records
from od_core.records.training import training_dataset

folder, key = sys.argv[1:]

records = open_records(folder)
one = records.of_key(key)  # nothing else is read
print(one.split, one.image.format, one.image.width, one.image.height)
for label, box in zip(one.truth.labels or (), one.truth.boxes, strict=True):
    print(label, box)  # ymin, xmin, ymax, xmax in 0..1

split = records.of_split(records.splits[0])
data = training_dataset(split, epochs=2, seed=1)  # a tf.data.Dataset: shards in parallel, shuffled anew in every epoch
batches = data.map(lambda one: (one["image"], one["groundtruth_boxes"], one["groundtruth_classes"])).ragged_batch(4)
boxes = 0
for _images, batch_of_boxes, _classes in batches:
    boxes += int(batch_of_boxes.row_lengths().numpy().sum())
print(f"{boxes} boxes in two epochs of {len(split)} images")
