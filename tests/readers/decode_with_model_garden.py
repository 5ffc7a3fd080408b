"""Print what tf-models-official's TfExampleDecoder sees in TFRecords, as one JSON list.

python decode_with_model_garden.py TFRECORD...
"""

import hashlib
import json
import pathlib
import sys
import types

PACKAGES = ("official", "official.vision", "official.vision.dataloaders")
NUMBERS = ("height", "width", "groundtruth_boxes", "groundtruth_classes", "groundtruth_area", "groundtruth_is_crowd")


def main(*shards: str) -> None:
    site = next(path for path in sys.path if pathlib.Path(path, "official").is_dir())
    # Packages without their __init__.py, which would import every model there is and all that those need.
    for package in PACKAGES:
        module = types.ModuleType(package)
        module.__path__ = [str(pathlib.Path(site).joinpath(*package.split(".")))]
        sys.modules[package] = module
    import tensorflow as tf
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    told = []
    for one in tf.data.TFRecordDataset(shards).map(TfExampleDecoder().decode):
        seen = {name: one[name].numpy().tolist() for name in NUMBERS}
        seen["source_id"] = one["source_id"].numpy().decode()
        seen["pixels_sha256"] = hashlib.sha256(one["image"].numpy().tobytes()).hexdigest()
        told.append(seen)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
