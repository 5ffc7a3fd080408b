"""Run infer on a sample that boxbeam makes itself, from nothing to a dataset, and look at what came out.

The sample is drawn, not photographed: coloured blocks drifting over grey noise, as JPEGs and as a video. The model is a
small TensorFlow graph that boxbeam builds, which finds blocks by their colour; it has the inputs and outputs of a real
detector, but nothing in it was trained. What runs is the real thing: the same job, engine and Session as for your own.

example:
  boxbeam demo --output demo_out
"""

import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator, Sequence

from beam_jobs import options

_IMAGES, _FRAMES = 24, 100


def main(argv: Sequence[str] | None = None) -> int:
    """Make the sample, run infer on it, compare with what was drawn; returns the exit status."""
    made = options.parser(__doc__ or "", "demo")
    made.add_argument(
        "--output", type=options.path, required=True, metavar="DIR", help="folder for the sample and the results"
    )
    made.add_argument("--workers", type=options.positive_int, metavar="N", help="cores to use (default: all)")
    args = made.parse_args(argv)
    folder = pathlib.Path(args.output)
    try:
        drawn = _make_sample(folder)
    except OSError as error:
        made.error(f"{folder}: cannot be written ({error.strerror or error})")
    if _files_below(folder / "sample") != {key for key, _ in drawn}:
        made.error(f"{folder / 'sample'}: holds something else than the sample of this demo; choose another --output")
    return _infer(folder, args) or _compare(folder, drawn)


def _make_sample(folder: pathlib.Path) -> dict[tuple[str, int], dict[int, tuple[int, int, int, int]]]:
    """Draw the images and the video, build the model; returns what was drawn, by key and frame index."""
    from od_core.sample_model import SAMPLE_LABEL_MAP, write_frozen_graph
    from od_core.sample_scene import draw_scene, write_images, write_video

    sample, model = folder / "sample", folder / "model"
    print(f"1. drawing {_IMAGES} images and a video of {_FRAMES} frames, building a small graph: {sample}", flush=True)
    with _made_once(sample) as place:
        if place:
            write_images(place / "images", _IMAGES)
            write_video(place / "video.mp4", _FRAMES, seed=1)
    with _made_once(model) as place:
        if place:
            write_frozen_graph(place / "frozen_inference_graph.pb")
            (place / "label_map.pbtxt").write_text(SAMPLE_LABEL_MAP, encoding="utf-8")
    images = {(f"images/scene_{number:03d}.jpg", 0): draw_scene(number).boxes_px for number in range(_IMAGES)}
    return images | {("video.mp4", number): draw_scene(number, seed=1).boxes_px for number in range(_FRAMES)}


@contextlib.contextmanager
def _made_once(folder: pathlib.Path) -> Iterator[pathlib.Path | None]:
    """A place to make a folder that is not there yet, whole or not at all; None if it is.

    Inputs that are written again are other inputs, by their time: the second demo would not find its work done.
    """
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".boxbeam-", dir=folder.parent) as scratch:
        made = pathlib.Path(scratch, folder.name)
        made.mkdir()
        yield made
        made.rename(folder)


def _files_below(folder: pathlib.Path) -> set[str]:
    files = (path for path in folder.rglob("[!.]*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def _infer(folder: pathlib.Path, args: argparse.Namespace) -> int:
    from beam_jobs import infer

    command = [
        *("--model", str(folder / "model")),
        *("--label_map", str(folder / "model" / "label_map.pbtxt")),
        *("--input", str(folder / "sample")),
        *("--output", str(folder / "detections")),
        *(("--workers", str(args.workers)) if args.workers else ()),
    ]
    print("2. boxbeam infer", *command, flush=True)
    return infer.main(command)


def _compare(folder: pathlib.Path, drawn: dict[tuple[str, int], dict[int, tuple[int, int, int, int]]]) -> int:
    """Hold the detections against what was drawn."""
    import numpy as np
    import pyarrow.parquet as pq

    from od_core.boxes import pairwise_iou
    from od_core.schemas import detections_of

    table = pq.read_table(sorted((folder / "detections").glob("*.parquet")))
    overlaps = []
    rows = zip(
        *(table.column(name).to_pylist() for name in ("key", "frame_index", "height", "width")),
        detections_of(table),
        strict=True,
    )
    for key, frame_index, height, width, found in rows:
        for class_id, box_px in drawn[key, frame_index].items():
            box = np.array([box_px], np.float32) / np.array([height, width, height, width], np.float32)
            same = found.boxes[found.classes == class_id] if found is not None else np.zeros((0, 4), np.float32)
            overlaps.append(float(pairwise_iou(box, same).max(initial=0.0)))
    hit = sum(overlap >= 0.9 for overlap in overlaps)
    print(
        f"3. compared with what was drawn: {hit} of {len(overlaps)} blocks found with an overlap (IoU) of 0.9 or more,"
        f" {np.mean(overlaps):.3f} on average"
    )
    program = os.path.relpath(sys.argv[0]) if sys.argv[0].endswith("boxbeam") else "python -m beam_jobs.cli"
    print(f"   look at the dataset: {program} inspect {folder / 'detections'}")
    return 0 if hit == len(overlaps) else 1


if __name__ == "__main__":
    sys.exit(main())
