"""Detections whose rows a test says, written by the engine without a model; and what rendering made of them."""

import ctypes
import dataclasses
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from od_core import storage
from od_core.detections import Detections
from od_core.ground_truth import GroundTruth
from od_core.label_map import LabelMap
from od_core.schemas import FrameRow, detections_table, ground_truth_table
from pipelines import observer
from pipelines.dataset import Dataset, fingerprint
from pipelines.engine import LOCAL_RUNNER, Engine
from pipelines.executor import Work
from pipelines.finalize import Finished, finalize
from pipelines.infer.job import InferJob
from pipelines.items import Ask, Item, Outcome, Piece
from pipelines.job import Job, Spread, Watch, Worker
from pipelines.parts import RowWriter
from pipelines.plan import make_plan, prepare_work
from pipelines.record_images import record_images
from pipelines.render.job import RenderJob
from pipelines.render.rendered import RenderedRow
from pipelines.render.worker import RenderWorker
from pipelines.run_item import open_worker, run_item
from pipelines.work import run
from tests.blocks_scene import Scene, draw_scene

LABELS = LabelMap.of_names(["red", "green", "blue"])
Rows = Mapping[str, Sequence[FrameRow]]


@dataclasses.dataclass(frozen=True)
class ToldJob(InferJob):
    """infer with rows that it is told, by input; an input of which nothing is told has no rows."""

    told: Any = None

    def open_worker(self, output: str, threads: int) -> Worker:
        return _ToldWorker(self)


class _ToldWorker:
    provenance: Mapping[str, object] = {}

    def __init__(self, job: ToldJob):
        self.job = job

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        for piece in item.pieces:
            told = list(self.job.told.get(piece.source.key, ()))
            if piece.source.kind == "record" and piece.total > 1:
                with storage.open_input(piece.source.uri) as file:
                    here = {record.row.record_index for record in record_images(piece, file)}
                told = [row for row in told if row.record_index in here]
            table = detections_table(
                [row._replace(source=storage.printable(piece.source.uri)) for row in told], self.job.label_map.labels
            )
            rows.write(table)
            failed = [row.error.message for row in told if row.error]
            boxes = sum(len(row.detections or ()) for row in told)
            # The digest stands for the input: rows are a function of it and of the options.
            counts = {"detections": boxes, "of": zlib.crc32(repr(table.to_pylist()).encode())}
            rows.finish(
                Outcome(piece, "failed" if failed else "done", len(told), counts, failed[0] if failed else None)
            )

    def close(self) -> None:
        pass


class Silent:
    """A Watch that nobody looks at."""

    def begin(self, piece: object) -> None: ...
    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None: ...
    def end(self, piece: object) -> None: ...


def do(job: Job, *inputs: object, output: object, **ask: bool) -> Finished:
    """A whole run in this process, without Beam; in two rounds where there are steps."""
    asked = Ask(tuple(map(str, inputs)), str(output), **ask)
    dataset = Dataset(str(output))
    pathlib.Path(asked.output).mkdir(parents=True, exist_ok=True)
    job.check(asked)
    for _ in range(2):
        plan = make_plan(job, asked)
        storage.write_text(dataset.work_options, "{}")
        prepare_work(dataset, plan)
        worker, _seconds = open_worker(job, str(output), 1)
        try:
            for item in plan.items:
                run_item(job, dataset, worker, item, Silent())
        finally:
            worker.close()
        finished = finalize(job, asked)
        if isinstance(finished, Finished):
            return finished
    raise AssertionError(f"unfinished: {finished}")


def detect(originals: pathlib.Path, output: pathlib.Path, told: Rows, labels: LabelMap = LABELS) -> None:
    """Write a detections dataset about a folder."""
    job = ToldJob(model="", model_sha256="0" * 64, label_map=labels, told=dict(told))
    do(job, originals, output=output, overwrite=True)


def found_in(scene: Scene, scores: Mapping[int, float] | None = None) -> Detections:
    """The scene's boxes as detections, with a score each."""
    height, width = scene.image.shape[:2]
    boxes = np.array(list(scene.boxes_px.values())) / [height, width, height, width]
    ids = list(scene.boxes_px)
    given = scores or {}
    return Detections.best_first(boxes, [given.get(class_id, 0.9) for class_id in ids], ids)


def row_of(key: str, scene: Scene, kind: str = "image", **fields: Any) -> FrameRow:
    """A row with all that is in a scene."""
    height, width = scene.image.shape[:2]
    row = FrameRow(key, "", kind, 0, width=width, height=height, detections=found_in(scene))
    return row._replace(**fields)


