"""Run the whole chain on a sample that boxbeam draws itself: convert, infer, evaluate, render; then look at pictures.

The scene is a harbour seen from above: sailboats, ferries, cargo ships, tugboats and buoys, with a bridge, cranes and
clouds in the way. It is drawn, so every box is known exactly. The detector that comes with boxbeam was trained on other
harbours of this kind (training/ in the repository). What runs is the real thing: the same commands, engine and
TensorFlow Session as for your own model.

example:
  boxbeam demo --output demo_out
"""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from beam_jobs import options

_FOLDERS = ("scene", "model", "records", "detections", "metrics", "pictures")
_IMAGES, _FRAMES = 40, 250
_IMAGES_SEED, _VIDEO_SEED = 100, 8  # a cargo ship passes below the bridge


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the scene, run every job on it, say where to look; returns the exit status."""
    made = options.parser(__doc__ or "", "demo")
    made.add_argument(
        "--output", type=options.path, required=True, metavar="DIR", help="folder for the scene and the results"
    )
    made.add_argument("--workers", type=options.positive_int, metavar="N", help="cores to use (default: all)")
    args = made.parse_args(argv)
    folder = pathlib.Path(args.output)
    strange = sorted(path.name for path in folder.glob("[!.]*") if path.name not in _FOLDERS)
    if strange:
        made.error(f"{folder}: holds {strange[0]}, which is not the demo's; choose another --output, or remove it")
    started = time.monotonic()
    try:
        _draw(folder)
    except OSError as error:
        made.error(f"{folder}: cannot be written ({error.strerror or error})")
    foreign = _files_below(folder / "scene") ^ _scene_files()
    if foreign:
        made.error(f"{folder / 'scene'}: is not the scene of this demo ({min(foreign)}); choose another --output")
    for number, (job, command) in enumerate(_commands(folder, args.workers), 2):
        print(f"\n{number}. boxbeam {' '.join([job, *command])}", flush=True)
        status = _main_of(job)(command)
        if status:
            return status
    _say_where_to_look(folder, time.monotonic() - started)
    return 0


def _commands(folder: pathlib.Path, workers: int | None) -> list[tuple[str, list[str]]]:
    scene, model, records, found = (str(folder / name) for name in ("scene", "model", "records", "detections"))
    ground_truth = [records, f"{scene}/video_ground_truth.parquet"]
    parallel = ["--workers", str(workers)] if workers else []
    label_map = ["--label_map", f"{model}/label_map.pbtxt"]
    return [
        ("convert", ["--input", scene, *label_map, "--output", records, *parallel]),
        ("infer", ["--model", model, *label_map, "--input", scene, "--output", found, *parallel]),
        ("evaluate", ["--detections", found, "--ground_truth", *ground_truth, "--output", str(folder / "metrics")]),
        (
            "render",
            [
                *("--detections", found, "--ground_truth", *ground_truth),
                *("--output", str(folder / "pictures"), *parallel),
            ],
        ),
    ]


def _main_of(job: str) -> Callable[[Sequence[str]], int]:
    from beam_jobs import convert, evaluate, infer, render

    mains: dict[str, Callable[[Sequence[str]], int]] = {
        "convert": convert.main,
        "infer": infer.main,
        "evaluate": evaluate.main,
        "render": render.main,
    }
    return mains[job]


def _draw(folder: pathlib.Path) -> None:
    """Draw images and a video with their annotations, and put the detector beside them."""
    from od_core.harbour.sample import LABEL_MAP, MODEL, write_images, write_label_map, write_video

    scene, model = folder / "scene", folder / "model"
    print(f"1. drawing {_IMAGES} pictures of harbours and a video of {_FRAMES} frames: {scene}", flush=True)
    with _made_once(scene) as place:
        if place:
            write_images(place, _IMAGES, seed=_IMAGES_SEED)
            write_video(place / "harbour.mp4", _FRAMES, seed=_VIDEO_SEED)
            _write_video_ground_truth(place / "video_ground_truth.parquet")
            write_label_map(place / "label_map.pbtxt")
    with _made_once(model) as place:
        if place:
            for file in (MODEL, LABEL_MAP):
                shutil.copyfile(file, place / file.name)


def _write_video_ground_truth(path: pathlib.Path) -> None:
    import pyarrow.parquet as pq

    from od_core.harbour.sample import video_ground_truth
    from od_core.harbour.ships import LABELS
    from od_core.schemas import ground_truth_table

    rows = list(video_ground_truth("harbour.mp4", _FRAMES, seed=_VIDEO_SEED))
    pq.write_table(ground_truth_table(rows, LABELS), path)


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


def _scene_files() -> set[str]:
    names = [f"harbour_{number:03d}" for number in range(_IMAGES)]
    pairs = {f"JPEGImages/{name}.jpg" for name in names} | {f"Annotations/{name}.xml" for name in names}
    return pairs | {"harbour.mp4", "video_ground_truth.parquet", "label_map.pbtxt"}


def _files_below(folder: pathlib.Path) -> set[str]:
    files = (path for path in folder.rglob("[!.]*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def _say_where_to_look(folder: pathlib.Path, seconds: float) -> None:
    program = os.path.relpath(sys.argv[0]) if sys.argv[0].endswith("boxbeam") else "python -m beam_jobs.cli"
    print(
        f"\nDone in {seconds:.0f} s. Look at:\n"
        f"  {folder / 'pictures' / 'harbour.mp4'}     detections left, ground truth right; plays in a browser\n"
        f"  {folder / 'pictures' / 'JPEGImages'}      the same for every picture\n"
        f"  {folder / 'metrics' / 'metrics.json'}     every number of the evaluation\n"
        f"  {program} inspect {folder / 'detections'}     what the Parquet dataset holds"
    )


if __name__ == "__main__":
    sys.exit(main())
