"""Command lines: our options are checked, Beam's pass, and what is neither is refused with what was probably meant."""

import argparse
import os
import re
from collections.abc import Callable
from fractions import Fraction

import pytest

from beam_jobs import options

MANUAL = """What the toy does.

example:
  boxbeam toy --input a --output b
"""


@pytest.fixture
def parse() -> Callable[..., tuple[argparse.Namespace, list[str]]]:
    def parsed(*argv: str) -> tuple[argparse.Namespace, list[str]]:
        made = options.parser(MANUAL, "toy")
        made.add_argument("--input", nargs="+", type=options.path)
        made.add_argument("--output", type=options.path)
        made.add_argument("--min_score", type=options.ratio)
        options.add_common(made)
        return options.parse(made, argv)

    return parsed


@pytest.fixture
def refusal(parse, capsys) -> Callable[..., str]:
    """The one line that a command line is refused with."""

    def refused(*argv: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            parse(*argv)
        printed = capsys.readouterr()
        assert (stopped.value.code, printed.out, printed.err.count("\n")) == (2, "", 1)
        before, after = "boxbeam toy: error: ", " (see boxbeam toy --help)\n"
        assert printed.err.startswith(before)
        assert printed.err.endswith(after)
        return printed.err.removeprefix(before).removesuffix(after)

    return refused


def test_the_help_is_the_manual_around_the_options(parse, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    parts = ["usage: boxbeam toy", "What the toy does.", "running:", "example:\n  boxbeam toy --input a"]
    assert sorted(map(shown.index, parts)) == list(map(shown.index, parts))


def test_nothing_given_means_these_settings(parse):
    args, beam = parse()
    assert beam == []
    assert (args.runner, args.workers, args.isolation, args.progress) == ("DirectRunner", None, None, "auto")
    assert (args.max_failed_ratio, args.stall_timeout, args.worker_memory) == (0.5, 300.0, "auto")
    assert (args.overwrite, args.retry_failed, args.dry_run) == (False, False, False)


@pytest.mark.parametrize(
    ("misspelt", "message"),
    [
        ("--workerz", "unknown option --workerz; did you mean --workers?"),
        ("--batchsize=2", "unknown option --batchsize"),
        ("--out", "unknown option --out; did you mean --output?"),  # no option by its beginning: Beam's would be eaten
        ("--over", "unknown option --over"),
        ("--max-failed-ratio=0.5", "unknown option --max-failed-ratio; did you mean --max_failed_ratio?"),
        ("--flink-master=x", "unknown option --flink-master; did you mean --flink_master?"),
        ("--flink_mater=x", "unknown option --flink_mater; did you mean --flink_master?"),
        ("-w", "unknown option -w"),
        ("--", "unknown option --"),
        ("--paralel", "unknown option --paralel; did you mean --parallelism?"),
    ],
)
def test_an_option_nobody_knows_is_refused_with_the_nearest_one(refusal, misspelt, message):
    assert refusal("--input", "a", misspelt, "x") == message


def test_a_misspelt_option_is_named_before_the_one_that_is_missing(capsys):
    made = options.parser(MANUAL, "toy")
    made.add_argument("--model", required=True)
    with pytest.raises(SystemExit):
        options.parse(made, ["--modle", "x"])
    assert "unknown option --modle; did you mean --model?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:  # help comes first, whatever else is wrong
        options.parse(made, ["--modle", "x", "--help"])
    assert stopped.value.code == 0


@pytest.mark.parametrize(
    "beams",
    [
        ["--flink_master=x", "--parallelism", "2"],
        ["--flink_master", "localhost:8081", "--streaming", "--sdk_worker_parallelism=4"],
        ["--parallelism", "-1"],  # a value, though it begins with a dash
        ["--s3_region_name=eu", "--setup_file", "./setup.py", "--save_main_session"],
        ["--experiments=a", "--experiments=b"],
        ["--environment_config", '{"command": "/boot --x"}'],
    ],
)
def test_beams_own_options_pass_untouched(parse, beams):
    for argv in ([*beams, "--input", "a", "b"], ["--input", "a", "b", *beams]):
        args, passed = parse(*argv)
        assert args.input == ["a", "b"]
        assert passed == beams


def test_a_beam_option_whose_value_has_spaces_is_not_taken_for_an_input(parse):
    args, passed = parse("--input", "a", '--environment_config={"command": "/boot --x"}', "--output=my folder")
    assert (args.input, args.output) == (["a"], "my folder")
    assert passed == ["--environment_config", '{"command": "/boot --x"}']


@pytest.mark.parametrize(
    "argv",
    [
        ["stray", "--output", "o"],
        ["--output", "o", "stray"],
        ["--parallelism", "2", "stray"],
        ["--parallelism=2", "stray"],
    ],
)
def test_a_word_that_belongs_to_no_option_is_refused(refusal, argv):
    assert refusal(*argv) == "unexpected argument 'stray'"


def test_an_option_after_the_inputs_ends_their_list(parse):
    args, beam = parse("--input", "a.jpg", "b.jpg", "--streaming", "--output", "o")
    assert (args.input, args.output, beam) == (["a.jpg", "b.jpg"], "o", ["--streaming"])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--workers", "0"], "argument --workers: must be a whole number of at least 1, got '0'"),
        (["--workers", "-2"], "argument --workers: must be a whole number of at least 1, got '-2'"),
        (["--workers=1.5"], "argument --workers: must be a whole number of at least 1, got '1.5'"),
        (["--workers", "²"], "argument --workers: must be a whole number of at least 1, got '²'"),
        (["--workers"], "argument --workers: expected one argument"),
        (["--max_failed_ratio", "2"], "argument --max_failed_ratio: must be from 0 to 1, got '2'"),
        (["--max_failed_ratio", "-0.1"], "argument --max_failed_ratio: must be from 0 to 1, got '-0.1'"),
        (["--max_failed_ratio", "nan"], "argument --max_failed_ratio: must be a number, got 'nan'"),
        (["--max_failed_ratio", "half"], "argument --max_failed_ratio: must be a number, got 'half'"),
        (["--min_score", "50"], "argument --min_score: must be from 0 to 1, got '50'"),
        (["--stall_timeout", "0"], "argument --stall_timeout: must be above 0, got '0'"),
        (["--stall_timeout", "inf"], "argument --stall_timeout: must be a number, got 'inf'"),
        (["--output", ""], "argument --output: must be a path, got an empty string"),
        (["--input", "a", ""], "argument --input: must be a path, got an empty string"),
        (["--input"], "argument --input: expected at least one argument"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_can(refusal, argv, message):
    assert refusal(*argv) == message


@pytest.mark.parametrize("edge", ["0", "1", "0.5"])
def test_a_share_can_be_all_and_nothing(parse, edge):
    assert parse("--max_failed_ratio", edge)[0].max_failed_ratio == float(edge)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 << 30),
        ("512MiB", 512 << 20),
        ("1.5GB", 1_500_000_000),
        ("2 gib", 2 << 30),
        ("16G", 16_000_000_000),
        ("3TB", 3_000_000_000_000),
        ("4000000000", 4_000_000_000),
        ("1MiB", 1 << 20),
        ("none", None),
        ("auto", "auto"),
    ],
)
def test_sizes_are_read_with_their_units(parse, text, size):
    assert parse("--worker_memory", text)[0].worker_memory == size