def write_pngs(folder: pathlib.Path, *names: str) -> dict[str, Scene]:
    """Scenes without loss."""
    scenes = {name: draw_scene(number) for number, name in enumerate(names)}
    for name, scene in scenes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(folder / name)
    return scenes


def write_truth(path: pathlib.Path, truths: Iterable[tuple[str, int, GroundTruth]], **fields: str) -> pathlib.Path:
    """Ground truth as Parquet: (key, frame_index, objects)."""
    rows = [FrameRow(key, "", "image", frame, objects=truth, **fields) for key, frame, truth in truths]  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(ground_truth_table(rows, {}), path)
    return path


def truth_of(scene: Scene, names: Mapping[int, str] = LABELS.labels) -> GroundTruth:
    """The scene's boxes as people would have annotated them, under classes of their own numbering."""
    found = found_in(scene)
    labels = [names[class_id] for class_id in found.classes.tolist()]
    numbers = {name: number for number, name in enumerate(sorted(set(names.values())), 1)}
    return GroundTruth.of(found.boxes, [numbers[label] for label in labels], labels=labels)


def rendered(output: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The rows of a rendered dataset by key; the files they name, and no others, are there."""
    manifest = Dataset(str(output)).manifest()
    assert manifest is not None
    table = pa.concat_tables([pq.read_table(output / file.name) for file in manifest.files])
    rows = table.to_pylist()
    there = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    own = {file.name for file in manifest.files} | {"manifest.json", "run.json"}
    assert there - own == {row["file"] for row in rows if row["file"]}
    return {row["key"]: row for row in rows}


def pixels(path: pathlib.Path) -> np.ndarray:
    """An image file as RGB."""
    return np.asarray(Image.open(path).convert("RGB"))


def render_it(tmp_path: pathlib.Path, output: str = "out", **options: object) -> dict[str, dict[str, object]]:
    """Render tmp_path/found into tmp_path/out; the rows by key."""
    ask = {name: bool(options.pop(name)) for name in ("overwrite", "retry_failed") if name in options}
    options = {name: str(value) if isinstance(value, pathlib.Path) else value for name, value in options.items()}
    if "ground_truth" in options:
        options["ground_truth"] = (options["ground_truth"],)
    do(RenderJob(**options), tmp_path / "found", output=tmp_path / output, **ask)  # type: ignore[arg-type]
    return rendered(tmp_path / output)


def run_it(
    tmp_path: pathlib.Path, output: str, job: RenderJob, processes: int = 1, runner: str = LOCAL_RUNNER
) -> dict[str, dict[str, Any]]:
    """Render tmp_path/found into a folder by the engine: in this process, or in so many of its own."""
    work = Work(
        job=job,
        ask=Ask((str(tmp_path / "found"),), str(tmp_path / output)),
        spread=Spread(processes, 1),
        isolation="none" if processes == 1 else "process",
        stall_seconds=60,
        memory_bytes=None,
        run_id=output,
    )
    run(work, Engine(runner), observer.Silent(), max_failed_ratio=1)
    return rendered(tmp_path / output)


def images(tmp_path: pathlib.Path, *names: str) -> dict[str, Scene]:
    """Lossless originals in tmp_path/in, and all that is in them as detections in tmp_path/found."""
    scenes = write_pngs(tmp_path / "in", *names)
    detect(tmp_path / "in", tmp_path / "found", {name: [row_of(name, scene)] for name, scene in scenes.items()})
    return scenes


def tell(tmp_path: pathlib.Path, *rows: FrameRow) -> None:
    """Detections of tmp_path/in with these rows, each about the input of its key."""
    told: dict[str, list[FrameRow]] = {}
    for row in rows:
        told.setdefault(row.key, []).append(row)
    detect(tmp_path / "in", tmp_path / "found", told)


def stamps(output: pathlib.Path) -> dict[str, int]:
    """When each picture was written."""
    return {
        path.name: path.stat().st_mtime_ns for path in output.rglob("*.*") if path.suffix in (".png", ".mp4", ".jpg")
    }


@dataclasses.dataclass(frozen=True)
class CrashingJob(RenderJob):
    """render, but for one video that kills its process."""

    deadly: str = ""

    def open_worker(self, output: str, threads: int) -> Worker:
        return _CrashingWorker(self, output, fingerprint(self))


class _CrashingWorker(RenderWorker):
    def _write_video(self, row: RenderedRow, piece: Piece, watch: Watch) -> RenderedRow:
        if row.key == self._job.deadly:  # type: ignore[attr-defined]
            ctypes.string_at(0)
        return super()._write_video(row, piece, watch)
