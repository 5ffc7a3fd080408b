"""Say how well detections meet the ground truth: COCO's twelve numbers, Pascal VOC's and Open Images' AP at IoU 0.5.

examples:
  boxbeam evaluate --detections found --ground_truth annotations/instances_val2017.json --output scores
  boxbeam evaluate --detections found --ground_truth VOC2012/Annotations --output scores --metrics voc07,voc10
  boxbeam evaluate --detections found --ground_truth records/ --split val --output scores
  boxbeam evaluate --detections found --ground_truth records/ --split train,val --output scores
  boxbeam evaluate --model exported/ --label_map labels.pbtxt --ground_truth records/ --split val --output scores
  boxbeam evaluate --detections found --ground_truth records/ --output scores --verdicts --iou 0.75

what you get:
  a table on the terminal, and scores/metrics.json with every number under the name that the TensorFlow Object Detection
  API gives it, what the numbers are, which frames and classes they are about, and where the detections come from.
  Numbers equal those of pycocotools and of the API's own evaluators; boxes are measured in pixels.

  With --model also scores/detections, a dataset as boxbeam infer writes it: after a kill the same command continues it.

  With --split train,val the same for each split, in scores/train and scores/val, and scores/splits.json with both side
  by side: how much better the model is on the images that it has learnt from. docs/evaluate-modes.md says more.

  Also the score at which F1 is best, overall and per class, confusions, what kinds of errors cost, calibration, sizes
  and slices: scores/evaluation.html is a page to look at, scores/plots has its pictures, scores/curves.parquet the
  points of precision-recall curves.
  With --verdicts also scores/verdicts.parquet: a row for every detection (right, wrong and why, or ignored) and for
  every object that was missed, at one IoU. docs/metrics.md says what every number and every column is.

which images are evaluated:
  Every image of the ground truth counts, also those without objects. Images are matched by name: the same path, or the
  data set's own image id, or else the one path that ends alike by whole folders. If an image of the ground truth was
  not processed, or failed, the evaluation is refused; --allow_missing leaves such images out and says how many.
  Detections in images that the ground truth lacks are counted, named, and left out.

which classes:
  Those of the ground truth. Detections belong to the class of the same name, in any numbering.

exit status:
  0 done; 4 done and written, but a number is below --fail_under, or undefined; 1 stopped by an error; 2 wrong usage, or
  detections and ground truth that do not belong together; 130 interrupted
"""

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from beam_jobs import evaluate_options, options
from beam_jobs.evaluate_options import MASK_METRIC
from beam_jobs.evaluate_parser import parser

if TYPE_CHECKING:
    from od_core.metrics.metric import MetricFactory
    from pipelines.engine import Engine
    from pipelines.evaluate.ask import EvaluationAsk, Planned
    from pipelines.evaluate.image_labels import OpenImages
    from pipelines.evaluate.plan import EvaluationPlan
    from pipelines.remote.file_systems import FileSystems

EXIT_BELOW = 4
"""Exit status: evaluated, but not good enough."""


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    args, beam_options = options.parse(parser(__doc__ or ""), argv)
    from od_core.errors import BoxbeamError, RunStoppedError, UsageError

    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")  # what Beam logs below is no news
    try:
        evaluate_options.check(args, parser(""))
        if args.watch:
            from beam_jobs.evaluate_watch import watch_exports

            return watch_exports(args, lambda one: _run(one, beam_options))
        faults = _run(args, beam_options)
    except UsageError as error:
        return _ended(f"error: {error}", 2)
    except RunStoppedError as error:
        return _ended("interrupted; repeat the command to continue", 128 + signal.Signals[str(error)])
    except BoxbeamError as error:
        return _ended(f"stopped: {error}", 1)
    except KeyboardInterrupt:
        return _ended("interrupted; repeat the command to continue", 128 + signal.SIGINT)
    return _ended(f"--fail_under: {'; '.join(faults)}", EXIT_BELOW) if faults else 0


def _ended(message: str, status: int) -> int:
    print(f"boxbeam evaluate: {message}", file=sys.stderr, flush=True)
    return status


def build(root: Any, plan: "EvaluationPlan", factories: Sequence["MetricFactory"], values_file: str) -> Any:
    """The job's graph, added to a pipeline: the numbers end up in `values_file`."""
    from pipelines.evaluate.graph import build

    return build(root, plan, factories, values_file)


def _run(args: argparse.Namespace, beam_options: Sequence[str]) -> list[str]:
    """Evaluate as the command line says; returns what is below --fail_under."""
    from beam_jobs.launch import reach_file_systems

    reach_file_systems(beam_options)
    if args.model:
        from beam_jobs.evaluate_model import detect

        detections = detect(args, beam_options)
        if args.dry_run:
            return []
        args = argparse.Namespace(**{**vars(args), "detections": detections, "label_map": None})
    if len(args.split) < 2:
        return _evaluate(args, beam_options)
    from beam_jobs.evaluate_splits import evaluate_splits

    by_split = evaluate_splits(args, lambda one: _evaluate(one, beam_options))
    return [f"{split}: {fault}" for split, faults in by_split.items() for fault in faults]


