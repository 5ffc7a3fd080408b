"""The graph as Beam sees it, also where the launcher is not at hand: reports, counters, one worker per process."""

import dataclasses
import pathlib
from collections.abc import Callable

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from od_core.errors import UsageError
from od_core.label_map import LabelMap
from pipelines.convert.job import ConvertJob
from pipelines.convert.layout import Layout
from pipelines.finalize import finalize
from pipelines.infer.job import InferJob
from pipelines.items import Item, ItemReport
from pipelines.job import Job
from pipelines.plan import make_plan
from pipelines.run_items import PlanItems, RunItems
from pipelines.work import build
from tests.pipelines.conftest import dataset_rows, entries
from tests.pipelines.test_work import do, some
from tests.pipelines.toy_job import ToyJob, toy_work

Texts = Callable[..., pathlib.Path]

CONVERT = ConvertJob(Layout({"train": 1.0}, num_shards=5))
INFER = InferJob("model.pb", "0" * 64, LabelMap.of_names(["a"]))


def counters(result: object) -> dict[str, int]:
    return {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}  # type: ignore[attr-defined]


def test_items_are_planned_on_a_worker_and_reported_once_each(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    """No launcher registered this run: the DoFns plan, run and commit by themselves, as on a cluster."""
    work = toy_work([str(some(texts))], tmp_path / "out", ToyJob(diary=str(diary)), isolation="none", run_id="far")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    reports = build(pipeline, work, spread=True)

    def whole(found: list[ItemReport]) -> None:
        assert len(found) == 3
        assert sum(report.statuses["done"] + report.statuses["empty"] for report in found) == 12
        assert not any(report.reused for report in found)

    assert_that(reports, whole)
    result = pipeline.run()
    result.wait_until_finish()
    assert counters(result) == {
        "items": 3,
        "items_reused": 0,
        "inputs_done": 9,
        "inputs_empty": 3,
        "inputs_failed": 0,
        "pieces": 12,
        "input_bytes": sum(max(1, path.stat().st_size) for path in some(texts).iterdir()),
        "lines": 18,
    }
    assert entries(diary).count("open") == entries(diary).count("close") == 1
    finalize(work.job, work.ask)
    do(some(texts), tmp_path / "fresh")
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")


def test_a_repeated_item_costs_one_look(texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path) -> None:
    """As when a runner repeats a stage: every item comes twice."""
    work = toy_work([str(some(texts))], tmp_path / "out", ToyJob(diary=str(diary)), isolation="none", run_id="twice")
    items = make_plan(work.job, work.ask).items
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        reports = pipeline | beam.Create([*items, *items]) | RunItems(work)

        def half_reused(found: list[ItemReport]) -> None:
            assert sorted(report.reused for report in found) == [False] * 3 + [True] * 3

        assert_that(reports, half_reused)
    assert sum(line.startswith("item") for line in entries(diary)) == 12


def test_isolation_works_inside_a_worker_process_too(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(a="x\n", b="crash\n", c="y\n")
    work = toy_work([str(folder)], tmp_path / "out", ToyJob(), isolation="process", run_id="crash")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    build(pipeline, work, spread=True)
    result = pipeline.run()
    result.wait_until_finish()
    assert counters(result)["inputs_failed"] == 1
    assert counters(result)["inputs_done"] == 2


def test_an_error_that_ends_the_run_reaches_the_launcher(texts: Texts, tmp_path: pathlib.Path) -> None:
    work = toy_work([str(texts(a="x\n"))], tmp_path / "out", ToyJob(on_open="refuse"), isolation="none", run_id="no")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    build(pipeline, work, spread=True)
    with pytest.raises((UsageError, RuntimeError), match="the worker refuses to open"):
        pipeline.run().wait_until_finish()


def test_type_hints_are_visible_to_beam() -> None:
    assert RunItems.expand.__annotations__["items"] == beam.PCollection[Item]
    assert PlanItems.expand.__annotations__["return"] == beam.PCollection[Item]
    with pytest.raises(beam.typehints.TypeCheckError), beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(["not an item"]).with_output_types(str) | RunItems(toy_work([], "", ToyJob()))


@pytest.mark.parametrize("job", [ToyJob(), INFER, CONVERT], ids=["toy", "infer", "convert"])
def test_the_graph_does_not_grow_with_the_number_of_inputs(tmp_path: pathlib.Path, job: Job) -> None:
    """Inputs are found on a worker: the launcher knows what was asked for, and looks at the first."""
    name = "f.t" if isinstance(job, ToyJob) else "f.jpg"
    (tmp_path / name).write_bytes(b"there")

    def size(count: int) -> int:
        inputs = tmp_path / ("inputs.csv" if job.name == "convert" else "inputs.txt")
        if job.name == "convert":
            lines = ["filename,width,height,class,xmin,ymin,xmax,ymax", *[f"{name},9,9,a,1,1,5,5"] * count]
        else:
            lines = [name] * count
        inputs.write_text("\n".join(lines))
        asked = dataclasses.replace(job, images=str(tmp_path)) if isinstance(job, ConvertJob) else job
        work = toy_work([str(inputs)], tmp_path / "out", asked, run_id="size")
        work.job.check(work.ask)
        pipeline = beam.Pipeline(runner=FnApiRunner())
        build(pipeline, work, spread=True)
        return len(pipeline.to_runner_api().SerializeToString())

    small = size(10)
    assert 5_000 < small == size(10_000)
