"""Print what TensorFlow Datasets reads from the shards in a folder, as one JSON list.

python read_with_tfds.py FOLDER SPLIT RECORDS_OF_SHARD...

The way is that of its guide "Load external tfrecord with TFDS": the features are told, their metadata is written beside
the shards, and a builder is made of the folder. A key of theirs is a path in nested features.
"""

import hashlib
import json
import sys


def main(folder: str, split: str, *shard_lengths: str) -> None:
    import numpy as np
    import tensorflow_datasets as tfds

    def each(kind: object) -> object:
        return tfds.features.Sequence(kind)

    edges = ("ymin", "xmin", "ymax", "xmax")
    features = tfds.features.FeaturesDict(
        {
            "image": {
                "encoded": tfds.features.Image(),
                "source_id": tfds.features.Text(),
                "height": np.int64,
                "width": np.int64,
                "object": {
                    "bbox": {edge: each(np.float32) for edge in edges},
                    "class": {"label": each(np.int64), "text": each(tfds.features.Text())},
                    "area": each(np.float32),
                    "is_crowd": each(np.int64),
                },
            }
        }
    )
    template = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"
    info = tfds.core.SplitInfo(
        name=split,
        shard_lengths=list(map(int, shard_lengths)),
        num_bytes=0,
        filename_template=tfds.core.ShardedFileTemplate(folder, template),
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder, features=features, split_infos=[info], filename_template=template, check_data=True
    )
    told = []
    builder = tfds.builder_from_directory(folder)
    for one in tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)):
        image = one["image"]
        objects = image["object"]
        told.append(
            {
                "source_id": image["source_id"].decode(),
                "height": int(image["height"]),
                "width": int(image["width"]),
                "groundtruth_boxes": np.stack([objects["bbox"][edge] for edge in edges], axis=1).tolist(),
                "groundtruth_classes": objects["class"]["label"].tolist(),
                "groundtruth_area": objects["area"].tolist(),
                "groundtruth_is_crowd": objects["is_crowd"].astype(bool).tolist(),
                "texts": [text.decode() for text in objects["class"]["text"].tolist()],
                "pixels_sha256": hashlib.sha256(image["encoded"].tobytes()).hexdigest(),
            }
        )
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
