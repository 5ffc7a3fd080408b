"""Say how well detections meet the ground truth: COCO's twelve numbers and Pascal VOC's AP at IoU 0.5.

examples:
  boxbeam evaluate --detections found --ground_truth annotations/instances_val2017.json --output scores
  boxbeam evaluate --detections found --ground_truth VOC2012/Annotations --output scores --metrics voc
  boxbeam evaluate --detections found --ground_truth records/ --split val --output scores

what you get:
  a table on the terminal, and scores/metrics.json with every number under the name that the TensorFlow Object Detection
  API gives it, what the numbers are, which frames and classes they are about, and where the detections come from.
  Numbers equal those of pycocotools and of the API's own evaluators; boxes are measured in pixels.

which images are evaluated:
  Every image of the ground truth counts, also those without objects. Images are matched by name: the same path, or the
  data set's own image id, or else the one path that ends alike by whole folders. If an image of the ground truth was
  not processed, or failed, the evaluation is refused; --allow_missing leaves such images out and says how many.
  Detections in images that the ground truth lacks are counted, named, and left out.

which classes:
  Those of the ground truth. Detections belong to the class of the same name, in any numbering.

exit status:
  0 done; 1 stopped by an error; 2 wrong usage, or detections and ground truth that do not belong together; 130
  interrupted
"""

import argparse
import contextlib
import difflib
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beam_jobs import options

if TYPE_CHECKING:
    from od_core.metrics.metric import MetricFactory
    from pipelines.evaluate_plan import EvaluationPlan

_METRICS = ("coco", "voc")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    args, beam_options = options.parse(_parser(), argv)
    from od_core.errors import BoxbeamError, UsageError

    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")  # what Beam logs below is no news
    try:
        _evaluate(args, beam_options)
    except UsageError as error:
        return _ended(f"error: {error}", 2)
    except BoxbeamError as error:
        return _ended(f"stopped: {error}", 1)
    except KeyboardInterrupt:
        return _ended("interrupted; repeat the command to evaluate", 128 + signal.SIGINT)
    return 0


def _ended(message: str, status: int) -> int:
    print(f"boxbeam evaluate: {message}", file=sys.stderr, flush=True)
    return status


def build(root: Any, plan: "EvaluationPlan", factories: Sequence["MetricFactory"], values_file: str) -> Any:
    """The job's graph, added to a pipeline: the numbers end up in `values_file`."""
    from pipelines.evaluate import build

    return build(root, plan, factories, values_file)


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "evaluate")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--detections",
        type=options.path,
        required=True,
        metavar="DIR",
        help="a detections dataset as boxbeam infer writes it, or one Parquet file of that format",
    )
    group.add_argument(
        "--ground_truth",
        type=options.path,
        required=True,
        nargs="+",
        metavar="PATH",
        help="a record dataset made by boxbeam convert, annotations in a format that it reads (docs/convert.md), or"
        " Parquet with a column objects (docs/detections-format.md); several count as one",
    )
    group.add_argument(
        "--output", type=options.path, required=True, metavar="DIR", help="folder for metrics.json, which is replaced"
    )
    group.add_argument(
        "--images",
        type=options.path,
        metavar="DIR",
        help="the images, looked at only for the size of those whose annotation does not say it",
    )
    group.add_argument(
        "--split",
        type=_words,
        default=(),
        metavar="NAMES",
        help="evaluate these splits of a record dataset, such as val or train,val (default: all)",
    )
    group.add_argument(
        "--metrics",
        type=_metrics,
        default=_METRICS,
        metavar="NAMES",
        help=f"which numbers, of {', '.join(_METRICS)} (default: all)",
    )
    group.add_argument(
        "--allow_missing", action="store_true", help="leave out images that were not processed, and say how many"
    )
    running = made.add_argument_group("running")
    running.add_argument(
        "--runner",
        type=options.runner,
        default="DirectRunner",
        metavar="RUNNER",
        help="Beam runner: DirectRunner is this machine; FlinkRunner, SparkRunner, DataflowRunner, PortableRunner take"
        " Beam's own options, which may follow here (--flink_master ...)",
    )
    return made


