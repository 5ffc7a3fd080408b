"""What a run comes to, through `launch` as every job runs: exit status, closing lines, run.json. On the toy job."""

import json
import os
import pathlib
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from beam_jobs import options, summary
from beam_jobs import progress as progress_module
from beam_jobs.launch import launch
from beam_jobs.progress import Progress
from od_core.errors import StorageError
from pipelines.dataset import Manifest
from pipelines.engine import Engine
from pipelines.finalize import Finished
from pipelines.items import Item, ItemReport, Piece, Source
from pipelines.plan import Plan
from pipelines.work import RunResult
from tests.pipelines.toy_job import ToyJob, toy_work


@pytest.fixture
def texts(tmp_path) -> Callable[..., pathlib.Path]:
    """Write input files: texts(a="x\\ny\\n") makes in/a.t; None removes one."""
    (tmp_path / "in").mkdir()

    def write(**contents: str | None) -> None:
        for name, content in contents.items():
            path = tmp_path / "in" / f"{name}.t"
            path.unlink() if content is None else path.write_text(content)

    return write


@pytest.fixture
def run(tmp_path, capsys) -> Callable[..., tuple[int, list[str], str]]:
    """Run the toy job on `in` into `out`: exit status, lines on stdout, stderr."""

    def run_it(*argv: str) -> tuple[int, list[str], str]:
        made = options.parser("Count lines.", "count")
        made.add_argument("--input", nargs="+")
        made.add_argument("--output")
        options.add_common(made)
        paths = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--isolation", "none"]
        status = launch("count", ToyJob, *options.parse(made, [*paths, *argv]))
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return status, printed.out.splitlines(), printed.err

    return run_it


@pytest.fixture
def report(tmp_path) -> Callable[[], dict[str, Any]]:
    return lambda: json.loads((tmp_path / "out" / "run.json").read_text())


def test_a_run_that_did_everything(texts, run, report, tmp_path):
    texts(a="x\ny\n", b="z\n", nothing="")
    status, lines, _ = run()
    assert status == 0
    assert lines[0].startswith("count: finished in ")
    assert lines[0].endswith(f" s: {tmp_path}/out")
    assert lines[1:] == ["  3 inputs: 2 done, 1 empty, 0 failed", "  3 lines"]
    said = report()
    assert (said["boxbeam"], said["job"], said["status"], said["error"]) == ("run/1", "count", "finished", None)
    assert said["dataset"] == {"inputs": 3, "done": 2, "empty": 1, "failed": 0, "lines": 3}
    assert said["this_run"] == {"done": 2, "empty": 1, "failed": 0, "lines": 3}
    assert (said["runner"], said["incidents"], said["failed"]) == ("DirectRunner", 0, [])
    assert sum(said["items_by_worker"].values()) == 1  # three small files are one item
    assert set(said["seconds"]) == {"total", "start_up", "items", "run", "finalize"}
    assert said["seconds"]["total"] >= said["seconds"]["run"] >= said["seconds"]["items"] >= 0


def test_a_run_with_nothing_to_do_says_so_and_leaves_the_report_of_the_one_that_did(texts, run, report, tmp_path):
    texts(a="x\n")
    run()
    before = (tmp_path / "out" / "run.json").read_bytes()
    assert run()[:2] == (
        0,
        [f"count: nothing to do: {tmp_path}/out is complete", "  1 input: 1 done, 0 empty, 0 failed", "  1 line"],
    )
    assert (tmp_path / "out" / "run.json").read_bytes() == before


def test_failed_inputs_are_named_with_their_reasons_and_change_the_status(texts, run, report):
    texts(a="x\n", b="bad\n", c="y\n")
    status, lines, _ = run()
    assert status == 3
    assert lines[1:] == [
        "  3 inputs: 2 done, 0 empty, 1 failed",
        "  2 lines",
        "  1 failed (rows with status 'failed' say why):",
        "    b.t: bad input",
    ]
    assert report()["failed"] == [{"input": "b.t", "error": "bad input"}]
    again, lines, _ = run()
    assert again == 3  # the dataset still has a failed input
    assert lines[0].startswith("count: nothing to do")
    assert lines[-1] == "    b.t: bad input"


