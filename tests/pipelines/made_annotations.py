"""Small annotated data sets for the tests of convert, made on the spot, and conversions that go wrong."""

import ctypes
import gzip
import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from od_core.records.tfrecord import read_record
from pipelines.convert.job import ConvertJob
from pipelines.convert.worker import ConvertWorker
from pipelines.items import Item, Piece
from pipelines.job import Watch, Worker
from pipelines.parts import RowWriter

DEADLY = "deadly.jpg"

Box = tuple[float, float, float, float]


def picture(number: int = 0, *, width: int = 40, height: int = 30, format: str = "JPEG", orientation: int = 1) -> bytes:
    """An image file, another one for every number; width and height are those of the stored pixels."""
    rng = np.random.default_rng(number)
    pixels = np.kron(rng.integers(0, 256, (3, 4, 3), np.uint8), np.ones((height // 3 + 1, width // 4 + 1, 1), np.uint8))
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"exif": exif} if orientation != 1 else {}
    Image.fromarray(np.ascontiguousarray(pixels[:height, :width])).save(file, format, **more)
    return file.getvalue()


def voc_object(label: str, box: Box, **flags: object) -> str:
    """An <object>; box is (ymin, xmin, ymax, xmax) in pixels."""
    edges = "".join(f"<{name}>{v:g}</{name}>" for name, v in zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True))
    more = "".join(f"<{name}>{value}</{name}>" for name, value in flags.items())
    return f"<object><name>{label}</name>{more}<bndbox>{edges}</bndbox></object>"


def voc_xml(name: str, objects: Iterable[str] = (), *, width: int = 40, height: int = 30) -> str:
    """The annotation of one image."""
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def write_files(root: pathlib.Path, files: Mapping[str, bytes | str]) -> pathlib.Path:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_voc(root: pathlib.Path, count: int = 12) -> pathlib.Path:
    """A VOC folder of JPEGs img00.jpg, ..., of a cat each, and of a dog in every third."""
    files: dict[str, bytes | str] = {}
    for number in range(count):
        objects = [voc_object("cat", (1, 2, 10 + number % 9, 20))]
        objects += [voc_object("dog", (5, 5, 25, 30), pose="Left", truncated=1, difficult=1)] * (number % 3 == 0)
        files[f"Annotations/img{number:02}.xml"] = voc_xml(f"img{number:02}.jpg", objects)
        files[f"JPEGImages/img{number:02}.jpg"] = picture(number)
    return write_files(root, files)


def write_coco(
    path: pathlib.Path,
    images: Sequence[Mapping[str, Any]],
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[int, str],
) -> pathlib.Path:
    """A COCO file; annotations get ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": list(images),
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
        "categories": [{"id": id, "name": name} for id, name in categories.items()],
    }
    path.write_text(json.dumps(content))
    return path


def manifest_of(output: pathlib.Path) -> dict[str, Any]:
    """The manifest of a finished dataset."""
    manifest: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    return manifest


def index_of(output: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of the index, in order; nothing is left in between, and every file the manifest names is there."""
    manifest = manifest_of(output)
    assert not (output / "_work").exists()
    shards = [*output.glob("*.tfrecord"), *output.glob("*.tfrecord.gz")]
    assert sorted(p.name for p in shards) == sorted(s["name"] for s in manifest["details"]["shards"])
    assert sorted(p.name for p in output.glob("*.parquet")) == sorted(file["name"] for file in manifest["files"])
    rows: list[dict[str, Any]] = pa.concat_tables(
        pq.read_table(output / file["name"]) for file in manifest["files"]
    ).to_pylist()
    return rows


def record_of(output: pathlib.Path, row: Mapping[str, Any]) -> bytes:
    """The record that an index row speaks of."""
    opened = gzip.open if row["shard"].endswith(".gz") else open
    with opened(output / row["shard"], "rb") as file:
        return read_record(file, row["offset"])


def features_of(serialized: bytes) -> dict[str, tuple[str, list[Any]]]:
    """Kind and values of every feature, by key, as TensorFlow reads them."""
    import tensorflow as tf

    feature = tf.train.Example.FromString(serialized).features.feature
    kinds = {key: one.WhichOneof("kind") for key, one in feature.items()}
    return {key: (kind or "", list(getattr(feature[key], kind).value) if kind else []) for key, kind in kinds.items()}


def files_of(output: pathlib.Path) -> dict[str, bytes]:
    """Name and content of every file of a dataset that does not tell times."""
    return {path.name: path.read_bytes() for path in sorted(output.iterdir()) if path.name != "run.json"}


class DeadlyJob(ConvertJob):
    """A conversion in which the image called DEADLY kills the process that begins with it."""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _DeadlyWorker(self.record_rules, output)


class HopelessJob(ConvertJob):
    """A conversion of which no item that holds DEADLY ever comes to its first image."""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _HopelessWorker(self.record_rules, output)


class LateJob(ConvertJob):
    """A conversion in which every item that holds DEADLY fails when its shard is written."""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _LateWorker(self.record_rules, output)


class _DeadlyWorker(ConvertWorker):
    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        super().run(item, rows, _DeadlyWatch(watch))


class _HopelessWorker(ConvertWorker):
    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        if any(piece.source.key == DEADLY for piece in item.pieces):
            raise RuntimeError("nobody knows why")
        super().run(item, rows, watch)


class _LateWorker(ConvertWorker):
    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        super().run(item, rows, watch)
        if any(piece.source.key == DEADLY for piece in item.pieces):
            raise RuntimeError("nobody knows why")


class _DeadlyWatch:
    def __init__(self, watch: Watch):
        self._watch = watch
        self.advance, self.end = watch.advance, watch.end

    def begin(self, piece: Piece) -> None:
        self._watch.begin(piece)
        if piece.source.key == DEADLY:
            ctypes.string_at(0)
