"""What convert is measured beside: the loop that people write, and the copying of the same files, which is the limit.

    python -m benchmarks.convert_loop loop INSTANCES.json IMAGES OUTPUT.tfrecord --verify decode
    python -m benchmarks.convert_loop copy INSTANCES.json IMAGES OUTPUT_FOLDER

The loop is that of the API's create_coco_tf_record.py: one process, one image after another, Pillow to look at it,
TensorFlow's own Example and TFRecordWriter. Reading the JSON and importing TensorFlow are not in its time.
"""

import argparse
import collections
import hashlib
import io
import json
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import PIL.Image

from benchmarks.child import answer, import_tensorflow
from benchmarks.machine import OtherWork


def main() -> int:
    """Do it once; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("loop", "copy"))
    parser.add_argument("annotations", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--verify", choices=("header", "decode"), default="decode")
    args = parser.parse_args()
    annotations = json.loads(args.annotations.read_bytes())
    if args.what == "loop":
        steps = _loop(annotations, args.images, args.output, is_decoded=args.verify == "decode")
    else:
        steps = _copy(annotations, args.images, args.output)
    next(steps)  # imports, and the files open
    others, cpu, started = OtherWork(), time.process_time(), time.monotonic()
    images = sum(1 for _ in steps)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    answer(
        {
            "images": images,
            "images_per_second": images / seconds,
            "cpu_ms": 1000 * cpu_seconds / images,
            "others_cores": others.cores(cpu_seconds),
        }
    )
    return 0


def _loop(
    annotations: dict[str, Any], folder: pathlib.Path, output: pathlib.Path, *, is_decoded: bool
) -> Iterator[None]:
    tf = import_tensorflow()
    by_image = collections.defaultdict(list)
    for one in annotations["annotations"]:
        by_image[one["image_id"]].append(one)
    names = {one["id"]: one["name"].encode() for one in annotations["categories"]}
    with tf.io.TFRecordWriter(str(output)) as writer:
        yield
        for image in annotations["images"]:
            encoded = (folder / image["file_name"]).read_bytes()
            opened = PIL.Image.open(io.BytesIO(encoded))
            if is_decoded:
                opened.load()
            writer.write(_example(tf, image, by_image[image["id"]], names, encoded).SerializeToString())
            yield


def _example(
    tf: Any, image: dict[str, Any], objects: list[dict[str, Any]], names: dict[int, bytes], encoded: bytes
) -> Any:
    height, width = image["height"], image["width"]

    def bytes_list(values: list[bytes]) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def int64_list(values: list[int]) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def float_list(values: list[float]) -> Any:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    boxes = [one["bbox"] for one in objects]
    feature = {
        "image/height": int64_list([height]),
        "image/width": int64_list([width]),
        "image/filename": bytes_list([image["file_name"].encode()]),
        "image/source_id": bytes_list([str(image["id"]).encode()]),
        "image/key/sha256": bytes_list([hashlib.sha256(encoded).hexdigest().encode()]),
        "image/encoded": bytes_list([encoded]),
        "image/format": bytes_list([b"jpeg"]),
        "image/object/bbox/xmin": float_list([x / width for x, _, _, _ in boxes]),
        "image/object/bbox/xmax": float_list([(x + w) / width for x, _, w, _ in boxes]),
        "image/object/bbox/ymin": float_list([y / height for _, y, _, _ in boxes]),
        "image/object/bbox/ymax": float_list([(y + h) / height for _, y, _, h in boxes]),
        "image/object/class/text": bytes_list([names[one["category_id"]] for one in objects]),
        "image/object/is_crowd": int64_list([one["iscrowd"] for one in objects]),
        "image/object/area": float_list([one["area"] for one in objects]),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _copy(annotations: dict[str, Any], folder: pathlib.Path, output: pathlib.Path) -> Iterator[None]:
    output.mkdir()
    yield
    for image in annotations["images"]:
        with open(folder / image["file_name"], "rb") as source, open(output / image["file_name"], "wb") as target:
            target.write(source.read())
        yield


if __name__ == "__main__":
    sys.exit(main())
