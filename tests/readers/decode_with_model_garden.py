"""Print what tf-models-official's TfExampleDecoder sees in TFRecords, a JSON object a line.

python decode_with_model_garden.py FOLDER_OF_PACKAGES TFRECORD...
"""

import hashlib
import json
import pathlib
import sys
import types

PACKAGES = ("official", "official.vision", "official.vision.dataloaders")
NUMBERS = ("height", "width", "groundtruth_boxes", "groundtruth_classes", "groundtruth_area", "groundtruth_is_crowd")


def main(site: str, *shards: str) -> None:
    sys.path.insert(0, site)
    # Packages without their __init__.py, which would import every model there is and all that those need.
    for package in PACKAGES:
        module = types.ModuleType(package)
        module.__path__ = [str(pathlib.Path(site).joinpath(*package.split(".")))]
        sys.modules[package] = module
    import tensorflow as tf
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    for one in tf.data.TFRecordDataset(shards).map(TfExampleDecoder().decode):
        seen = {name: one[name].numpy().tolist() for name in NUMBERS}
        seen["source_id"] = one["source_id"].numpy().decode()
        seen["pixels_sha256"] = hashlib.sha256(one["image"].numpy().tobytes()).hexdigest()
        print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
