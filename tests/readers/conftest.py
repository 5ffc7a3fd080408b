"""Records of all that an annotation can say, and the readers of other projects."""

import pathlib

import pytest

from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.observer import Silent
from pipelines.work import Engine, run
from tests.pipelines.made_annotations import picture, write_coco, write_files
from tests.pipelines.toy_job import toy_work
from tests.readers.environment import Readers, fetch


@pytest.fixture(scope="session")
def record_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Six images of COCO annotations: JPEG and PNG, crowds, areas, one image without objects, one to be turned."""
    root = tmp_path_factory.mktemp("readers")
    files: dict[str, bytes | str] = {f"images/{number}.jpg": picture(number) for number in range(4)}
    files["images/4.png"] = picture(4, format="PNG")
    files["images/5.jpg"] = picture(5, orientation=6)
    write_files(root, files)
    sizes = [(40, 30)] * 5 + [(30, 40)]
    images = [
        {"id": 100 + number, "file_name": pathlib.Path(name).name, "width": width, "height": height}
        for number, (name, (width, height)) in enumerate(zip(files, sizes, strict=True))
    ]
    annotations = [
        {"image_id": 100 + n, "category_id": 2 + n % 2, "bbox": [n, 2, 10.5, 20], "area": 99.5 + n, "iscrowd": n % 2}
        for n in (0, 0, 1, 2, 3, 4, 5)
    ]
    write_coco(root / "a.json", images, annotations, {2: "cat", 3: "dog"})
    job = ConvertJob(Layout({"train": 1.0}, num_shards=2), images=str(root / "images"))
    work = toy_work([str(root / "a.json")], root / "out", job, isolation="none")  # type: ignore[arg-type]
    run(work, Engine(), Silent(), max_failed_ratio=0.5)
    return root / "out"


@pytest.fixture(scope="session")
def readers() -> Readers:
    """supervision, datumaro, tf-models-official, the TF Object Detection API's parser, MegaDetector's validator."""
    return fetch()
