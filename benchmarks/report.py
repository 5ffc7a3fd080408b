"""The benchmark's results as a table for people."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.product import Run
from benchmarks.results import AIM_ONE_IMAGE_SECONDS, AIM_SHARE_OF_LIMIT, Results, Speed

_LOOPS = {"one_run": "loop A", "thread_per_core": "loop B"}
_LOOP_WORDS = {
    "one_run": "loop A: bare Session, one run at a time on all cores",
    "thread_per_core": "loop B: bare Session, a thread per core",
}
_LABEL_WIDTH = 62
_WIDTHS = (10, 15, 13, 13)


def text(results: Results) -> str:
    """The whole table."""
    lines = [f"{name:<10}{value}" for name, value in results.header.items()]
    for kind, speed in results.speed.items():
        lines += ["", *_speed(kind, speed)]
    if results.one_image:
        lines += ["", *_start_up(results.one_image)]
    if results.memory:
        lines += ["", *_memory(results.memory)]
    return "\n".join(lines)


def _speed(kind: str, speed: Speed) -> Iterator[str]:
    yield _row(f"SPEED, {kind}: {speed.words}", "frames/s", "lowest-highest", "CPU ms/frame", "others' cores")
    for style, loop in speed.loops.items():
        others = [sample.others_cores for sample in loop.best]
        label = f"{_LOOP_WORDS[style]} (batch {loop.best_batch})"
        yield _row(label, *_rates(loop.rates), f"{loop.cpu_ms:.1f}", _cores(others))
    others = [run.others_cores for run in speed.runs]
    yield _row("boxbeam infer, start-up apart", *_rates(speed.rates), f"{speed.cpu_ms:.1f}", _cores(others))
    yield _row("limit: the better loop, plus bare decoding spread over all cores", f"{speed.limit:.1f}")
    yield _row("  decoding, bare, one core", "", "", f"{speed.decode_cpu_ms:.1f}")
    yield _row("  decoding, boxbeam's functions, one core", "", "", f"{speed.boxbeam_decode_cpu_ms:.1f}")
    for style in speed.loops:
        yield _row(f"boxbeam / {_LOOPS[style]}", f"{speed.ratio(style):.2f}")
    share = speed.share_of_limit
    yield _row("boxbeam / limit", f"{share:.2f}", _verdict(share >= AIM_SHARE_OF_LIMIT, f"{AIM_SHARE_OF_LIMIT:g}"))
    yield _row("  the same in CPU time, which others do not disturb", f"{speed.cpu_share_of_limit:.2f}")
    first_runs = [second for loop in speed.loops.values() for second in loop.first_run_seconds]
    yield _row(
        "  the first Session.run, seconds: in no rate, start-up for boxbeam", f"{statistics.median(first_runs):.2f}"
    )


def _start_up(runs: Sequence[Run]) -> Iterator[str]:
    wall = [run.wall_seconds for run in runs]
    first = [run.first_part_seconds for run in runs if run.first_part_seconds is not None]
    others = _cores([run.others_cores for run in runs])
    yield _row("START-UP: one image", "seconds", "lowest-highest", "", "others' cores")
    yield _row("start of the job to the model being open", *_seconds([run.open_seconds for run in runs]))
    yield _row("command to the first finished frame on disk", *(_seconds(first) if first else ("not seen",)))
    verdict = _verdict(statistics.median(wall) < AIM_ONE_IMAGE_SECONDS, f"<{AIM_ONE_IMAGE_SECONDS:g} s")
    yield _row("command to Parquet", *_seconds(wall), verdict, others)
    yield _row("CPU of all that", *_seconds([run.cpu_seconds for run in runs]))


def _memory(memory: Mapping[str, tuple[int, Sequence[Run]]]) -> Iterator[str]:
    yield _row("MEMORY: peak of launcher and item processes", "MiB", "lowest-highest", "ratio")
    once = 0.0
    for name, (times, runs) in memory.items():
        peaks = [run.peak_bytes / 2**20 for run in runs]
        once = statistics.median(peaks) if times == 1 else once
        ratio = f"{statistics.median(peaks) / once:.2f}" if once and times > 1 else ""
        yield _row(name, f"{statistics.median(peaks):.0f}", f"{min(peaks):.0f}-{max(peaks):.0f}", ratio)
    yield "  sum of PSS (/proc/PID/smaps_rollup) over the process tree, looked at five times a second"


def _row(label: str, *columns: str) -> str:
    cells = "".join(f"  {column:>{width}}" for column, width in zip(columns, _WIDTHS, strict=False))
    return f"{label:<{_LABEL_WIDTH}}{cells}".rstrip()


def _rates(samples: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(samples):.1f}", f"{min(samples):.0f}-{max(samples):.0f}"


def _seconds(samples: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(samples):.1f}", f"{min(samples):.1f}-{max(samples):.1f}"


def _cores(samples: Sequence[float]) -> str:
    return f"{statistics.median(samples):.1f}"


def _verdict(is_met: bool, aim: str) -> str:
    return f"{'OK' if is_met else 'BELOW'} (aim {aim})"
