"""The command line of convert: its options, and what words mean."""

import argparse
import os
import re
from collections.abc import Sequence

from beam_jobs import options

GIVEN = "given"

_SPLIT_PATH = re.compile(r"(?P<split>\w+)=(?P<path>.+)", re.ASCII)
_FORMATS = ("auto", "voc", "coco", "csv", "yolo", "kitti", "open_images", "detections", "images")


def parser(manual: str) -> argparse.ArgumentParser:
    """The parser; `manual` is what --help says first."""
    made = options.parser(manual, "convert")
    _add_data(made.add_argument_group("what to do"))
    _add_layout(made.add_argument_group("splits and shards"))
    _add_objects(made.add_argument_group("objects"))
    _add_images(made.add_argument_group("images"))
    _add_reading(made.add_argument_group("what annotations of some formats do not say themselves"))
    options.add_common(made)
    return made


def split_inputs(made: argparse.ArgumentParser, inputs: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Paths of --input, and the split of each; no splits where none is named. Ends the program if only some are."""
    named = [_SPLIT_PATH.fullmatch(text) for text in inputs]
    found = [match if match and not os.path.exists(text) else None for match, text in zip(named, inputs, strict=True)]
    if not any(found):
        return list(inputs), ()
    if not all(found):
        other = next(text for text, match in zip(inputs, found, strict=True) if not match)
        made.error(f"--input: {other} is in no split, the others are; write SPLIT={other}")
    return [match["path"] for match in found if match], tuple(match["split"] for match in found if match)


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--input",
        type=options.path,
        required=True,
        nargs="+",
        action="extend",
        metavar="[SPLIT=]ANNOTATIONS",
        help="as the format has them: a folder with Annotations/, a list, a JSON or CSV file, ... (docs/convert.md)."
        " SPLIT=: all of it belongs to this split, as in train=instances_train2017.json",
    )
    group.add_argument(
        "--images", type=options.path, metavar="DIR", help="the image folder (default: where the format has it)"
    )
    group.add_argument(
        "--follow_links",
        action="store_true",
        help="read images that are symbolic links to anywhere; else only those that lead into the folders given",
    )
    group.add_argument("--output", type=options.path, required=True, metavar="DIR", help="folder of the record dataset")
    group.add_argument(
        "--format", choices=_FORMATS, default="auto", help="of the annotations (default: auto, found by looking)"
    )
    group.add_argument(
        "--label_map",
        type=options.path,
        metavar="PBTXT",
        help="the classes and their ids (default: COCO's categories, or the names found, numbered alphabetically)",
    )


def _add_layout(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--splits",
        type=_splits,
        metavar="NAME=SHARE,...|given",
        help="splits and their shares of the images (default: train=0.8,val=0.2), or given: the data set's own, from"
        " ImageSets/Main, data.yaml or a column split, or from --input NAME=PATH",
    )
    group.add_argument(
        "--split_by",
        default="image",
        metavar="image|folder|REGEX",
        help="what is never torn apart: images of a folder, or images whose names agree in REGEX (default: image)",
    )
    group.add_argument(
        "--seed",
        type=options.whole_number,
        default=0,
        metavar="N",
        help="another seed, another split and order (default: 0)",
    )
    group.add_argument(
        "--shuffle",
        choices=("on", "off"),
        default="on",
        help="off: records keep the order of the annotations within their split (default: on)",
    )
    sizes = group.add_mutually_exclusive_group()
    sizes.add_argument(
        "--shard_bytes",
        type=_shard_bytes,
        metavar="BYTES",
        help="size of a shard, such as 128MiB (default)",
    )
    sizes.add_argument("--images_per_shard", type=options.positive_int, metavar="N", help="images of a shard, at most")
    sizes.add_argument("--num_shards", type=options.positive_int, metavar="N", help="shards of each split")
    group.add_argument(
        "--compression",
        choices=("none", "gzip"),
        default="none",
        help="gzip: compress shards as a whole, .tfrecord.gz; they can then only be read front to back (default: none)",
    )


def _add_objects(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--boxes",
        choices=("clip", "drop", "strict"),
        default="clip",
        help="boxes over the border of their image are clipped, or dropped, or fail their image (default: clip);"
        " empty ones and those outside are dropped, or fail their image",
    )
    group.add_argument(
        "--unknown_label",
        choices=("fail", "skip"),
        default="fail",
        help="classes that --label_map lacks: refuse to start, or skip such objects (default: fail)",
    )
    group.add_argument(
        "--masks", action="store_true", help="COCO: store polygons and run lengths as PNG masks of each object"
    )
    group.add_argument("--keypoints", action="store_true", help="COCO: store keypoints")


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--exif",
        choices=("rotate", "keep", "fail"),
        default="rotate",
        help="images with an EXIF orientation, which TensorFlow ignores: turn them upright, boxes alike; keep them as"
        " they are, boxes alike; or fail them (default: rotate)",
    )
    group.add_argument(
        "--max_side", type=options.positive_int, metavar="PX", help="scale larger images down to this (default: none)"
    )
    group.add_argument(
        "--jpeg_quality",
        type=_quality,
        default=95,
        metavar="1..95",
        help="of JPEGs that are turned or scaled; others stay byte for byte (default: 95)",
    )
    group.add_argument(
        "--verify",
        choices=("decode", "header"),
        default="decode",
        help="decode every image once, to see that it is whole; or read headers only, faster (default: decode)",
    )


def _add_reading(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--csv_columns",
        type=_columns,
        default={},
        metavar="NAME=COLUMN,...",
        help="csv: which column is what, such as filename=image_path,class=label,xmin=x1; or, in a file without a"
        " header, which in order, such as filename=1,xmin=2 (default: columns have their own names)",
    )
    group.add_argument(
        "--csv_boxes",
        choices=("auto", "pixels", "normalised"),
        default="auto",
        help="csv: units of the boxes; normalised: of the image's width and height (default: auto, pixels unless all"
        " lie between 0 and 1)",
    )
    group.add_argument(
        "--class_descriptions",
        type=options.path,
        metavar="CSV",
        help="open_images: what classes are called (default: class-descriptions*.csv beside the boxes)",
    )
    group.add_argument(
        "--image_labels",
        type=options.path,
        metavar="CSV",
        help="open_images: classes of whole images (default: beside the boxes, the table that is named like theirs)",
    )
    group.add_argument(
        "--dont_care",
        choices=("drop", "exclude"),
        help="kitti: leave out DontCare regions, or with them all objects that overlap one, as the API's script does"
        " (default: drop)",
    )
    group.add_argument(
        "--min_score",
        type=options.ratio,
        metavar="S",
        help="detections: leave out those with a lower score (default: 0.5)",
    )


def _splits(text: str) -> dict[str, float] | str:
    if text == GIVEN:
        return text
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = (word.strip() for word in part.partition("="))
        if not equals:
            raise argparse.ArgumentTypeError(f"must be like train=0.8,val=0.2, got {text!r}")
        if name in shares:
            raise argparse.ArgumentTypeError(f"names {name} twice: {text!r}")
        shares[name] = options.ratio(share)
    return shares


def _columns(text: str) -> dict[str, str]:
    columns: dict[str, str] = {}
    for part in text.split(","):
        meaning, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not meaning or not column:
            raise argparse.ArgumentTypeError(f"must be like filename=image,class=label, got {text!r}")
        if meaning in columns:
            raise argparse.ArgumentTypeError(f"names {meaning} twice: {text!r}")
        columns[meaning] = column
    return columns


def _quality(text: str) -> int:
    quality = options.whole_number(text)
    if not 1 <= quality <= 95:
        raise argparse.ArgumentTypeError(f"must be from 1 to 95, got {text!r}")
    return quality


def _shard_bytes(text: str) -> int:
    size = options.size_or_none(text) if text[:1].isdecimal() else None
    if not isinstance(size, int):
        raise argparse.ArgumentTypeError(f"must be a size such as 128MiB, got {text!r}")
    return size