def test_no_name_of_an_input_steers_the_terminal(texts, run):
    texts(**{"b\x1b[2J\nc": "bad\n", "a": "x\n"})
    assert run()[1][-1] == "    b\\x1b[2J\\nc.t: bad input"


def test_of_many_failures_the_first_are_shown_and_the_report_has_them_all(texts, run, report):
    texts(**{f"f{number:02}": "bad\n" for number in range(13)})
    status, lines, _ = run()
    assert status == 3
    assert lines[2] == "  13 failed (rows with status 'failed' say why):"
    assert [line.partition(":")[0] for line in lines[3:13]] == [f"    f{number:02}.t" for number in range(10)]
    assert lines[13:] == ["    and 3 more, in run.json"]
    assert [failure["input"] for failure in report()["failed"]] == [f"f{number:02}.t" for number in range(13)]


def test_a_second_run_tells_what_is_new_and_counts_everything(texts, run, report):
    texts(a="x\n")
    run()
    texts(b="y\nz\n")
    status, lines, said = run()
    assert status == 0
    assert "2 inputs, 1 of them done already; starting" in said
    assert lines[1:] == ["  2 inputs: 2 done, 0 empty, 0 failed", "  3 lines"]
    assert (report()["this_run"]["lines"], report()["dataset"]["lines"]) == (2, 3)


def test_inputs_that_are_gone_are_told(texts, run, report):
    texts(a="x\n", b="y\n")
    run()
    texts(b=None)
    status, lines, _ = run()
    assert status == 0
    assert lines[0].startswith("count: finished in ")
    assert lines[1:] == [
        "  1 input: 1 done, 0 empty, 0 failed",
        "  1 line",
        "  1 input of the former run gone or changed: rows removed",
    ]
    assert report()["dataset"] == {"inputs": 1, "done": 1, "empty": 0, "failed": 0, "lines": 1}


@pytest.mark.parametrize("left", ["", "{", '{"status": "stopped", "dataset": null}'])
def test_a_run_killed_before_it_could_tell_is_told_by_the_next_one(texts, run, report, tmp_path, left):
    texts(a="x\n", b="bad\n")
    run()
    (tmp_path / "out/run.json").write_text(left)
    _, lines, _ = run()
    assert lines[0].startswith("count: nothing to do")
    assert report()["dataset"] == {"inputs": 2, "done": 1, "empty": 0, "failed": 1, "lines": 1}
    assert report()["failed"] == [{"input": "b.t", "error": "bad input"}]
    before = (tmp_path / "out/run.json").stat().st_mtime_ns
    run()
    assert (tmp_path / "out/run.json").stat().st_mtime_ns == before


def test_a_run_in_which_everything_fails_is_stopped_and_reported(texts, run, report, tmp_path):
    texts(**{f"f{number:02}": "bad\n" for number in range(30)})
    status, lines, said = run()
    assert (status, lines) == (1, [])
    assert "boxbeam count: stopped: 20 of the first 20 inputs failed, more than --max_failed_ratio 0.5 allows" in said
    assert (report()["status"], report()["dataset"]) == ("stopped", None)
    assert report()["failed"] == [{"input": f"f{number:02}.t", "error": "bad input"} for number in range(20)]
    assert report()["error"].startswith("20 of the first 20 inputs failed")
    assert report()["this_run"] == {"done": 0, "empty": 0, "failed": 20}
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert run("--max_failed_ratio", "1")[0] == 3


def test_a_dry_run_tells_what_is_left_and_touches_nothing(texts, run, tmp_path):
    texts(a="x\n")
    run()
    texts(b="y\n")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*"))
    status, lines, said = run("--dry_run", "--workers", "3")
    assert (status, said) == (0, "")
    assert lines == [
        f"count: plan for {tmp_path}/out (nothing is done)",
        "  inputs: 2 texts (4 bytes)",
        "  to do:  1 text (2 bytes) in 1 item",
        "  with:   3 item processes, 1 thread each",
    ]
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "out").rglob("*")) == before
    run()
    assert run("--dry_run")[1][2] == "  to do:  nothing (0 bytes) in 0 items"


