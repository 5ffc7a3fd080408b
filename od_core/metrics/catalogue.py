"""All metrics, by the words for them."""

import functools
from collections.abc import Iterable, Mapping

from od_core.metrics.coco import CocoBoxes
from od_core.metrics.coco_masks import CocoMasks
from od_core.metrics.metric import MetricFactory
from od_core.metrics.open_images import OpenImagesBoxes, OpenImagesChallengeBoxes
from od_core.metrics.voc import PascalBoxes, PascalBoxes07, WeightedPascalBoxes

_OPEN_IMAGES = {metric.name: metric for metric in (OpenImagesBoxes, OpenImagesChallengeBoxes)}
_OTHERS = {metric.name: metric for metric in (CocoBoxes, CocoMasks, PascalBoxes, PascalBoxes07, WeightedPascalBoxes)}

METRICS = (*_OTHERS, *_OPEN_IMAGES)
"""The words for all metrics."""


def metric_factories(
    names: Iterable[str], categories: Mapping[int, str], ancestors: Mapping[int, tuple[int, ...]] | None = None
) -> dict[str, MetricFactory]:
    """A factory for each of some metrics.

    Args:
        names: of `METRICS`.
        categories: class id -> name.
        ancestors: class id -> ids of the classes above it, for the metrics of Open Images.
    """
    return {
        name: functools.partial(_OPEN_IMAGES[name], categories, ancestors=ancestors)
        if name in _OPEN_IMAGES
        else functools.partial(_OTHERS[name], categories)
        for name in names
    }
