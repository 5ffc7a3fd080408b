"""The command line of render: its options, and what words mean."""

import argparse

from beam_jobs import options
from od_core.video.codecs import CODECS

_MIN_SCORE = 0.5
_SMALLEST_SIDE = 64


def parser(manual: str) -> argparse.ArgumentParser:
    """The parser; `manual` is what --help says first."""
    made = options.parser(manual, "render")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--detections", type=options.path, required=True, metavar="DIR", help="a detections dataset, as infer writes it"
    )
    group.add_argument(
        "--output", type=options.path, required=True, metavar="DIR", help="folder of the rendered pictures and videos"
    )
    options.add_source_root(group)
    group.add_argument(
        "--ground_truth",
        type=options.path,
        nargs="+",
        action="extend",
        metavar="PATH",
        help="what people annotated: a record dataset made by boxbeam convert, a COCO JSON file, Pascal VOC XML files"
        " (their folder, or a list), or Parquet with a column objects (docs/detections-format.md); several count"
        " as one",
    )
    _add_looks(made.add_argument_group("what is drawn"))
    _add_choice(made.add_argument_group("what is rendered"))
    _add_video(made.add_argument_group("videos"))
    options.add_identity(group)
    options.add_common(made)
    return made


def _add_looks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout",
        choices=("overlay", "side_by_side"),
        help="all boxes on one picture, or ground truth beside detections (default: side_by_side with --ground_truth)",
    )
    group.add_argument(
        "--colour_by",
        choices=("class", "verdict"),
        default="class",
        help="verdict: true positives, false positives, missed objects and what is ignored, told by the ground truth"
        " (default: class)",
    )
    group.add_argument(
        "--crops",
        action="store_true",
        help="write every detection as a JPEG of its own, in folders by class, and no other pictures or videos",
    )
    group.add_argument(
        "--crop_margin",
        type=options.ratio,
        metavar="R",
        help="how much around a detection --crops cuts out too: this share of its height and width on every side"
        " (default: 0)",
    )
    group.add_argument(
        "--boxes",
        choices=("on", "off"),
        default="on",
        help="off: no boxes and no captions, such as to publish what --blur has made unrecognisable (default: on)",
    )
    group.add_argument(
        "--blur",
        nargs="+",
        action="extend",
        default=[],
        metavar="CLASS",
        help="make what was found of these classes unrecognisable; a frame in which nobody has looked, as a whole",
    )
    group.add_argument(
        "--max_side",
        type=_side,
        metavar="PIXELS",
        help="make larger originals smaller, to at most so many pixels in width and height",
    )


def _add_choice(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--min_score",
        type=_scores,
        default=(_MIN_SCORE, ()),
        metavar="S[,CLASS=S...]",
        help="leave out detections below, for some classes below another score: 0.5,person=0.7 (default: 0.5)",
    )
    group.add_argument(
        "--only",
        choices=("all", "detections", "errors"),
        default="all",
        help="which pictures, and which frames of videos: all; detections: in which something is drawn; errors: with a"
        " wrong detection or a missed object (default: all)",
    )
    group.add_argument(
        "--iou",
        type=options.iou,
        default=0.5,
        metavar="X",
        help="least overlap (intersection over union) of a detection that counts as right (default: 0.5)",
    )
    group.add_argument(
        "--sample",
        type=options.positive_int,
        metavar="N",
        help="render N pictures and videos, chosen by their names; of these, --only leaves some out",
    )
    group.add_argument("--seed", type=_seed, default=0, metavar="N", help="another seed, another --sample (default: 0)")


def _add_video(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--unsampled",
        choices=("hold", "skip", "plain"),
        default="hold",
        help="frames that infer was told to pass over: hold shows what was found in the frame before, skip leaves them"
        " out, plain shows them as they are (default: hold)",
    )
    group.add_argument(
        "--audio",
        choices=("on", "off"),
        default="on",
        help="off: videos without sound. Those of which --only leaves out frames have none (default: on)",
    )
    group.add_argument(
        "--codec",
        choices=tuple(CODECS),
        default="h264",
        help="compression of videos. All of them play in browsers from an MP4, h264 everywhere; av1 makes the smallest"
        " files. H.265 is not offered: not every browser plays it (default: h264)",
    )
    group.add_argument(
        "--crf",
        type=options.positive_int,
        metavar="N",
        help="quality of videos, from 1, the best, to "
        + ", ".join(f"{codec.worst_crf} ({name}; default: {codec.crf})" for name, codec in CODECS.items())
        + "; six more halve the files of h264",
    )


def _scores(text: str) -> tuple[float, tuple[tuple[str, float], ...]]:
    """An argparse type: a score for all classes, scores for some, or both; commas between them."""
    default: float | None = None
    by_class: dict[str, float] = {}
    for part in text.split(","):
        name, equals, score = part.rpartition("=")
        name = name.strip()
        if equals and name and name not in by_class:
            by_class[name] = options.ratio(score)
        elif equals:
            raise argparse.ArgumentTypeError(f"must name each class once, as in 0.5,person=0.7, got {text!r}")
        elif default is not None:
            raise argparse.ArgumentTypeError(f"must be one score, and others as CLASS=SCORE, got {text!r}")
        else:
            default = options.ratio(part)
    return _MIN_SCORE if default is None else default, tuple(sorted(by_class.items()))


def _seed(text: str) -> int:
    """An argparse type: any whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None


def _side(text: str) -> int:
    """An argparse type: the side of a picture on which something can be seen."""
    side = options.positive_int(text)
    if side < _SMALLEST_SIDE:
        raise argparse.ArgumentTypeError(f"must be at least {_SMALLEST_SIDE}, got {text!r}")
    return side
