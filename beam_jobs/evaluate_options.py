"""The options of evaluate that are about running a model: named here, refused where they would mean nothing."""

import argparse

from beam_jobs import options

DETECTIONS_FOLDER = "detections"
"""Where in the output the detections of --model go."""

_MODEL_ONLY = (
    "label_map",
    "batch_size",
    "workers",
    "overwrite",
    "retry_failed",
    "dry_run",
    "max_failed_ratio",
    "progress",
    "isolation",
    "stall_timeout",
    "worker_memory",
)


def add_model_options(made: argparse.ArgumentParser) -> None:
    """Add those of boxbeam infer that an evaluation of a model has too."""
    group = made.add_argument_group("with --model")
    group.add_argument(
        "--label_map", type=options.path, metavar="PBTXT", help="names of the model's classes (StringIntLabelMap)"
    )
    group.add_argument(
        "--batch_size",
        type=options.positive_int,
        metavar="N",
        help="images per model run at most; does not change results (default: chosen; a model's own limit is kept)",
    )
    options.add_common(made)  # all but --runner only with --model


def check(args: argparse.Namespace, made: argparse.ArgumentParser) -> None:
    """Refuse options that do not go together.

    Args:
        args: as parsed.
        made: the parser, for its defaults.

    Raises:
        UsageError: names them.
    """
    from od_core.errors import UsageError

    if not args.model:
        for name in _MODEL_ONLY:
            if getattr(args, name) != made.get_default(name):
                raise UsageError(f"--{name} is about running a model: give --model instead of --detections")
    elif not args.label_map:
        raise UsageError("--model needs --label_map: the names of its classes (StringIntLabelMap, .pbtxt)")
    if DETECTIONS_FOLDER in args.split and args.model:
        raise UsageError(f"a split called {DETECTIONS_FOLDER} would share its folder with the detections of --model")
