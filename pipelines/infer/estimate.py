"""From a probe to the time, the machines and the cost of a whole run."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from pipelines.infer.probe import Probe, Sample, sampled

# Students' t for a two-sided 90 percent, by degrees of freedom; from 30 on that of the normal distribution is near.
_T90 = (math.inf, 6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)
_T90_MANY = 1.75
# What finalizing costs the launcher, as `python -m benchmarks.planning` measures it.
_FINALIZE_SECONDS_PER_PIECE = 1e-4
# What a row and a detection take in Parquet, measured: 2,295 frames with 218,050 detections, 5.9 MB.
_BYTES_PER_ROW = 4
_BYTES_PER_DETECTION = 27
_UNITS = {"image": "images", "video": "frames", "record": "records"}


@dataclasses.dataclass(frozen=True)
class KindEstimate:
    """One kind of input.

    Attributes:
        kind: "image", "video", "record".
        inputs: pieces to be done, `sampled` of them in the probe.
        weight: their bytes; `sampled_weight` of them in the probe.
        units: images, frames or records in all; `sampled_units` of them in the probe.
        core_seconds: of one core like that of the probe.
        error: half the width of the 90 percent interval of `core_seconds`; infinite where one sample is all there is.
    """

    kind: str
    inputs: int
    sampled: int
    weight: int
    sampled_weight: int
    units: float
    sampled_units: int
    core_seconds: float
    error: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The whole run.

    Attributes:
        kinds: by kind of input.
        workers: how many there are to be.
        open_seconds: that a worker takes to open the model.
        core_seconds, error: see KindEstimate.
        longest_item: seconds of the item with the most work: no number of workers is faster.
        finalize_seconds: at the end, on the launcher alone.
        rows, output_bytes: of the detections.
    """

    kinds: Sequence[KindEstimate]
    workers: int
    open_seconds: float
    core_seconds: float
    error: float
    longest_item: float
    finalize_seconds: float
    rows: float
    output_bytes: float

    def seconds(self, core_seconds: float) -> float:
        """How long the run takes, if the work takes so many seconds of a core."""
        return self.open_seconds + self.work_seconds(core_seconds) + self.finalize_seconds

    def work_seconds(self, core_seconds: float) -> float:
        """The same, for the items alone: no run is shorter than its longest item."""
        longest = self.longest_item * core_seconds / max(self.core_seconds, 1e-9)
        return max(core_seconds / self.workers, longest)

    @property
    def worker_hours(self) -> float:
        """What is paid for: every worker from beginning to end of the items."""
        return self.workers * (self.seconds(self.core_seconds) - self.finalize_seconds) / 3600


def estimate(probe: Probe, workers: int) -> Estimate:
    """Extrapolate: the mean seconds per image, or per byte, of a kind's samples, times all there is of it."""
    kinds = []
    longest = rows = output = 0.0
    for kind, to_do, samples in sampled(probe):
        rates = [sample.seconds / sample.amount for sample in samples]
        rate = statistics.fmean(rates)
        units = float(to_do.pieces) if kind == "image" else _rate_of(samples, _UNITS[kind]) * to_do.amount
        kinds.append(
            KindEstimate(
                kind,
                to_do.pieces,
                sum(sample.inputs for sample in samples),
                to_do.weight,
                sum(sample.weight for sample in samples),
                units,
                sum(sample.counts.get(_UNITS[kind], 0) for sample in samples),
                rate * to_do.amount,
                _half_width(rates) * to_do.amount,
            )
        )
        longest = max(longest, rate * to_do.heaviest_item)
        rows += units
        output += _BYTES_PER_DETECTION * _rate_of(samples, "detections") * to_do.amount
    return Estimate(
        kinds,
        workers,
        probe.open_seconds,
        sum(one.core_seconds for one in kinds),
        math.hypot(*(one.error for one in kinds)),
        longest,
        _FINALIZE_SECONDS_PER_PIECE * sum(one.inputs for one in kinds),
        rows,
        output + _BYTES_PER_ROW * rows,
    )


def _rate_of(samples: Sequence[Sample], name: str) -> float:
    return statistics.fmean(sample.counts.get(name, 0) / sample.amount for sample in samples)


def _half_width(rates: Sequence[float]) -> float:
    """Of the 90 percent interval of the mean."""
    if len(rates) < 2:
        return math.inf
    freedom = len(rates) - 1
    t = _T90[freedom] if freedom < len(_T90) else _T90_MANY
    return t * statistics.stdev(rates) / math.sqrt(len(rates))
