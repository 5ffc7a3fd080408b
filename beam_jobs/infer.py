"""Find objects in images, videos and TFRecords with a trained TensorFlow detector; detections go to Parquet.

examples (the first two work when pasted; they use what the demo makes):
  boxbeam demo --output demo_out
  boxbeam infer --model demo_out/model --label_map demo_out/model/label_map.pbtxt --input demo_out/scene --output found

  boxbeam infer --model exported/saved_model --label_map labels.pbtxt --input photos/ 'clips/**/*.mp4' --output found
  boxbeam infer --model frozen_inference_graph.pb --label_map labels.pbtxt --input val-*.tfrecord --output found
  boxbeam infer --model exported --label_map labels.pbtxt --input cameras/ --output found --fps 2 --start 1:00

  boxbeam infer --model exported/ --label_map labels.pbtxt --input photos/ --output found --input_tensor images \\
      --output_tensors boxes=output_0,scores=output_1,classes=output_2 --box_format xmin_ymin_xmax_ymax,pixels
                      a model that names its tensors in its own way: boxbeam inspect MODEL lists what it has

what you get:
  found/*.parquet     one row per image or video frame, its boxes in a list, best first: docs/detections-format.md
  found/manifest.json which files belong to the dataset, counts, options, where it comes from
  found/run.json      how the last run went: times, speed, failures

Repeat the command at any time. After a kill or Ctrl-C it continues where it was; after success it has nothing to do;
with more inputs it does the new ones. Damaged inputs become failed rows with a reason, and the run goes on.

exit status:
  0 all done; 3 finished, some inputs failed; 1 stopped by an error or too many failures; 2 wrong usage; 130 interrupted
"""

import argparse
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from beam_jobs import options

if TYPE_CHECKING:
    from pipelines.executor import Work
    from pipelines.infer.job import InferJob
    from pipelines.plan import Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    made = _parser()
    args, beam_options = options.parse(made, argv)
    if args.assume_workers is not None and not args.dry_run:
        made.error("--assume_workers estimates a run without doing it: give --dry_run with it")
    if args.cost_per_hour is not None and args.assume_workers is None:
        made.error("--cost_per_hour is the price of a worker: say with --dry_run --assume_workers N how many")
    from beam_jobs.launch import launch

    more = None if args.assume_workers is None else lambda work, plan: _estimate(args, work.job, plan)
    return launch("infer", lambda: _job(args), args, beam_options, more)


def build(root: Any, work: "Work", *, spread: bool) -> Any:
    """The job's graph, added to a pipeline: the engine's, with this job in `work`."""
    from pipelines.work import build

    return build(root, work, spread=spread)


def _parser() -> argparse.ArgumentParser:
    made = options.parser(__doc__ or "", "infer")
    group = made.add_argument_group("what to do")
    group.add_argument(
        "--model",
        type=options.path,
        required=True,
        help="an exported detector: a SavedModel folder (TF1 or TF2), an export folder, or a frozen graph (.pb)",
    )
    group.add_argument(
        "--label_map",
        type=options.path,
        required=True,
        metavar="PBTXT",
        help="names of the classes (StringIntLabelMap)",
    )
    group.add_argument(
        "--input",
        type=options.path,
        required=True,
        nargs="+",
        action="extend",  # given twice, the first is not to be forgotten in silence
        help="images, videos, TFRecord files, folders (walked), quoted patterns, or .txt lists of files",
    )
    group.add_argument(
        "--output", type=options.path, required=True, metavar="DIR", help="folder of the detections dataset"
    )
    group.add_argument(
        "--min_score",
        type=options.ratio,
        metavar="S",
        help="leave out detections below (default: 0 for images and records, 0.05 for videos)",
    )
    group.add_argument(
        "--max_detections", type=options.positive_int, metavar="N", help="keep at most the N best of an image"
    )
    group.add_argument(
        "--keep",
        type=_shapes,
        default=(),
        metavar="masks,keypoints",
        help="what to keep beside boxes, for models that give it: masks, keypoints or both (docs/detections-format.md)",
    )
    group.add_argument(
        "--batch_size",
        type=options.positive_int_or_auto,
        metavar="N",
        help="images per model run at most, or auto: measured on the first images; does not change results, and a"
        " model's own limit is kept (default: auto)",
    )
    group.add_argument(
        "--decoder",
        choices=("tensorflow", "pillow"),
        default="tensorflow",
        help="of JPEGs; detectors notice which. tensorflow: as the TensorFlow Object Detection API trains and infers;"
        " pillow: the pixels that OpenCV gives too (default: tensorflow)",
    )
    group.add_argument(
        "--device",
        type=_devices,
        default=(),
        metavar="cpu|gpu:N,...",
        help="where the model runs; of several GPUs each gets a process of its own (default: the first GPU if there is"
        " one, else cpu)",
    )
    options.add_identity(group)
    _add_tensors(made)
    _add_sampling(made)
    options.add_common(made)
    _add_estimate(made)
    return made