@pytest.mark.parametrize("text", ["nonsense", "", "GiB", "8 bananas", "1e9", "8GiB8GiB", "inf"])
def test_what_is_no_size_is_refused(refusal, text):
    expected = f"argument --worker_memory: must be a size such as 8GiB or 512MiB, or none, got {text!r}"
    assert refusal("--worker_memory", text) == expected


@pytest.mark.parametrize("text", ["16", "0", "0.5KiB"])
def test_a_size_whose_unit_was_forgotten_is_refused(refusal, text):
    expected = f"argument --worker_memory: must be at least 1MiB, got {text!r}; say the unit, as in 8GiB"
    assert refusal("--worker_memory", text) == expected


@pytest.mark.parametrize(
    ("text", "runner"),
    [
        ("DirectRunner", "DirectRunner"),
        ("direct", "DirectRunner"),
        ("flink", "FlinkRunner"),
        ("SPARKRUNNER", "SparkRunner"),
        ("my.module.OwnRunner", "my.module.OwnRunner"),
    ],
)
def test_runners_are_known_as_beam_knows_them(parse, text, runner):
    assert parse("--runner", text)[0].runner == runner


def test_an_unknown_runner_is_refused(refusal):
    assert refusal("--runner", "Flnk") == "argument --runner: no runner called 'Flnk'; did you mean FlinkRunner?"
    nothing_near = refusal("--runner", "Zebra")
    assert nothing_near.startswith("argument --runner: no runner called 'Zebra'; Beam has DataflowRunner, ")
    assert "FlinkRunner" in nothing_near


def test_a_choice_that_is_none_is_refused_with_the_choices(refusal):
    said = refusal("--progress", "loud")
    assert said.startswith("argument --progress: invalid choice: 'loud'")
    assert all(choice in said for choice in ("auto", "plain", "off"))


def test_the_options_and_runners_read_from_beams_source_are_those_of_its_parser():
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    flags = set()
    for kind in PipelineOptions.__subclasses__():
        parser = argparse.ArgumentParser(add_help=False)
        kind._add_argparse_args(parser)
        flags |= {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    assert len(flags) > 100
    assert flags - options.beam_option_names() == set()
    for name in StandardOptions.KNOWN_RUNNER_NAMES:
        assert options.runner(name) == name


def test_item_processes_may_have_at_least_sixteen_gigabytes_of_addresses_by_default():
    memory = options.default_worker_memory()
    assert memory is None or memory >= 16 << 30


def test_no_more_workers_than_cores_this_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert options.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert options.cores() == len(before)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 90), ("90.25", Fraction("90.25")), ("1:30", 90), ("01:02:03.5", Fraction("3723.5")), ("0", 0)),
        *(("100:00", 6000), ("0:05", 5)),
    ],
)
def test_a_place_in_a_video(text, seconds):
    assert options.moment(text) == seconds


@pytest.mark.parametrize("text", ["", "1:60", "1:99:00", "-1", "1:", ":30", "1:2:3:4", "90s", "nan", "1e3", "²"])
def test_what_is_no_place_in_a_video(text):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(repr(text))):
        options.moment(text)


def test_a_rate_is_exact():
    rates = [options.rate(text) for text in ("2", "0.1", "29.97", "30000/1001")]
    assert rates == [2, Fraction(1, 10), Fraction(2997, 100), Fraction(30000, 1001)]


@pytest.mark.parametrize("text", ["", "0", "0.0", "-1", "1/0", "inf", "nan", "1e9", "two", "1/2/3"])
def test_what_is_no_rate(text):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(f"got {text!r}")):
        options.rate(text)
