"""The options of evaluate that are about running a model, once or for as long as training goes on.

They are refused where they would mean nothing.
"""

import argparse

from beam_jobs import options

DETECTIONS_FOLDER = "detections"
"""Where in the output the detections of --model go."""

MASK_METRIC = "coco_masks"
"""The word for the numbers about masks, for which detections must have been kept with theirs."""

_MODEL_ONLY = (
    "batch_size",
    "workers",
    "overwrite",
    "retry_failed",
    "allow_removed",
    "log_file",
    "dry_run",
    "max_failed_ratio",
    "progress",
    "isolation",
    "stall_timeout",
    "worker_memory",
)
_WATCH_ONLY = (
    "poll_seconds",
    "settle_seconds",
    "export_timeout",
    "max_evals",
    "until_step",
    "timeout",
    "best_metric",
    "num_visualizations",
    "keep_detections",
    "export_command",
)


def add_model_options(made: argparse.ArgumentParser) -> None:
    """Add those of boxbeam infer that an evaluation of a model has too."""
    group = made.add_argument_group("with --model")
    group.add_argument(
        "--batch_size",
        type=options.positive_int_or_auto,
        metavar="N",
        help="images per model run at most, or auto; does not change results (default: auto: measured)",
    )
    options.add_common(made)  # all but --runner only with --model or --watch


def add_watch_options(made: argparse.ArgumentParser) -> None:
    """Add those of --watch."""
    group = made.add_argument_group("with --watch (ends also when a file STOP is in the watched folder or the output)")
    group.add_argument("--max_evals", type=options.positive_int, metavar="N", help="end after so many evaluations")
    group.add_argument(
        "--until_step",
        type=options.positive_int,
        metavar="N",
        help="end after the export of this step, or a higher one",
    )
    group.add_argument(
        "--timeout", type=options.positive_float, metavar="S", help="end when nothing new came for so many seconds"
    )
    group.add_argument(
        "--best_metric",
        metavar="NAME",
        help="the number by which the best export is told, such as mAP or AP@0.5IOU/cat, on the split val if that is"
        " evaluated, else on the last one (default: the first of all numbers)",
    )
    group.add_argument(
        "--num_visualizations",
        type=options.whole_number,
        default=10,
        metavar="N",
        help="side-by-side images for TensorBoard, always the same ones (default: 10)",
    )
    group.add_argument(
        "--export_command",
        metavar="CMD",
        help="watch training checkpoints (ckpt-12.index) instead of exports, and export each of them with this command:"
        " 'python exporter_main_v2.py ... --trained_checkpoint_dir {checkpoint_dir} --output_directory {export}';"
        " {checkpoint} is the prefix of its files",
    )
    group.add_argument("--keep_detections", action="store_true", help="keep the detections of every export")
    for name, default, what in (
        ("poll_seconds", 10.0, "time between two looks into the folder"),
        ("settle_seconds", 5.0, "an export must not have changed for so long to count as complete"),
        ("export_timeout", 600.0, "an export without a model that has not changed for so long is passed over"),
    ):
        group.add_argument(
            f"--{name}",
            type=options.positive_float,
            default=default,
            metavar="S",
            help=f"{what} (default: {default:g})",
        )


def check(args: argparse.Namespace, made: argparse.ArgumentParser) -> None:
    """Refuse options that do not go together.

    Args:
        args: as parsed.
        made: the parser, for its defaults.

    Raises:
        UsageError: names them.
    """
    from od_core.errors import UsageError

    for names, is_wanted, what in (
        (_MODEL_ONLY, args.model or args.watch, "is about running a model: give --model instead of --detections"),
        (_WATCH_ONLY, args.watch, "is about watching a folder: give --watch instead of --model or --detections"),
    ):
        given = [name for name in names if getattr(args, name) != made.get_default(name)]
        if given and not is_wanted:
            raise UsageError(f"--{given[0]} {what}")
    if args.detections:
        return
    if not args.label_map:
        option = "--watch" if args.watch else "--model"
        raise UsageError(f"{option} needs --label_map: the names of the model's classes (StringIntLabelMap, .pbtxt)")
    if DETECTIONS_FOLDER in args.split:
        raise UsageError(f"a split called {DETECTIONS_FOLDER} would share its folder with the detections of the model")
    if args.watch:
        for name, advice in (
            ("dry_run", "leave it out"),
            ("overwrite", "choose another --output"),
            ("fail_under", "evaluate the best export once more, with --model"),
        ):
            if getattr(args, name):
                raise UsageError(f"--{name} does not go with --watch: {advice}")
