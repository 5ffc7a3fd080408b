"""Several splits of a record dataset, one after another in one process, and their numbers side by side."""

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from beam_jobs import options
from beam_jobs.launch import refuse_output
from od_core import storage
from od_core.annotations.joined_truth import open_all_ground_truth
from pipelines.evaluate.insight import leave_beside
from pipelines.evaluate.report import METRICS_FILE
from pipelines.evaluate.splits import SPLITS_FILE, Numbers, gaps, is_defined, read_numbers, splits_text

_PER_CLASS = "PerformanceByCategory/"
_CLASSES_SHOWN = 10

Result = TypeVar("Result")


def evaluate_splits(
    args: argparse.Namespace, evaluate_one: Callable[[argparse.Namespace], Result]
) -> dict[str, Result]:
    """Evaluate each of `args.split` into a folder of its name, and say how far apart they are.

    Args:
        args: as parsed, with at least two splits.
        evaluate_one: evaluates one of them as parsed options say, and leaves metrics.json in their output.

    Returns:
        Split -> what `evaluate_one` returned.

    Raises:
        UsageError: a split that is not there, before the first is evaluated.
    """
    output = options.absolute(args.output)
    place = storage.join(output, SPLITS_FILE)
    refuse_output(output)
    open_all_ground_truth([options.absolute(path) for path in args.ground_truth], splits=args.split)
    _remove_earlier(output)
    ended = {}
    for split in args.split:
        print(f"evaluate: split {split}")
        ended[split] = evaluate_one(
            argparse.Namespace(**{**vars(args), "split": (split,), "output": storage.join(output, split)})
        )
        print()
    by_split = {split: read_numbers(storage.join(output, split)) for split in args.split}
    storage.write_text(place, splits_text(args.split, by_split))
    print("\n".join([f"evaluate: {', '.join(args.split)} side by side: {place}", *side_by_side(by_split)]), flush=True)
    return ended


def _remove_earlier(output: str) -> None:
    """What an earlier evaluation, of all images or of splits, has left in the output beside the folders of splits."""
    from pipelines.evaluate.verdicts import VERDICTS_FILE  # and with it Beam, which takes seconds

    storage.remove([storage.join(output, name) for name in (SPLITS_FILE, METRICS_FILE, VERDICTS_FILE)])
    leave_beside(output, None, {})


def side_by_side(by_split: Mapping[str, Numbers]) -> Iterator[str]:
    """Lines for a person: the overall numbers of each split with their gaps, then the classes that differ most."""
    between = gaps(by_split)
    overall = [name for name in next(iter(by_split.values())) if _PER_CLASS not in name]
    yield from _table("number", overall, overall, by_split, between)
    first = next(iter(between.values()))
    classes = [(name, gap) for name, gap in first.items() if _PER_CLASS in name and gap is not None]
    prefixes = list(dict.fromkeys(name.partition(_PER_CLASS)[0] for name, _ in classes))
    if not prefixes:
        return
    ranked = sorted((gap, name) for name, gap in classes if name.startswith(prefixes[0]))
    ranked.reverse()
    names = [name for _, name in itertools.islice(ranked, _CLASSES_SHOWN)]
    yield ""
    title = f"class, the largest gaps first ({prefixes[0].rstrip('_')})"
    yield from _table(title, [name.rpartition("/")[2] for name in names], names, by_split, between)


def _table(
    title: str,
    shown: Sequence[str],
    names: Sequence[str],
    by_split: Mapping[str, Numbers],
    between: Mapping[str, Numbers],
) -> Iterator[str]:
    width = max(len(title), *(len(name) for name in shown)) + 2
    columns = [max(10, len(head) + 2) for head in (*by_split, *between)]
    yield "  " + f"{title:<{width}}" + _cells([*by_split, *between], columns)
    for label, name in zip(shown, names, strict=True):
        numbers = [f"{x:.4f}" if is_defined(x := one.get(name)) else "-" for one in by_split.values()]
        numbers += [f"{x:+.4f}" if (x := one[name]) is not None else "-" for one in between.values()]
        yield "  " + f"{label:<{width}}" + _cells(numbers, columns)


def _cells(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
