"""The item side of infer with a model that is none: whatever gets lost within it is an error, never a missing row."""

import contextlib
import errno
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from od_core import storage
from od_core.detections import Detections
from od_core.errors import StorageError
from od_core.label_map import LabelMap
from od_core.model.signature import Signature
from pipelines.infer import worker as infer_worker
from pipelines.infer.batches import Batcher, Detected, Frame
from pipelines.infer.job import WANTED, InferJob, kind_of
from pipelines.infer.worker import InferWorker
from pipelines.items import Item, Piece, Source
from pipelines.parts import RowWriter
from pipelines.sources import match
from tests.blocks_scene import draw_scene, write_images
from tests.pipelines.render_files import Silent

NOTHING = Detections.empty()


class BlindDetector:
    """Finds nothing."""

    signature = Signature("frozen_graph", "image_tensor", "image_tensor:0", {}, None)

    def detect(self, images: np.ndarray, **_: object) -> Sequence[Detections]:
        return [NOTHING for _ in images]

    def close(self) -> None: ...


class LosingBatcher(Batcher):
    """Loses the third image."""

    def run(self, frames: Iterable[Frame[Any]]) -> Iterator[Detected[Any]]:
        for number, detected in enumerate(super().run(frames)):
            if number != 4:  # an image, its end, ...
                yield detected


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[InferWorker]:
    monkeypatch.setattr(infer_worker, "local_model", lambda model, _: contextlib.nullcontext(model))
    monkeypatch.setattr(infer_worker, "open_detector", lambda *_, **__: BlindDetector())
    job = InferJob("", "0" * 64, LabelMap.of_names(["cat"]), decoder="pillow", devices=("cpu",))
    with contextlib.closing(InferWorker(job, 2)) as made:
        yield made


def run(worker: InferWorker, folder: pathlib.Path) -> RowWriter:
    """All images of a folder as one item."""
    paths = sorted(folder.iterdir())
    pieces = [
        Piece(Source(path.name, str(path), "image", path.stat().st_size, path.stat().st_mtime_ns // 1_000_000))
        for path in paths
    ]
    rows = RowWriter(folder.with_name("rows.parquet"), worker._job.schema, {})
    try:
        worker.run(Item(tuple(pieces)), rows, Silent())
        rows.close()
    finally:
        rows.abandon()
    return rows


def test_every_image_has_a_row(worker: InferWorker, tmp_path: pathlib.Path) -> None:
    write_images(tmp_path / "in", 9)
    outcomes = run(worker, tmp_path / "in").outcomes
    assert [(outcome.status, outcome.rows) for outcome in outcomes] == [("empty", 1)] * 9


def test_an_image_that_is_lost_on_its_way_is_missed(
    worker: InferWorker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "in", 9)
    monkeypatch.setattr(infer_worker, "Batcher", LosingBatcher)
    with pytest.raises(ValueError, match=r"\.jpg: 1 frames went into the model, 0 came out"):
        run(worker, tmp_path / "in")


@pytest.mark.parametrize("more", [-1, 1])
def test_a_model_that_answers_for_other_images_is_refused(
    worker: InferWorker, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    write_images(tmp_path / "in", 9)
    monkeypatch.setattr(BlindDetector, "detect", lambda _, images, **__: [NOTHING] * (len(images) + more))
    with pytest.raises(ValueError, match="results came for 4 images"):
        run(worker, tmp_path / "in")


def test_ranges_of_a_record_file_that_is_gone_say_each_of_what_part_they_are(
    worker: InferWorker, tmp_path: pathlib.Path
) -> None:
    gone = Source("a.tfrecord", str(tmp_path / "a.tfrecord"), "record", 400, 1)
    rows = RowWriter(tmp_path / "rows.parquet", worker._job.schema, {})
    worker.run(Item(tuple(Piece(gone, at, at + 100, 400) for at in range(0, 400, 100))), rows, Silent())
    rows.close()
    errors = pq.read_table(tmp_path / "rows.parquet").column("error").to_pylist()
    missing = "of the file's bytes: no such file; it was listed, or was there when the run was planned"
    assert [error["message"] for error in errors] == [
        f"the part from {part} {missing}" for part in ("0% to 25%", "25% to 50%", "50% to 75%", "75% to 100%")
    ]


@pytest.mark.parametrize("extension", [".gif", ""])
def test_a_gif_that_moves_is_never_one_image(worker: InferWorker, tmp_path: pathlib.Path, extension: str) -> None:
    """As where its file could not be read for a moment, when the run was planned."""
    stills = [Image.fromarray(draw_scene(number).image) for number in range(3)]
    (tmp_path / "in").mkdir()
    stills[0].save(tmp_path / f"in/a_still{extension}", "GIF")
    stills[0].save(tmp_path / f"in/moving{extension}", "GIF", save_all=True, append_images=stills[1:])
    still, moving = run(worker, tmp_path / "in").outcomes
    assert (still.status, moving.status) == ("empty", "failed")
    assert moving.error is not None
    assert moving.error.startswith("it moves, which could not be seen when the run was planned")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EIO, "Input/output error"), "image"),
        (PermissionError(errno.EACCES, "Permission denied"), "image"),
        (StorageError("the server does not answer"), "image"),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (OSError(errno.EINVAL, "not a regular file"), None),
    ],
)
def test_a_file_without_an_extension_that_cannot_be_read_now_is_an_input(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str | None
) -> None:
    def broken(_: str) -> None:
        raise error

    monkeypatch.setattr(storage, "open_input", broken)
    assert kind_of("/in/0001") == kind


def test_a_file_without_an_extension_that_a_list_names_and_that_is_gone_is_an_input(tmp_path: pathlib.Path) -> None:
    (tmp_path / "here.png").touch()
    (tmp_path / "list.txt").write_text("here.png\ngone\n")
    found = match([str(tmp_path / "list.txt")], WANTED)
    assert [(source.key, source.kind) for source in found.sources] == [("gone", "image"), ("here.png", "image")]


def test_a_link_without_an_extension_that_leads_nowhere_is_an_input(tmp_path: pathlib.Path) -> None:
    (tmp_path / "day_3").symlink_to(tmp_path / "disk/not/mounted")
    assert kind_of(str(tmp_path / "day_3")) == "image"
    assert kind_of(str(tmp_path / "gone")) is None
