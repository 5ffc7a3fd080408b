"""convert on two thousand images, good and bad, killed at random: every file is that of a quiet run."""

import json
import pathlib
import sys

import pytest

from od_core.checks.record_dataset import check_record_dataset
from tests.soak.kills import SECONDS, files_in, repeatable, run_quietly_and_killed
from tests.soak.pictures import Pictures

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

IMAGES = 2000


def write_coco(path: pathlib.Path, folder: pathlib.Path) -> None:
    """COCO annotations of images in a folder, about one in ten of them bad."""
    pictures = Pictures(folder.with_name("originals"))
    images, objects = [], []
    for number in range(IMAGES):
        name = f"{number:05}.jpg"
        scene = pictures.link(number, folder / name)
        height, width = scene.image.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for class_id, (top, left, bottom, right) in scene.boxes_px.items():
            box = [left, top, right - left, bottom - top]
            objects.append({"id": len(objects), "image_id": number, "category_id": class_id, "bbox": box})
    categories = [{"id": class_id, "name": f"class {class_id}"} for class_id in {o["category_id"] for o in objects}]
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))


def test_killed_at_random_the_records_are_those_of_a_quiet_run(tmp_path: pathlib.Path) -> None:
    write_coco(tmp_path / "annotations.json", tmp_path / "in")
    options = {"input": tmp_path / "annotations.json", "images": tmp_path / "in"}
    shards = {"images_per_shard": 6, "splits": "train=0.8,val=0.2", "isolation": "process", "workers": 2}
    told = [f"--{name}={value}" for name, value in {**options, **shards}.items()]
    command = [sys.executable, "-m", "beam_jobs.convert", "--follow_links", *told]
    with repeatable(tmp_path):
        quiet, killed = run_quietly_and_killed("convert", command, tmp_path, SECONDS / 4)
        assert list(check_record_dataset(killed).problems) == []
        expected = files_in(quiet)
        assert len(expected) > IMAGES / 6
        assert files_in(killed) == expected
