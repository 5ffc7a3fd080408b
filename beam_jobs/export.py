"""Write detections in the format of another tool: COCO, Pascal VOC, YOLO, CSV, MegaDetector, or tf.train.Example.

examples (the first four work when pasted, after: boxbeam demo --output demo_out):
  boxbeam export --detections demo_out/detections --format coco --output detections.json
  boxbeam export --detections demo_out/detections --format yolo --output for_training --min_score 0.5
  boxbeam export --detections demo_out/detections --format voc --output to_label --min_score 0.3 --classes buoy,ferry
  boxbeam export --detections demo_out/detections --format csv --output boxes.csv

  boxbeam export --detections found --format coco --ground_truth instances_val2017.json --output results.json

what you get:
  coco          one JSON file: a data set with images, categories and annotations that have a score, numbered from 1 in
                the order of the files' paths; with --ground_truth a list of results for pycocotools' loadRes, under the
                ids of that file
  voc           Annotations/: an XML file for every image, in the same folders as the images
  yolo          labels/: a text file for every image, in the same folders, and data.yaml with the names of the classes
  csv           one file, a line for every box, in pixels: filename, width, height, class, xmin, ymin, xmax, ymax,
                score, and more
  megadetector  one JSON file in MegaDetector's format 1.6, as Timelapse and AddaxAI read it
  tf_example    one TFRecord file: image/detection/* as the TensorFlow Object Detection API keeps detections; with
                --ground_truth image/object/* too, as its offline evaluation wants them

  The same detections give the same bytes. A frame of a video is called clip.mp4/000000012.jpg, after its number, as if
  the video were a folder of pictures. Images in which nothing was found are there where the format has images; what
  failed is only in megadetector's, and counted for the others. The output appears whole or not at all; one that was
  made before is replaced. More in docs/exports.md.

exit status:
  0 done; 1 stopped by an error; 2 wrong usage; 130 interrupted
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from beam_jobs import options
from od_core.closest_name import did_you_mean

if TYPE_CHECKING:
    from od_core.detected_frames import DetectedFrame
    from pipelines.export import ExportAsk, Exported

_FORMATS = ("coco", "voc", "yolo", "csv", "megadetector", "tf_example")


def main(argv: Sequence[str] | None = None) -> int:
    """Export; returns the exit status."""
    made = _parser()
    args, beam_options = options.parse(made, argv)
    if args.ground_truth is not None and args.format not in ("coco", "tf_example"):
        made.error(
            "--ground_truth gives results the ids of a COCO file, and tf_example its objects: it goes with"
            f" --format coco or tf_example, not {args.format}"
        )
    if args.scores and args.format != "yolo":
        made.error(f"--scores is for --format yolo: {args.format} has no use for it")
    from od_core.errors import BoxbeamError, UsageError

    try:
        ask = _ask(args, beam_options)
        exported = _export(ask)
    except UsageError as error:
        return _ended(f"error: {error}", 2)
    except BoxbeamError as error:
        return _ended(f"stopped: {error}", 1)
    except KeyboardInterrupt:
        return _ended("interrupted; nothing is changed, repeat the command", 128 + signal.SIGINT)
    print(_text(ask, exported), flush=True)
    return 0


def _ended(message: str, status: int) -> int:
    print(f"boxbeam export: {message}", file=sys.stderr, flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "export")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--detections",
        type=options.path,
        required=True,
        metavar="DIR",
        help="a detections dataset as boxbeam infer writes it, or one Parquet file of that format",
    )
    group.add_argument(
        "--output", type=options.path, required=True, metavar="PATH", help="a file; for voc and yolo a folder"
    )
    group.add_argument("--format", type=_format, required=True, metavar="NAME", help=f"one of {', '.join(_FORMATS)}")
    group.add_argument(
        "--min_score", type=options.ratio, default=0.0, metavar="S", help="leave out detections below (default: 0)"
    )
    group.add_argument(
        "--classes", type=_names, default=(), metavar="NAMES", help="only these classes, such as car,bus (default: all)"
    )
    group.add_argument(
        "--ground_truth",
        type=options.path,
        metavar="PATH",
        help="coco: a COCO JSON file; what is written are results with its ids of images and categories. tf_example:"
        " whatever boxbeam evaluate takes; its objects go beside the detections",
    )
    group.add_argument(
        "--scores",
        action="store_true",
        help="yolo: the score as a sixth number in every line, for tools that show predictions; trainers refuse it",
    )
    return made


def _format(text: str) -> str:
    """An argparse type: the name of a format."""
    if text not in _FORMATS:
        guess = did_you_mean(text, _FORMATS, otherwise=f"there are {', '.join(_FORMATS)}")
        raise argparse.ArgumentTypeError(f"no format called {text!r}{guess}")
    return text


def _names(text: str) -> tuple[str, ...]:
    """An argparse type: names with commas between them."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"must be names with commas between them, got {text!r}")
    return tuple(dict.fromkeys(names))


def _ask(args: argparse.Namespace, beam_options: Sequence[str]) -> "ExportAsk":
    from od_core import storage
    from pipelines.export import ExportAsk
    from pipelines.remote.file_systems import FileSystems

    ask = ExportAsk(
        options.absolute(args.detections),
        options.absolute(args.output),
        args.format,
        args.min_score,
        args.classes,
        args.ground_truth and options.absolute(args.ground_truth),
        args.scores,
    )
    storage.register_remote(FileSystems(beam_options))
    return ask


def _export(ask: "ExportAsk") -> "Exported":
    from tqdm import tqdm

    from pipelines.export import export

    def bar(frames: Iterable["DetectedFrame"], total: int) -> Iterator["DetectedFrame"]:
        hidden = not sys.stderr.isatty()
        return iter(tqdm(frames, "export", total, unit=" frames", unit_scale=True, leave=False, disable=hidden))

    return export(ask, bar)


def _text(ask: "ExportAsk", exported: "Exported") -> str:
    """The closing lines."""
    from beam_jobs.summary import counted

    done = f"{counted(exported.detections, 'detections')} in {counted(exported.frames, 'frames')}"
    lines = [f"export: {done}: {ask.output}", *(f"  {note}" for note in exported.notes)]
    if exported.failed:
        where = "with the reason" if ask.format == "megadetector" else "not in the output"
        lines.append(f"  {counted(exported.failed, 'failures')} among the detections' rows, {where}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
