"""The options that all jobs share, and the rule for the rest: Beam's own options pass, anything else is refused.

Nothing heavy is imported here: `--help` answers at once.
"""

import argparse
import importlib.util
import math
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from od_core.closest_name import did_you_mean
from od_core.model.gpu_driver import has_gpu_driver

if TYPE_CHECKING:
    from od_core.source_root import SourceRoot

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SMALLEST_SIZE = 1 << 20
_RATE = re.compile(r"\d{1,9}(?:\.\d{1,9}|/(\d{1,9}))?", re.ASCII)
_MOMENT = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,6}):)?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
_NUMBER = re.compile(r"-\d+(\.\d+)?")


def parser(manual: str, job: str) -> argparse.ArgumentParser:
    """A parser whose help is the job's manual: the module docstring's first line, then the options, then the rest."""
    summary, _, rest = manual.strip().partition("\n")
    return _Parser(
        prog=f"boxbeam {job}",
        description=summary,
        epilog=rest.strip("\n"),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, not the whole usage: the line is what a person has to see."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_identity(group: argparse._ArgumentGroup) -> None:
    """Add the option that says what makes an input the same input, for jobs that read sources."""
    group.add_argument(
        "--identity",
        choices=("time", "content"),
        default="time",
        help="what makes a file that was done before another one: time: its size or its time has changed; content: its"
        " bytes have, whatever its time, for which each run reads all of every file while it plans (default: time)",
    )


def add_common(made: argparse.ArgumentParser) -> None:
    """Add the options of every job that runs on the engine."""
    group = made.add_argument_group("running")
    group.add_argument(
        "--workers", type=positive_int, metavar="N", help="cores to use (default: all of this machine; 1 on a cluster)"
    )
    group.add_argument("--overwrite", action="store_true", help="start anew, replacing what --output holds")
    group.add_argument(
        "--retry_failed",
        action="store_true",
        help="try inputs again that failed in an earlier run",
    )
    group.add_argument(
        "--allow_removed",
        action="store_true",
        help="go on where most inputs that --output has rows of are no longer there (an unmounted disk looks like"
        " that): their rows are removed",
    )
    group.add_argument("--dry_run", action="store_true", help="print the plan and stop")
    group.add_argument(
        "--max_failed_ratio",
        type=ratio,
        default=0.5,
        metavar="R",
        help="stop when more than this share of the inputs fails, from 20 inputs on (default: 0.5)",
    )
    group.add_argument(
        "--progress",
        choices=("auto", "plain", "off"),
        default="auto",
        help="a live bar on a terminal, else a line now and then (default: auto)",
    )
    group.add_argument(
        "--log_file",
        type=path,
        metavar="F",
        help="add to this file what happens and when: failures, incidents, the state once a minute, how it ended",
    )
    group.add_argument(
        "--isolation",
        choices=("process", "none"),
        help="process: inputs that crash or hang cost only themselves (default on one machine); none: all in this"
        " process, for debugging (default on a cluster)",
    )
    group.add_argument(
        "--stall_timeout",
        type=positive_float,
        default=300.0,
        metavar="S",
        help="seconds without any progress after which an item process is replaced (default: 300)",
    )
    group.add_argument(
        "--worker_memory",
        type=size_or_none,
        default="auto",
        metavar="BYTES",
        help="address space of an item process, such as 8GiB, or none (default: this machine's memory, at least 16GiB;"
        " none with a GPU)",
    )
    group.add_argument(
        "--runner",
        type=runner,
        default="DirectRunner",
        metavar="RUNNER",
        help="Beam runner: DirectRunner is this machine; FlinkRunner, SparkRunner, DataflowRunner, PortableRunner take"
        " Beam's own options, which may follow here (--flink_master ...)",
    )


def parse(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line: our options, and those that are Beam's.

    A misspelt or unknown option ends the process with status 2, as argparse does for a wrong value.
    """
    ours = [option for action in made._actions for option in action.option_strings if option.startswith("--")]
    given = sys.argv[1:] if argv is None else argv
    if not {"-h", "--help"} & set(given):
        # First, or argparse complains that the option that was misspelt is missing.
        _refuse_unknown(made, [argument.split("=", 1)[0] for argument in given if argument.startswith("--")], ours)
    args, rest = made.parse_known_args(_apart(given, ours))
    previous_is_option = False
    for argument in rest:
        if not argument.startswith("-") or (previous_is_option and _NUMBER.fullmatch(argument)):
            if not previous_is_option:
                made.error(f"unexpected argument {argument!r}")
            previous_is_option = False
            continue
        _refuse_unknown(made, [argument.split("=", 1)[0]], ours)
        previous_is_option = "=" not in argument
    return args, rest


def _refuse_unknown(made: argparse.ArgumentParser, names: Sequence[str], ours: Sequence[str]) -> None:
    foreign = [name for name in names if name not in ours]
    known = beam_option_names() if foreign else frozenset()
    for name in foreign:
        if name not in known:
            made.error(f"unknown option {name}{did_you_mean(name, [*ours, *known], cutoff=0.75)}")


def _apart(argv: Sequence[str], ours: Sequence[str]) -> Iterator[str]:
    """Foreign options with a space in their value as two arguments: in one, argparse takes them for a value of ours."""
    for argument in argv:
        name, equals, value = argument.partition("=")
        if equals and name.startswith("--") and name not in ours and " " in value:
            yield from (name, value)
        else:
            yield argument


def beam_option_names() -> frozenset[str]:
    """The names of Beam's pipeline options, such as --flink_master."""
    return frozenset(re.findall(r"""['"](--[a-z][a-z0-9_-]*)['"]""", _beam_options_source()))


def _beam_options_source() -> str:
    """The text of Beam's module of options, which also names its runners: importing it takes seconds."""
    found = importlib.util.find_spec("apache_beam")
    if found is None or found.origin is None:
        return ""
    return (pathlib.Path(found.origin).parent / "options" / "pipeline_options.py").read_text(encoding="utf-8")


def runner(text: str) -> str:
    """An argparse type: a runner that Beam knows, in any case, with or without "Runner"; or a class with its module."""
    if "." in text:
        return text
    names = re.findall(r"['\"]apache_beam\.runners\.[\w.]*\.(\w+Runner)['\"]", _beam_options_source())
    by_word: dict[str, str] = {name.lower(): name for name in names}
    word = text.lower().removesuffix("runner") + "runner"
    if by_word and word not in by_word:
        guess = did_you_mean(word, names, otherwise=f"Beam has {', '.join(names)}", cutoff=0.75)
        raise argparse.ArgumentTypeError(f"no runner called {text!r}{guess}")
    return by_word.get(word, text)


def path(text: str) -> str:
    """An argparse type: a path. An empty one, often an unset shell variable, would mean the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("must be a path, got an empty string")
    return text


def absolute(text: str) -> str:
    """A local path as workers, which may run elsewhere, understand it; others as they are."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.lower() != "file":
        return text
    local = rest if separator else text
    ending = "/" if local.endswith("/") and local != "/" else ""
    return os.path.abspath(local) + ending


def add_source_root(group: Any) -> None:
    """Add the option that maps originals which were moved; see `source_root`."""
    group.add_argument(
        "--source_root",
        type=path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER|OLD=NEW",
        help="where originals lie that were moved since infer looked at them: the folder that was infer's --input, as"
        " it is called now; where there were several, OLD=NEW for each of them (default: as the detections say)",
    )


def source_root(made: argparse.ArgumentParser, texts: Sequence[str]) -> "SourceRoot":
    """What --source_root says, with absolute paths; ends the program where that is nonsense."""
    from od_core.errors import UsageError
    from od_core.source_root import SourceRoot

    try:
        root = SourceRoot.parse(texts)
    except UsageError as error:
        made.error(str(error))
    folder = None if root.folder is None else absolute(root.folder)
    return SourceRoot(folder, tuple((old, absolute(new)) for old, new in root.moved))


def positive_int(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def positive_int_or_auto(text: str) -> int | None:
    """An argparse type: a whole number of at least 1, or "auto", which is None."""
    return None if text == "auto" else positive_int(text)


def whole_number(text: str) -> int:
    """An argparse type: a whole number, 0 included."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def positive_float(text: str) -> float:
    """An argparse type: a number above 0."""
    number = finite_float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text!r}")
    return number


def rate(text: str) -> Fraction:
    """An argparse type: a number above 0, exactly: "0.5", "29.97", "30000/1001"."""
    match = _RATE.fullmatch(text)
    number = Fraction(text) if match and int(match[1] or 1) else Fraction(0)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, such as 2, 0.5 or 30000/1001, got {text!r}")
    return number


def moment(text: str) -> Fraction:
    """An argparse type: a place in a video in seconds, exactly: "90", "90.5", "1:30", "01:01:30.5"."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be seconds, or [hours:]minutes:seconds as in 1:30, got {text!r}")
    hours, minutes, seconds = (Fraction(part or 0) for part in match.groups())
    if (match[2] and seconds >= 60) or (match[1] and minutes >= 60):
        raise argparse.ArgumentTypeError(f"minutes and seconds after a colon go up to 59, got {text!r}")
    return 3600 * hours + 60 * minutes + seconds


def ratio(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    number = finite_float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text!r}")
    return number


def iou(text: str) -> float:
    """An argparse type: an overlap that can be demanded of a detection."""
    number = ratio(text)
    if number <= 0.1:  # od_core.metrics.verdicts.BACKGROUND_IOU, which is not imported for --help
        raise argparse.ArgumentTypeError(f"must be above 0.1 and at most 1, got {text!r}")
    return number


def finite_float(text: str) -> float:
    """An argparse type: a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}")
    return number


def size_or_none(text: str) -> int | str | None:
    """An argparse type: bytes as a number with KiB, MiB, GiB (powers of 1024) or KB, MB, GB; "none"; "auto"."""
    if text in ("none", "auto"):
        return None if text == "none" else text
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a size such as 8GiB or 512MiB, or none, got {text!r}")
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary or not unit else 1000) ** _POWERS[unit.upper()])
    if size < _SMALLEST_SIZE:
        raise argparse.ArgumentTypeError(f"must be at least 1MiB, got {text!r}; say the unit, as in 8GiB")
    return size


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))


def default_worker_memory() -> int | None:
    """The address space an item process gets by default: enough for TensorFlow, no more than the machine has.

    None where there is a GPU: its driver maps far more address space than memory.
    """
    if has_gpu_driver():
        return None
    return max(16 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