def _evaluate(args: argparse.Namespace, beam_options: Sequence[str]) -> list[str]:
    """Evaluate one split, or everything; returns what is below --fail_under."""
    from beam_jobs.launch import reach_file_systems, refuse_output
    from od_core import storage
    from od_core.insight.insight import DEFINITION
    from od_core.label_map import read_label_map
    from od_core.metrics.catalogue import metric_factories
    from od_core.metrics.gate import Gate, full_name
    from pipelines.engine import Engine
    from pipelines.evaluate.ask import EvaluationAsk
    from pipelines.evaluate.insight import InsightTask, leave_beside
    from pipelines.evaluate.report import METRICS_FILE, metrics_text

    output = options.absolute(args.output)
    refuse_output(output)
    engine, files = Engine(args.runner, beam_options), reach_file_systems(beam_options)
    ask = EvaluationAsk(
        detections=options.absolute(args.detections),
        ground_truth=tuple(options.absolute(path) for path in args.ground_truth),
        images=args.images and options.absolute(args.images),
        splits=tuple(args.split),
        label_map=read_label_map(args.label_map) if args.label_map else None,
        slice_by=tuple(args.slice_by),
        masks=MASK_METRIC in args.metrics,
        allow_missing=args.allow_missing,
        open_images=_open_images(args),
    )
    if not engine.is_local:
        ask.check()
    with _work_folder(output, is_local=engine.is_local) as folder:
        plan, form, slicing = _planned(ask, folder, engine, files)
        values_file = storage.join(folder, "values.json")
        factories = metric_factories(args.metrics, plan.categories, plan.ancestors)
        empty = {name: make() for name, make in factories.items()}
        definitions = {name: metric.definition for name, metric in empty.items()}
        insight = None if args.numbers_only else InsightTask(folder, plan.categories, args.iou, slicing)
        if insight:
            definitions["insight"] = DEFINITION
        names = [name for metric in empty.values() for name in metric.value()]
        names += insight.empty().value().numbers if insight else []
        gates = [Gate(full_name(word, names), least) for word, least in args.fail_under]

        from pipelines.evaluate.graph import run  # and with it Beam, which takes seconds: not before refusals
        from pipelines.evaluate.verdicts import VERDICTS_FILE, VerdictParts

        verdicts = VerdictParts(storage.join(folder, "verdicts"), plan.categories, args.iou) if args.verdicts else None
        values = run(plan, list(factories.values()), engine, values_file, files, verdicts, insight)
        looked_into = insight.read() if insight else None
        if verdicts:
            verdicts.join(plan.detections, storage.join(output, VERDICTS_FILE))
        else:
            storage.remove([storage.join(output, VERDICTS_FILE)])  # those of an earlier evaluation
    source = {"paths": args.ground_truth, "form": form, "splits": list(args.split)}
    place = storage.join(output, METRICS_FILE)
    document = metrics_text(plan, values, definitions, source, looked_into)
    leave_beside(output, looked_into, json.loads(document))
    storage.write_text(place, document)

    from beam_jobs.evaluate_text import text

    print(text(plan, values, definitions, place, args.split, looked_into), flush=True)
    values = {**values, "insight": looked_into.numbers} if looked_into else values
    reached = {name: x for numbers in values.values() for name, x in numbers.items()}
    return [fault for gate in gates if (fault := gate.fault(reached))]


def _planned(ask: "EvaluationAsk", folder: str, engine: "Engine", files: "FileSystems") -> "Planned":
    """The plan; a worker of a cluster makes it, so that the launcher reads neither ground truth nor detections."""
    if engine.is_local:
        return ask.plan(folder)
    from pipelines.evaluate.planning import plan_on_workers

    return plan_on_workers(ask, folder, engine, files)


def _open_images(args: argparse.Namespace) -> "OpenImages":
    from od_core.class_hierarchy import read_class_hierarchy
    from od_core.errors import UsageError
    from pipelines.evaluate.image_labels import OpenImages

    if (args.hierarchy or args.image_labels) and not any(name.startswith("open_images") for name in args.metrics):
        option = "--hierarchy" if args.hierarchy else "--image_labels"
        raise UsageError(f"{option} is for Open Images' numbers: add --metrics open_images,open_images_challenge")
    hierarchy = read_class_hierarchy(options.absolute(args.hierarchy)) if args.hierarchy else None
    return OpenImages(hierarchy, args.image_labels and options.absolute(args.image_labels))


@contextlib.contextmanager
def _work_folder(output: str, *, is_local: bool) -> Iterator[str]:
    """A folder that launcher and workers share, gone afterwards: on a cluster that is within the output."""
    from od_core import storage

    if is_local:
        with tempfile.TemporaryDirectory(prefix="boxbeam-") as folder:
            yield folder
        return
    is_new = not storage.is_remote(output) and not storage.is_folder(output)
    work = storage.join(output, "_work")
    folder = storage.join(work, f"evaluate-{uuid.uuid4().hex}")  # of this run alone: another may be going on
    try:
        yield folder
    finally:
        storage.remove_folder(folder)
        for place in (work, output) if is_new else (work,):  # what was refused leaves no empty folder
            with contextlib.suppress(OSError):
                os.rmdir(storage.local_path(place))


if __name__ == "__main__":
    sys.exit(main())
