"""Running a model on the images of a ground truth, so that it can be evaluated: infer, with other inputs.

Inference and evaluation are two Beam graphs, one after the other. One graph would save reading the detections back,
seconds beside minutes of inference; but detections that are committed first are what makes the command continue after
a kill, what an item process may crash on without harm, and what other metrics, render and review read later without
the model.
"""

import argparse
from collections.abc import Sequence

from beam_jobs import options
from beam_jobs.evaluate_options import DETECTIONS_FOLDER, MASK_METRIC
from beam_jobs.infer import find_model
from beam_jobs.launch import perform, refuse_output
from beam_jobs.progress import progress_for
from od_core import storage
from od_core.annotations.ground_truth_set import check_ground_truth
from od_core.annotations.joined_truth import open_all_ground_truth
from od_core.annotations.stored_truth import find_stored_truth
from od_core.label_map import LabelMap, read_label_map
from od_core.metrics.catalogue import metric_factories
from od_core.metrics.gate import full_name
from pipelines.engine import Engine
from pipelines.evaluate.classes import Classes, classes_of, refuse_strangers
from pipelines.evaluate.inference import InferTruth
from pipelines.evaluate.truth import read_truth


def detect(args: argparse.Namespace, beam_options: Sequence[str]) -> str:
    """Run `args.model` on the images of `args.ground_truth`, as far as that is not done.

    Returns:
        The detections dataset, within `args.output`.

    Raises:
        BoxbeamError: what cannot work is refused before the model is opened: ground truth without images, classes that
            the two do not share.
    """
    output = options.absolute(args.output)
    refuse_output(output)
    paths = [options.absolute(path) for path in args.ground_truth]
    label_map = read_label_map(args.label_map)
    names = _names_told_soon(args, label_map)
    if names is not None and not args.hierarchy:  # which brings more classes, and with them more numbers
        for word, _ in args.fail_under:
            full_name(word, names)  # refuses one that is none, which would else be noticed after hours
    detections = storage.join(output, DETECTIONS_FOLDER)
    run = argparse.Namespace(**{**vars(args), "input": paths, "output": detections})
    perform(lambda: _job(args, label_map), run, beam_options, progress_for(args.progress, "infer"))
    return detections


def _names_told_soon(args: argparse.Namespace, label_map: LabelMap) -> list[str] | None:
    """`number_names`; None for a cluster where all ground truth would have to be read for it: its workers will."""
    paths = [options.absolute(path) for path in args.ground_truth]
    if Engine(args.runner).is_local:
        return number_names(args, label_map)
    for path in paths:
        check_ground_truth(path, images=args.images and options.absolute(args.images), splits=args.split)
    if any(storage.has_wildcard(path) or find_stored_truth(path) is None for path in paths):
        return None
    truth = open_all_ground_truth(paths, splits=args.split)
    return _names(args, label_map, classes_of(truth.label_map, True, ())) if truth.label_map else None


def number_names(args: argparse.Namespace, label_map: LabelMap) -> list[str]:
    """The names of all numbers that an evaluation of a model will give.

    Raises:
        UsageError: ground truth that cannot be read, or a model of which no class is in it.
    """
    images = args.images and options.absolute(args.images)
    paths = [options.absolute(path) for path in args.ground_truth]
    truth = open_all_ground_truth(paths, images=images, splits=args.split)
    return _names(args, label_map, classes_of(truth.label_map, True, read_truth(truth).classes.pairs))


def _names(args: argparse.Namespace, label_map: LabelMap, classes: Classes) -> list[str]:
    refuse_strangers(list(label_map.labels.items()), classes)
    metrics = [make() for make in metric_factories(args.metrics, classes.categories).values()]
    return [name for metric in metrics for name in metric.value()]


def _job(args: argparse.Namespace, label_map: LabelMap) -> InferTruth:
    path, digest = find_model(args.model)
    return InferTruth(
        model=path,
        model_sha256=digest,
        label_map=label_map,
        batch_size=args.batch_size,
        splits=args.split,
        images=args.images and options.absolute(args.images),
        keep=("masks",) if MASK_METRIC in args.metrics else (),
    )
