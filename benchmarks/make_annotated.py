"""Makes annotated photos for the benchmark of convert: JPEGs of about a given size, and one COCO file about them.

    python -m benchmarks.make_annotated FOLDER --images 6000 --kilobytes 20
    python -m benchmarks.make_annotated FOLDER --images 20000 --kilobytes 2 --json_megabytes 500

FOLDER/instances.json, FOLDER/images/*.jpg. Every photo is a file of its own; of pictures there are twenty. Without
`--json_megabytes` an image has eight boxes, with it as many, with polygons, as make the file so large.
"""

import argparse
import io
import json
import pathlib
import random
import sys

import numpy as np
from PIL import Image

from benchmarks.child import answer, whole

_PICTURES = 20
_BOXES = 8
_CORNERS = 40
_BYTES_PER_PIXEL = 0.17
_CLASSES = ("cat", "dog", "bird")


def main() -> int:
    """Make them; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--images", type=whole, required=True)
    parser.add_argument("--kilobytes", type=whole, required=True)
    parser.add_argument("--json_megabytes", type=whole)
    args = parser.parse_args()
    (args.folder / "images").mkdir(parents=True)
    pictures = [_picture(seed, args.kilobytes << 10) for seed in range(_PICTURES)]
    names = [f"{number:06d}.jpg" for number in range(args.images)]
    for number, name in enumerate(names):
        (args.folder / "images" / name).write_bytes(pictures[number % _PICTURES][0])
    sizes = [pictures[number % _PICTURES][1] for number in range(args.images)]
    path = args.folder / "instances.json"
    boxes = _write_json(path, names, sizes, (args.json_megabytes or 0) << 20)
    photo_bytes = sum(len(pictures[number % _PICTURES][0]) for number in range(args.images))
    answer({"images": args.images, "image_bytes": photo_bytes, "json_bytes": path.stat().st_size, "boxes": boxes})
    return 0


def _picture(seed: int, wanted_bytes: int) -> tuple[bytes, tuple[int, int]]:
    """Soft blotches with a little grain, as photos have; as large as makes the file about so large."""
    rng = np.random.default_rng(seed)
    height = max(24, round((0.75 * wanted_bytes / _BYTES_PER_PIXEL) ** 0.5))
    width = height * 4 // 3
    blotches = Image.fromarray(rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8))
    smooth = np.asarray(blotches.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grainy = np.clip(smooth + rng.integers(-7, 8, (height, width, 1)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grainy).save(file, "JPEG", quality=75)
    return file.getvalue(), (width, height)


def _write_json(path: pathlib.Path, names: list[str], sizes: list[tuple[int, int]], wanted_bytes: int) -> int:
    """Write the COCO file as a stream; returns how many boxes it has."""
    random.seed(0)
    images = [
        {"id": number + 1, "file_name": name, "width": width, "height": height}
        for number, (name, (width, height)) in enumerate(zip(names, sizes, strict=True))
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(_CLASSES, 1)]
    pool = [_polygon() for _ in range(1000)] if wanted_bytes else []
    written = 0
    with open(path, "w", encoding="ascii") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, "annotations": [')
        while written < _BOXES * len(names) or file.tell() < wanted_bytes:
            for number, (width, height) in enumerate(sizes):
                box = json.dumps(_box(written + 1, number + 1, width, height))
                if pool:
                    box = box.replace("}", f', "segmentation": {pool[written % len(pool)]}}}')
                file.write((", " if written else "") + box)
                written += 1
        file.write("]}")
    return written


def _box(box_id: int, image_id: int, width: int, height: int) -> dict[str, object]:
    x, y = round(random.uniform(0, 0.7 * width), 2), round(random.uniform(0, 0.7 * height), 2)
    w, h = round(0.2 * width, 2), round(0.2 * height, 2)
    box: dict[str, object] = {"id": box_id, "image_id": image_id, "category_id": 1 + box_id % len(_CLASSES)}
    return box | {"bbox": [x, y, w, h], "area": round(w * h, 2), "iscrowd": 0}


def _polygon() -> str:
    return json.dumps([[round(random.uniform(0, 64), 2) for _ in range(2 * _CORNERS)]])


if __name__ == "__main__":
    sys.exit(main())
