"""Print what supervision sees in an export: [file name, [[class, xmin, ymin, xmax, ymax], ...]] for every image.

python load_with_supervision.py coco|voc|yolo IMAGES EXPORTED
"""

import json
import pathlib
import sys

import supervision


def main(format: str, images: str, exported: str) -> None:
    dataset = {
        "coco": lambda: supervision.DetectionDataset.from_coco(images, exported),
        "voc": lambda: supervision.DetectionDataset.from_pascal_voc(images, f"{exported}/Annotations"),
        "yolo": lambda: supervision.DetectionDataset.from_yolo(images, f"{exported}/labels", f"{exported}/data.yaml"),
    }[format]()
    seen = [
        [
            pathlib.Path(path).name,
            [
                [dataset.classes[number], *map(float, edges)]
                for number, edges in zip(found.class_id, found.xyxy, strict=True)
            ],
        ]
        for path, _, found in dataset
    ]
    print(json.dumps(sorted(seen)))


if __name__ == "__main__":
    main(*sys.argv[1:])
