"""Draw boxes on the originals that detections were made from: JPEG and PNG pictures, and MP4 videos that browsers play.

examples (the first three work when pasted; they use what the demo makes):
  boxbeam demo --output demo_out
  boxbeam infer --model demo_out/model --label_map demo_out/model/label_map.pbtxt --input demo_out/scene --output found
  boxbeam render --detections found --output rendered

  boxbeam render --detections found --output rendered --min_score 0.3,person=0.6 --source_root /mnt/new/photos
  boxbeam render --detections found --output compared --ground_truth VOC2012/Annotations
  boxbeam render --detections found --output errors --ground_truth VOC2012/Annotations --only errors --colour_by verdict
  boxbeam render --detections found --output look --sample 200 --max_side 1280
  boxbeam render --detections found --output ships --crops --crop_margin 0.1
  boxbeam render --detections found --output public --blur person --min_score 0.5,person=0.1 --boxes off --audio off

what you get:
  rendered/...            a picture or video for every original, in the same folders:
                            photo.jpg -> photo.jpg, photo.png -> photo.png, scan.tif -> scan.tif.jpg
                            clip.mp4 -> clip.mp4, clip.avi -> clip.avi.mp4
                            val.tfrecord -> val.tfrecord/000012-KEY.jpg for its record 12
                          with --crops, for every detection, by class, image or frame, and number:
                            ship/photo.jpg-00.jpg, ship/clip.mp4/000123-00.jpg
  rendered/*.parquet      one row per rendered file: which one it is, how many boxes are on it, or why it failed
  rendered/manifest.json  which files belong to the dataset, counts, options
  rendered/run.json       how the last run went

  Videos are H.264 (--codec) with the sound and the frames of the original at their times; each frame says its time,
  its number and how many boxes were found. Those of more than 64 MiB are rendered in ranges, which several workers
  share, and joined without encoding again. Frames that infer was told to pass over show what was found in the frame
  before, and say so (--unsampled). A frame that was not looked at otherwise has no boxes and says so; where a stretch
  of a video is damaged, the frames that can be decoded are shown. Sound that browsers do not play from an MP4 is
  encoded anew as AAC; what is wrong with it says the row, and the video is made all the same.

what is rendered:
  --only leaves out pictures, and frames of videos: what is left of a video follows each other, without sound.
  --sample chooses by names: the same pictures again next time, and nearly the same when there are more inputs.

with --ground_truth:
  Detections are on the left, what people annotated on the right; --layout overlay draws both on one picture. Images are
  matched by name: the same path, or the data set's own image id, or else the one path that ends alike by whole folders.
  What is not in the ground truth says "no ground truth". A class has one colour on both sides if it has one name.
  --colour_by verdict and --only errors compare as boxbeam evaluate --verdicts does, with the detections that are shown.

The originals are looked for where they lay when the detections were made; if they were moved, --source_root gives the
folder that was infer's --input, as it is called now, or OLD=NEW for each where infer had several. An original that has
another size than it had is not drawn on: its row has failed and says so.

Repeat the command at any time. After a kill or Ctrl-C it continues where it was; after success it has nothing to do.
When originals, detections or annotations have changed, it renders those anew, and removes what is no longer in the
detections. It does not look whether you have removed rendered files: --overwrite renders all of them again.

exit status:
  0 all done; 3 finished, some inputs failed; 1 stopped by an error or too many failures; 2 wrong usage; 130 interrupted
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beam_jobs import options
from beam_jobs.render_parser import parser
from od_core.video.codecs import CODECS

if TYPE_CHECKING:
    from pipelines.executor import Work


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    made = parser(__doc__ or "")
    args, beam_options = options.parse(made, argv)
    if args.layout == "side_by_side" and args.ground_truth is None:
        made.error("--layout side_by_side shows ground truth beside detections; give it with --ground_truth")
    for option, value in (("only", "errors"), ("colour_by", "verdict")):
        if getattr(args, option) == value and args.ground_truth is None:
            made.error(f"--{option} {value} compares detections with ground truth; give it with --ground_truth")
    _refuse_contradictions(made, args)
    from beam_jobs.launch import launch

    # All that is read, so that launch() sees whether it lies on another file system.
    args.source_root = options.source_root(made, args.source_root)
    args.input = [args.detections, *args.source_root.folders, *(args.ground_truth or [])]
    return launch("render", lambda: _job(args), args, beam_options)


def _refuse_contradictions(made: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    worst = CODECS[args.codec].worst_crf
    if args.crf is not None and args.crf > worst:
        made.error(f"--crf of {args.codec} is from 1 to {worst}, got {args.crf}")
    if args.crop_margin is not None and not args.crops:
        made.error("--crop_margin is about --crops; give both, or neither")
    if args.crops:
        for option, is_given in (
            ("--layout", args.layout is not None),
            ("--colour_by", args.colour_by != "class"),
            ("--boxes", args.boxes == "off"),
            ("--codec", args.codec != "h264"),
            ("--crf", args.crf is not None),
            ("--audio", args.audio == "off"),
        ):
            if is_given:
                made.error(f"{option} is about pictures and videos that are drawn on, and --crops makes none of them")


def build(root: Any, work: "Work", *, spread: bool) -> Any:
    """The job's graph, added to a pipeline: the engine's, with this job in `work`."""
    from pipelines.work import build

    return build(root, work, spread=spread)


def _job(args: argparse.Namespace) -> Any:
    from pipelines.render.job import RenderJob

    return RenderJob(
        layout=args.layout or ("overlay" if args.ground_truth is None or args.crops else "side_by_side"),
        colour_by=args.colour_by,
        crops=args.crops,
        crop_margin=args.crop_margin or 0.0,
        boxes=args.boxes == "on",
        blur=tuple(dict.fromkeys(args.blur)),
        min_score=args.min_score[0],
        class_scores=args.min_score[1],
        only=args.only,
        iou=args.iou,
        sample=args.sample,
        seed=args.seed,
        max_side=args.max_side,
        unsampled=args.unsampled,
        audio=args.audio == "on",
        codec=args.codec,
        crf=args.crf,
        source_root=args.source_root,
        identity=args.identity,
        ground_truth=tuple(options.absolute(path) for path in args.ground_truth or ()),
    )


if __name__ == "__main__":
    sys.exit(main())
