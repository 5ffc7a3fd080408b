"""Convert annotated images into TFRecords of the TensorFlow Object Detection API, with an index.

Formats: Pascal VOC, COCO, CSV, YOLO, KITTI, Open Images, detections of boxbeam infer, images without annotations.

examples (the first works when pasted, after boxbeam demo --output demo_out):
  boxbeam convert --input demo_out/scene --output records

  boxbeam convert --input VOCdevkit/VOC2012 --output records --splits train=0.7,val=0.2,test=0.1
  boxbeam convert --input train=instances_train2017.json val=instances_val2017.json --output records
  boxbeam convert --input VOCdevkit/VOC2007 --output records --splits given
  boxbeam convert --input Annotations/ --images photos/ --label_map labels.pbtxt --output records --split_by folder
  boxbeam convert --input boxes.csv --images photos/ --csv_columns filename=image,class=label --output records
  boxbeam convert --input yolo/data.yaml --output records --splits given
  boxbeam convert --input found/ --images photos/ --min_score 0.7 --output records

  (docs/convert.md shows the files of every format, and what of them is kept)

what you get:
  records/train-00000-of-00012.tfrecord ...  tf.train.Example, with the feature keys that the API's own scripts write
  records/index-*.parquet   one row per image: split, shard, offset, its boxes, remarks on them; failed images say why
  records/label_map.pbtxt   the classes
  records/report.json       every image and box: written, clipped, dropped, rejected, and why; classes by split
  records/manifest.json     shards with counts and checksums, options
  records/run.json          how the last run went: times, failures

JPEGs and PNGs are stored byte for byte, but with an EXIF orientation upright (--exif); others (GIF, BMP, WebP, TIFF),
which TensorFlow's decoders read otherwise or not at all, become PNGs. Which split an image is in depends on its name
and --seed alone: images that are added later move none. Shards are the same bytes for any number of workers. Run again
after a kill it continues; after a change of the annotations or images all shards are made anew.

exit status:
  0 all done; 3 finished, some images failed; 1 stopped by an error or too many failures; 2 wrong usage; 130 interrupted
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from beam_jobs import options

GIVEN = "given"
DEFAULT_SPLITS = {"train": 0.8, "val": 0.2}

_SPLIT_PATH = re.compile(r"(?P<split>\w+)=(?P<path>.+)", re.ASCII)
_FORMATS = ("auto", "voc", "coco", "csv", "yolo", "kitti", "open_images", "detections", "images")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    made = _parser()
    args, beam_options = options.parse(made, argv)
    args.input, args.input_splits = _inputs(made, args.input)
    from beam_jobs.launch import EXIT_DONE, EXIT_SOME_FAILED, launch

    status = launch("convert", lambda: _job(args), args, beam_options)
    if status in (EXIT_DONE, EXIT_SOME_FAILED) and not args.dry_run:
        _print_report(options.absolute(args.output))
    return status


def _print_report(output: str) -> None:
    from beam_jobs import convert_text
    from od_core import storage
    from pipelines.convert.report import REPORT_FILE

    path = storage.join(output, REPORT_FILE)
    print(convert_text.text(json.loads(storage.read_bytes(path)), path), flush=True)


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "convert")
    group = made.add_argument_group("what to do")
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
    group.add_argument(
        "--splits",
        type=_splits,
        metavar="NAME=SHARE,...|given",
        help="splits and their shares of the images (default: train=0.8,val=0.2), or given: the data set's own, from"
        " the lists in ImageSets/Main, or from --input NAME=PATH",
    )
    group.add_argument(
        "--split_by",
        default="image",
        metavar="image|folder|REGEX",
        help="what is never torn apart: images of a folder, or images whose names agree in REGEX (default: image)",
    )
    group.add_argument(
        "--seed", type=_whole_number, default=0, metavar="N", help="another seed, another split and order (default: 0)"
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
    images = made.add_argument_group("images")
    images.add_argument(
        "--exif",
        choices=("rotate", "keep", "fail"),
        default="rotate",
        help="images with an EXIF orientation, which TensorFlow ignores: turn them upright, boxes alike; keep them as"
        " they are, boxes alike; or fail them (default: rotate)",
    )
    images.add_argument(
        "--max_side", type=options.positive_int, metavar="PX", help="scale larger images down to this (default: none)"
    )
    images.add_argument(
        "--jpeg_quality",
        type=_quality,
        default=95,
        metavar="1..95",
        help="of JPEGs that are turned or scaled; others stay byte for byte (default: 95)",
    )
    images.add_argument(
        "--verify",
        choices=("decode", "header"),
        default="decode",
        help="decode every image once, to see that it is whole; or read headers only, faster (default: decode)",
    )
    images.add_argument(
        "--compression",
        choices=("none", "gzip"),
        default="none",
        help="gzip: compress shards as a whole, .tfrecord.gz; they can then only be read front to back (default: none)",
    )
    _add_reading(made)
    options.add_common(made)
    return made


def _add_reading(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("what annotations of some formats do not say themselves")
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


def _inputs(made: argparse.ArgumentParser, inputs: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Paths, and the split of each; no splits where none is named."""
    named = [_SPLIT_PATH.fullmatch(text) for text in inputs]
    found = [match if match and not os.path.exists(text) else None for match, text in zip(named, inputs, strict=True)]
    if not any(found):
        return list(inputs), ()
    if not all(found):
        other = next(text for text, match in zip(inputs, found, strict=True) if not match)
        made.error(f"--input: {other} is in no split, the others are; write SPLIT={other}")
    return [match["path"] for match in found if match], tuple(match["split"] for match in found if match)


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def _quality(text: str) -> int:
    quality = _whole_number(text)
    if not 1 <= quality <= 95:
        raise argparse.ArgumentTypeError(f"must be from 1 to 95, got {text!r}")
    return quality


