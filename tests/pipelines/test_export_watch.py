"""The loop of a watch, with a clock of the test's own: order, deletions, restarts, and when it ends."""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from od_core.errors import OutputError, UsageError
from od_core.export_folder import Export
from pipelines.watch.exports import ExportWatch
from pipelines.watch.loop import Limits, watch
from pipelines.watch.state import EndedExport, WatchState

MAP = "mAP"
OPTIONS = {"--split": "val"}


class Trainer:
    """A folder of exports, a clock, and what happens at which second of it."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.output, self.now = folder / "exports", folder / "out", 0.0
        self.folder.mkdir(parents=True)
        self.said: list[str] = []
        self.warned: list[str] = []
        self.during: Callable[[Export], object] = lambda export: None
        self._plan: list[tuple[float, Callable[[], object]]] = []

    def at(self, second: float, act: Callable[[], object]) -> None:
        self._plan.append((second, act))
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for act in [act for second, act in self._plan if second <= self.now]:
            act()
        self._plan = [(second, act) for second, act in self._plan if second > self.now]

    def export(self, step: int, content: str = "graph") -> None:
        folder = self.folder / f"export_{step}"
        folder.mkdir(exist_ok=True)
        (folder / "saved_model.pb").write_text(content)

    def delete(self, step: int) -> None:
        shutil.rmtree(self.folder / f"export_{step}")

    def state(self, options: dict[str, str] = OPTIONS) -> WatchState:
        return WatchState(str(self.output / "watch.json"), options)

    def evaluated(self, export: Export) -> EndedExport:
        """The "model" is what is written in it: a number, or not."""
        content = pathlib.Path(export.path, "saved_model.pb").read_text()
        self.during(export)
        if content == "broken":
            return EndedExport(export.name, export.step, export.fingerprint, "failed", "not a model")
        value = {"graph": 0.5, "undefined": None}.get(content) if content.isalpha() else float(content)
        return EndedExport(export.name, export.step, export.fingerprint, "evaluated", None, {"val": {MAP: value}})

    def watch(self, limits: Limits, *, settle: float = 2, patience: float = 50, poll: float = 1) -> str:
        clock = lambda: self.now  # noqa: E731
        exports = ExportWatch(
            str(self.folder), str(self.output / "_kept"), settle_s=settle, patience_s=patience, clock=clock
        )

        def say(ended: EndedExport) -> None:
            self.said.append(f"{ended.step} {ended.status}")

        reason = watch(
            exports,
            self.state(),
            limits,
            self.evaluated,
            say,
            self.warned.append,
            poll_s=poll,
            clock=clock,
            sleep=self.pass_time,
        )
        self.waiting = exports.waiting()
        return reason


@pytest.fixture
def trainer(tmp_path):
    return Trainer(tmp_path)


def test_a_backlog_is_worked_off_in_order(trainer):
    for step in (1000, 200, 30):
        trainer.export(step)
    assert trainer.watch(Limits(timeout_s=20)) == "nothing new for 20 s"
    assert trainer.said == ["30 evaluated", "200 evaluated", "1000 evaluated"]
    assert list((trainer.output / "_kept").iterdir()) == []


def test_new_exports_are_evaluated_as_they_come(trainer):
    for second, step in ((3, 100), (30, 200), (60, 300)):
        trainer.at(second, lambda step=step: trainer.export(step))
    assert trainer.watch(Limits(timeout_s=40)) == "nothing new for 40 s"
    assert trainer.said == ["100 evaluated", "200 evaluated", "300 evaluated"]
    assert 102 <= trainer.now <= 104  # 40 s after the last was evaluated, which was 2 s after it came


def test_an_export_counts_when_its_model_is_there_and_nothing_changes(trainer):
    (trainer.folder / "export_1").mkdir()
    trainer.at(10, lambda: trainer.export(1, "0.1"))
    trainer.at(11, lambda: trainer.export(1, "0.15"))
    trainer.at(12, lambda: trainer.export(1, "0.175"))
    trainer.during = lambda export: trainer.said.append(f"at {trainer.now:g}")
    trainer.watch(Limits(max_evals=1))
    assert trainer.said == ["at 14", "1 evaluated"]
    assert trainer.state().exports["export_1"].numbers == {"val": {MAP: 0.175}}


def test_a_later_export_waits_for_one_that_is_still_being_written(trainer):
    (trainer.folder / "export_1").mkdir()
    trainer.export(2)
    trainer.at(30, lambda: trainer.export(1))
    trainer.watch(Limits(max_evals=2))
    assert trainer.said == ["1 evaluated", "2 evaluated"]


def test_one_that_gets_no_model_is_passed_over_and_told(trainer):
    (trainer.folder / "export_1").mkdir()
    trainer.export(2)
    trainer.watch(Limits(timeout_s=60), patience=20)
    assert trainer.said == ["1 incomplete", "2 evaluated"]
    assert "without a model, and unchanged, for 20 s" in trainer.state().exports["export_1"].reason


def test_one_that_was_passed_over_is_evaluated_when_it_is_finished_after_all(trainer):
    (trainer.folder / "export_1").mkdir()
    trainer.at(40, lambda: trainer.export(1))
    trainer.watch(Limits(max_evals=1), patience=20)
    assert trainer.said == ["1 incomplete", "1 evaluated"]


def test_what_is_deleted_before_it_is_complete_has_vanished(trainer):
    trainer.export(1)
    trainer.at(1, lambda: trainer.delete(1))
    trainer.at(5, lambda: trainer.export(2))
    trainer.watch(Limits(max_evals=1))
    assert trainer.said == ["1 vanished", "2 evaluated"]


def test_what_vanished_and_comes_back_is_evaluated(trainer):
    trainer.export(1)
    trainer.at(1, lambda: trainer.delete(1))
    trainer.at(5, lambda: trainer.export(1))
    trainer.watch(Limits(max_evals=1))
    assert trainer.said == ["1 vanished", "1 evaluated"]


def test_the_backlog_survives_deletions(trainer):
    """A training loop that keeps only its newest export, and an evaluation that is slower than it."""
    for step in (1, 2, 3):
        trainer.export(step, f"0.{step}")

    def clear(export):
        for step in (1, 2, 3):
            shutil.rmtree(trainer.folder / f"export_{step}", ignore_errors=True)

    trainer.during = clear
    trainer.watch(Limits(timeout_s=20))
    assert trainer.said == ["1 evaluated", "2 evaluated", "3 evaluated"]
    assert [one.numbers["val"][MAP] for one in trainer.state().evaluated()] == [0.1, 0.2, 0.3]


def test_what_comes_and_goes_during_an_evaluation_is_kept(trainer):
    """The folder is looked at in a thread while an evaluation goes on."""
    trainer.export(1)

    def busy(export):
        if export.step == 1:
            trainer.export(2, "0.25")
            kept = trainer.output / "_kept/export_2/saved_model.pb"
            while not kept.exists():
                trainer.now += 1  # the thread, which looks every few milliseconds, sees time pass
            trainer.delete(2)

    trainer.during = busy
    trainer.watch(Limits(max_evals=2), poll=0.005)
    assert trainer.said == ["1 evaluated", "2 evaluated"]


def test_a_restart_continues(trainer):
    for step in (1, 2, 3):
        trainer.export(step)
    assert trainer.watch(Limits(max_evals=2)) == "2 evaluations, as many as --max_evals allows"
    assert trainer.waiting == 1
    shutil.rmtree(trainer.folder / "export_3")
    trainer.export(4)
    trainer.watch(Limits(max_evals=4))
    assert trainer.said == ["1 evaluated", "2 evaluated", "3 evaluated", "4 evaluated"]
    trainer.watch(Limits(max_evals=4))
    assert len(trainer.said) == 4


def test_killed_in_the_middle_of_an_evaluation(trainer):
    for step in (1, 2):
        trainer.export(step)

    def kill(export):
        if export.step == 2:
            raise KeyboardInterrupt

    trainer.during = kill
    with pytest.raises(KeyboardInterrupt):
        trainer.watch(Limits())
    trainer.delete(2)
    trainer.during = lambda export: None
    trainer.watch(Limits(max_evals=2))
    assert trainer.said == ["1 evaluated", "2 evaluated"]


def test_killed_between_state_and_backlog(trainer):
    trainer.export(1)
    trainer.watch(Limits(max_evals=1))
    shutil.copytree(trainer.folder / "export_1", trainer.output / "_kept/export_1")
    trainer.watch(Limits(timeout_s=5))
    assert trainer.said == ["1 evaluated"]
    assert list((trainer.output / "_kept").iterdir()) == []


def test_a_broken_model_costs_only_itself(trainer):
    trainer.export(1, "broken")
    trainer.export(2)
    trainer.watch(Limits(max_evals=2))
    assert trainer.said == ["1 failed", "2 evaluated"]
    state = trainer.state()
    assert state.forget_failed() == ["export_1"]
    assert list(trainer.state().exports) == ["export_2"]


def test_until_step(trainer):
    for step in (100, 200, 300):
        trainer.export(step)
    assert trainer.watch(Limits(until_step=150)) == "step 200 has ended, which is as far as --until_step goes"
    assert trainer.said == ["100 evaluated", "200 evaluated"]


@pytest.mark.parametrize("place", ["exports", "out"])
def test_a_stop_file(trainer, place):
    for step in (1, 2):
        trainer.export(step)
    stop = trainer.output.parent / place / "STOP"
    trainer.during = lambda export: stop.write_text("")
    limits = Limits(stop_files=(str(trainer.folder / "STOP"), str(trainer.output / "STOP")))
    assert trainer.watch(limits) == f"{stop} is there; remove it to go on"
    assert (trainer.said, trainer.waiting) == (["1 evaluated"], 1)
    assert trainer.watch(limits) == f"{stop} is there; remove it to go on"
    assert trainer.said == ["1 evaluated"]


def test_without_any_export_it_waits_until_the_timeout(trainer):
    assert trainer.watch(Limits(timeout_s=30)) == "nothing new for 30 s"
    assert (trainer.said, trainer.warned) == ([], [])


def test_checkpoints_alone_are_told_once(trainer):
    (trainer.folder / "ckpt-1.index").write_text("weights")
    trainer.watch(Limits(timeout_s=30))
    (warning,) = trainer.warned
    assert "holds training checkpoints (such as ckpt-1), which are weights without a model" in warning


def test_a_folder_that_disappears(trainer):
    trainer.at(3, lambda: shutil.rmtree(trainer.folder))
    with pytest.raises(UsageError, match="cannot be watched"):
        trainer.watch(Limits())


def test_the_best(trainer):
    for step, value in ((1, "0.5"), (2, "0.75"), (3, "0.75"), (4, "undefined"), (5, "-1")):
        trainer.export(step, value)
    trainer.watch(Limits(max_evals=5))
    best = trainer.state().best(MAP, "val")
    assert (best.export.step, best.value) == (2, 0.75)
    assert trainer.state().best("other", "val") is None


def test_other_options_are_refused(trainer):
    trainer.export(1)
    trainer.watch(Limits(max_evals=1))
    with pytest.raises(UsageError, match="--split was val, now train"):
        trainer.state({"--split": "train"})


@pytest.mark.parametrize("text", ["{", "[]", '{"boxbeam": "watch/2", "exports": [], "options": {}}', "{}"])
def test_a_state_file_of_somebody_else(trainer, text):
    trainer.output.mkdir()
    (trainer.output / "watch.json").write_text(text)
    with pytest.raises(OutputError, match="not what a watch wrote"):
        trainer.state()


def test_the_state_file(trainer):
    trainer.export(1, "0.5")
    trainer.watch(Limits(max_evals=1))
    document = json.loads((trainer.output / "watch.json").read_text())
    (export,) = document.pop("exports")
    assert document == {"boxbeam": "watch/1", "options": OPTIONS}
    assert export.pop("fingerprint")
    assert export == {
        "name": "export_1",
        "step": 1,
        "status": "evaluated",
        "reason": None,
        "numbers": {"val": {"mAP": 0.5}},
    }


@settings(max_examples=40)
@given(st.data())
def test_none_is_skipped_whatever_happens(tmp_path_factory, data):
    """Exports come at any time and in any order, some go again, and the watch is killed and restarted at any time."""
    trainer = Trainer(tmp_path_factory.mktemp("watch"))
    steps = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6, unique=True))
    kills = data.draw(st.lists(st.integers(1, 25), max_size=3))
    stays = set()
    for step in steps:
        came = data.draw(st.integers(0, 20))
        lives = data.draw(st.integers(0, 8))
        trainer.at(came, lambda step=step: trainer.export(step))
        if lives:
            trainer.at(came + lives, lambda step=step: trainer.delete(step))
        if not lives or (lives > 4 and not kills):  # longer than the time to settle and two looks
            stays.add(step)
    for kill in kills:
        before = trainer.now

        def killed(export, at=before + kill):
            if trainer.now >= at:
                raise KeyboardInterrupt

        trainer.during = killed
        with contextlib.suppress(KeyboardInterrupt):
            trainer.watch(Limits(timeout_s=3))
    trainer.during = lambda export: None
    trainer.watch(Limits(timeout_s=60))
    ended = [line.split() for line in trainer.said]
    evaluated = [int(step) for step, status in ended if status == "evaluated"]
    assert stays <= set(evaluated)
    assert len(evaluated) == len(set(evaluated))
    assert {int(step) for step, _ in ended} <= set(steps)
