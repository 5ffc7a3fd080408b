"""What `boxbeam infer --dry_run --assume_workers N` says: time, machines, cost, how it got there, how sure it is."""

import math
from collections.abc import Iterator

from beam_jobs.summary import byte_size, counted, duration
from pipelines.infer.estimate import Estimate, KindEstimate

_NOTHING = "\n  estimate: nothing is to be done, so there is nothing to measure"


def estimate_text(estimate: Estimate, cost_per_hour: float | None, *, on_gpu: bool) -> str:
    """The lines below the plan."""
    return "\n".join(_lines(estimate, cost_per_hour, "GPU" if on_gpu else "core")) if estimate.kinds else _NOTHING


def _lines(estimate: Estimate, cost_per_hour: float | None, device: str) -> Iterator[str]:
    yield ""
    yield f"estimate, from a probe on one {device} of this machine:"
    for kind in estimate.kinds:
        yield f"  {kind.kind}s: {_kind(kind)}"
    sure = _share(estimate.error, estimate.core_seconds)
    yield f"  work: {_core_hours(estimate.core_seconds)} of one such {device}{sure}"
    workers = counted(estimate.workers, "workers")
    yield f"  time: {_between(estimate)} with {workers} of one {device} each"
    yield (
        f"    {duration(estimate.open_seconds)} to open the model,"
        f" {duration(estimate.work_seconds(estimate.core_seconds))} of work,"
        f" {duration(estimate.finalize_seconds)} to finalize on the launcher"
    )
    if estimate.longest_item > estimate.core_seconds / estimate.workers:
        enough = max(1, math.ceil(estimate.core_seconds / max(estimate.longest_item, 1e-9)))
        yield f"    the longest item takes {duration(estimate.longest_item)}: {counted(enough, 'workers')} would do"
    yield f"  worker hours: {estimate.worker_hours:,.2f}"
    if cost_per_hour is not None:
        yield f"  cost: {estimate.worker_hours * cost_per_hour:,.2f}, at {cost_per_hour:g} for a worker and hour"
    yield f"  output: {round(estimate.rows):,} rows, about {byte_size(estimate.output_bytes)}"
    yield "  Each figure is the mean time for an image, of others for a byte, at points that divide all inputs of a"
    yield f"  kind evenly, times what there is. It holds for a {device} like this one. Not in it: starting machines,"
    yield "  and waiting for disks or a network."


def _kind(kind: KindEstimate) -> str:
    units = {"image": "images", "video": "frames", "record": "records"}[kind.kind]
    return (
        f"{kind.sampled:,} of {kind.inputs:,} looked at, {byte_size(kind.sampled_weight)} of {byte_size(kind.weight)},"
        f" {kind.sampled_units:,} {units}: about {round(kind.units):,} {units} in all,"
        f" {_core_hours(kind.core_seconds)}{_share(kind.error, kind.core_seconds)}"
    )


def _share(error: float, seconds: float) -> str:
    """How sure it is."""
    if math.isinf(error):
        return " (from one sample alone: may be far off)"
    return f" ± {error / max(seconds, 1e-9):.0%} (90% sure)"


def _between(estimate: Estimate) -> str:
    middle = duration(estimate.seconds(estimate.core_seconds))
    if math.isinf(estimate.error):
        return middle
    low = estimate.seconds(max(0.0, estimate.core_seconds - estimate.error))
    high = estimate.seconds(estimate.core_seconds + estimate.error)
    return f"{middle}, between {duration(low)} and {duration(high)},"


def _core_hours(seconds: float) -> str:
    return duration(seconds) if seconds < 3600 else f"{seconds / 3600:,.1f} hours"