def _shapes(text: str) -> tuple[str, ...]:
    """An argparse type: what is kept beside boxes, in one order whatever the one given."""
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in ("masks", "keypoints")]:
        raise argparse.ArgumentTypeError(f"must be masks, keypoints or masks,keypoints, got {unknown[0]!r}")
    return tuple(shape for shape in ("masks", "keypoints") if shape in words)


def _devices(text: str) -> tuple[str, ...]:
    """An argparse type: cpu, or one or more GPUs."""
    words = [word.strip().lower() for word in text.split(",")]
    if words != ["cpu"] and not all(re.fullmatch(r"gpu:\d{1,4}", word) for word in words):
        raise argparse.ArgumentTypeError(f"must be cpu or gpu:N (several: gpu:0,gpu:1), got {text!r}")
    return tuple(dict.fromkeys(words))


def _add_tensors(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("models whose tensors are not named as the TensorFlow Object Detection API's")
    group.add_argument("--input_tensor", metavar="NAME", help="the input: its key in the signature, or its node")
    group.add_argument(
        "--output_tensors",
        metavar="ROLE=NAME,...",
        help="the outputs, as in boxes=NAME,scores=NAME,classes=NAME,num=NAME (without num, scores above 0 count);"
        " masks, keypoints and keypoint_scores too",
    )
    group.add_argument(
        "--box_format",
        metavar="FORMAT[,pixels]",
        help="ymin_xmin_ymax_xmax (default), xmin_ymin_xmax_ymax or cx_cy_w_h, in parts of the image or in pixels",
    )
    group.add_argument(
        "--first_class_id",
        type=int,
        choices=(0, 1),
        help="what the model calls class 1 of the label map: 0 if it counts from there (default: 1)",
    )


def _add_sampling(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("frames of videos (default: every one; docs/video.md says exactly which)")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--fps", type=options.rate, metavar="X", help="X frames per second of video, those nearest to an even grid"
    )
    choice.add_argument("--every", type=options.positive_int, metavar="N", help="every Nth frame: 0, N, 2N, ...")
    choice.add_argument("--keyframes", action="store_true", help="keyframes alone")
    group.add_argument(
        "--start",
        type=options.moment,
        default=Fraction(0),
        metavar="S",
        help="from this time of each video on: seconds, or as in 1:30 or 1:02:30.5",
    )
    group.add_argument("--end", type=options.moment, metavar="S", help="up to this time of each video, itself left out")


def _add_estimate(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("what a run would cost (docs/scaling.md)")
    group.add_argument(
        "--assume_workers",
        type=options.positive_int,
        metavar="N",
        help="with --dry_run: run the model on a sample of the inputs, and say what all take on N workers of one core",
    )
    group.add_argument(
        "--cost_per_hour", type=options.positive_float, metavar="X", help="price of such a worker, in any currency"
    )


def _estimate(args: argparse.Namespace, job: "InferJob", plan: "Plan") -> str:
    from beam_jobs.infer_estimate_text import estimate_text
    from pipelines.infer.estimate import estimate
    from pipelines.infer.probe import run_probe

    threads = job.spread(args.workers or options.cores()).threads if job.on_gpu else 1
    made = estimate(run_probe(job, plan.items, threads), args.assume_workers)
    return estimate_text(made, args.cost_per_hour, on_gpu=job.on_gpu)


def _job(args: argparse.Namespace) -> Any:
    from od_core.label_map import read_label_map
    from od_core.model.tensors import ModelTensors
    from od_core.video.sampling import Sampling
    from pipelines.infer.job import InferJob

    sampling = Sampling(args.fps, args.every, args.keyframes, args.start, args.end)
    tensors = ModelTensors.of_text(args.input_tensor, args.output_tensors, args.box_format, args.first_class_id)
    path, digest = find_model(args.model)
    return InferJob(
        model=path,
        model_sha256=digest,
        label_map=read_label_map(args.label_map),
        min_score=args.min_score,
        max_detections=args.max_detections,
        batch_size=args.batch_size,
        sampling=sampling,
        tensors=tensors,
        keep=args.keep,
        decoder=args.decoder,
        identity=args.identity,
        devices=args.device,
    )


def find_model(model: str) -> tuple[str, str]:
    """The path of an export as `InferJob` takes it, and the digest of its bytes.

    Raises:
        ModelError: no model is there, or it cannot be read.
    """
    from od_core import storage
    from od_core.errors import ModelError
    from od_core.model import files as model_files
    from od_core.model.remote import local_model

    with local_model(model) as path:
        files = model_files.find_model(path)
        try:
            digest = files.digest()
        except OSError as error:
            raise ModelError(f"{error.filename or files.path}: the model cannot be read ({error.strerror})") from error
    return model if storage.is_remote(model) else files.path, digest


if __name__ == "__main__":
    sys.exit(main())
