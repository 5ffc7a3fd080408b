"""The graph of every job: plan, spread, run items. Items in, item reports out; results are the items' part files."""

# No `from __future__ import annotations` here: Beam reads the type hints when the graph is built.

import collections
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.transforms.util import ReshufflePerKey
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from od_core.errors import BoxbeamError
from pipelines import executor, local_run
from pipelines.dataset import Dataset
from pipelines.executor import Work
from pipelines.items import OUTCOMES, Item, ItemReport
from pipelines.plan import make_plan, prepare_work

_NAMESPACE = "boxbeam"


class PlanItems(beam.PTransform):
    """The items of a run, from nothing: matching and planning happen where the runner puts them."""

    def __init__(self, work: Work):
        super().__init__()
        self._work = work

    def expand(self, root: beam.Pipeline) -> beam.PCollection[Item]:
        return root | beam.Impulse() | "Plan" >> beam.ParDo(_PlanFn(self._work))


class SpreadItems(beam.PTransform):
    """The same items, shared out over the workers.

    As beam.Reshuffle, but keyed by what items are, not at random: when a job is done again, by the same number of
    workers, each gets what it had before.
    """

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[Item]:
        return (
            items
            | "Key" >> beam.Map(_keyed).with_output_types(tuple[str, Item])
            | "Shuffle" >> ReshufflePerKey()
            | "DropKey" >> beam.Values().with_output_types(Item)
        )


def _keyed(item: Item) -> tuple[str, Item]:
    first = item.pieces[0]
    return f"{first.source.key} {first.start}", item


class RunItems(beam.PTransform):
    """Do items: one report per item, when its part file is committed."""

    def __init__(self, work: Work):
        super().__init__()
        self._work = work

    def expand(self, items: beam.PCollection[Item]) -> beam.PCollection[ItemReport]:
        return items | "Run" >> beam.ParDo(_RunItemsFn(self._work))


class _PlanFn(beam.DoFn):
    def __init__(self, work: Work):
        self._work = work

    def process(self, _: bytes) -> Iterator[Item]:
        run = local_run.find(self._work.run_id)
        if run is not None:
            plan = run.plan  # the launcher made it, to refuse wrong usage before any work started
        else:
            self._work.enter_process()
            plan = make_plan(self._work.job, self._work.ask)
            prepare_work(Dataset(self._work.ask.output), plan)
        for item in plan.items:
            if run is not None and run.error is not None:
                return
            yield item


class _RunItemsFn(beam.DoFn):
    """Holds its process's executor from setup() to teardown()."""

    def __init__(self, work: Work):
        self._work = work
        self._item_msec = beam.metrics.Metrics.distribution(_NAMESPACE, "item_msec")

    def setup(self) -> None:
        self._run = local_run.find(self._work.run_id)
        self._executor = executor.acquire(self._work)

    def process(self, item: Item) -> Iterator[ItemReport]:
        if self._stopped():
            return
        try:
            self._executor.submit(item)
        except BoxbeamError as error:
            self._give_up(error)
        yield from self._counted(self._executor.reports())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._stopped():
            return
        try:
            reports = list(self._executor.drain())
        except BoxbeamError as error:
            self._give_up(error)
            return
        for report in self._counted(reports):
            yield WindowedValue(report, MIN_TIMESTAMP, [GlobalWindow()])

    def teardown(self) -> None:
        executor.release(self._work)

    def _stopped(self) -> bool:
        return self._run is not None and self._run.error is not None

    def _give_up(self, error: BoxbeamError) -> None:
        """In the launcher the error is kept for it to show; elsewhere Beam carries it there."""
        if self._run is None:
            raise error
        self._run.stop(error)

    def _counted(self, reports: Iterable[ItemReport]) -> Iterator[ItemReport]:
        for report in reports:
            self._item_msec.update(round(1000 * report.seconds))
            for name, count in _metrics_of(report).items():
                beam.metrics.Metrics.counter(_NAMESPACE, name).inc(count)
            yield report


def _metrics_of(report: ItemReport) -> dict[str, int]:
    """What docs/scaling.md promises to those who watch a run."""
    ended = collections.Counter(report.statuses)
    ended.update(status for _, status, is_last in report.cut if is_last or status == "failed")
    return {
        "items": 1,
        "items_reused": int(report.reused),
        "pieces": report.pieces,
        "input_bytes": report.weight,
        **{f"inputs_{status}": ended[status] for status in OUTCOMES},
        **report.counts,
    }
