"""Evaluating exports for as long as training goes on: what each came to, TensorBoard's event files, and the best one.

    DIR/export_1200/ ─► OUTPUT/_kept/export_1200 ─► OUTPUT/exports/export_1200/{train,val}/metrics.json, report.txt
                                                    OUTPUT/tensorboard/eval_{train,val}/events.out.tfevents.…
                                                    OUTPUT/best/export_1200, best.json
                                                    OUTPUT/watch.json

In this order; watch.json says last that the export has ended. Killed before that, the export is evaluated again, from
detections that are there already, and every file is written as it was.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from beam_jobs import options
from beam_jobs.evaluate_model import number_names
from beam_jobs.evaluate_options import DETECTIONS_FOLDER
from beam_jobs.launch import EXIT_DONE, EXIT_SOME_FAILED, refuse_output
from od_core import export_folder, storage
from od_core.checkpoint_folder import keep_checkpoint, list_checkpoints
from od_core.errors import BoxbeamError, ModelError, RunStoppedError, StorageError, UsageError
from od_core.event_file import EventFolder
from od_core.export_folder import Export, list_exports
from od_core.label_map import LabelMap, read_label_map
from od_core.metrics.gate import full_name
from od_core.model.detector import find_model
from pipelines.evaluate.detections import find_detections
from pipelines.evaluate.pictures import SampleImage, choose_sample, pictures
from pipelines.evaluate.splits import Numbers, is_defined, read_numbers
from pipelines.lock import locked
from pipelines.watch.export_command import ExportCommand
from pipelines.watch.exports import ExportWatch, only_checkpoints
from pipelines.watch.loop import Limits, watch
from pipelines.watch.state import STATE_FILE, Best, EndedExport, WatchState

BEST_FILE = "best.json"
_REPORT = "report.txt"
_EXPORTED = "_export"
_PER_CLASS = "PerformanceByCategory/"
_ALL = ""

EvaluateModel = Callable[[argparse.Namespace], object]
"""Runs and evaluates a model as parsed options say."""


def watch_exports(args: argparse.Namespace, evaluate_model: EvaluateModel) -> int:
    """Evaluate every export in `args.watch` until a limit is reached; returns the exit status.

    Args:
        args: as parsed, with --watch.
        evaluate_model: does what the same command does with --model; leaves metrics.json in its output, or in a folder
            for each split.

    Raises:
        BoxbeamError: what cannot work, before anything is watched; a disk that is full; the user's wish to stop.
    """
    folder, output = options.absolute(args.watch), options.absolute(args.output)
    refuse_output(output)
    export_command = ExportCommand(args.export_command) if args.export_command else None
    _refuse_folder(folder, output, checkpoints_count=export_command is not None)
    label_map = read_label_map(args.label_map)
    names = number_names(args, label_map)
    best_metric = full_name(args.best_metric, names) if args.best_metric is not None else names[0]
    with locked(output):
        state = WatchState(storage.join(output, STATE_FILE), _options(args, label_map, best_metric))
        if args.retry_failed:
            state.forget_failed()
        run = _Watch(args, output, best_metric, label_map, state, evaluate_model, export_command)
        exports = ExportWatch(
            folder,
            storage.join(output, "_kept"),
            settle_s=args.settle_seconds,
            patience_s=args.export_timeout,
            listed=list_checkpoints if export_command else list_exports,
            keep=keep_checkpoint if export_command else export_folder.keep,
        )
        limits = Limits(
            args.max_evals,
            args.until_step,
            args.timeout,
            (os.path.join(folder, "STOP"), storage.join(output, "STOP")),
        )
        run.begin(folder)
        reason = watch(exports, state, limits, run.evaluate, run.say, run.note, poll_s=args.poll_seconds)
        run.end(reason, exports.waiting())
    lost = sum(state.count(status) for status in ("failed", "vanished", "incomplete"))
    return EXIT_SOME_FAILED if lost else EXIT_DONE


class _Placed(NamedTuple):
    """A split: its name, the folder of its evaluation within that of an export, and its TensorBoard run and images."""

    name: str
    folder: str
    run: str
    sample: list[SampleImage]


class _Watch:
    """What happens to each export, and what is said of it."""

    def __init__(
        self,
        args: argparse.Namespace,
        output: str,
        best_metric: str,
        label_map: LabelMap,
        state: WatchState,
        evaluate_model: EvaluateModel,
        export_command: ExportCommand | None,
    ):
        self._export_command = export_command
        self._args, self._output, self._state, self._evaluate_model = args, output, state, evaluate_model
        self._labels = label_map.labels
        self._best_metric = best_metric
        self._splits = [self._placed(split) for split in args.split or (_ALL,)]
        names = [split.name for split in self._splits]
        self._best_split = "val" if "val" in names else names[-1]

    def _placed(self, split: str) -> _Placed:
        sample = choose_sample(
            [options.absolute(path) for path in self._args.ground_truth],
            self._args.num_visualizations,
            images=self._args.images and options.absolute(self._args.images),
            splits=(split,) if split else (),
        )
        run = storage.join(self._output, "tensorboard", f"eval_{split}" if split else "eval")
        return _Placed(split, split if len(self._args.split) > 1 else "", run, sample)

    def begin(self, folder: str) -> None:
        """Say what is going to happen."""
        before = len(self._state.exports)
        done = f"; {before:,} have ended before" if before else ""
        what = "checkpoint" if self._export_command else "export"
        print(f"watch: every {what} in {folder}, into {self._output}{done}")
        print(f"  best by {self._best_metric}{f' on {self._best_split}' if self._best_split else ''}")
        print(f"  tensorboard --logdir {storage.join(self._output, 'tensorboard')}", flush=True)

    def evaluate(self, export: Export) -> EndedExport:
        """Evaluate one export, and publish what it came to."""
        folder = storage.join(self._output, "exports", export.name)
        detections = storage.join(folder, DETECTIONS_FOLDER)
        said = io.StringIO()
        try:
            if self._export_command is not None:
                export = export._replace(path=self._export_command.run(export, storage.join(folder, _EXPORTED)))
            run = argparse.Namespace(**{**vars(self._args), "watch": None, "model": export.path, "output": folder})
            with contextlib.redirect_stdout(said):
                self._evaluate_model(run)
        except (StorageError, RunStoppedError):
            raise
        except BoxbeamError as error:
            storage.remove_folder(folder)
            return EndedExport(export.name, export.step, export.fingerprint, "failed", str(error))
        storage.write_text(storage.join(folder, _REPORT), said.getvalue())
        every = {split.name: read_numbers(storage.join(folder, split.folder)) for split in self._splits}
        for split in self._splits:
            self._write_events(export, split, every[split.name], detections)
        overall = {name: _overall(numbers) for name, numbers in every.items()}
        for name, numbers in every.items():  # the one that best exports are told by may be of a class
            overall[name][self._best_metric] = numbers.get(self._best_metric)
        ended = EndedExport(export.name, export.step, export.fingerprint, "evaluated", None, overall)
        self._keep_best(export, ended)
        for name in os.listdir(folder):
            if name.startswith(_EXPORTED):
                storage.remove_folder(storage.join(folder, name))
        if not self._args.keep_detections:
            storage.remove_folder(detections)
        return ended

    def _write_events(self, export: Export, split: _Placed, numbers: Numbers, detections: str) -> None:
        run = EventFolder(split.run)
        last = run.last_step()
        if last is not None and last > export.step:
            self.note(
                f"{export.name}: not shown in TensorBoard, which has step {last} already and would discard it for an"
                " earlier one; its numbers are in exports/"
            )
            return
        images = dict(pictures(split.sample, find_detections(detections), self._labels))
        scalars = {name: x for name, x in numbers.items() if is_defined(x)}
        run.write(export.step, export.exported_s, scalars, images)

    def _keep_best(self, export: Export, ended: EndedExport) -> None:
        value = ended.numbers[self._best_split][self._best_metric]
        former = self._state.best(self._best_metric, self._best_split)
        if not is_defined(value) or (former is not None and former.rank <= Best(ended, value).rank):
            return
        folder = storage.join(self._output, "best")
        document = {
            "boxbeam": "best/1",
            "metric": self._best_metric,
            "split": self._best_split or None,
            "value": value,
            "step": ended.step,
            "export": ended.name,
            "model": export_folder.keep(export, folder),
            "numbers": {split or "all": numbers for split, numbers in ended.numbers.items()},
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        storage.write_text(storage.join(self._output, BEST_FILE), text)
        for name in os.listdir(folder):
            if name != export.name:
                export_folder.remove(os.path.join(folder, name))

    def say(self, ended: EndedExport) -> None:
        """Tell how an export ended, in a line."""
        head = f"step {ended.step} ({ended.name}): "
        if ended.status != "evaluated":
            print(f"{head}{ended.status}: {ended.reason}", flush=True)
            return
        shown = [f"{split or self._best_metric} {_shown(x)}" for split, x in self._values(ended)]
        if len(shown) == 2:
            (_, first), (_, other) = self._values(ended)
            if is_defined(first) and is_defined(other):
                shown.append(f"gap {first - other:+.4f}")
        best = self._state.best(self._best_metric, self._best_split)
        mark = "; the best so far" if best is not None and best.export.name == ended.name else ""
        print(f"{head}{', '.join(shown)}{mark}", flush=True)

    def _values(self, ended: EndedExport) -> list[tuple[str, float | None]]:
        return [(split, numbers[self._best_metric]) for split, numbers in ended.numbers.items()]

    def end(self, reason: str, waiting: int) -> None:
        """Say why it ends, and what it came to."""
        counts = [
            f"{n:,} {status}"
            for status in ("evaluated", "failed", "vanished", "incomplete")
            if (n := self._state.count(status)) or status == "evaluated"
        ]
        if waiting:
            counts.append(f"{waiting:,} waiting for the next run")
        print(f"watch: ended, {reason}: {', '.join(counts)}")
        best = self._state.best(self._best_metric, self._best_split)
        if best is not None:
            place = storage.join(self._output, BEST_FILE)
            print(f"  best: step {best.export.step} ({best.export.name}) with {best.value:.4f}: {place}")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Say something beside."""
        print(f"  {text}", flush=True)


