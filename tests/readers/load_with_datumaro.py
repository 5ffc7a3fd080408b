"""Print what datumaro's importer sees: [image, [[class, xmin, ymin, width, height, score], ...]] for every image.

python load_with_datumaro.py FORMAT FOLDER
"""

import json
import sys

import datumaro


def main(format: str, folder: str) -> None:
    dataset = datumaro.Dataset.import_from(folder, format)
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label]]
    seen = [
        [item.id, sorted([names[one.label], *one.get_bbox(), one.attributes.get("score")] for one in item.annotations)]
        for item in dataset
    ]
    print(json.dumps(sorted(seen)))


if __name__ == "__main__":
    main(*sys.argv[1:])
