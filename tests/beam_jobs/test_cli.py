"""The word `boxbeam`: what it says by itself, and that a job gets what follows its name."""

import os
import pathlib
import subprocess
import sys

import pytest

from beam_jobs import cli
from od_core.version import __version__

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_help_names_every_job_with_a_line_and_a_way_to_begin(capsys):
    for word in ("help", "-h", "--help"):
        assert cli.main([word]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out.startswith("boxbeam: object detection")
        for job, line in cli.JOBS.items():
            assert f"\n  {job:<9}{line}\n" in printed.out
        assert "boxbeam demo --output" in printed.out


def test_no_arguments_at_all_print_the_help_but_are_no_success(capsys):
    assert cli.main([]) == 2
    without = capsys.readouterr()
    assert cli.main(["--help"]) == 0
    assert without == capsys.readouterr()


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"boxbeam {__version__}\n"


@pytest.mark.parametrize(
    ("word", "guess"),
    [
        ("infre", "did you mean infer?"),
        ("inspec", "did you mean inspect?"),
        ("zebra", f"there are {', '.join(cli.JOBS)}"),
        ("--model", f"there are {', '.join(cli.JOBS)}"),  # an option before the job
        ("", f"there are {', '.join(cli.JOBS)}"),
    ],
)
def test_an_unknown_job_is_refused_with_the_nearest_one(capsys, word, guess):
    assert cli.main([word, "--input", "x"]) == 2
    assert capsys.readouterr() == ("", f"boxbeam: error: no job called {word!r}; {guess}\n")


def test_a_job_gets_all_that_follows_its_name(capsys, tmp_path):
    (tmp_path / "labels.pbtxt").write_text("item { id: 7 name: 'ox' }")
    assert cli.main(["inspect", str(tmp_path / "labels.pbtxt")]) == 0
    assert "      7  ox\n" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        cli.main(["infer", "--input"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("boxbeam infer: error: argument --input: expected at least one")


@pytest.mark.parametrize("job", cli.JOBS)
def test_every_job_explains_itself(capsys, job):
    with pytest.raises(SystemExit) as stopped:
        cli.main([job, "--help"])
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.err) == (0, "")
    assert printed.out.startswith(f"usage: boxbeam {job} ")
    assert f"boxbeam {job}" in printed.out.partition("options:")[2]  # an example
    assert max(map(len, printed.out.splitlines())) <= 120


def test_the_exit_status_of_a_job_is_that_of_the_command(tmp_path):
    """What a shell script sees: the status, and errors apart from results."""
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    broken, gone = (
        subprocess.run(
            [sys.executable, "-m", "beam_jobs.cli", "inspect", str(tmp_path / name)],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )
        for name in ("broken.jpg", "gone")
    )
    assert (broken.returncode, broken.stderr) == (1, "")
    assert "not valid" in broken.stdout
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "no such file or folder" in gone.stderr


@pytest.mark.parametrize(("arguments", "status"), [(["help"], 141), (["infer", "--help"], 0)])  # argparse minds nothing
def test_a_reader_who_has_enough_is_no_error(arguments, status):
    """As `boxbeam … | head` does: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "beam_jobs.cli", *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (status, "")
