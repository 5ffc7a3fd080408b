"""What convert is measured beside: the loops that people write, and the copying of the same files, which is the limit.

    python -m benchmarks.convert_loop checked INSTANCES.json IMAGES OUTPUT_FOLDER --verify decode
    python -m benchmarks.convert_loop bare INSTANCES.json IMAGES OUTPUT_FOLDER --verify header
    python -m benchmarks.convert_loop copy INSTANCES.json IMAGES OUTPUT_FOLDER
    python -m benchmarks.convert_loop copy_hashed INSTANCES.json IMAGES OUTPUT_FOLDER

checked  does what convert does, one image after another in one process, with the libraries at hand: Pillow opens the
         image and knows its format and EXIF orientation, its size is held against the annotation, boxes are checked,
         clipped or dropped, keys are unique, every image has a row in a Parquet index with the place of its record, and
         every shard its SHA-256.
bare     is the loop of the API's create_coco_tf_record.py, which trusts the annotation for all of that.

copy_hashed reads, hashes and writes what any writer of such records must: each image has its SHA-256 in its record, and
the file it is written into has one too. Of large images nothing else counts.

Both loops use TensorFlow's own Example and TFRecordWriter. Reading the JSON and importing TensorFlow are not in their
time.
"""

import argparse
import collections
import hashlib
import io
import json
import math
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import PIL.Image
import PIL.ImageOps
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.child import answer, import_tensorflow
from benchmarks.machine import OtherWork

_SHARDS = 8
_EXIF_ORIENTATION = 0x0112


def main() -> int:
    """Do it once; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("checked", "bare", "copy", "copy_hashed"))
    parser.add_argument("annotations", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--verify", choices=("header", "decode"), default="decode")
    args = parser.parse_args()
    annotations = json.loads(args.annotations.read_bytes())
    args.output.mkdir()
    if args.what.startswith("copy"):
        steps = _copy(annotations, args.images, args.output, is_hashed=args.what == "copy_hashed")
    else:
        loop = _checked if args.what == "checked" else _bare
        steps = loop(annotations, args.images, args.output, is_decoded=args.verify == "decode")
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


def _checked(
    annotations: dict[str, Any], folder: pathlib.Path, output: pathlib.Path, *, is_decoded: bool
) -> Iterator[None]:
    tf = import_tensorflow()
    by_image, names = _by_image(annotations), _names(annotations)
    paths = [output / f"train-{number:05d}-of-{_SHARDS:05d}.tfrecord" for number in range(_SHARDS)]
    writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
    yield
    offsets = [0] * _SHARDS
    keys: set[str] = set()
    rows = []
    for number, image in enumerate(annotations["images"]):
        key = image["file_name"]
        if key in keys:
            raise ValueError(f"two images are called {key}")
        keys.add(key)
        encoded = (folder / key).read_bytes()
        opened = PIL.Image.open(io.BytesIO(encoded))
        if opened.format not in ("JPEG", "PNG") or opened.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            upright, anew = PIL.ImageOps.exif_transpose(opened).convert("RGB"), io.BytesIO()
            upright.save(anew, "PNG")
            encoded, opened = anew.getvalue(), PIL.Image.open(anew)
        elif is_decoded:
            opened.load()
        if opened.size != (image["width"], image["height"]):
            raise ValueError(f"{key}: {opened.size}, annotated as {image['width']} x {image['height']}")
        image_format = (opened.format or "").lower()
        objects, clipped, dropped = _in_image(by_image[image["id"]], *opened.size)
        payload = _example(tf, image, objects, names, encoded, image_format).SerializeToString()
        shard = number * _SHARDS // len(annotations["images"])
        writers[shard].write(payload)
        rows.append(
            {
                "key": key,
                "source": str(folder / key),
                "shard": paths[shard].name,
                "offset": offsets[shard],
                "length": len(payload) + 16,  # a record's length and two checksums around it
                "format": image_format,
                "width": image["width"],
                "height": image["height"],
                "objects": [
                    {"class_id": one["category_id"], "label": names[one["category_id"]], "box": one["bbox"]}
                    for one in objects
                ],
                "clipped": clipped,
                "dropped": dropped,
            }
        )
        offsets[shard] += len(payload) + 16
        yield
    for writer in writers:
        writer.close()
    pq.write_table(pa.Table.from_pylist(rows), output / "index.parquet", compression="zstd")
    digests = {}
    for path in paths:
        with open(path, "rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    (output / "shards.json").write_text(json.dumps(digests))


def _in_image(objects: list[dict[str, Any]], width: int, height: int) -> tuple[list[dict[str, Any]], int, int]:
    """Objects with boxes in the image, how many were clipped, and how many dropped."""
    kept = []
    clipped = dropped = 0
    for one in objects:
        x, y, w, h = one["bbox"]
        if not all(map(math.isfinite, (x, y, w, h))):
            raise ValueError(f"annotation {one['id']}: a box of {one['bbox']}")
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            dropped += 1
            continue
        if (left, top, right, bottom) != (x, y, x + w, y + h):
            clipped += 1
            one = one | {"bbox": [left, top, right - left, bottom - top]}
        kept.append(one)
    return kept, clipped, dropped


def _bare(
    annotations: dict[str, Any], folder: pathlib.Path, output: pathlib.Path, *, is_decoded: bool
) -> Iterator[None]:
    tf = import_tensorflow()
    by_image, names = _by_image(annotations), _names(annotations)
    with tf.io.TFRecordWriter(str(output / "train.tfrecord")) as writer:
        yield
        for image in annotations["images"]:
            encoded = (folder / image["file_name"]).read_bytes()
            opened = PIL.Image.open(io.BytesIO(encoded))
            if is_decoded:
                opened.load()
            example = _example(tf, image, by_image[image["id"]], names, encoded, "jpeg")
            writer.write(example.SerializeToString())
            yield


def _by_image(annotations: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    found = collections.defaultdict(list)
    for one in annotations["annotations"]:
        found[one["image_id"]].append(one)
    return found


def _names(annotations: dict[str, Any]) -> dict[int, str]:
    return {one["id"]: one["name"] for one in annotations["categories"]}


def _example(
    tf: Any,
    image: dict[str, Any],
    objects: list[dict[str, Any]],
    names: dict[int, str],
    encoded: bytes,
    image_format: str,
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
        "image/format": bytes_list([image_format.encode()]),
        "image/object/bbox/xmin": float_list([x / width for x, _, _, _ in boxes]),
        "image/object/bbox/xmax": float_list([(x + w) / width for x, _, w, _ in boxes]),
        "image/object/bbox/ymin": float_list([y / height for _, y, _, _ in boxes]),
        "image/object/bbox/ymax": float_list([(y + h) / height for _, y, _, h in boxes]),
        "image/object/class/text": bytes_list([names[one["category_id"]].encode() for one in objects]),
        "image/object/class/label": int64_list([one["category_id"] for one in objects]),
        "image/object/is_crowd": int64_list([one["iscrowd"] for one in objects]),
        "image/object/area": float_list([one["area"] for one in objects]),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _copy(
    annotations: dict[str, Any], folder: pathlib.Path, output: pathlib.Path, *, is_hashed: bool
) -> Iterator[None]:
    yield
    of_all = hashlib.sha256()
    for image in annotations["images"]:
        with open(folder / image["file_name"], "rb") as source, open(output / image["file_name"], "wb") as target:
            content = source.read()
            if is_hashed:
                hashlib.sha256(content).hexdigest()
                of_all.update(content)
            target.write(content)
        yield


if __name__ == "__main__":
    sys.exit(main())
