"""What the benchmark of infer found: samples kept, medians and ratios derived."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.product import Run

AIM_SHARE_OF_LIMIT = 0.95
AIM_ONE_IMAGE_SECONDS = 8.0


class Sample(NamedTuple):
    """A bare loop, measured once at one batch size; `others_cores`: see OtherWork."""

    frames_per_second: float
    cpu_ms_per_frame: float
    others_cores: float


@dataclasses.dataclass(frozen=True)
class Loop:
    """A bare Session loop, sampled once per repeat.

    Attributes:
        batches: batch size -> samples.
        first_run_seconds: of the first Session.run in its process, which no rate includes.
    """

    batches: Mapping[int, Sequence[Sample]]
    first_run_seconds: Sequence[float]

    @property
    def best_batch(self) -> int:
        """The batch size whose median rate is the highest."""
        rates = {
            size: statistics.median(sample.frames_per_second for sample in samples)
            for size, samples in self.batches.items()
        }
        return max(rates, key=lambda size: rates[size])

    @property
    def best(self) -> Sequence[Sample]:
        """The samples of the best batch size."""
        return self.batches[self.best_batch]

    @property
    def rates(self) -> Sequence[float]:
        """Frames per second at the best batch size."""
        return [sample.frames_per_second for sample in self.best]

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per frame at the best batch size, median."""
        return statistics.median(sample.cpu_ms_per_frame for sample in self.best)

    def to_json(self) -> dict[str, Any]:
        """Samples, and which batch size was the best."""
        return {
            "batches": {size: [sample._asdict() for sample in samples] for size, samples in self.batches.items()},
            "best_batch": self.best_batch,
            "first_run_seconds": list(self.first_run_seconds),
        }


@dataclasses.dataclass(frozen=True)
class Speed:
    """boxbeam beside the loops, on one kind of input.

    Attributes:
        words: what was run, for people.
        cores: that each of them had.
        decode_cpu_ms: CPU milliseconds to decode a frame, bare.
        boxbeam_decode_cpu_ms: the same by boxbeam's own functions.
        loops: by style.
        runs: of boxbeam.
        start_cpu_seconds: CPU that a run costs before and beside its frames: that of a run with one image.
    """

    words: str
    cores: int
    decode_cpu_ms: float
    boxbeam_decode_cpu_ms: float
    loops: Mapping[str, Loop]
    runs: Sequence[Run]
    start_cpu_seconds: float

    @property
    def rates(self) -> Sequence[float]:
        """boxbeam's frames per second, start-up apart."""
        return [run.frames_per_second for run in self.runs]

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per frame of all of boxbeam's processes, start-up apart, median."""
        return statistics.median(1000 * (run.cpu_seconds - self.start_cpu_seconds) / run.frames for run in self.runs)

    def ratio(self, style: str) -> float:
        """boxbeam's speed over that of a loop."""
        return statistics.median(self.rates) / statistics.median(self.loops[style].rates)

    @property
    def limit(self) -> float:
        """Frames per second if every core were always in the model (as in the best loop) or in the bare decoder."""
        best = max(statistics.median(loop.rates) for loop in self.loops.values())
        return 1 / (1 / best + self.decode_cpu_ms / 1000 / self.cores)

    @property
    def share_of_limit(self) -> float:
        """boxbeam's speed over the limit."""
        return statistics.median(self.rates) / self.limit

    @property
    def cpu_share_of_limit(self) -> float:
        """CPU that a frame needs at the least (the thriftiest loop plus bare decoding) over what boxbeam takes."""
        return (min(loop.cpu_ms for loop in self.loops.values()) + self.decode_cpu_ms) / self.cpu_ms

    def to_json(self) -> dict[str, Any]:
        """Samples and what is derived of them."""
        return {
            **dataclasses.asdict(self),
            "runs": [run._asdict() for run in self.runs],
            "loops": {style: loop.to_json() for style, loop in self.loops.items()},
            "frames_per_second": statistics.median(self.rates),
            "cpu_ms": self.cpu_ms,
            "ratio": {style: self.ratio(style) for style in self.loops},
            "limit": self.limit,
            "share_of_limit": self.share_of_limit,
            "cpu_share_of_limit": self.cpu_share_of_limit,
        }


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything of one benchmark; parts that were not asked for are empty.

    Attributes:
        header: machine, versions and material, for people.
        speed: by kind of input.
        one_image: runs with a single image.
        memory: what was run -> (how often it holds the frames of the first of its kind, runs).
    """

    header: Mapping[str, str]
    speed: Mapping[str, Speed]
    one_image: Sequence[Run]
    memory: Mapping[str, tuple[int, Sequence[Run]]]

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "boxbeam": "benchmark-infer/1",
            **self.header,
            "speed": {kind: speed.to_json() for kind, speed in self.speed.items()},
            "one_image": [run._asdict() for run in self.one_image],
            "memory": {
                name: {"times": times, "runs": [run._asdict() for run in runs]}
                for name, (times, runs) in self.memory.items()
            },
        }
