"""Records of all that an annotation can say, and where the readers of other projects are fetched to."""

import pathlib
import subprocess
import sys
import tempfile

import pytest

from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.observer import Silent
from pipelines.work import Engine, run
from tests.pipelines.made_annotations import picture, write_coco, write_files
from tests.pipelines.toy_job import toy_work

CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "readers"
MODEL_GARDEN = ("tf-models-official==2.20.0", "tf-keras==2.21.0")


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
def model_garden() -> pathlib.Path:
    """A folder with tf-models-official, fetched by pip the first time (5 MB), without what it asks for beside it: its
    decoder needs TensorFlow and tf-keras alone.
    """
    target = CACHE / "-".join(MODEL_GARDEN)
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetching-") as scratch:
            unpacked = pathlib.Path(scratch, "unpacked")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(unpacked)]
            fetched = subprocess.run([*command, *MODEL_GARDEN], capture_output=True, text=True, timeout=600)
            assert fetched.returncode == 0, fetched.stderr
            unpacked.rename(target)
    return target