def test_an_argument_that_is_not_utf8_can_be_reported_on(texts, run, report, monkeypatch):
    texts(a="x\n")
    monkeypatch.setattr(sys, "argv", ["boxbeam", os.fsdecode(b"caf\xe9")])
    assert run()[0] == 0
    assert report()["command"] == ["boxbeam", "caf\\xe9"]


def test_an_output_that_parquet_could_not_name_is_refused(texts, run, tmp_path):
    texts(a="x\n")
    output = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    status, _, said = run("--output", output)
    assert (status, os.path.exists(output)) == (2, False)
    assert f"{tmp_path}/caf\\xe9: Parquet files need a path in UTF-8; choose another --output" in said


# Parts of it, where a run would not show them


def test_speed_counts_the_time_of_the_items_and_names_the_start_up_apart(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=50.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress_module, "time", clock)
    progress = Progress("infer")
    piece = Piece(Source("a.jpg", "/a.jpg", "image", 100, 0))
    progress.planned(Plan([piece.source], [Item((piece,))], {}, {"image": 1}, {"image": 1}, 100, 100, 1))
    clock.now += 12.5
    progress.opened(12.5)
    clock.now += 8
    counts = {"images": 3000, "detections": 9, "failed_frames": 1}
    chosen = {"batch size at 640x480": 4}
    progress.finished(ItemReport("n", 100, {"done": 1}, counts, 8.0, "here:1", chosen=chosen))
    progress.finished(ItemReport("m", 0, {}, {}, 0.0, "here:2", chosen={"batch size at 640x480": 2}))
    progress.finished(ItemReport("o", 0, {}, {}, 0.0, "here:3"))  # reused, or given up: it measured nothing
    counts = {"inputs": 3000, "done": 2999, "empty": 0, "failed": 1, "detections": 9, "images": 3000}
    manifest = Manifest("infer", "s", {}, {}, counts, ())
    finished = Finished(manifest, [], changed=True, removed_inputs=0)
    result = RunResult(finished, 3000, {"run": 4000.0, "finalize": 0.4}, too_many_failed=False)
    work = toy_work([], tmp_path / "out", ToyJob())
    assert summary.text(work, progress, result).splitlines() == [
        f"count: finished in 1 h 6 min: {tmp_path}/out",
        "  3,000 inputs: 2,999 done, 0 empty, 1 failed",
        "  9 detections, 3,000 images",
        "  speed: 375.0 images/s; start-up 12.5 s apart",
        "  found best: batch size at 640x480: 2 or 4",
    ]


def test_a_report_that_cannot_be_written_is_told_and_no_more(tmp_path, capsys):
    """The run is over by then, and its dataset complete."""
    (tmp_path / "out").write_text("a file where the folder was")
    work = toy_work([], tmp_path / "out", ToyJob())
    summary.write_report(work, Engine(), Progress("count"), 0.0, error=StorageError("the disk is gone"))
    said = capsys.readouterr().err
    assert said.startswith(f"boxbeam count: no run report: {tmp_path}/out/run.json: cannot be written (")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["boxbeam", "infer", "--input", "a"], ["boxbeam", "infer", "--input", "a"]),
        (["--s3_secret_access_key", "hunter2", "--input", "a"], ["--s3_secret_access_key", "***", "--input", "a"]),
        (["--s3_secret_access_key=hunter2", "x"], ["--s3_secret_access_key=***", "x"]),
        (["--s3_session_token=a=b"], ["--s3_session_token=***"]),
        (["--PASSWORD", "hunter2"], ["--PASSWORD", "***"]),
        (["--output", "token=1", "secrets/"], ["--output", "token=1", "secrets/"]),
    ],
)
def test_secrets_do_not_get_into_the_report(command, shown):
    assert summary.masked(command) == shown


@pytest.mark.parametrize(
    ("count", "things", "words"),
    [
        (1, "images", "1 image"),
        (0, "images", "0 images"),
        (2000, "item processes", "2,000 item processes"),
        (1, "item processes", "1 item process"),
        (1, "classes", "1 class"),
        (1, "boxes", "1 box"),
        (1, "bytes", "1 byte"),
    ],
)
def test_things_are_counted_in_the_singular_and_the_plural(count, things, words):
    assert summary.counted(count, things) == words
