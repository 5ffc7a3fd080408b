"""Say what a path holds and whether it is valid: records, detections, a model, a video, an image, a label map.

examples (they work when pasted, after: boxbeam demo --output demo_out):
  boxbeam inspect demo_out/records               splits, classes, sizes; checksums, boxes, label map, index are checked
  boxbeam inspect demo_out/detections            counts, classes, scores; checksums and schema are checked
  boxbeam inspect demo_out/model                 what the model takes and gives
  boxbeam inspect demo_out/scene/harbour.mp4     codec, size, rotation, rate; --decode counts the true frames
  boxbeam inspect demo_out/model/label_map.pbtxt

  boxbeam inspect train.record-?????-of-00010    TFRecords that others wrote: a file, several, a pattern or a folder

exit status:
  0 valid; 1 something is wrong with it; 2 no such path, or nothing boxbeam knows
"""

import argparse
import contextlib
import gzip
import os
import sys
from collections.abc import Callable, Sequence

from beam_jobs import options

_MODEL_SUFFIXES = (".pb", ".index", ".meta", ".ckpt", ".h5", ".keras", ".tflite", ".onnx", ".pth", ".pt")

Inspection = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Inspect paths; returns the exit status, the worst of them."""
    made = options.parser(__doc__ or "", "inspect")
    made.add_argument("path", metavar="PATH", nargs="+")
    made.add_argument(
        "--decode", action="store_true", help="decode all pixels: a video's true frame count, damage; images in records"
    )
    made.add_argument(
        "--label_map",
        type=options.path,
        metavar="PBTXT",
        help="classes of TFRecords that others wrote (default: the only label map beside them)",
    )
    args, beam_options = options.parse(made, argv)
    from od_core import storage

    if not any(map(storage.is_remote, (*args.path, args.label_map or ""))):
        return _inspect(made, args)
    from beam_jobs.inspect_remote import on_local_disk

    return on_local_disk(made, args, beam_options, lambda: _inspect(made, args))


def _inspect(made: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    from od_core import storage
    from od_core.errors import BoxbeamError, InputError, LabelMapError

    status = 0
    try:
        paths = [path for given in args.path for path in _resolved(given)]
        kinds = [_inspection(path) for path in paths]
        if args.label_map is not None:
            _refuse_label_map(args, kinds)
        together = set(kinds) == {_records}
        args.shown = " ".join(map(storage.printable, args.path))
        for inspection, some in (
            [(_records, paths)] if together else zip(kinds, [[path] for path in paths], strict=True)
        ):
            args.paths, args.path = some, some[0]
            if not together:
                args.shown = storage.printable(args.path)
            try:
                status = max(status, inspection(args))
            except (InputError, LabelMapError) as error:
                status = max(status, _not_valid(args, error))
    except BoxbeamError as error:
        made.error(str(error))
    except OSError as error:
        made.error(f"{error.filename or args.path}: cannot be read ({error.strerror or error})")
    return status


def _resolved(given: str) -> list[str]:
    """The local paths that an argument stands for: itself, or what a pattern matches."""
    from od_core import storage
    from od_core.annotations.annotated import no_such_path
    from od_core.errors import UsageError

    path = storage.local_path(given)
    if os.path.lexists(path):
        return [path]
    if not storage.has_wildcard(path):
        raise no_such_path(path)
    found = sorted(info.path for info in storage.glob(path)[1])
    if not found:
        raise UsageError(f"{path}: this pattern matches no file")
    return found


def _refuse_label_map(args: argparse.Namespace, kinds: Sequence[Inspection]) -> None:
    """Raises UsageError for a label map that nothing here needs, or that is none."""
    from od_core.errors import UsageError
    from od_core.label_map import read_label_map

    if any(kind is not _records for kind in kinds):
        raise UsageError("--label_map is for TFRecords that others wrote; everything else has its own")
    read_label_map(args.label_map)


def _not_valid(args: argparse.Namespace, error: Exception) -> int:
    from od_core.storage import printable

    print(f"{args.shown}: not valid: {printable(str(error)).removeprefix(args.shown + ': ')}")
    return 1


def _inspection(path: str) -> Inspection:
    """What a path is: a folder by what lies in it, a file by its name."""
    from od_core.errors import UsageError

    if os.path.isdir(path):
        return _inspection_of_folder(path)
    name = os.path.basename(path)
    if name.startswith("index-") and name.endswith(".parquet"):
        folder = os.path.dirname(path) or "."
        raise UsageError(
            f"{path}: the index of a record dataset, which is checked as a whole: give its folder, {folder}"
        )
    if path.endswith(".parquet"):
        return _detections
    if path.endswith((".pbtxt", ".txt")):
        return _label_map
    named = {"video": _video, "image": _image, "record": _records}.get(_kind_of(path) or "")
    return named or (_records if _starts_with_a_record(path) else _model)


def _inspection_of_folder(folder: str) -> Inspection:
    from od_core.checks.manifest import job_of
    from od_core.errors import ModelError, UsageError
    from od_core.model.detector import find_model
    from od_core.storage import printable

    names = os.listdir(folder)
    job = job_of(folder)
    if job not in (None, "convert", "infer"):
        raise UsageError(f"{folder}: the output of boxbeam {job}, which is not inspected: records and detections are")
    is_index = any(name.startswith("index-") and name.endswith(".parquet") for name in names)
    if job == "convert" or is_index:
        return _dataset
    if job is None and "_work" in names:
        return _unfinished
    if job == "infer" or any(name == "manifest.json" or name.endswith(".parquet") for name in names):
        return _detections
    try:
        find_model(folder)
        return _model
    except ModelError as error:
        if _record_files(folder):
            return _records
        if any(name.endswith(_MODEL_SUFFIXES) or name.startswith(("ckpt-", "checkpoint")) for name in names):
            raise
        if not names:
            raise UsageError(f"{folder}: an empty folder") from error
        told = ", ".join(printable(name) for name in sorted(names)[:8]) + ", ..." * (len(names) > 8)
        raise UsageError(
            f"{folder}: not a folder that is inspected: expected records or detections made by boxbeam, TFRecord files"
            f" or a model, found {told}; images, videos and label maps are looked at one by one"
        ) from error


def _record_files(path: str) -> list[str]:
    """The TFRecord files below a folder, by their names; or the file itself."""
    from od_core import storage

    if not os.path.isdir(path):
        return [path]
    return sorted(info.path for info in storage.walk(path) if _kind_of(info.path) == "record")


def _kind_of(path: str) -> str | None:
    """See kind_of; a part of a checkpoint, which is named like a shard, is nothing."""
    from pipelines.infer.job import kind_of

    return None if ".data-" in os.path.basename(path) else kind_of(path)


def _starts_with_a_record(path: str) -> bool:
    """Whether a file of any other name holds TFRecords."""
    from od_core.errors import RecordError
    from od_core.records.tfrecord import is_gzip, read_records
    from od_core.storage import open_input

    with contextlib.suppress(OSError, RecordError), open_input(path) as file:
        _, payload = next(read_records(gzip.GzipFile(fileobj=file) if is_gzip(file) else file), (0, None))  # type: ignore[arg-type]
        return isinstance(payload, bytes)
    return False


def _detections(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.checks.detections import check_detections

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
    from beam_jobs.summary import counted
    from od_core.errors import ModelError
    from od_core.label_map import read_label_map
    from od_core.model.detector import find_model, open_detector
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
    label_map = _label_map_beside([files.path, os.path.join(files.path, "saved_model.pb")])
    if label_map is not None:
        labels = read_label_map(label_map).labels
        print(f"  label map beside it: {counted(len(labels), 'classes')} ({printable(label_map)})")
    return 0


def _video(args: argparse.Namespace) -> int:
    from beam_jobs.summary import counted
    from od_core.video.frames import VideoDamage, describe_video, read_video

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


def _unfinished(args: argparse.Namespace) -> int:
    print(f"{args.shown}: not valid: the output of a boxbeam command that is not finished; repeat it, it continues")
    return 1


def _dataset(args: argparse.Namespace) -> int:
    from beam_jobs.inspect_records import inspect_dataset

    return inspect_dataset(args.path, args.shown, decode=args.decode)


def _records(args: argparse.Namespace) -> int:
    from beam_jobs.inspect_records import inspect_files

    files = [file for path in args.paths for file in _record_files(path)]
    label_map = args.label_map or _label_map_beside(files)
    return inspect_files(list(dict.fromkeys(files)), args.shown, label_map=label_map, decode=args.decode)


def _label_map_beside(files: Sequence[str]) -> str | None:
    """The one file in the folders of these files that is called a label map; None where there are several."""
    import pathlib

    folders = {os.path.dirname(file) or "." for file in files}
    found = [str(path) for folder in sorted(folders) for path in pathlib.Path(folder).glob("*label_map*.pbtxt")]
    return found[0] if len(found) == 1 else None


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
