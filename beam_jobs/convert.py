"""Convert annotated images (Pascal VOC, COCO) into TFRecords of the TensorFlow Object Detection API, with an index.

examples (the first works when pasted, after boxbeam demo --output demo_out):
  boxbeam convert --input demo_out/scene --output records

  boxbeam convert --input VOCdevkit/VOC2012 --output records --splits train=0.7,val=0.2,test=0.1
  boxbeam convert --input train=instances_train2017.json val=instances_val2017.json --output records
  boxbeam convert --input VOCdevkit/VOC2007 --output records --splits given
  boxbeam convert --input Annotations/ --images photos/ --label_map labels.pbtxt --output records --split_by folder

what you get:
  records/train-00000-of-00012.tfrecord ...  tf.train.Example, with the feature keys that the API's own scripts write
  records/index-*.parquet   one row per image: split, shard, offset, its boxes, remarks on them; failed images say why
  records/label_map.pbtxt   the classes
  records/report.json       every image and box: written, clipped, dropped, rejected, and why; classes by split
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
    from pipelines.convert_report import REPORT_FILE

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
        help="Pascal VOC: a folder with Annotations/, a folder of XML files, an ImageSets list; COCO: a JSON file."
        " SPLIT=: all of it belongs to this split, as in train=instances_train2017.json",
    )
    group.add_argument(
        "--images", type=options.path, metavar="DIR", help="the image folder (default: where the format has it)"
    )
    group.add_argument("--output", type=options.path, required=True, metavar="DIR", help="folder of the record dataset")
    group.add_argument(
        "--format", choices=("auto", "voc", "coco"), default="auto", help="of the annotations (default: auto)"
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
    options.add_common(made)
    return made


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


def _shard_bytes(text: str) -> int:
    size = options.size_or_none(text)
    if not isinstance(size, int):
        raise argparse.ArgumentTypeError(f"must be a size such as 128MiB, got {text!r}")
    return size


def _job(args: argparse.Namespace) -> Any:
    from od_core.errors import UsageError
    from od_core.label_map import read_label_map
    from pipelines.convert import ConvertJob
    from pipelines.convert_layout import DEFAULT_SHARD_BYTES, Layout

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
    )
    return ConvertJob(
        layout,
        images=options.absolute(args.images) if args.images else None,
        format=args.format,
        label_map=read_label_map(args.label_map) if args.label_map else None,
        boxes=args.boxes,
        unknown_label=args.unknown_label,
        masks=args.masks,
        keypoints=args.keypoints,
        input_splits=args.input_splits,
    )


if __name__ == "__main__":
    sys.exit(main())
