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
import sys
from collections.abc import Sequence
from typing import Any

from beam_jobs import convert_parser, options
from beam_jobs.convert_parser import GIVEN

DEFAULT_SPLITS = {"train": 0.8, "val": 0.2}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    made = convert_parser.parser(__doc__ or "")
    args, beam_options = options.parse(made, argv)
    args.input, args.input_splits = convert_parser.split_inputs(made, args.input)
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
        follow_links=args.follow_links,
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