def _overall(numbers: Numbers) -> dict[str, float | None]:
    return {name: x for name, x in numbers.items() if _PER_CLASS not in name}


def _shown(x: float | None) -> str:
    return f"{x:.4f}" if is_defined(x) else "-"


def _options(args: argparse.Namespace, label_map: LabelMap, best_metric: str) -> Mapping[str, str]:
    """What changes the numbers, and which export is the best. Where the exports lie does not."""
    return {
        "--best_metric": best_metric,
        "--ground_truth": ", ".join(options.absolute(path) for path in args.ground_truth),
        "--split": ",".join(args.split) or "all images",
        "--metrics": ",".join(args.metrics),
        "--label_map": f"sha256:{label_map.digest}",
        "--allow_missing": str(args.allow_missing),
        "--hierarchy": str(args.hierarchy),
        "--image_labels": str(args.image_labels),
        **({"--export_command": args.export_command} if args.export_command else {}),
    }


def _refuse_folder(folder: str, output: str, *, checkpoints_count: bool) -> None:
    """Refuse what cannot be watched.

    Raises:
        UsageError: says what is there instead of exports, and what to do.
    """
    if storage.is_remote(folder) or storage.is_remote(output):
        raise UsageError("--watch works on local disks: folder and output must be on one")
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: no such folder; --watch is the folder into which the training loop exports")
    if os.path.commonpath([folder, output]) == folder:
        raise UsageError(f"{output}: the output must not be within the watched folder {folder}")
    listing = list_exports(folder)
    if listing.exports or checkpoints_count:
        return
    if listing.checkpoints:
        raise UsageError(only_checkpoints(folder, listing.checkpoints))
    with contextlib.suppress(ModelError):
        found = find_model(folder)
        raise UsageError(
            f"{folder}: is itself an export ({found.format}), not a folder of exports: evaluate it with --model, or"
            " name the folder above it"
        )
