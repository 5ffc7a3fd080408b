"""The command line of evaluate: its options, and what words mean."""

import argparse

from beam_jobs import evaluate_options, options
from beam_jobs.evaluate_options import MASK_METRIC
from od_core.closest_name import did_you_mean

_BOX_METRICS = ("coco", "voc10", "voc07", "weighted_voc", "open_images", "open_images_challenge")
_METRICS = (*_BOX_METRICS, MASK_METRIC)
_DEFAULT_METRICS = ("coco", "voc10")
_ALIASES = {"voc": "voc10"}


def parser(manual: str) -> argparse.ArgumentParser:
    """The parser; `manual` is what --help says first."""
    made = options.parser(manual, "evaluate")
    _add_data(made.add_argument_group("what to do"))
    _add_numbers(made.add_argument_group("numbers"))
    _add_insight(made.add_argument_group("what else is told"))
    evaluate_options.add_model_options(made)
    evaluate_options.add_watch_options(made)
    return made


def _add_data(group: argparse._ArgumentGroup) -> None:
    what = group.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--detections",
        type=options.path,
        metavar="DIR",
        help="a detections dataset as boxbeam infer writes it, one Parquet file of that format, COCO results (.json),"
        " or TFRecords with image/detection/* as the API's infer_detections.py writes them (file, folder or pattern)",
    )
    what.add_argument(
        "--model",
        type=options.path,
        metavar="MODEL",
        help="an exported detector, as for boxbeam infer: it is run on the images of the ground truth first",
    )
    what.add_argument(
        "--watch",
        type=options.path,
        metavar="DIR",
        help="a folder into which a training loop exports: every export with a step in its name (export_1200/, 1200/,"
        " model-1200.pb) is evaluated as with --model, in order, for as long as new ones come",
    )
    group.add_argument(
        "--ground_truth",
        type=options.path,
        required=True,
        nargs="+",
        metavar="PATH",
        help="a record dataset made by boxbeam convert, other TFRecords, annotations in a format that convert reads"
        " (docs/convert.md), or Parquet with a column objects (docs/detections-format.md); several count as one",
    )
    group.add_argument(
        "--output",
        type=options.path,
        required=True,
        metavar="DIR",
        help="folder for metrics.json (and verdicts.parquet), which is replaced",
    )
    group.add_argument(
        "--label_map",
        type=options.path,
        metavar="PBTXT",
        help="names of the classes (StringIntLabelMap) of a model, or of detections that have ids only: TFRecords, COCO"
        " results",
    )
    group.add_argument(
        "--images",
        type=options.path,
        metavar="DIR",
        help="the images of annotation files: what a model is run on; else looked at only for the size of those whose"
        " annotation does not say it",
    )
    group.add_argument(
        "--split",
        type=_words,
        default=(),
        metavar="NAMES",
        help="evaluate these splits of a record dataset: val; or train,val, which are evaluated one by one and compared"
        " (default: all images as one)",
    )
    group.add_argument(
        "--allow_missing", action="store_true", help="leave out images that were not processed, and say how many"
    )


def _add_numbers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--metrics",
        type=_metrics,
        default=_DEFAULT_METRICS,
        metavar="NAMES",
        help=f"which numbers, of {', '.join(_METRICS)}; or all, which is all but masks (default:"
        f" {','.join(_DEFAULT_METRICS)})",
    )
    group.add_argument(
        "--hierarchy",
        type=options.path,
        metavar="F.json",
        help="which classes are kinds of which, as Open Images writes it: in its metrics an object counts for all"
        " classes above its own",
    )
    group.add_argument(
        "--image_labels",
        type=options.path,
        metavar="F.csv",
        help="Open Images' image-level labels (ImageID,LabelName,Confidence): classes that somebody has looked for; its"
        " challenge leaves out detections of others",
    )
    group.add_argument(
        "--slice_by",
        action="append",
        default=[],
        metavar="WHAT",
        help="also evaluate parts of the data by themselves: folder; or the name of a column of the detections or of"
        " the ground truth (of records, Parquet or CSV; a field of COCO's images); or a regular expression with a"
        " group, searched in keys, such as 'camera_([0-9]+)'; may be given several times",
    )
    group.add_argument(
        "--fail_under",
        type=_gate,
        action="append",
        default=[],
        metavar="NAME=X",
        help="end with exit status 4 if this number is below X or undefined; NAME as in metrics.json, or its end where"
        " that is clear: mAP=0.55, mAP/cat=0.4; may be given several times",
    )


def _add_insight(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--verdicts", action="store_true", help="also write verdicts.parquet: every detection and every missed object"
    )
    group.add_argument(
        "--iou",
        type=options.iou,
        default=0.5,
        metavar="X",
        help="least overlap (intersection over union) of a detection that counts as right in verdicts, curves,"
        " confusions and errors (default: 0.5)",
    )
    group.add_argument(
        "--numbers_only",
        action="store_true",
        help="only metrics.json: no page, curves, confusions, kinds of errors, slices",
    )


def _words(text: str) -> tuple[str, ...]:
    """An argparse type: words with commas between them."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise argparse.ArgumentTypeError(f"must be names with commas between them, got {text!r}")
    return tuple(dict.fromkeys(words))


def _gate(text: str) -> tuple[str, float]:
    """An argparse type: a number's name and the least it must be."""
    name, equals, least = text.rpartition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"must be a number's name and the least it must be, NAME=X, got {text!r}")
    return name.strip(), options.finite_float(least)


def _metrics(text: str) -> tuple[str, ...]:
    """An argparse type: some of the metrics."""
    if text == "all":
        return _BOX_METRICS
    names = tuple(dict.fromkeys(_ALIASES.get(word, word) for word in _words(text)))
    for word in names:
        if word not in _METRICS:
            guess = did_you_mean(word, _METRICS, otherwise=f"there are {', '.join(_METRICS)}")
            raise argparse.ArgumentTypeError(f"no metric called {word!r}{guess}")
    return names