def _shard_bytes(text: str) -> int:
    size = options.size_or_none(text)
    if not isinstance(size, int):
        raise argparse.ArgumentTypeError(f"must be a size such as 128MiB, got {text!r}")
    return size


def _job(args: argparse.Namespace) -> Any:
    from od_core.annotations.reading import ReadingOptions
    from od_core.errors import UsageError
    from od_core.label_map import read_label_map
    from od_core.records.stored_image import ImageRules
    from pipelines.convert.job import ConvertJob
    from pipelines.convert.layout import DEFAULT_SHARD_BYTES, Layout

    if args.input_splits and args.splits not in (None, GIVEN):
        raise UsageError(
            f"--splits divides by shares, but --input says already what is in {args.input_splits[0]}; leave one out"
        )
    splits = None if args.input_splits or args.splits == GIVEN else args.splits or DEFAULT_SPLITS
    one_given = args.shard_bytes or args.images_per_shard or args.num_shards
    layout = Layout(
        splits,
        split_by=args.split_by,
        seed=args.seed,
        shard_bytes=args.shard_bytes if one_given else DEFAULT_SHARD_BYTES,
        images_per_shard=args.images_per_shard,
        num_shards=args.num_shards,
        shuffle=args.shuffle == "on",
        compression=args.compression,
    )
    return ConvertJob(
        layout,
        images=options.absolute(args.images) if args.images else None,
        format=args.format,
        label_map=read_label_map(args.label_map) if args.label_map else None,
        boxes=args.boxes,
        unknown_label=args.unknown_label,
        image_rules=ImageRules(args.exif, args.max_side, args.jpeg_quality, args.verify),
        masks=args.masks,
        keypoints=args.keypoints,
        input_splits=args.input_splits,
        reading=ReadingOptions(
            csv_columns=args.csv_columns,
            csv_boxes=args.csv_boxes,
            class_descriptions=options.absolute(args.class_descriptions) if args.class_descriptions else None,
            image_labels=options.absolute(args.image_labels) if args.image_labels else None,
            dont_care=args.dont_care,
            min_score=args.min_score,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
