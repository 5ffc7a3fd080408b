"""Read what boxbeam infer found: which objects, in which image or frame, and what failed.

python examples/read_detections.py DETECTIONS
"""

import collections
import glob
import sys

import pyarrow.parquet as pq

(folder,) = sys.argv[1:]
seen: collections.Counter[str] = collections.Counter()
for path in sorted(glob.glob(f"{folder}/*.parquet")):
    for batch in pq.ParquetFile(path).iter_batches(columns=["key", "frame_index", "status", "error", "detections"]):
        for row in batch.to_pylist():
            if row["status"] == "failed":
                print(f"{row['key']}: {row['error']['message']}")
                continue
            seen.update(found["label"] for found in row["detections"] if found["score"] >= 0.5)
for label, count in seen.most_common():
    print(f"{count:6} {label}")
