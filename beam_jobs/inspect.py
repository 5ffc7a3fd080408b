"""Say what a path holds and whether it is valid: detections, a model, a video, an image, TFRecords, a label map.

examples (they work when pasted, after: boxbeam demo --output demo_out):
  boxbeam inspect demo_out/detections            counts, classes, scores; checksums and schema are checked
  boxbeam inspect demo_out/model                 what the model takes and gives
  boxbeam inspect demo_out/scene/harbour.mp4     codec, size, rotation, rate; --decode counts the true frames
  boxbeam inspect demo_out/model/label_map.pbtxt

exit status:
  0 valid; 1 something is wrong with it; 2 no such path, or nothing boxbeam knows
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from beam_jobs import options


def main(argv: Sequence[str] | None = None) -> int:
    """Inspect one path; returns the exit status."""
    made = options.parser(__doc__ or "", "inspect")
    made.add_argument("path", metavar="PATH")
    made.add_argument("--decode", action="store_true", help="decode a whole video: true frame count, damage")
    args = made.parse_args(argv)
    from od_core import storage
    from od_core.errors import BoxbeamError, InputError, LabelMapError

    if storage.is_remote(args.path):
        made.error(f"{args.path}: not on this machine's disks; copy it here first")
    args.path = storage.local_path(args.path)
    if not os.path.lexists(args.path):
        made.error(f"{args.path}: no such file or folder")
    args.shown = storage.printable(args.path)
    try:
        return _inspection(args.path)(args)
    except (InputError, LabelMapError) as error:
        return _not_valid(args, error)
    except BoxbeamError as error:
        made.error(str(error))
    except OSError as error:
        made.error(f"{args.path}: cannot be read ({error.strerror or error})")


def _not_valid(args: argparse.Namespace, error: Exception) -> int:
    from od_core.storage import printable

    print(f"{args.shown}: not valid: {printable(str(error)).removeprefix(args.shown + ': ')}")
    return 1


def _inspection(path: str) -> Callable[[argparse.Namespace], int]:
    """What a path is: a folder by what lies in it, a file by its name."""
    from pipelines.infer import kind_of

    if os.path.isdir(path):
        names = os.listdir(path)
        is_dataset = "manifest.json" in names or any(name.endswith(".parquet") for name in names)
        return _detections if is_dataset else _model
    if path.endswith(".parquet"):
        return _detections
    if path.endswith((".pbtxt", ".txt")):
        return _label_map
    return {"video": _video, "image": _image, "record": _records}.get(kind_of(path) or "", _model)


def _detections(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.detections_check import check_detections

    report = check_detections(args.path)
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.rows_by["kind"].items()))
    states = ", ".join(f"{n:,} {status}" for status, n in sorted(report.rows_by["status"].items()))
    print(f"{args.shown}: detections dataset, {'valid' if not report.problems else 'NOT valid'}")
    ends = f"; {states}" if states else ""
    print(
        f"  {counted(report.rows, 'rows')} ({kinds or 'none'}) of {counted(report.keys, 'keys')}"
        f" in {counted(report.files, 'files')}{ends}"
    )
    scores = f", scores {report.score_range[0]:.4g} to {report.score_range[1]:.4g}" if report.score_range else ""
    print(f"  {counted(report.detections, 'detections')}{scores}")
    for label, count in report.labels.most_common(20):
        print(f"    {label:<24}{count:>12,}")
    if len(report.labels) > 20:
        print(f"    and {len(report.labels) - 20:,} more")
    for problem in report.problems:
        print(f"  problem: {problem}")
    return 1 if report.problems else 0


def _model(args: argparse.Namespace) -> int:
    from od_core.errors import ModelError
    from od_core.model import find_model, open_detector
    from od_core.storage import printable

    files = find_model(args.path)
    try:
        detector = open_detector(files.path)
    except ModelError as error:
        return _not_valid(args, error)
    signature = detector.signature
    detector.close()
    limit = f"at most {signature.batch_limit}" if signature.batch_limit else "any"
    print(f"{args.shown}: a detector boxbeam can run")
    print(f"  {signature.format.replace('_', ' ')} at {printable(files.path)}, sha256 {files.digest()}")
    print(f"  input:  {signature.input_kind} ({signature.input_tensor}), batch size {limit}")
    for name, tensor in signature.output_tensors.items():
        print(f"  output: {name} ({tensor})")
    return 0


def _video(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.video import VideoDamage, describe_video, read_video

    info = describe_video(args.path)
    rate = f"{float(info.average_rate):.3f} frames/s on average" if info.average_rate else "no frame rate declared"
    length = f"{info.duration_us / 1e6:.3f} s declared" if info.duration_us is not None else "no duration declared"
    frames = f"{info.declared_frames:,} frames declared" if info.declared_frames else "no frame count declared"
    print(f"{args.shown}: {info.codec} video in {info.container}")
    print(f"  {info.width} x {info.height} upright (rotation {info.rotation}), {rate}, {length}, {frames}")
    if info.video_streams > 1:
        print(f"  {info.video_streams} video streams: the first is used")
    if not args.decode:
        print("  what containers declare is often wrong: --decode counts")
        return 0
    frames_seen, damage = 0, 0
    for one in read_video(args.path):
        if isinstance(one, VideoDamage):
            damage += 1
            where = "at the start" if one.after_index is None else f"after frame {one.after_index}"
            print(f"  damage {where}: {one.message}")
        else:
            frames_seen += 1
    print(f"  decoded: {counted(frames_seen, 'frames')}, {damage or 'no'} damaged stretch{'es' if damage > 1 else ''}")
    return 1 if damage else 0


def _image(args: argparse.Namespace) -> int:
    from od_core.images import decode_image, read_header
    from od_core.storage import read_bytes

    encoded = read_bytes(args.path)
    header = read_header(encoded)
    decode_image(encoded)
    turned = "" if header.orientation == 1 else f", turned upright by its EXIF orientation {header.orientation}"
    print(f"{args.shown}: {header.format} image of {header.width} x {header.height}{turned}; it decodes")
    return 0


def _records(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.storage import open_input
    from pipelines.infer_records import record_images
    from pipelines.items import Piece, Source

    whole = Piece(Source(os.path.basename(args.path), args.path, "record", os.path.getsize(args.path), 0))
    good, bad = 0, 0
    with open_input(args.path) as file:
        for record in record_images(whole, file):
            if record.row.error is None:
                good += 1
                continue
            bad += 1
            if bad <= 10:
                print(f"  record {record.row.record_index}: {record.row.error.message}")
    print(f"{args.shown}: {counted(good + bad, 'records')}, {good:,} of them with an image, {bad:,} not usable")
    return 1 if bad else 0


def _label_map(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.label_map import read_label_map

    labels = read_label_map(args.path).labels
    print(f"{args.shown}: label map of {counted(len(labels), 'classes')}")
    for class_id, label in sorted(labels.items())[:100]:
        print(f"  {class_id:>5}  {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
