"""Convert annotated images (Pascal VOC, COCO) into TFRecords of the TensorFlow Object Detection API, with an index.

examples (the first works when pasted, after boxbeam demo --output demo_out):
  boxbeam convert --input demo_out/scene --output records

  boxbeam convert --input VOCdevkit/VOC2012 --output records --splits train=0.7,val=0.2,test=0.1
  boxbeam convert --input instances_val2017.json --images val2017/ --output records --splits val=1
  boxbeam convert --input Annotations/ --images photos/ --label_map labels.pbtxt --output records --split_by folder

what you get:
  records/train-00000-of-00012.tfrecord ...  tf.train.Example, with the feature keys that the API's own scripts write
  records/index-*.parquet   one row per image: split, shard, offset, its boxes, remarks on them; failed images say why
  records/label_map.pbtxt   the classes
  records/manifest.json     shards with counts and checksums, options
  records/run.json          how the last run went: times, failures

JPEGs and PNGs are stored byte for byte, but with an EXIF orientation upright; others (GIF, BMP, WebP, TIFF), which
TensorFlow's decoders read otherwise or not at all, become PNGs. Which split an image is in depends on its name and
--seed alone: images that are added later move none. Shards are the same bytes for any number of workers. Run again
after a kill it continues; after a change of the annotations or images all shards are made anew.

exit status:
  0 all done; 3 finished, some images failed; 1 stopped by an error or too many failures; 2 wrong usage; 130 interrupted
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from beam_jobs import options

_FORMATS = ("auto", "voc", "coco", "csv", "yolo", "kitti", "open_images", "detections", "images")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    args, beam_options = options.parse(_parser(), argv)
    from beam_jobs.launch import launch

    return launch("convert", lambda: _job(args), args, beam_options)


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "convert")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--input",
        type=options.path,
        required=True,
        nargs="+",
        action="extend",
        metavar="ANNOTATIONS",
        help="as the format has them: a folder with Annotations/, a list, a JSON or CSV file, ... (docs/convert.md)",
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
        default={"train": 0.8, "val": 0.2},
        metavar="NAME=SHARE,...",
        help="splits and their shares of the images (default: train=0.8,val=0.2)",
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


def _splits(text: str) -> dict[str, float]:
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


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def _shard_bytes(text: str) -> int:
    size = options.size_or_none(text)
    if not isinstance(size, int):
        raise argparse.ArgumentTypeError(f"must be a size such as 128MiB, got {text!r}")
    return size


def _job(args: argparse.Namespace) -> Any:
    from od_core.annotations.reading import ReadingOptions
    from od_core.label_map import read_label_map
    from pipelines.convert import ConvertJob
    from pipelines.convert_layout import DEFAULT_SHARD_BYTES, Layout

    one_given = args.shard_bytes or args.images_per_shard or args.num_shards
    layout = Layout(
        args.splits,
        split_by=args.split_by,
        seed=args.seed,
        shard_bytes=args.shard_bytes if one_given else DEFAULT_SHARD_BYTES,
        images_per_shard=args.images_per_shard,
        num_shards=args.num_shards,
    )
    return ConvertJob(
        layout,
        images=options.absolute(args.images) if args.images else None,
        format=args.format,
        label_map=read_label_map(args.label_map) if args.label_map else None,
        boxes=args.boxes,
        unknown_label=args.unknown_label,
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