def _words(text: str) -> tuple[str, ...]:
    """An argparse type: words with commas between them."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise argparse.ArgumentTypeError(f"must be names with commas between them, got {text!r}")
    return tuple(dict.fromkeys(words))


def _metrics(text: str) -> tuple[str, ...]:
    """An argparse type: some of the metrics."""
    for word in _words(text):
        if word not in _METRICS:
            close = difflib.get_close_matches(word, _METRICS, 1)
            guess = f"did you mean {close[0]}?" if close else f"there are {', '.join(_METRICS)}"
            raise argparse.ArgumentTypeError(f"no metric called {word!r}; {guess}")
    return _words(text)


def _evaluate(args: argparse.Namespace, beam_options: Sequence[str]) -> None:
    from beam_jobs.launch import refuse_output
    from od_core import storage
    from od_core.annotations.joined_truth import open_all_ground_truth
    from pipelines.engine import Engine
    from pipelines.evaluate_detections import find_detections
    from pipelines.evaluate_plan import plan_evaluation
    from pipelines.evaluate_report import METRICS_FILE, metrics_text

    detections, output = options.absolute(args.detections), options.absolute(args.output)
    ground_truth = [options.absolute(path) for path in args.ground_truth]
    images = args.images and options.absolute(args.images)
    refuse_output(output)
    engine = Engine(args.runner, beam_options)
    remote_files = None
    if any(storage.is_remote(path) for path in (detections, *ground_truth, output, images or "")):
        from pipelines.beam_files import BeamFiles

        remote_files = BeamFiles(list(beam_options))
        storage.register_remote(remote_files)
    found = find_detections(detections)
    truth = open_all_ground_truth(ground_truth, images=images, splits=args.split)
    with _work_folder(output, is_local=engine.is_local) as folder:
        truth_file, values_file = storage.join(folder, "truth.parquet"), storage.join(folder, "values.json")
        plan = plan_evaluation(found, truth, truth_file, allow_missing=args.allow_missing)
        factories = _factories(args.metrics, plan.categories)
        definitions = {name: make().definition for name, make in factories.items()}

        from pipelines.evaluate import run  # and with it Beam, which takes seconds: not before refusals

        values = run(plan, list(factories.values()), engine, values_file, remote_files)
    source = {"paths": args.ground_truth, "form": truth.form, "splits": list(args.split)}
    place = storage.join(output, METRICS_FILE)
    storage.write_text(place, metrics_text(plan, values, definitions, source))

    from beam_jobs.evaluate_text import text

    print(text(plan, values, definitions, place), flush=True)


def _factories(names: Sequence[str], categories: Mapping[int, str]) -> dict[str, "MetricFactory"]:
    import functools

    from od_core.metrics.coco import CocoBoxes
    from od_core.metrics.voc import PascalBoxes

    makers: dict[str, MetricFactory] = {
        "coco": functools.partial(CocoBoxes, categories),
        "voc": functools.partial(PascalBoxes, categories),
    }
    return {name: makers[name] for name in names}


@contextlib.contextmanager
def _work_folder(output: str, *, is_local: bool) -> Iterator[str]:
    """A folder that launcher and workers share, gone afterwards: on a cluster that is within the output."""
    from od_core import storage

    if is_local:
        with tempfile.TemporaryDirectory(prefix="boxbeam-") as folder:
            yield folder
        return
    work = storage.join(output, "_work")
    folder = storage.join(work, f"evaluate-{uuid.uuid4().hex}")  # of this run alone: another may be going on
    try:
        yield folder
    finally:
        storage.remove_folder(folder)
        with contextlib.suppress(OSError):
            os.rmdir(storage.local_path(work))


if __name__ == "__main__":
    sys.exit(main())
