"""The engine's promises, on toy items: a run is a pure function of its inputs, however often it is repeated."""

import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping

import pytest

from od_core import storage
from od_core.errors import OutputError, StorageError, TooManyFailedError, UsageError
from pipelines import data_files, finalize, held, spread_files
from pipelines.dataset import Dataset
from pipelines.engine import Engine
from pipelines.items import Failure, ItemReport, Piece
from pipelines.observer import Silent
from pipelines.parts import RowFile
from pipelines.plan import make_plan
from pipelines.run_item import fail_item, run_item, what_came_of
from pipelines.work import RunResult, run
from tests.pipelines.conftest import dataset_rows, entries
from tests.pipelines.toy_job import Spread, ToyJob, toy_work

Texts = Callable[..., pathlib.Path]


class Listener(Silent):
    def __init__(self) -> None:
        self.reports: list[ItemReport] = []
        self.incidents: list[str] = []

    def finished(self, report: ItemReport) -> None:
        self.reports.append(report)

    def incident(self, message: str) -> None:
        self.incidents.append(message)


def do(
    folder: pathlib.Path,
    output: pathlib.Path,
    job: ToyJob | None = None,
    listener: Silent | None = None,
    *,
    max_failed_ratio: float = 1.0,
    **changes: object,
) -> RunResult:
    changes.setdefault("isolation", "none")
    work = toy_work([str(folder)], output, job or ToyJob(), **changes)
    return run(work, Engine(), listener or Silent(), max_failed_ratio=max_failed_ratio)


def items_in(diary: pathlib.Path) -> list[str]:
    return [entry for entry in entries(diary) if entry.startswith("item")]


def some(texts: Texts, count: int = 12) -> pathlib.Path:
    return texts(**{f"f{n:02}": "".join(f"{n}-{line}\n" for line in range(n % 4)) for n in range(count)})


