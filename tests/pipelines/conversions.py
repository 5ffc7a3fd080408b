"""Conversions for tests: the convert job on the engine, in this process unless told otherwise."""

import pathlib
from typing import Any

from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.observer import Silent
from pipelines.work import Engine, RunResult, run
from tests.pipelines.made_annotations import index_of, picture, voc_xml, write_files
from tests.pipelines.toy_job import toy_work

LAYOUT = Layout({"train": 0.7, "val": 0.3}, images_per_shard=3)
ONE_SPLIT = Layout({"train": 1.0}, num_shards=1)


def do(
    input: pathlib.Path, output: pathlib.Path, job: ConvertJob | None = None, *more: pathlib.Path, **changes: object
) -> RunResult:
    """Convert with a job (LAYOUT if there is none); in this process unless `changes` say otherwise."""
    changes.setdefault("isolation", "none")
    work = toy_work([str(input), *map(str, more)], output, job or ConvertJob(LAYOUT), **changes)  # type: ignore[arg-type]
    return run(work, Engine(), Silent(), max_failed_ratio=1.0)


def job(layout: Layout = ONE_SPLIT, **options: Any) -> ConvertJob:
    return ConvertJob(layout, **options)


def by_key(output: pathlib.Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in index_of(output)}


def one_voc(root: pathlib.Path, *objects: str, **sizes: int) -> pathlib.Path:
    """A data set of one good image, a.jpg of 40 x 30, with these objects."""
    return write_files(root, {"Annotations/a.xml": voc_xml("a.jpg", objects, **sizes), "JPEGImages/a.jpg": picture()})


def failures(output: pathlib.Path) -> dict[str, str]:
    return {row["key"]: row["error"]["message"] for row in index_of(output) if row["status"] == "failed"}
