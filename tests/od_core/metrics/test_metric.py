"""What every metric promises: the numbers depend on the frames alone."""

import dataclasses
import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.metrics.catalogue import METRICS, metric_factories
from od_core.metrics.frame import EvaluatedFrame
from od_core.metrics.metric import Metric, MetricFactory
from tests.od_core.metrics import evaluation_problems as problems

PROBLEM = problems.random_problem(7, frames=10)
MASKS = problems.mask_problem(7, frames=10)
FACTORIES = metric_factories(METRICS, PROBLEM.categories, {1: (2,), 3: (2, 1)})
each_metric = pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)


def frames_of(make: MetricFactory) -> list[EvaluatedFrame]:
    return (MASKS if make().name == "coco_masks" else PROBLEM).frames


def evaluated(make: MetricFactory, *parts: list[int]) -> list[Metric]:
    """One accumulator for each list of frame numbers."""
    metrics = [make() for _ in parts]
    for metric, part in zip(metrics, parts, strict=True):
        metric.update([frames_of(make)[number] for number in part])
    return metrics


@each_metric
@given(data=st.data())
def test_no_split_order_or_merge_tree_changes_a_digit(make: MetricFactory, data: st.DataObject) -> None:
    (whole,) = evaluated(make, list(range(10)))
    order = data.draw(st.permutations(range(10)))
    cuts = sorted(data.draw(st.lists(st.integers(0, 10), max_size=4)))
    metrics = evaluated(make, *(order[start:stop] for start, stop in zip([0, *cuts], [*cuts, 10], strict=True)))
    while len(metrics) > 1:
        into, other = data.draw(st.permutations(range(len(metrics))))[:2]
        metrics[into].merge(metrics[other])
        del metrics[other]
    assert repr(metrics[0].value()) == repr(whole.value())  # as text NaN equals NaN; order and last digits show


@each_metric
def test_a_pickled_metric_goes_on_where_it_was(make: MetricFactory) -> None:
    first, rest, whole = evaluated(make, [3, 1], [0, 2], [0, 1, 2, 3])
    copy = pickle.loads(pickle.dumps(first))
    copy.merge(pickle.loads(pickle.dumps(rest)))
    assert repr(copy.value()) == repr(whole.value())
    assert repr(pickle.loads(pickle.dumps(make))().value()) == repr(make().value())


@each_metric
def test_a_value_does_not_end_a_metric(make: MetricFactory) -> None:
    metric, whole = evaluated(make, [0], [0, 1])
    metric.value()
    metric.update([frames_of(make)[1]])
    assert repr(metric.value()) == repr(whole.value())


@each_metric
def test_a_frame_counts_once(make: MetricFactory) -> None:
    frame = frames_of(make)[4]
    metric, other = evaluated(make, [3, 4], [4, 5])
    before = repr(metric.value())
    with pytest.raises(ValueError, match=f"'{frame.name}' was added twice"):
        metric.merge(other)
    assert repr(metric.value()) == before
    with pytest.raises(ValueError, match=f"'{frame.name}' was added twice"):
        metric.update([frame])


@pytest.mark.parametrize("name", METRICS)
def test_ids_of_classes_can_be_in_the_billions(name: str) -> None:
    """With gaps between them, as some tools number classes: the numbers are those of a dense numbering."""
    problem = MASKS if name == "coco_masks" else PROBLEM
    ids = dict(zip(sorted(problem.categories), range(2**31 - 1 - len(problem.categories), 2**31 - 1), strict=True))

    def renumbered(classes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return np.array([ids.get(class_id, -1) for class_id in classes.tolist()], np.int32)

    values = []
    for change in (False, True):
        names = {ids[id] if change else id: word for id, word in problem.categories.items()}
        (metric,) = (make() for make in metric_factories([name], names).values())
        for frame in problem.frames:
            known = np.isin(frame.truth.classes, list(ids)), np.isin(frame.found.classes, list(ids))
            truth, found = frame.truth.where(known[0]), frame.found.where(known[1])
            if change:
                truth = dataclasses.replace(truth, classes=renumbered(truth.classes))
                found = dataclasses.replace(found, classes=renumbered(found.classes))
            metric.update([frame._replace(truth=truth, found=found, verified=None)])
        values.append(repr(metric.value()))
    assert values[0] == values[1]


@each_metric
def test_a_metric_says_what_its_numbers_are(make: MetricFactory) -> None:
    metric = make()
    assert FACTORIES[metric.name] is make
    assert "average precision" in metric.definition
    assert "IoU" in metric.definition