def test_rows_are_in_order_of_key_and_every_input_is_accounted_for(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(b="x\ny\n", a="z\n", empty="", wrong="bad\n")
    result = do(folder, tmp_path / "out")
    assert result.finished.manifest.counts == {"inputs": 4, "done": 2, "empty": 1, "failed": 1, "lines": 3}
    assert [outcome.piece.source.key for outcome in result.finished.failed] == ["wrong.t"]
    assert dataset_rows(tmp_path / "out") == [
        ("a.t", 0, "z", None),
        ("b.t", 0, "x", None),
        ("b.t", 1, "y", None),
        ("wrong.t", None, None, "bad input"),
    ]


def test_same_files_for_any_number_of_workers(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "inline")
    do(folder, tmp_path / "one", isolation="process", spread=Spread(1, 1))
    do(folder, tmp_path / "three", isolation="process", spread=Spread(3, 1))
    manifests = [(tmp_path / name / "manifest.json").read_text() for name in ("inline", "one", "three")]
    assert manifests[0] == manifests[1] == manifests[2]  # with the SHA-256 of every data file


def test_second_run_has_nothing_to_do_and_opens_no_worker(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out", ToyJob(diary=str(diary)))
    before, seen = (tmp_path / "out/manifest.json").read_text(), len(entries(diary))
    looks: list[str] = []

    def look_into(file: held.HeldFile) -> held._Looked:
        looks.append(file.path)
        return looked_into(file)

    looked_into = held._look_into
    monkeypatch.setattr(held, "_look_into", look_into)
    again = do(folder, tmp_path / "out", ToyJob(diary=str(diary)))
    assert (again.planned_inputs, again.finished.changed) == (0, False)
    assert looks == [str(tmp_path / "out" / file.name) for file in again.finished.manifest.files]  # each once
    assert (tmp_path / "out/manifest.json").read_text() == before
    assert len(entries(diary)) == seen


def test_more_inputs_are_added_without_touching_the_files_there(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    folder = some(texts)
    first = do(folder, tmp_path / "out", ToyJob(diary=str(diary)))
    texts(new="n\n")
    listener = Listener()
    second = do(folder, tmp_path / "out", ToyJob(diary=str(diary)), listener)
    assert second.planned_inputs == 1
    assert [report.counts for report in listener.reports] == [{"lines": 1}]
    assert set(first.finished.manifest.files) < set(second.finished.manifest.files)
    do(folder, tmp_path / "fresh")
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")


def test_changed_and_removed_inputs_leave_no_old_row(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out")
    texts(f01="other content\n")
    (folder / "f03.t").unlink()
    result = do(folder, tmp_path / "out")
    assert (result.planned_inputs, result.finished.removed_inputs) == (1, 2)
    do(folder, tmp_path / "fresh")
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")


def test_workers_of_a_cluster_write_the_data_files_of_a_large_run_and_the_launcher_none(
    texts: Texts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = some(texts, 20)
    monkeypatch.setattr(data_files, "MAX_FILE_PIECES", 3)
    do(folder, tmp_path / "here")
    monkeypatch.setattr(finalize, "SPREAD_BYTES", 0)
    monkeypatch.setattr(finalize, "write_here", None)
    work = toy_work([str(folder)], tmp_path / "there", ToyJob(), isolation="none", run_id="there")
    engine = Engine("apache_beam.runners.portability.fn_api_runner.FnApiRunner")
    assert run(work, engine, Silent(), max_failed_ratio=1.0).finished.changed
    assert dataset_rows(tmp_path / "there") == dataset_rows(tmp_path / "here")
    manifests = [(tmp_path / name / "manifest.json").read_text() for name in ("here", "there")]
    assert manifests[0] == manifests[1]
    assert len(json.loads(manifests[0])["files"]) == 7


def test_what_a_worker_of_a_former_run_notes_late_is_not_taken_for_this_ones(
    texts: Texts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = some(texts, 6)
    output = tmp_path / "out"
    monkeypatch.setattr(finalize, "SPREAD_BYTES", 0)
    engine = Engine("apache_beam.runners.portability.fn_api_runner.FnApiRunner")
    notes: dict[str, str] = {}
    graph = spread_files.run_graph

    def do_there(name: str) -> None:
        work = toy_work([str(folder)], output, ToyJob(), isolation="none", run_id=name)
        run(work, engine, Silent(), max_failed_ratio=1.0)

    def noted(*args: object) -> None:
        graph(*args)  # type: ignore[arg-type]
        notes.update((path.name, path.read_text()) for path in (output / "_work/layouts").iterdir())

    def outlived(*args: object) -> None:
        for name, text in notes.items():
            if "rows" in json.loads(text):  # a note, not what is to be written
                (output / "_work/layouts" / name).write_text(text)
        graph(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(spread_files, "run_graph", noted)
    do_there("before")
    texts(f01="other content\n")
    monkeypatch.setattr(spread_files, "run_graph", outlived)
    do_there("after")
    do(folder, tmp_path / "fresh")
    assert dataset_rows(output) == dataset_rows(tmp_path / "fresh")


def test_a_data_file_that_a_lost_worker_owes_is_missed(
    texts: Texts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalize, "SPREAD_BYTES", 0)
    monkeypatch.setattr(spread_files, "write_data_file", lambda *_: pytest.fail("no worker is there"))
    monkeypatch.setattr(spread_files, "run_graph", lambda *_: None)
    folder = some(texts)
    work = toy_work([str(folder)], tmp_path / "out", ToyJob(), isolation="none", run_id="owed")
    engine = Engine("apache_beam.runners.portability.fn_api_runner.FnApiRunner")
    with pytest.raises(StorageError, match="a data file was not written: a worker was lost"):
        run(work, engine, Silent(), max_failed_ratio=1.0)
    assert not (tmp_path / "out/manifest.json").exists()
    assert do(folder, tmp_path / "out").planned_inputs == 0


def test_an_output_is_not_emptied_because_a_disk_is_not_mounted(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts, 50)
    do(folder, tmp_path / "out")
    before = (tmp_path / "out/manifest.json").read_text()
    shutil.move(folder, tmp_path / "unmounted")
    for name in ("f00", "f01", "f02"):
        texts(**{name: "what lies under the mount point\n"})
    with pytest.raises(OutputError, match=r"47 of the 50 inputs it has rows of .* such as f03\.t\. .*--allow_removed"):
        do(folder, tmp_path / "out")
    assert (tmp_path / "out/manifest.json").read_text() == before
    result = do(folder, tmp_path / "out", allow_removed=True)
    assert result.finished.manifest.counts["inputs"] == 3


def test_few_inputs_and_a_smaller_half_may_go_without_a_word(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts, 50)
    do(folder, tmp_path / "out")
    for number in range(25):
        (folder / f"f{number:02}.t").unlink()
    assert do(folder, tmp_path / "out").finished.removed_inputs == 25
    for number in range(26, 45):
        (folder / f"f{number:02}.t").unlink()
    assert do(folder, tmp_path / "out").finished.removed_inputs == 19


def test_a_moved_folder_costs_nothing(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out")
    moved = folder.rename(tmp_path / "elsewhere")
    assert do(moved, tmp_path / "out").planned_inputs == 0


def test_pieces_of_one_input_are_put_together_in_order(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(long="abcdefghijklmnopqrstuvwxyz")
    do(folder, tmp_path / "out", ToyJob(lines_per_piece=4, files_per_item=2), isolation="process")
    assert [row[1:3] for row in dataset_rows(tmp_path / "out")] != []
    assert sorted(row[1:3] for row in dataset_rows(tmp_path / "out")) == [
        (n, letter) for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")
    ]


def test_steps_come_first_and_have_no_rows(texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path) -> None:
    folder = texts(a="1\n2\n3\n", b="")
    job = ToyJob(steps=True, lines_per_piece=2, files_per_item=1, diary=str(diary))
    result = do(folder, tmp_path / "out", job)
    assert result.finished.manifest.counts == {"inputs": 2, "done": 1, "empty": 1, "failed": 0, "lines": 3}
    assert dataset_rows(tmp_path / "out") == [("a.t", 0, "1", None), ("a.t", 1, "2", None), ("a.t", 2, "3", None)]
    assert items_in(diary) == ["item a.t[0:2]", "item a.t[2:4]", "item a.t[4:6]", "item b.t", "item a.t"]
    assert not (tmp_path / "out/_work").exists()
    assert do(folder, tmp_path / "out", job).planned_inputs == 0


def test_the_whole_is_done_with_what_there_is_of_its_steps(texts: Texts, tmp_path: pathlib.Path) -> None:
    job = ToyJob(steps=True, lines_per_piece=6, files_per_item=1)
    folder = texts(a="12345\nraise\n67890\n")
    listener = Listener()
    result = do(folder, tmp_path / "out", job, listener)
    assert [row[2] for row in dataset_rows(tmp_path / "out")] == ["12345", "67890"]
    assert result.finished.manifest.counts["failed"] == 0
    assert [report.statuses["failed"] for report in listener.reports] == [0, 0, 0, 0]  # the input has not


def test_a_failed_whole_is_tried_again_with_its_steps(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    job = ToyJob(steps=True, lines_per_piece=4, files_per_item=1, diary=str(diary))
    folder = texts(a="bad\nyes\n")
    assert do(folder, tmp_path / "out", job).finished.manifest.counts["failed"] == 1
    assert do(folder, tmp_path / "out", job).planned_inputs == 0
    assert items_in(diary) == (done := ["item a.t[0:4]", "item a.t[4:8]", "item a.t"])
    assert do(folder, tmp_path / "out", job, retry_failed=True).finished.manifest.counts["failed"] == 1
    assert items_in(diary) == 2 * done


@pytest.mark.parametrize("first", ["1", "bad"])
def test_steps_that_a_run_killed_at_its_very_end_leaves_change_nothing(
    texts: Texts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    job = ToyJob(steps=True, lines_per_piece=4, files_per_item=1)
    folder = texts(a=f"{first}\nyes\n")

    def killed(parts: str) -> None:
        for path in pathlib.Path(parts).glob("*.parquet"):
            with RowFile(str(path)) as file:
                has_rows = file.num_rows > 0
            if has_rows:
                path.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(storage, "remove_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            do(folder, tmp_path / "out", job)
    assert len(list((tmp_path / "out/_work/parts").iterdir())) == 2
    before = (tmp_path / "out/manifest.json").read_text()
    result = do(folder, tmp_path / "out", job)
    assert (result.planned_inputs, result.finished.changed) == (0, False)
    assert (tmp_path / "out/manifest.json").read_text() == before
    assert not (tmp_path / "out/_work").exists()


def test_other_options_are_refused_by_name_unless_overwritten(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out")
    with pytest.raises(OutputError, match=r"--upper was False, now True.*--overwrite"):
        do(folder, tmp_path / "out", ToyJob(upper=True))
    do(folder, tmp_path / "out", ToyJob(upper=True), overwrite=True)
    do(folder, tmp_path / "fresh", ToyJob(upper=True))
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")


def stopped_after(finished_items: int, folder: pathlib.Path, output: pathlib.Path, job: ToyJob) -> None:
    """Leave an output as a run does that was stopped after so many items."""
    work = toy_work([str(folder)], output, job, isolation="none")
    do(folder, output, job)
    (output / "manifest.json").unlink()
    for path in output.glob("*.parquet"):
        path.unlink()
    (output / "_work").mkdir()
    (output / "_work/options.json").write_text(json.dumps(dict(job.options)))
    worker = job.open_worker(str(output), 1)
    for item in itertools.islice(make_plan(job, work.ask).items, finished_items):
        run_item(job, Dataset(str(output)), worker, item, NoWatch())


class NoWatch:
    def begin(self, piece: Piece) -> None: ...

    def advance(self, counts: Mapping[str, int], weight: int = 0) -> None: ...

    def end(self, piece: Piece) -> None: ...


def test_an_item_that_was_done_before_its_process_died_is_not_failed(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder, job = some(texts), ToyJob()
    stopped_after(1, folder, tmp_path / "out", job)
    (part,) = (tmp_path / "out/_work/parts").iterdir()
    before = part.read_bytes()
    first, second, *_ = make_plan(job, toy_work([str(folder)], tmp_path / "fresh", job).ask).items
    failure = Failure("item", "ProcessLost", "its item process was lost")
    done, failed = (fail_item(job, Dataset(str(tmp_path / "out")), item, failure) for item in (first, second))
    assert part.read_bytes() == before
    assert (done.reused, done.failures, done.statuses["failed"]) == (True, (), 0)
    assert what_came_of(done) == "it had been done before that"
    assert (failed.reused, failed.statuses["failed"]) == (False, len(second.pieces))
    assert what_came_of(failed) == "given up, the run goes on"


def test_other_options_than_those_of_an_interrupted_run_are_refused(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    stopped_after(1, folder, tmp_path / "out", ToyJob())
    with pytest.raises(OutputError, match="--upper was False, now True"):
        do(folder, tmp_path / "out", ToyJob(upper=True))
    do(folder, tmp_path / "out", ToyJob(upper=True), overwrite=True)
    do(folder, tmp_path / "fresh", ToyJob(upper=True))
    assert dataset_rows(tmp_path / "out") == dataset_rows(tmp_path / "fresh")


def test_options_of_a_run_that_committed_nothing_bind_nobody(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(a="x\n")
    with pytest.raises(UsageError):
        do(folder, tmp_path / "out", ToyJob(on_open="refuse"))
    assert (tmp_path / "out/_work/options.json").exists()
    assert do(folder, tmp_path / "out", ToyJob(upper=True)).finished.manifest.counts["done"] == 1


def test_failures_of_an_interrupted_run_are_retried_when_asked(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    folder = texts(a="bad\n", b="bad\n", c="x\n", d="y\n", e="z\n")
    job = ToyJob(diary=str(diary), files_per_item=1)
    stopped_after(3, folder, tmp_path / "out", job)
    ended = len(entries(diary))
    do(folder, tmp_path / "out", job)
    assert entries(diary)[ended:].count("item a.t") == 0
    stopped_after(3, folder, tmp_path / "again", job)
    ended = len(entries(diary))
    do(folder, tmp_path / "again", job, retry_failed=True)
    assert entries(diary)[ended:].count("item a.t") == 1
    assert dataset_rows(tmp_path / "again") == dataset_rows(tmp_path / "out")


def test_the_output_of_another_job_is_refused(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(a="x\n")
    do(folder, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    (tmp_path / "out/manifest.json").write_text(json.dumps({**manifest, "job": "render"}))
    with pytest.raises(OutputError, match="holds the output of boxbeam render"):
        do(folder, tmp_path / "out")
    for foreign in ("{}", "null", "[]", '{"boxbeam": "manifest/2"}', "no json"):
        (tmp_path / "out/manifest.json").write_text(foreign)
        with pytest.raises(OutputError, match="not a manifest"):
            do(folder, tmp_path / "out")


def test_failed_inputs_stay_failed_until_they_are_to_be_retried(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    folder = texts(a="x\n", b="raise\n", c="bad\n")
    job = ToyJob(diary=str(diary))
    assert do(folder, tmp_path / "out", job).finished.manifest.counts["failed"] == 2
    assert do(folder, tmp_path / "out", job).planned_inputs == 0
    retried = do(folder, tmp_path / "out", job, retry_failed=True)
    assert (retried.planned_inputs, retried.finished.manifest.counts["failed"]) == (2, 2)
    assert [row[0] for row in dataset_rows(tmp_path / "out")] == ["a.t", "b.t", "c.t"]
    assert entries(diary).count("item a.t") == 2  # once in the item that failed with b.t, once apart; never again


def test_a_lost_data_file_is_made_again(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out")
    wanted = dataset_rows(tmp_path / "out")
    for path in (tmp_path / "out").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    do(folder, tmp_path / "out")
    assert dataset_rows(tmp_path / "out") == wanted


def test_what_a_run_killed_while_finalizing_left_is_removed(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = some(texts)
    do(folder, tmp_path / "out")
    wanted = dataset_rows(tmp_path / "out")
    (real,) = (tmp_path / "out").glob("*.parquet")
    shutil.copy(real, tmp_path / "out/lines-00007-0123456789ab.parquet")
    (tmp_path / "out" / f".boxbeam-{'0' * 32}.tmp").write_bytes(b"half")
    (tmp_path / "out/somebody-elses.txt").write_text("kept")
    do(folder, tmp_path / "out")
    assert dataset_rows(tmp_path / "out") == wanted
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [real.name, "manifest.json", "somebody-elses.txt"]


def test_a_run_in_which_everything_fails_is_stopped(texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path) -> None:
    folder = texts(**{f"f{n:03}": "bad\n" for n in range(200)})
    reason = r"20 of the first 20 inputs failed.*--max_failed_ratio 0\.5.*f016\.t: bad input"
    with pytest.raises(TooManyFailedError, match=reason):
        do(folder, tmp_path / "out", ToyJob(diary=str(diary)), max_failed_ratio=0.5)
    assert sum(line.startswith("item") for line in entries(diary)) < 40
    assert not (tmp_path / "out/manifest.json").exists()


def test_few_failures_are_never_too_many(texts: Texts, tmp_path: pathlib.Path) -> None:
    folder = texts(**{f"f{n:03}": "bad\n" for n in range(19)})
    assert do(folder, tmp_path / "out", max_failed_ratio=0.0).finished.manifest.counts["failed"] == 19


def test_nothing_is_written_for_inputs_that_do_not_exist(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        do(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_file_of_a_list_is_a_failed_input_not_a_lost_one(texts: Texts, tmp_path: pathlib.Path) -> None:
    texts(a="x\n")
    (tmp_path / "list.txt").write_text("# inputs\nin/a.t\n\nin/gone.t\n")
    result = do(tmp_path / "list.txt", tmp_path / "out")
    assert result.finished.manifest.counts["inputs"] == 2
    assert [outcome.piece.source.key for outcome in result.finished.failed] == ["in/gone.t"]


def test_a_whole_item_is_done_anew_when_one_of_its_pieces_is(
    texts: Texts, tmp_path: pathlib.Path, diary: pathlib.Path
) -> None:
    folder = texts(a="1\n", b="bad\n", c="3\n", d="4\n", e="5\n")
    job = ToyJob(whole_items=True, diary=str(diary))
    first = do(folder, tmp_path / "out", job)
    seen = len(entries(diary))
    assert do(folder, tmp_path / "out", job).planned_inputs == 0
    again = do(folder, tmp_path / "out", job, retry_failed=True)
    assert again.planned_inputs == 4
    assert [line for line in entries(diary)[seen:] if line.startswith("item")] == [f"item {k}.t" for k in "abcd"]
    assert again.finished.manifest.counts == first.finished.manifest.counts
    assert again.finished.manifest.details == {"heaps": ["heap-a.txt", "heap-e.txt"]}
